//! The dry run: the same driver against a catalogue in which everything is done already (SPEC 7).
//!
//! It looks at the stores as a run does, and asks them for missing replicas, but changes nothing
//! in them or in the catalogue. Orphans are no moves and are left to the run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::{Count, MoveView, Outcome, Run, RunError};
use crate::catalogue::CatalogueError;
use crate::domain::{File, FileId, ReplicaState, StoreId, Timestamp};
use crate::planner::{Driver, MoveResult, Overlay, Snapshot};

use super::first::farewell;
use super::gather::{Scene, View, blocking};
use super::last::{Finding, archived, lost, marked_in};
use super::live::view_of;
use super::recheck::Back;
use super::run::{dry, error_of, kept_for};
use super::{Maintenance, run::Looked};

const PAGE: usize = 512;

impl Maintenance {
    /// What the next real run would do, given no failure and no other change. Its id is `None`.
    pub async fn dry_run(&self) -> Result<Run, CatalogueError> {
        let now = self.now();
        let looked = self.look_at_stores().await;
        let mut back = Vec::new();
        for store in &looked.usable {
            let mut after = None;
            while let Some((last, found)) = self.find_missing(*store, after).await? {
                after = Some(last);
                back.extend(found);
            }
        }
        let run = self.catalogue().snapshot()?.next_run_id()?;
        let scene = self.scene(run, now, &looked, BTreeSet::new());
        let due = self.due_deletions(&looked)?;
        let catalogue = Arc::clone(self.catalogue());
        let planned = blocking(move || {
            let view = View::take(&catalogue)?;
            let mut sketch = Sketch::new(&view, &scene)?;
            sketch.finish_deletions(due)?;
            sketch.bring_back(&back)?;
            sketch.expire(now.before(scene.grace))?;
            sketch.plan()
        });
        let mut run = planned.await?;
        let settings = self.catalogue().settings();
        run.errors.extend(looked.problems.iter().map(|(store, problem)| RunError {
            phase: "stores".to_owned(),
            scope: None,
            store: Some(settings.topology.store_name(*store)),
            cause: problem.clone(),
            files: 0,
            bytes: 0,
            digests: Vec::new(),
        }));
        run.outcome = if run.errors.is_empty() { Outcome::Complete } else { Outcome::Incomplete };
        run.finished_at = Some(self.now());
        Ok(run)
    }

    /// Given-up replicas that phase 0 would delete now.
    fn due_deletions(&self, looked: &Looked) -> Result<Vec<(FileId, StoreId)>, CatalogueError> {
        let (snapshot, now) = (self.catalogue().snapshot()?, self.now());
        let mut due = Vec::new();
        for store in &looked.usable {
            let mut after = None;
            loop {
                let page = snapshot.marked(ReplicaState::Deleting, *store, after, PAGE)?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                let is_due =
                    |f: &&File| self.transfer.urls.due(*store, f.id).is_some_and(|at| at <= now);
                due.extend(page.iter().filter(is_due).map(|f| (f.id, *store)));
            }
        }
        Ok(due)
    }
}

/// A catalogue on paper, and the run that it shows.
struct Sketch<'a> {
    view: &'a View,
    scene: &'a Scene,
    overlay: Overlay<&'a View>,
    run: Run,
    moves: Vec<MoveView>,
}

impl<'a> Sketch<'a> {
    fn new(view: &'a View, scene: &'a Scene) -> Result<Self, CatalogueError> {
        let overlay = Overlay::new(view)?;
        Ok(Self { view, scene, overlay, run: dry(scene.now), moves: Vec::new() })
    }

    fn change(&mut self, id: FileId, change: impl FnOnce(&mut File)) -> Result<(), CatalogueError> {
        if let Some(mut file) = self.overlay.file(id)? {
            change(&mut file);
            self.overlay.put(file)?;
        }
        Ok(())
    }

    fn finish_deletions(&mut self, due: Vec<(FileId, StoreId)>) -> Result<(), CatalogueError> {
        due.into_iter().try_for_each(|(id, store)| self.change(id, |f| f.drop_replica(store)))
    }

    fn bring_back(&mut self, found: &[Back]) -> Result<(), CatalogueError> {
        let now = self.scene.now;
        found.iter().try_for_each(|back| self.change(back.file.id, |f| back.apply(f, now)))
    }

    /// Tombstones expire, and files go that no scope has then.
    fn expire(&mut self, until: Timestamp) -> Result<(), CatalogueError> {
        let mut orphaned = BTreeSet::new();
        let mut after = 0;
        loop {
            let page = self.view.snapshot.tombstones(after, until, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, tombstone) in &page {
                self.change(tombstone.file, |f| f.adjust_member(tombstone.scope, 0, -1))?;
                orphaned.insert(tombstone.file);
            }
        }
        let mut after = None;
        loop {
            let page = self.view.snapshot.unreferenced(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            orphaned.extend(page.iter().map(|f| f.id));
        }
        orphaned.into_iter().try_for_each(|id| self.delete(id))
    }

    fn delete(&mut self, id: FileId) -> Result<(), CatalogueError> {
        let Some(mut file) = self.overlay.file(id)?.filter(|f| f.members.is_empty()) else {
            return Ok(());
        };
        let moves = farewell(&file, &self.scene.settings.topology);
        for step in &moves {
            self.run.removed.add(step.size);
        }
        self.moves.extend(moves);
        let stays = |s| self.scene.deferred.contains(&s) || self.scene.unavailable.contains(&s);
        file.replicas.retain(|r| r.state != ReplicaState::Missing && stays(r.store));
        for replica in &mut file.replicas {
            replica.state = ReplicaState::Deleting;
        }
        self.overlay.put(file)
    }

    /// Plans the policies and reports like a run.
    fn plan(mut self) -> Result<Run, CatalogueError> {
        let (world, topology) = (self.scene.world(), &self.scene.settings.topology);
        let mut driver = Driver::new();
        while let Some(batch) = driver.next(&self.overlay, &world)? {
            for step in &batch.moves {
                self.overlay.apply(&world, step)?;
                self.moves.push(view_of(step, topology));
            }
            driver.executed(&vec![MoveResult::Done; batch.moves.len()]);
        }
        let report = driver.finish(topology);
        let count = |c: crate::planner::Count| Count { files: c.files, bytes: c.bytes };
        let mut run = self.run;
        run.copied = count(report.copied);
        run.moved = count(report.moved);
        run.removed.files += report.removed.files;
        run.removed.bytes += report.removed.bytes;
        run.retained = count(report.retained);
        run.warnings = report.retained_for.iter().map(kept_for).collect();
        run.warnings.extend(archived(self.view, topology)?);
        run.errors = report.errors.iter().map(error_of).collect();
        run.errors.extend(marked_in(&self.overlay, topology)?.into_iter().map(told));
        run.errors.extend(lost(self.view, topology)?.into_iter().map(told));
        run.moves = Some(self.moves);
        Ok(run)
    }
}

fn told(finding: Finding) -> RunError {
    RunError {
        phase: "report".to_owned(),
        scope: finding.scope,
        store: finding.store,
        cause: finding.cause.to_owned(),
        files: finding.count.files,
        bytes: finding.count.bytes,
        digests: finding.digests,
    }
}
