//! The inputs of a decision that are not the file's own: configuration, time, failing stores.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::{Checksum, Timestamp, Topology};
use crate::domain::{Event, File, Link, ScopeId, Store, StoreId};

use super::plan::Move;

/// What every rule may look at. Cheap to copy; built anew for each batch by the executor, so that
/// changes of the configuration and stores that failed meanwhile count at once.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    pub topology: &'a Topology,
    /// Stores that cannot be used now, or are skipped for the rest of the run. Never a target,
    /// never a source, never counted as keeping a replica.
    pub unavailable: &'a BTreeSet<StoreId>,
    /// Stores where a removed replica stays `deleting` for the rest of the run, since issued URLs
    /// may still read it: its bytes go on counting against the hard limit.
    pub deferred: &'a BTreeSet<StoreId>,
    /// The number of this run, for [`File::departed_in`].
    pub run: u64,
    /// When the run started.
    pub now: Timestamp,
    /// How long a replica stays after its store was unlinked.
    pub grace: Duration,
}

impl<'a> World<'a> {
    pub fn link(&self, scope: ScopeId, store: StoreId) -> Option<&'a Link> {
        self.topology.link(scope, store)
    }

    pub fn store(&self, store: StoreId) -> Option<&'a Store> {
        self.topology.stores.get(&store)
    }

    pub fn is_available(&self, store: StoreId) -> bool {
        self.topology.stores.contains_key(&store) && !self.unavailable.contains(&store)
    }

    /// True when the scope drains the store, by name or not.
    pub fn drains(&self, scope: ScopeId, store: StoreId) -> bool {
        self.link(scope, store).is_some_and(|l| l.policy.drain.is_on())
    }

    /// The store that the link drains into by name; `None` also when no store has that name.
    pub fn named_target(&self, link: &Link) -> Option<StoreId> {
        link.policy.drain.target().and_then(|name| self.topology.store_id(name))
    }

    /// Another store of the scope that is drained into `store` by name.
    pub fn drained_into(&self, scope: ScopeId, store: StoreId) -> Option<StoreId> {
        self.topology
            .links_of(scope)
            .filter(|l| l.store != store)
            .find(|l| self.named_target(l) == Some(store))
            .map(|l| l.store)
    }

    /// False for stores whose writes prove nothing (`checksum = none`): a replica written there
    /// never lets another one go.
    pub fn proves_writes(&self, store: StoreId) -> bool {
        self.store(store).is_some_and(|s| s.s3().is_none_or(|s3| s3.checksum != Checksum::None))
    }

    /// The file as it will be once `step` is done.
    pub fn after(&self, file: &File, step: &Move) -> File {
        let mut file = file.clone();
        if let Some(to) = step.to {
            self.arrive(&mut file, to);
        }
        if let Some(from) = step.leaves() {
            self.leave(&mut file, from);
        }
        file
    }

    pub(super) fn leave(&self, file: &mut File, store: StoreId) {
        file.apply(store, Event::GivenUp { run: self.run }, self.now);
        if !self.deferred.contains(&store) {
            file.apply(store, Event::Erased, self.now);
        }
    }

    pub(super) fn arrive(&self, file: &mut File, store: StoreId) {
        file.apply(store, Event::Announced, self.now);
        file.apply(store, Event::Copied { verified: self.proves_writes(store) }, self.now);
    }

    /// The file as it will be once it was copied into `store`.
    pub(super) fn with_copy(&self, file: &File, store: StoreId) -> File {
        let mut file = file.clone();
        self.arrive(&mut file, store);
        file
    }
}
