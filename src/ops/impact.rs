//! What becomes of one file when a store is given up.

use super::scope_totals::is_readable;
use crate::domain::{File, ReplicaState, ScopeId, StoreId, Topology};

/// How a scope would stand with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Impact {
    /// Another replica stays readable, or the store did not have the file to begin with.
    Safe,
    /// Replicas stay, in archives or in stores that the scope does not link.
    Unreadable,
    /// Nothing stays.
    Lost,
}

/// What the live entries of `scope` would be left with without `store`. Marked replicas count as
/// something that is given up, since they may turn out well.
pub(super) fn without(topology: &Topology, file: &File, scope: ScopeId, store: StoreId) -> Impact {
    let held = matches!(
        file.state(store),
        Some(ReplicaState::Present | ReplicaState::Missing | ReplicaState::Corrupt)
    );
    if !held || !file.is_live_in(scope) {
        return Impact::Safe;
    }
    let others: Vec<StoreId> = file.present().filter(|s| *s != store).collect();
    if others.iter().any(|s| is_readable(topology, scope, *s)) {
        Impact::Safe
    } else if others.is_empty() {
        Impact::Lost
    } else {
        Impact::Unreadable
    }
}

/// Whether forgetting `store` takes the file's last readable replica from a scope, or its last one.
pub(super) fn is_lost_with(topology: &Topology, file: &File, store: StoreId) -> bool {
    file.scopes().any(|scope| match without(topology, file, scope, store) {
        Impact::Safe => false,
        Impact::Unreadable => is_readable(topology, scope, store),
        Impact::Lost => true,
    })
}
