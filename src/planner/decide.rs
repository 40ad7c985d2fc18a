//! A decision about one file: the moves that a policy asks for, or why there are none.

use super::plan::Move;
use super::report::Cause;
use crate::domain::ScopeId;

/// What a policy asks for one file; by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// In the order of execution.
    pub moves: Vec<Move>,
    pub note: Option<Note>,
}

/// Why a file stays, or stays also where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The policy is not met.
    Unmet(Cause),
    /// Other scopes need the replica: no error.
    Retained(Vec<ScopeId>),
    /// The replica goes when the grace since its unlinking is over.
    InGrace,
    /// Every scope that links the store drains it: not the business of its limit.
    LeftToDrain,
}

impl Decision {
    pub(super) fn step(step: Move) -> Self {
        Self { moves: vec![step], note: None }
    }

    pub(super) fn unmet(cause: Cause) -> Self {
        Self::noted(Note::Unmet(cause))
    }

    pub(super) fn noted(note: Note) -> Self {
        Self { moves: Vec::new(), note: Some(note) }
    }
}
