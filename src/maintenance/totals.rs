//! What the runs of this process came to, for metrics.

use super::{Maintenance, locked};
use crate::api::{Count, Outcome, Run};

/// Sums over the runs since the start, the one under way included. They never fall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub complete: u64,
    pub incomplete: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub copied: Count,
    pub moved: Count,
    pub removed: Count,
    /// Classes of errors: the same phase, scope, store and cause.
    pub errors: u64,
}

impl Totals {
    fn add_work(&mut self, run: &Run) {
        let sums = [&mut self.copied, &mut self.moved, &mut self.removed];
        for (sum, more) in sums.into_iter().zip([run.copied, run.moved, run.removed]) {
            sum.files = sum.files.saturating_add(more.files);
            sum.bytes = sum.bytes.saturating_add(more.bytes);
        }
    }

    /// A run has ended.
    pub(super) fn add(&mut self, run: &Run) {
        self.add_work(run);
        self.errors = self.errors.saturating_add(run.errors.len() as u64);
        match run.outcome {
            Outcome::Complete => self.complete += 1,
            Outcome::Incomplete => self.incomplete += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Cancelled => self.cancelled += 1,
            // It goes on in the next process.
            Outcome::Running | Outcome::Paused => {}
        }
    }
}

impl Maintenance {
    pub fn totals(&self) -> Totals {
        // Both under the lock under which a run that ends goes from one to the other.
        let current = locked(&self.current);
        let mut totals = locked(&self.totals).clone();
        if let Some(live) = current.as_ref() {
            totals.add_work(&live.view());
        }
        totals
    }
}
