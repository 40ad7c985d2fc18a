//! The plan as a value: moves, batches of moves, and what became of them.

use std::fmt;

use serde::Serialize;

use super::report::Cause;
use crate::domain::{Digest, File, FileId, ScopeId, StoreId};

/// The phases of a run that the planner knows (SPEC 7, phases 2 to 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Populate,
    /// `drain: "Z"`: before the others, so that a file reaches Z while its source is still there.
    DrainNamed,
    Drain,
    /// Corrupt replicas with a good twin, and residual ones.
    CleanUp,
    ScopeLimit,
    StoreLimit,
}

impl Phase {
    pub const ALL: [Self; 6] = [
        Self::Populate,
        Self::DrainNamed,
        Self::Drain,
        Self::CleanUp,
        Self::ScopeLimit,
        Self::StoreLimit,
    ];

    /// True for the phases that shed to a limit.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::ScopeLimit | Self::StoreLimit)
    }

    /// The word in reports, logs and JSON; both kinds of drain are one phase to a reader.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Populate => "populate",
            Self::DrainNamed | Self::Drain => "drain",
            Self::CleanUp => "clean-up",
            Self::ScopeLimit => "scope-limit",
            Self::StoreLimit => "store-limit",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a move does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Copy,
    /// Copy, then remove the source if it is still removable; counts once, as moved.
    Move,
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Remove => "remove",
        })
    }
}

/// The policy that asks for a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Populate,
    Drain,
    DrainNamed,
    /// A corrupt replica whose file has a good one elsewhere.
    Corrupt,
    /// No scope that has the file links the store any more.
    Residual,
    ScopeLimit,
    StoreLimit,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Populate => "the scope populates this store",
            Self::Drain => "the scope drains this store",
            Self::DrainNamed => "the scope drains this store into a named one",
            Self::Corrupt => "the replica is corrupt and the file has a good one elsewhere",
            Self::Residual => "no scope that has the file links this store any more",
            Self::ScopeLimit => "the store holds more of the scope than its soft limit",
            Self::StoreLimit => "the store holds more than its limit",
        })
    }
}

/// One step of a run. Moves of one file within a batch are executed in their order; moves of
/// different files may run concurrently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Move {
    pub action: Action,
    pub file: FileId,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The store that loses the replica (move, remove), or is read first (copy).
    pub from: Option<StoreId>,
    /// The store that gains it (copy, move).
    pub to: Option<StoreId>,
    /// The scope whose policy asked for it; `None` for a store's limit and for clean-up.
    pub scope: Option<ScopeId>,
    /// The scope whose links carry the bytes: its download order (without `to`) names the sources
    /// to try, its link to `to` allows the write. `None` when nothing is transferred.
    pub via: Option<ScopeId>,
    pub reason: Reason,
}

impl Move {
    pub(super) fn remove(
        file: &File,
        from: StoreId,
        scope: Option<ScopeId>,
        reason: Reason,
    ) -> Self {
        Self {
            action: Action::Remove,
            file: file.id,
            digest: file.digest,
            size: file.size,
            from: Some(from),
            to: None,
            scope,
            via: None,
            reason,
        }
    }

    /// A copy through the links of `via`, asked for by its policy.
    pub(super) fn copy(
        file: &File,
        source: StoreId,
        to: StoreId,
        via: ScopeId,
        reason: Reason,
    ) -> Self {
        Self {
            action: Action::Copy,
            to: Some(to),
            via: Some(via),
            ..Self::remove(file, source, Some(via), reason)
        }
    }

    /// This copy, followed by the removal from `from`.
    pub(super) fn then_remove(self, from: StoreId) -> Self {
        Self { action: Action::Move, from: Some(from), ..self }
    }

    /// The store that the file leaves.
    pub fn leaves(&self) -> Option<StoreId> {
        match self.action {
            Action::Copy => None,
            Action::Move | Action::Remove => self.from,
        }
    }
}

/// Moves that one pair of scope and store asks for in one phase, at most 256 and a few. None copies
/// into the store that others leave, so room freed within a batch is never needed by it and the
/// moves may be executed in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    pub phase: Phase,
    pub scope: Option<ScopeId>,
    pub store: StoreId,
    pub moves: Vec<Move>,
}

impl Batch {
    /// Whether the move of a file was done whose copy stands at `at`: the two count as one move.
    pub fn is_completed_later(&self, results: &[MoveResult], at: usize) -> bool {
        let file = self.moves[at].file;
        self.moves.iter().zip(results).skip(at).any(|(step, result)| {
            step.file == file && step.action == Action::Move && *result == MoveResult::Done
        })
    }
}

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveResult {
    Done,
    /// A `Move` whose copy is there and whose source stays, since it is no longer removable.
    Copied,
    /// A precondition no longer holds: the file, a replica, a link or room has changed meanwhile.
    Skipped,
    /// It was tried and failed. `store` is the one that failed; `cause` is for the report, so it
    /// must not differ from file to file.
    Failed {
        store: Option<StoreId>,
        cause: Cause,
    },
}
