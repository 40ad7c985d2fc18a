//! A catalogue of plain maps: every answer is counted anew, so that it can judge cleverer ones.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use hayloft::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp, Topology};
use hayloft::planner::{
    Action, Batch, CONFIRMED, Count, Driver, FileSet, Move, MoveResult, Overlay, Report, Snapshot,
    Usage, World, check, plan_all, removable,
};
use serde::Serialize;

/// All moves of a run, and what the run would report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub moves: Vec<Move>,
    pub report: Report,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub topology: Topology,
    pub files: BTreeMap<FileId, File>,
    pub unavailable: BTreeSet<StoreId>,
    pub deferred: BTreeSet<StoreId>,
    pub reserved: BTreeMap<StoreId, u64>,
    pub run: u64,
    pub now: Timestamp,
    pub grace: Duration,
    /// Copies into these stores fail.
    pub failing: BTreeSet<StoreId>,
}

impl Model {
    pub fn world(&self) -> World<'_> {
        World {
            topology: &self.topology,
            unavailable: &self.unavailable,
            deferred: &self.deferred,
            run: self.run,
            now: self.now,
            grace: self.grace,
        }
    }

    /// What a dry run answers now.
    pub fn dry_run(&self) -> Plan {
        let Ok(mut overlay) = Overlay::new(self, self.world());
        let mut moves = Vec::new();
        let Ok(report) = plan_all(&mut overlay, |step| {
            moves.push(step.clone());
            Ok(())
        });
        Plan { moves, report }
    }

    /// One real run: a fresh look before each batch, the checker before each execution.
    pub fn run(&mut self) -> (Vec<Move>, Report) {
        let outcome = self.run_unsettled();
        self.settle();
        outcome
    }

    /// The same, with the deletes that are not due still pending.
    pub fn run_unsettled(&mut self) -> (Vec<Move>, Report) {
        let mut driver = Driver::new();
        let mut moves = Vec::new();
        loop {
            let Ok(next) = driver.next(self, &self.world());
            let Some(batch) = next else { break };
            let Ok(violations) = check(&batch, self, &self.world());
            assert!(violations.is_empty(), "the checker complains: {violations:#?}");
            let results = self.execute(&batch);
            driver.executed(&results);
            moves.extend(batch.moves);
            assert!(moves.len() < 100_000, "the run does not end");
        }
        (moves, driver.finish(&self.topology))
    }

    pub fn execute(&mut self, batch: &Batch) -> Vec<MoveResult> {
        batch.moves.iter().map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: &Move) -> MoveResult {
        let world = self.world();
        let Some(before) = self.files.get(&step.file) else { return MoveResult::Skipped };
        if let Some(to) = step.to.filter(|to| self.failing.contains(to)) {
            return MoveResult::Failed { store: Some(to), cause: "the disk is full".into() };
        }
        let after = world.after(before, step);
        if let Some(from) = step.leaves() {
            let mut copied = before.clone();
            if let (Action::Move, Some(to)) = (step.action, step.to) {
                copied.put_replica(*after.replica(to).expect("the copy arrived"));
            }
            removable(&world, &copied, from, CONFIRMED).expect("the plan removes what may go");
        }
        self.files.insert(step.file, after);
        MoveResult::Done
    }

    /// The run is over, and the deletes that it left pending become due and are done.
    pub fn settle(&mut self) {
        self.run += 1;
        for file in self.files.values_mut() {
            file.replicas.retain(|r| r.state != ReplicaState::Deleting);
        }
    }

    fn page(
        &self,
        after: Option<FileId>,
        limit: usize,
        belongs: impl Fn(&File) -> bool,
    ) -> Vec<File> {
        let files = self.files.values().filter(|f| after.is_none_or(|a| f.id > a) && belongs(f));
        files.take(limit).cloned().collect()
    }

    fn count(&self, belongs: impl Fn(&File) -> bool) -> Count {
        let mut count = Count::default();
        self.files.values().filter(|f| belongs(f)).for_each(|f| count.add(f.size));
        count
    }
}

impl Snapshot for Model {
    type Error = Infallible;

    fn usage(&self) -> Result<Usage, Infallible> {
        let mut usage = Usage::default();
        for (store, bytes) in &self.reserved {
            *usage.hard.entry(*store).or_default() += bytes;
            *usage.incoming.entry(*store).or_default() += bytes;
        }
        self.files.values().for_each(|f| usage.add(f));
        Ok(usage)
    }

    fn newest(&self) -> Result<FileId, Infallible> {
        Ok(self.files.keys().last().copied().unwrap_or_default())
    }

    fn file(&self, id: FileId) -> Result<Option<File>, Infallible> {
        Ok(self.files.get(&id).cloned())
    }

    fn files(
        &self,
        set: FileSet,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, Infallible> {
        Ok(self.page(after, limit, |f| match set {
            FileSet::InStore(store) => f.replica(store).is_some(),
            FileSet::Missing(scope, store) => f.is_live_in(scope) && !f.is_present(store),
            FileSet::Marked(state, store) => f.state(store) == Some(state),
        }))
    }

    fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, Infallible> {
        let mut files: Vec<_> = self.files.values().filter(|f| f.is_present(store)).collect();
        files.sort_by_key(|f| (f.last_used, f.id));
        files.retain(|f| after.is_none_or(|a| (f.last_used, f.id) > a));
        Ok(files.into_iter().take(limit).cloned().collect())
    }

    fn link_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, Infallible> {
        Ok(self.count(|f| f.member(scope).is_some() && f.is_present(store)))
    }

    fn missing_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, Infallible> {
        Ok(self.count(|f| f.is_live_in(scope) && !f.is_present(store)))
    }

    fn marked_count(&self, state: ReplicaState, store: StoreId) -> Result<Count, Infallible> {
        let Count { files, bytes } = self.count(|f| f.state(store) == Some(state));
        let is_missing = state == ReplicaState::Missing;
        Ok(Count::new(files, if is_missing { 0 } else { bytes }))
    }
}
