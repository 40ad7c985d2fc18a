//! Sums over a scope's holder sets: what `scope show`, evacuation and safety are made of, whatever
//! the number of files.

use crate::api::Count;
use crate::catalogue::Holders;
use crate::domain::{ScopeId, StoreId, Topology};

/// A scope's files by the stores that hold them.
#[derive(Debug)]
pub(super) struct ScopeTotals<'a> {
    topology: &'a Topology,
    scope: ScopeId,
    holders: Vec<Holders>,
}

impl<'a> ScopeTotals<'a> {
    pub(super) fn new(topology: &'a Topology, scope: ScopeId, holders: Vec<Holders>) -> Self {
        Self { topology, scope, holders }
    }

    fn sum(&self, counts: impl Fn(&Holders) -> bool) -> Count {
        let mut total = Count::default();
        for h in self.holders.iter().filter(|h| counts(h)) {
            total.files += h.count.files;
            total.bytes += h.count.bytes;
        }
        total
    }

    /// Files with a live entry.
    pub(super) fn live(&self) -> Count {
        self.sum(|h| h.live)
    }

    pub(super) fn live_in(&self, store: StoreId) -> Count {
        self.sum(|h| h.live && h.stores.contains(&store))
    }

    /// Files held by tombstones only.
    pub(super) fn tombstones(&self) -> Count {
        self.sum(|h| !h.live)
    }

    pub(super) fn tombstones_in(&self, store: StoreId) -> Count {
        self.sum(|h| !h.live && h.stores.contains(&store))
    }

    /// Live files and tombstones: what limits and drains count.
    pub(super) fn all_in(&self, store: StoreId) -> Count {
        self.sum(|h| h.stores.contains(&store))
    }

    /// Live files that the store lacks.
    pub(super) fn missing_in(&self, store: StoreId) -> Count {
        self.sum(|h| h.live && !h.stores.contains(&store))
    }

    /// Live files that no other store of the scope holds.
    pub(super) fn only_in(&self, store: StoreId) -> Count {
        let linked = |s: &StoreId| self.topology.link(self.scope, *s).is_some();
        self.sum(|h| {
            h.live
                && h.stores.contains(&store)
                && !h.stores.iter().any(|s| *s != store && linked(s))
        })
    }

    /// Stores of the set that the scope can read from.
    fn readable(&self, stores: &[StoreId]) -> usize {
        stores.iter().filter(|s| is_readable(self.topology, self.scope, **s)).count()
    }

    /// Live files with that many readable replicas, by `counts`.
    pub(super) fn with_readable(&self, counts: impl Fn(usize) -> bool) -> Count {
        self.sum(|h| h.live && counts(self.readable(&h.stores)))
    }

    /// Live files that only `write_only` stores of the scope hold.
    pub(super) fn archived_only(&self) -> Count {
        let archive =
            |s: &StoreId| self.topology.link(self.scope, *s).is_some_and(|l| l.policy.write_only);
        self.sum(|h| h.live && self.readable(&h.stores) == 0 && h.stores.iter().any(archive))
    }

    /// Files in `store`, tombstoned ones included, that would have no readable replica without it.
    pub(super) fn unreadable_without(&self, store: StoreId) -> Count {
        self.sum(|h| self.needs(h, store))
    }

    fn needs(&self, h: &Holders, store: StoreId) -> bool {
        let others: Vec<StoreId> = h.stores.iter().copied().filter(|s| *s != store).collect();
        h.stores.contains(&store) && self.readable(&others) == 0
    }

    /// Live files in `store` that would have no readable replica without it.
    pub(super) fn live_unreadable_without(&self, store: StoreId) -> Count {
        self.sum(|h| h.live && self.needs(h, store))
    }

    /// Live files that are in `store` and nowhere else.
    pub(super) fn live_lost_without(&self, store: StoreId) -> Count {
        self.sum(|h| h.live && h.stores == [store])
    }

    /// Files held by tombstones only that are in `store` and nowhere else.
    pub(super) fn tombstones_lost_without(&self, store: StoreId) -> Count {
        self.sum(|h| !h.live && h.stores == [store])
    }
}

/// Whether the scope reads from the store.
pub(super) fn is_readable(topology: &Topology, scope: ScopeId, store: StoreId) -> bool {
    topology.link(scope, store).is_some_and(|l| !l.policy.write_only)
}
