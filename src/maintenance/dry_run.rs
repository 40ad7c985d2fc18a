//! The dry run: the same driver against a catalogue in which everything is done already (SPEC 7).
//!
//! It looks at the stores as a run does, and asks them for missing replicas, but changes nothing
//! in them or in the catalogue. Orphans are no moves and are left to the run.
//!
//! Its moves go into a sums that counts all of them by kind and keeps as many as the asker wants to
//! see: a page must not cost a list of millions. One dry run is at work at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::api::{
    Count, MoveAction, MoveGroup, MoveView, Outcome, Preview, Run, RunError, StoreEffect,
};
use crate::catalogue::{CatalogueError, Settings};
use crate::domain::{
    Digest, Event, File, FileId, ReplicaState, ScopeId, StoreId, Timestamp, Topology,
};
use crate::planner::{Move, Overlay, Reason, Snapshot, check_store, plan_all};

use super::early_phases::{UNREFERENCED, bidding_farewell, farewell_from};
use super::late_phases::{Finding, archived, lost, marked};
use super::live::{action_of, view_of};
use super::recheck::{Back, Proof};
use super::run::{dry, error_of, kept_for};
use super::view::{Scene, View, blocking};
use super::{Maintenance, run::Looked};

const PAGE: usize = 512;
/// Dry runs at work or waiting for their turn. More would wait for minutes on a large instance.
const SEATS: usize = 8;

/// Why there is no preview.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PreviewError {
    /// Too many are waited for.
    #[error("{SEATS} previews of the next run are at work or waiting: try again in a moment")]
    Busy,
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// The right to wait for a turn.
pub(super) type Seat = OwnedSemaphorePermit;

/// Who may make a dry run, one at a time, and who may wait for it.
#[derive(Debug)]
pub(super) struct Queue {
    seats: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Queue {
    pub fn new() -> Self {
        Self { seats: Arc::new(Semaphore::new(SEATS)), turn: Arc::new(Semaphore::new(1)) }
    }

    pub fn seat(&self) -> Result<Seat, PreviewError> {
        Arc::clone(&self.seats).try_acquire_owned().map_err(|_| PreviewError::Busy)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, CatalogueError> {
        // Never closed; if it were, so were the instance.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.map_err(|_| CatalogueError::Closed)
    }
}

/// Which moves of a dry run are kept; all are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    First(usize),
    Of(Digest),
}

impl Maintenance {
    /// What the next real run would do under `settings`, which need not be those of the catalogue,
    /// given no failure and no other change. It lists the moves that are to be kept, and its run has
    /// no id. Ends early when it is dropped and when the process ends.
    pub(super) async fn dry_run(
        &self,
        settings: Arc<Settings>,
        keep: Keep,
        seat: Seat,
    ) -> Result<Preview, CatalogueError> {
        let turn = self.dry_runs.turn().await?;
        let begun = Instant::now();
        let given_up = self.stopping.child_token();
        let _with_this_future = given_up.clone().drop_guard();
        let now = self.now();
        let (looked, back) = tokio::select! {
            seen = self.look_for_plan(&settings.topology) => seen?,
            () = self.stopping.cancelled() => return Err(CatalogueError::Closed),
        };
        let run = self.catalogue().snapshot()?.next_run_id()?;
        let scene = self.scene(run, now, &looked, BTreeSet::new());
        let scene = Scene { settings: Arc::clone(&settings), ..scene };
        let due = self.due_deletions(&looked)?;
        let catalogue = Arc::clone(self.catalogue());
        let planned = blocking(move || {
            let _until_it_ends = (seat, turn);
            let view = View::with(&catalogue, Arc::clone(&scene.settings))?;
            let mut sketch = DryRun::new(&view, &scene, keep)?;
            sketch.finish_deletions(due)?;
            sketch.bring_back(&back)?;
            sketch.expire(now.before(scene.grace))?;
            sketch.plan(&given_up)
        });
        let (mut run, sums) = planned.await?;
        run.errors.extend(looked.problems.iter().map(|(store, problem)| RunError {
            phase: "stores".to_owned(),
            scope: None,
            store: Some(settings.topology.store_name(*store)),
            cause: problem.clone(),
            remedy: check_store(*store, &settings.topology),
            files: 0,
            bytes: 0,
            digests: Vec::new(),
        }));
        run.outcome = if run.errors.is_empty() { Outcome::Complete } else { Outcome::Incomplete };
        run.finished_at = Some(self.now());
        let groups = sums.groups(&settings.topology);
        run.moves = Some(sums.kept);
        let (moves_total, stores) = (sums.total, StoreEffect::of(&groups));
        Ok(Preview { at: now, took: begun.elapsed(), run, moves_total, groups, stores })
    }

    /// The stores as they are, and missing replicas that are there again.
    async fn look_for_plan(
        &self,
        topology: &Topology,
    ) -> Result<(Looked, Vec<Back>), CatalogueError> {
        let looked = self.look_at_stores().await;
        let mut back = Vec::new();
        for store in &looked.usable {
            let mut after = None;
            // The run itself reads them; a plan is made again and again.
            while let Some(found) = self.find_missing(topology, *store, after, Proof::Size).await? {
                after = Some(found.last);
                back.extend(found.back);
                if found.failed.is_some() {
                    break;
                }
            }
        }
        Ok((looked, back))
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

/// What moves have in common that a reader of sums wants to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct MoveKind {
    action: MoveAction,
    from: Option<StoreId>,
    to: Option<StoreId>,
    scope: Option<ScopeId>,
    /// None for the deletion of what no scope has.
    reason: Option<Reason>,
}

/// Where the moves of a dry run go.
#[derive(Debug)]
struct MoveSums {
    keep: Keep,
    kept: Vec<MoveView>,
    kinds: BTreeMap<MoveKind, Count>,
    total: u64,
}

impl MoveSums {
    fn new(keep: Keep) -> Self {
        Self { keep, kept: Vec::new(), kinds: BTreeMap::new(), total: 0 }
    }

    fn take(&mut self, step: &Move, topology: &Topology) {
        let Move { from, to, scope, .. } = *step;
        let action = action_of(step.action);
        let kind = MoveKind { action, from, to, scope, reason: Some(step.reason) };
        self.count(kind, step.size);
        if self.wants(&step.digest) {
            self.kept.push(view_of(step, topology));
        }
    }

    /// The removals that the deletion of an unreferenced file consists of; their count.
    fn take_farewell(&mut self, file: &File, topology: &Topology) -> u64 {
        let mut count = 0;
        for store in bidding_farewell(file) {
            let kind = MoveKind {
                action: MoveAction::Remove,
                from: Some(store),
                to: None,
                scope: None,
                reason: None,
            };
            self.count(kind, file.size);
            if self.wants(&file.digest) {
                self.kept.push(farewell_from(file, store, topology));
            }
            count += 1;
        }
        count
    }

    fn count(&mut self, kind: MoveKind, size: u64) {
        self.total += 1;
        self.kinds.entry(kind).or_default().add(size);
    }

    fn wants(&self, digest: &Digest) -> bool {
        match &self.keep {
            Keep::All => true,
            Keep::First(limit) => self.kept.len() < *limit,
            Keep::Of(wanted) => wanted == digest,
        }
    }

    fn groups(&self, topology: &Topology) -> Vec<MoveGroup> {
        let store = |id: Option<StoreId>| id.map(|id| topology.store_name(id));
        let group = |(kind, count): (&MoveKind, &Count)| MoveGroup {
            action: kind.action,
            scope: kind.scope.map(|id| topology.scope_name(id)),
            from: store(kind.from),
            to: store(kind.to),
            reason: kind.reason.map_or_else(|| UNREFERENCED.to_owned(), |why| why.to_string()),
            count: *count,
        };
        MoveGroup::merged(self.kinds.iter().map(group))
    }
}

/// A catalogue on paper, and the run that it shows.
struct DryRun<'a> {
    view: &'a View,
    scene: &'a Scene,
    overlay: Overlay<'a, View>,
    run: Run,
    sums: MoveSums,
}

impl<'a> DryRun<'a> {
    fn new(view: &'a View, scene: &'a Scene, keep: Keep) -> Result<Self, CatalogueError> {
        let overlay = Overlay::new(view, scene.world())?;
        Ok(Self { view, scene, overlay, run: dry(scene.now), sums: MoveSums::new(keep) })
    }

    fn change(&mut self, id: FileId, change: impl FnOnce(&mut File)) -> Result<(), CatalogueError> {
        if let Some(mut file) = self.overlay.file(id)? {
            change(&mut file);
            self.overlay.put(file)?;
        }
        Ok(())
    }

    fn happen(&mut self, id: FileId, store: StoreId, event: Event) -> Result<(), CatalogueError> {
        let now = self.scene.now;
        self.change(id, |file| {
            file.apply(store, event, now);
        })
    }

    fn finish_deletions(&mut self, due: Vec<(FileId, StoreId)>) -> Result<(), CatalogueError> {
        due.into_iter().try_for_each(|(id, store)| self.happen(id, store, Event::Erased))
    }

    fn bring_back(&mut self, found: &[Back]) -> Result<(), CatalogueError> {
        found.iter().try_for_each(|back| self.happen(back.file.id, back.store, back.event()))
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
        for _ in 0..self.sums.take_farewell(&file, &self.scene.settings.topology) {
            self.run.removed.add(file.size);
        }
        let stays = |s| self.scene.deferred.contains(&s) || self.scene.unavailable.contains(&s);
        for replica in file.replicas.clone() {
            file.apply(replica.store, Event::of_orphan(replica.state), self.scene.now);
            if !stays(replica.store) {
                file.apply(replica.store, Event::Erased, self.scene.now);
            }
        }
        self.overlay.put(file)
    }

    /// Plans the policies and reports like a run.
    fn plan(mut self, given_up: &CancellationToken) -> Result<(Run, MoveSums), CatalogueError> {
        let topology = &self.scene.settings.topology;
        let report = plan_all(&mut self.overlay, |step| {
            self.sums.take(step, topology);
            if given_up.is_cancelled() { Err(CatalogueError::Closed) } else { Ok(()) }
        })?;
        let live = self.view.live_holders()?;
        let live = live.into_iter().map(|(scope, held)| (scope, self.overlay.held(scope, held)));
        let live = live.collect();
        let mut run = self.run;
        run.copied = report.copied;
        run.moved = report.moved;
        run.removed.add_all(report.removed);
        run.retained = report.retained;
        run.warnings = report.retained_for.iter().map(kept_for).collect();
        run.warnings.extend(archived(&live, topology));
        run.errors = report.errors.iter().map(error_of).collect();
        run.errors.extend(marked(&self.overlay, topology)?.into_iter().map(told));
        run.errors.extend(lost(&live, topology).into_iter().map(told));
        Ok((run, self.sums))
    }
}

fn told(finding: Finding) -> RunError {
    RunError {
        phase: "report".to_owned(),
        scope: finding.scope,
        store: finding.store,
        cause: finding.cause.to_owned(),
        remedy: finding.remedy,
        files: finding.count.files,
        bytes: finding.count.bytes,
        digests: finding.digests,
    }
}
