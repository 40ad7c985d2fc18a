//! Room in stores with a hard limit: what is committed and what is promised (SPEC 4, reservation).
//!
//! One process owns the catalogue, so promises live in memory: they are granted under one lock,
//! die with the process and cannot be leaked. A promise becomes committed bytes in the same
//! critical section in which the commit is published, so no byte is ever counted twice or not at
//! all, and a refusal is never due to a race.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::StoreId;

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    committed: u64,
    reserved: u64,
}

/// The account of every store.
#[derive(Debug, Default)]
pub struct Ledger {
    held: Mutex<HashMap<StoreId, Held>>,
}

/// A promise of room in one store. Dropping it gives the room back.
#[derive(Debug)]
pub struct Reservation {
    ledger: Arc<Ledger>,
    promise: Arc<Promise>,
}

/// The part of a reservation that a write transaction keeps until its commit.
#[derive(Debug)]
pub struct Promise {
    store: StoreId,
    bytes: AtomicU64,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, HashMap<StoreId, Held>> {
        // The map is only changed by whole assignments: a panic elsewhere leaves it right.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises `bytes` in `store` when total + bytes <= `max`.
    pub fn reserve(
        self: &Arc<Self>,
        store: StoreId,
        bytes: u64,
        max: Option<u64>,
    ) -> Option<Reservation> {
        let mut held = self.lock();
        grant(held.entry(store).or_default(), bytes, max)?;
        let promise = Arc::new(Promise { store, bytes: AtomicU64::new(bytes) });
        Some(Reservation { ledger: Arc::clone(self), promise })
    }

    /// Bytes promised in `store`.
    pub fn reserved(&self, store: StoreId) -> u64 {
        self.lock().get(&store).map_or(0, |h| h.reserved)
    }

    /// Committed and promised bytes of `store`: what the hard limit is held against.
    pub fn hard_usage(&self, store: StoreId) -> u64 {
        self.lock().get(&store).map_or(0, |h| h.committed.saturating_add(h.reserved))
    }

    /// Publishes a commit: new committed totals, and the promises that it used up.
    pub(super) fn settle(&self, totals: &[(StoreId, u64)], used: &[Arc<Promise>]) {
        let mut held = self.lock();
        for (store, committed) in totals {
            held.entry(*store).or_default().committed = *committed;
        }
        for promise in used {
            give_back(&mut held, promise);
        }
    }
}

fn grant(held: &mut Held, bytes: u64, max: Option<u64>) -> Option<()> {
    let total = held.committed.checked_add(held.reserved)?.checked_add(bytes)?;
    if max.is_some_and(|max| total > max) {
        return None;
    }
    held.reserved += bytes;
    Some(())
}

fn give_back(held: &mut HashMap<StoreId, Held>, promise: &Promise) {
    let bytes = promise.bytes.swap(0, Ordering::SeqCst);
    if let Some(h) = held.get_mut(&promise.store) {
        h.reserved = h.reserved.saturating_sub(bytes);
    }
}

impl Reservation {
    pub fn store(&self) -> StoreId {
        self.promise.store
    }

    pub fn bytes(&self) -> u64 {
        self.promise.bytes.load(Ordering::SeqCst)
    }

    /// Adds `more` bytes when they fit under `max`.
    pub fn grow(&self, more: u64, max: Option<u64>) -> bool {
        let mut held = self.ledger.lock();
        let granted = grant(held.entry(self.promise.store).or_default(), more, max).is_some();
        if granted {
            self.promise.bytes.fetch_add(more, Ordering::SeqCst);
        }
        granted
    }

    /// For `Tx::consume`: the commit that records the bytes ends the promise.
    pub fn promise(&self) -> Arc<Promise> {
        Arc::clone(&self.promise)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        give_back(&mut self.ledger.lock(), &self.promise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_granted_up_to_the_limit_and_given_back() {
        let ledger = Arc::new(Ledger::default());
        let store = StoreId(1);
        let a = ledger.reserve(store, 60, Some(100)).expect("fits");
        assert!(ledger.reserve(store, 41, Some(100)).is_none(), "one byte over");
        let b = ledger.reserve(store, 40, Some(100)).expect("equal fits");
        drop(a);
        assert!(b.grow(60, Some(100)));
        assert!(!b.grow(1, Some(100)));
        ledger.settle(&[(store, 70)], &[b.promise()]);
        assert_eq!((ledger.reserved(store), ledger.hard_usage(store)), (0, 70));
        drop(b);
        assert_eq!(ledger.hard_usage(store), 70);
    }
}
