//! What a run could not do, why, and for whom replicas are kept: bounded, whatever the files.

use std::fmt;

use serde::Serialize;

use super::check::Violation;
use super::plan::Phase;
use super::removal::Pin;
use crate::domain::Count;
use crate::domain::{ByteSize, Digest, Remedy, ScopeId, ScopeName, StoreId, StoreName, Topology};

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

/// Why a store is no target; later ones are nearer to being one, and are reported first.
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
    /// The only replicas are in `write_only` stores.
    OnlyWriteOnly,
    /// A populate target takes no more.
    NoRoom { limit: Limit },
    /// A populate target is busy with an earlier removal or write of the file.
    Unsettled,
    /// No store of the scope can take the file; `store` is the one that came closest.
    NoTarget { store: StoreId, obstacle: Obstacle },
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
    /// Nothing of the batch was done, since a move in it breaks a rule.
    Refused { violation: Violation },
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::Failed { text }
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
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
    /// Files uploaded during the run, left to the next one.
    pub newer: u64,
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
    /// What mends it, where that is known.
    pub remedy: Option<Remedy>,
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

impl Limit {
    fn text(self, topology: &Topology) -> String {
        match self {
            Self::Max => "its max_size".to_owned(),
            Self::Soft => "its soft_max_size".to_owned(),
            Self::Scope { scope } => {
                format!("the soft_max_size of scope {} there", topology.scope_name(scope))
            }
        }
    }
}

impl Obstacle {
    /// What is wrong with `store` and what to do about it.
    pub fn text(self, store: StoreId, topology: &Topology) -> String {
        let store = topology.store_name(store);
        match self {
            Self::NoneAccepts => "the scope links no other store that accepts files: link one, or \
                                  unset read_only or write_only on one"
                .to_owned(),
            Self::NotLinked => {
                format!("{store} is not linked to the scope: link it, or change the drain")
            }
            Self::ReadOnly => format!("{store} is read_only for the scope: unset that"),
            Self::WriteOnly => format!("{store} is write_only for the scope: unset that"),
            Self::Draining { scope } => format!(
                "scope {} drains {store}: link a store that is not drained",
                topology.scope_name(scope)
            ),
            Self::Holds => format!(
                "{store} has it already, in a replica that is not verified or cannot be used now: \
                 verify all replicas by reading them"
            ),
            Self::Unproven => {
                format!("{store} proves no writes: set its checksum to sha256 or readback")
            }
            Self::Unsettled => format!(
                "an earlier write or removal of it in {store} is not finished: the next run goes on"
            ),
            Self::Departed => format!("it left {store} in this run: the next run goes on"),
            Self::Unavailable => format!("{store} is unavailable: run store check"),
            Self::NoRoom { limit } => format!(
                "{store} has no room for it under {}: raise the limit or free room",
                limit.text(topology)
            ),
        }
    }
}

impl Cause {
    /// What is wrong and what to do, with names; "it" is each of the files.
    pub fn text(&self, topology: &Topology) -> String {
        match self {
            Self::Unavailable => {
                "the store is unavailable: run store check; the next run goes on".to_owned()
            }
            Self::NoSource => {
                "no store that can be used now has a replica that the scope may read".to_owned()
            }
            Self::OnlyWriteOnly => "the only replicas are in write_only stores, which are never \
                                    read: restore the files there and unset write_only, or upload \
                                    them again"
                .to_owned(),
            Self::NoRoom { limit } => {
                format!(
                    "no room for it under {}: raise the limit or free room",
                    limit.text(topology)
                )
            }
            Self::Unsettled => {
                "an earlier removal of it there is not finished: the next run goes on".to_owned()
            }
            Self::NoTarget { store, obstacle } => {
                format!("no store can take it: {}", obstacle.text(*store, topology))
            }
            Self::NamedTarget { target: None, .. } => {
                "the store to drain into does not exist: change the drain".to_owned()
            }
            Self::NamedTarget { target: Some(target), obstacle } => {
                format!("the drain's target cannot take it: {}", obstacle.text(*target, topology))
            }
            Self::Pinned { pin } => format!("kept by the scope itself: {}", pin.text(topology)),
            Self::Stranded => "stranded: no scope that has the file links the store any more, and \
                               there is no other readable replica: link the store again"
                .to_owned(),
            Self::StillOver(over) => over.to_string(),
            Self::Failed { text } => text.clone(),
            Self::Refused { violation } => format!(
                "nothing of this was done, since the plan breaks a rule ({violation}): a defect of \
                 this program, please report it"
            ),
        }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (excess, limit) = (ByteSize(self.excess), ByteSize(self.limit));
        write!(f, "still {excess} over the limit of {limit}")?;
        let reasons = [
            (self.pinned, "pinned by populate, a named drain or as the last readable replica"),
            (self.retained, "retained for other scopes"),
            (self.no_target, "with no store to move to"),
            (self.no_source, "that no scope may read"),
            (self.draining, "left to a drain"),
            (self.failed, "whose move failed"),
            (self.newer, "uploaded during the run, left to the next"),
        ];
        let mut separator = ": ";
        for (files, reason) in reasons.iter().filter(|(files, _)| *files > 0) {
            let noun = if *files == 1 { "file" } else { "files" };
            write!(f, "{separator}{files} {noun} {reason}")?;
            separator = ", ";
        }
        Ok(())
    }
}
