//! The steps of `store check`, timed and recorded.

use std::future::Future;
use std::time::Instant;

use super::{CheckStep, Marker, StepSeen, StoreError};

/// Why a step failed and what to change.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub problem: String,
    pub remedy: String,
}

impl Finding {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }

    /// An error of a backend, with the remedy that fits its meaning.
    pub(super) fn from_error(error: &StoreError) -> Self {
        let remedy = match error {
            StoreError::Unavailable(_) => "check that the store is mounted or reachable",
            StoreError::Full(_) => "make room in the store or raise its quota",
            StoreError::NotFound | StoreError::Mismatch(_) | StoreError::Source(_) => {
                "the store does not keep what is written to it: check the device or the provider"
            }
            StoreError::Archived => "use a storage class that can be read, or set write_only",
            StoreError::Failed(_) => "check the device, its permissions and the system log",
        };
        Self::new(error.to_string(), remedy)
    }
}

/// Collects steps in the order in which they ran, and tells each at once to who is watching.
pub(super) struct Checklist<'a> {
    steps: Vec<CheckStep>,
    seen: StepSeen<'a>,
}

impl<'a> Checklist<'a> {
    pub(super) fn new(seen: StepSeen<'a>) -> Self {
        Self { steps: Vec::new(), seen }
    }

    /// Runs one step; true when it went well.
    pub(super) async fn run(
        &mut self,
        step: &str,
        work: impl Future<Output = Result<(), Finding>>,
    ) -> bool {
        let start = Instant::now();
        let result = work.await;
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ok = result.is_ok();
        let (problem, remedy) = match result {
            Ok(()) => (None, None),
            Err(finding) => (Some(finding.problem), Some(finding.remedy)),
        };
        let step = CheckStep { step: step.to_owned(), ok, milliseconds, problem, remedy };
        (self.seen)(&step);
        self.steps.push(step);
        ok
    }

    pub(super) fn into_steps(self) -> Vec<CheckStep> {
        self.steps
    }
}

/// Compares the marker that was found with the one that should be there.
pub(super) fn compare_markers(
    found: Option<&Marker>,
    expected: Option<&Marker>,
) -> Result<(), Finding> {
    let Some(expected) = expected else { return Ok(()) };
    let Some(found) = found else {
        return Err(Finding::new(
            "the location has no marker of ours",
            "mount the right volume or name the right bucket and prefix; if the store was emptied \
             on purpose, run `hayloft store reconcile`",
        ));
    };
    if found.instance != expected.instance || found.store != expected.store {
        return Err(Finding::new(
            format!("the marker belongs to store {} of instance {}", found.store, found.instance),
            "another Hayloft that is alive may own this location: stop that one first, then run \
             `hayloft store reconcile`",
        ));
    }
    if found.generation == expected.generation {
        Ok(())
    } else {
        Err(Finding::new(
            format!(
                "the marker has generation {}, the catalogue {}",
                found.generation, expected.generation
            ),
            "another copy of this instance used the store: stop it, then run `hayloft store \
             reconcile`",
        ))
    }
}
