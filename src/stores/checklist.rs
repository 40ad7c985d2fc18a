//! The steps of `store check`, timed and recorded.

use std::future::Future;
use std::time::Instant;

use super::{Marker, StepSeen, StoreError};
use crate::domain::{Diagnosis, StoreProblem};

/// A step of `store check` (SPEC 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Marker,
    Write,
    ReadBack,
    Range,
    Presign,
    List,
    Multipart,
    Delete,
    Clock,
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marker => "marker",
            Self::Write => "write",
            Self::ReadBack => "read_back",
            Self::Range => "range",
            Self::Presign => "presign",
            Self::List => "list",
            Self::Multipart => "multipart",
            Self::Delete => "delete",
            Self::Clock => "clock",
        }
    }
}

/// What a step of a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    pub step: Step,
    pub milliseconds: u64,
    /// What is wrong, when it failed.
    pub found: Option<Diagnosis>,
}

impl From<StoreError> for Diagnosis {
    fn from(error: StoreError) -> Self {
        error.into_diagnosis()
    }
}

/// Collects steps in the order in which they ran, and tells each at once to who is watching.
pub(super) struct Checklist<'a> {
    steps: Vec<StepResult>,
    seen: StepSeen<'a>,
}

impl<'a> Checklist<'a> {
    pub(super) fn new(seen: StepSeen<'a>) -> Self {
        Self { steps: Vec::new(), seen }
    }

    /// Runs one step; true when it went well.
    pub(super) async fn run(
        &mut self,
        step: Step,
        work: impl Future<Output = Result<(), Diagnosis>>,
    ) -> bool {
        let start = Instant::now();
        let found = work.await.err();
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = StepResult { step, milliseconds, found };
        (self.seen)(&result);
        let ok = result.found.is_none();
        self.steps.push(result);
        ok
    }

    pub(super) fn into_steps(self) -> Vec<StepResult> {
        self.steps
    }
}

/// Compares the marker that was found with the one that should be there. `without` says of a location
/// that it has none.
pub(super) fn compare_markers(
    found: Option<&Marker>,
    expected: Option<&Marker>,
    location: &str,
    without: fn(String) -> StoreProblem,
) -> Result<(), Diagnosis> {
    let Some(expected) = expected else { return Ok(()) };
    let problem = match found {
        None => Some(without(location.to_owned())),
        Some(found) => found.foreign(expected, location.to_owned()),
    };
    problem.map_or(Ok(()), |problem| Err(problem.into()))
}
