//! What a run could not do, why, and for whom replicas are kept: bounded, whatever the files.

use std::collections::BTreeMap;

use serde::Serialize;

use super::plan::Phase;
use super::removal::Pin;
use super::usage::Count;
use crate::domain::{ByteSize, Digest, File, ScopeId, ScopeName, StoreId, StoreName, Topology};

/// Digests shown per class of errors.
pub const SHOWN_DIGESTS: usize = 10;

/// Classes of execution failures kept apart; later ones are added to a common class. The texts come
/// from file systems and providers, so their number is not ours to bound.
const FAILURE_CLASSES: usize = 100;

/// A limit that leaves no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The store's `max_size`.
    Max,
    /// The store's `soft_max_size`.
    Soft,
    /// The `soft_max_size` of a scope's link.
    Scope { scope: ScopeId },
}

/// Why a store is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The scope has no other store that accepts files.
    NoneAccepts,
    /// A named target that the scope does not link.
    NotLinked,
    ReadOnly,
    WriteOnly,
    /// A scope that has the file drains the store.
    Draining {
        scope: ScopeId,
    },
    /// The store holds the file already, in a replica that does not count.
    Holds,
    /// The store proves no writes, so that the source could not go.
    Unproven,
    /// An earlier removal or write of this file there is not finished.
    Unsettled,
    /// The file was removed from there in this run.
    Departed,
    Unavailable,
    NoRoom {
        limit: Limit,
    },
}

/// Why something stayed undone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The store of the policy cannot be used; nothing was planned there.
    Unavailable,
    /// No store has a replica that the scope may read.
    NoSource,
    /// The only replicas are in write_only stores.
    OnlyWriteOnly,
    /// A populate target takes no more.
    NoRoom { limit: Limit },
    /// A populate target is busy with an earlier removal or write of the file.
    Unsettled,
    /// No store of the scope can take the file.
    NoTarget { obstacle: Obstacle },
    /// The named store cannot take the file.
    NamedTarget { target: Option<StoreId>, obstacle: Obstacle },
    /// The scope's own policy keeps the replica that it drains.
    Pinned { pin: Pin },
    /// A residual replica that nobody can read and that is the last one.
    Stranded,
    /// A soft limit is still exceeded; the numbers are files, by the reason that they stay.
    StillOver(Over),
    /// The executor tried and failed.
    Failed { text: String },
}

/// Why a store or link is still over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Over {
    /// Bytes.
    pub limit: u64,
    /// Bytes above the limit.
    pub excess: u64,
    /// Files kept by populate, a named drain, or as the last replica.
    pub pinned: u64,
    /// Files kept for another scope.
    pub retained: u64,
    /// Files that no other store can take.
    pub no_target: u64,
    /// Files that no scope may read, so that they cannot be copied.
    pub no_source: u64,
    /// Files that every scope here drains.
    pub draining: u64,
    /// Files whose move failed in this run.
    pub failed: u64,
}

/// One class of things undone: the same phase, scope, store and cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorClass {
    pub phase: Phase,
    pub scope: Option<ScopeName>,
    pub store: Option<StoreName>,
    pub cause: Cause,
    /// The cause in words, with names and the remedy.
    pub message: String,
    #[serde(flatten)]
    pub count: Count,
    /// The first ten.
    pub digests: Vec<Digest>,
}

/// Replicas that a scope would give up, kept for another scope: no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retained {
    pub phase: Phase,
    pub scope: Option<ScopeName>,
    pub store: StoreName,
    pub kept_for: ScopeName,
    #[serde(flatten)]
    pub count: Count,
}

/// What a run did and did not do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    pub copied: Count,
    pub moved: Count,
    pub removed: Count,
    /// Replicas kept for other scopes, each once per scope that would give it up.
    pub retained: Count,
    pub retained_for: Vec<Retained>,
    /// As of the last pass, and every failed move.
    pub errors: Vec<ErrorClass>,
    /// How often the phases were gone through.
    pub passes: u32,
}

impl Report {
    /// True when every policy is met.
    pub fn is_complete(&self) -> bool {
        self.errors.is_empty()
    }
}
