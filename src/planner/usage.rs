//! Bytes per store and per link, real or simulated.

use std::collections::BTreeMap;

use crate::domain::{File, Replica, ReplicaState, ScopeId, StoreId};

/// What limits are compared with (SPEC 2). Pairs that are absent hold 0 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Reserved + writing + present + deleting + corrupt: what `max_size` bounds.
    pub hard: BTreeMap<StoreId, u64>,
    /// Present bytes: what a store's soft limit bounds.
    pub present: BTreeMap<StoreId, u64>,
    /// Reserved + writing: uploads under way, which become present. A store that would be over its
    /// soft limit with them is no target.
    pub incoming: BTreeMap<StoreId, u64>,
    /// Present bytes of the distinct files of a scope in a store, tombstoned files included, linked
    /// or not.
    pub scope: BTreeMap<(ScopeId, StoreId), u64>,
}

impl Usage {
    pub fn hard(&self, store: StoreId) -> u64 {
        self.hard.get(&store).copied().unwrap_or(0)
    }

    pub fn present(&self, store: StoreId) -> u64 {
        self.present.get(&store).copied().unwrap_or(0)
    }

    pub fn incoming(&self, store: StoreId) -> u64 {
        self.incoming.get(&store).copied().unwrap_or(0)
    }

    pub fn scope(&self, scope: ScopeId, store: StoreId) -> u64 {
        self.scope.get(&(scope, store)).copied().unwrap_or(0)
    }

    /// Adds the bytes of `file`'s replicas.
    pub fn add(&mut self, file: &File) {
        file.replicas.iter().for_each(|r| self.change(file, r, u64::saturating_add));
    }

    /// Takes the bytes of `file`'s replicas away.
    pub fn subtract(&mut self, file: &File) {
        file.replicas.iter().for_each(|r| self.change(file, r, u64::saturating_sub));
    }

    /// Accounts for moves that made `before` into `after`: the same file in the same scopes.
    pub fn replace(&mut self, before: &File, after: &File) {
        let gone = before.replicas.iter().filter(|r| after.state(r.store) != Some(r.state));
        gone.for_each(|r| self.change(before, r, u64::saturating_sub));
        let come = after.replicas.iter().filter(|r| before.state(r.store) != Some(r.state));
        come.for_each(|r| self.change(after, r, u64::saturating_add));
    }

    fn change(&mut self, file: &File, replica: &Replica, op: fn(u64, u64) -> u64) {
        let store = replica.store;
        if replica.state != ReplicaState::Missing {
            update(&mut self.hard, store, file.size, op);
        }
        if replica.state == ReplicaState::Writing {
            update(&mut self.incoming, store, file.size, op);
        }
        if replica.state == ReplicaState::Present {
            update(&mut self.present, store, file.size, op);
            for scope in file.scopes() {
                update(&mut self.scope, (scope, store), file.size, op);
            }
        }
    }
}

/// Keeps no zeros, so that equal usages are equal values.
fn update<K: Ord + Copy>(map: &mut BTreeMap<K, u64>, key: K, size: u64, op: fn(u64, u64) -> u64) {
    match op(map.get(&key).copied().unwrap_or(0), size) {
        0 => map.remove(&key),
        bytes => map.insert(key, bytes),
    };
}
