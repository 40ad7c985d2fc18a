//! Isolation: which stores fail so often in a run that the rest of it goes on without them [26].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::StoreId;

/// Failures in a row after which a store is skipped.
const ENOUGH: u32 = 5;

#[derive(Debug, Default)]
struct State {
    in_a_row: BTreeMap<StoreId, u32>,
    /// Stores that the run goes on without.
    skipped: BTreeSet<StoreId>,
}

/// What a run has learnt about its stores.
#[derive(Debug, Default)]
pub struct SkipList {
    state: Mutex<State>,
}

impl SkipList {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn success(&self, store: StoreId) {
        self.state().in_a_row.remove(&store);
    }

    /// True when this failure makes the store one to skip.
    pub fn failure(&self, store: StoreId) -> bool {
        let mut state = self.state();
        let count = state.in_a_row.entry(store).or_default();
        *count += 1;
        *count >= ENOUGH && state.skipped.insert(store)
    }

    /// True when the store was not skipped before.
    pub fn skip(&self, store: StoreId) -> bool {
        self.state().skipped.insert(store)
    }

    pub fn is_skipped(&self, store: StoreId) -> bool {
        self.state().skipped.contains(&store)
    }

    pub fn skipped(&self) -> BTreeSet<StoreId> {
        self.state().skipped.clone()
    }
}
