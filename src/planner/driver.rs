//! Goes through the phases of a run, batch by batch, until a pass changes nothing.

use super::plan::{Batch, MoveResult, Phase};
use super::report::Report;
use super::snapshot::Snapshot;
use super::world::World;
use crate::domain::{ScopeId, StoreId, Topology};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub pass: u32,
    pub phase: Phase,
    pub scope: Option<ScopeId>,
    pub store: Option<StoreId>,
}

/// The state of a run: cursors and counters, never files.
///
/// ```text
/// while let Some(batch) = driver.next(&snapshot, &world)? {
///     driver.executed(&execute(&batch.moves));   // one result per move
///     snapshot = fresh();
/// }
/// driver.finish(topology)
/// ```
#[derive(Debug, Default)]
pub struct Driver {
    report: Report,
}

impl Driver {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next moves, from a snapshot taken after the last batch was executed; `None` when a whole
    /// pass has changed nothing.
    pub fn next<S: Snapshot>(
        &mut self,
        _snapshot: &S,
        _world: &World<'_>,
    ) -> Result<Option<Batch>, S::Error> {
        Ok(None)
    }

    /// Tells what became of the last batch, one result per move in its order. A move without a
    /// result counts as skipped.
    pub fn executed(&mut self, _results: &[MoveResult]) {}

    pub fn position(&self) -> Position {
        Position { pass: 1, phase: Phase::Populate, scope: None, store: None }
    }

    /// What was done and what is unmet; also for a run that was cancelled.
    pub fn finish(self, _topology: &Topology) -> Report {
        self.report
    }
}
