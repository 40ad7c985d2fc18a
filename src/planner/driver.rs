//! Goes through the phases of a run, batch by batch, until a pass changes nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::decide::Note;
use super::ledger::{Ledger, Place, SHOWN_DIGESTS};
use super::plan::{Action, Batch, Move, MoveResult, Phase};
use super::report::{Cause, Over, Report};
use super::snapshot::{FileSet, Snapshot};
use super::units::{Unit, decide, has_residual, is_idle, limit_of, used, waiting};
use super::usage::Usage;
use super::world::World;
use crate::domain::Count;
use crate::domain::{Digest, File, FileId, ReplicaState, ScopeId, StoreId, Timestamp, Topology};

/// Moves in a batch. The last file's decision may exceed it by a copy per scope.
const BATCH: usize = 256;

/// Files read from the snapshot at once: a page whose files all move fills a batch.
const PAGE: usize = BATCH;

/// Failed moves remembered, so that they are not tried again. With more, the run ends with its pass.
const FAILURES: usize = 10_000;

/// Bounds a run beside which clients never stop uploading into a store that is over its limit.
/// Without them each pass moves something that was never moved before and a run ends by itself, in
/// practice after two or three passes.
const PASSES: u32 = 100;

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
    ledger: Ledger,
    /// Index into [`Phase::ALL`]; `None` before the first pass.
    phase: Option<usize>,
    /// The units of the phase that are still to do, the current one last.
    units: Vec<Unit>,
    walk: Walk,
    /// Whether this pass has changed anything.
    changed: bool,
    /// The batch that is being executed.
    pending: Option<Batch>,
    /// The newest file when the run began; later ones are left to the next run.
    newest: Option<FileId>,
    failed: BTreeSet<Attempt>,
    is_last_pass: bool,
}

/// A move as far as trying it again would be the same.
type Attempt = (FileId, Option<StoreId>, Option<StoreId>);

/// How far the current unit is.
#[derive(Debug, Default)]
struct Walk {
    started: bool,
    by_id: Option<FileId>,
    by_use: Option<(Timestamp, FileId)>,
    /// Why files stay in a store that is over its limit.
    over: Over,
    stuck: Count,
    stuck_digests: Vec<Digest>,
}

/// Moves collected from one page after the other, and the bytes as they will be after them.
struct Harvest {
    moves: Vec<Move>,
    usage: Usage,
}

impl Harvest {
    /// Enough for a batch, or for the limit: shedding goes no further.
    fn is_full(&self, world: &World<'_>, unit: Unit) -> bool {
        let is_met = || limit_of(unit, world).is_none_or(|limit| used(unit, &self.usage) <= limit);
        self.moves.len() >= BATCH || (unit.phase.is_limit() && is_met())
    }

    fn add(&mut self, world: &World<'_>, file: &File, moves: Vec<Move>) {
        let mut before = Cow::Borrowed(file);
        for step in moves {
            let after = world.after(&before, &step);
            self.usage.replace(&before, &after);
            before = Cow::Owned(after);
            self.moves.push(step);
        }
    }
}

impl Driver {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next moves, from a snapshot taken after the last batch was executed; `None` when a whole
    /// pass has changed nothing.
    pub fn next<S: Snapshot>(
        &mut self,
        snapshot: &S,
        world: &World<'_>,
    ) -> Result<Option<Batch>, S::Error> {
        // A batch nobody reported on has not happened as far as anyone knows.
        self.pending = None;
        if self.newest.is_none() {
            self.newest = Some(snapshot.newest()?);
        }
        let mut usage = snapshot.usage()?;
        loop {
            let Some(unit) = self.unit(world) else { return Ok(None) };
            let harvest = self.work(snapshot, world, usage, unit)?;
            if harvest.moves.is_empty() {
                self.units.pop();
                self.walk = Walk::default();
                usage = harvest.usage;
                continue;
            }
            let batch = Batch {
                phase: unit.phase,
                scope: unit.scope,
                store: unit.store,
                moves: harvest.moves,
            };
            self.pending = Some(batch.clone());
            return Ok(Some(batch));
        }
    }

    /// Tells what became of the last batch, one result per move in its order. A move without a
    /// result counts as skipped.
    pub fn executed(&mut self, results: &[MoveResult]) {
        let Some(batch) = self.pending.take() else { return };
        for (i, (step, result)) in batch.moves.iter().zip(results).enumerate() {
            let completes = batch.is_completed_later(results, i);
            self.ledger.result(&batch, step, result, completes);
            match result {
                MoveResult::Done => self.changed = true,
                MoveResult::Copied => self.changed |= step.action != Action::Remove,
                MoveResult::Failed { .. } => self.remember_failure(step),
                MoveResult::Skipped => {}
            }
        }
    }

    pub fn position(&self) -> Position {
        let unit = self.units.last();
        Position {
            pass: self.ledger.passes().max(1),
            phase: self.phase.and_then(|p| Phase::ALL.get(p).copied()).unwrap_or(Phase::Populate),
            scope: unit.and_then(|u| u.scope),
            store: unit.map(|u| u.store),
        }
    }

    /// What was done and what is unmet; also for a run that was cancelled.
    pub fn finish(self, topology: &Topology) -> Report {
        self.ledger.report(topology)
    }

    fn remember_failure(&mut self, step: &Move) {
        self.walk.over.failed += 1;
        self.stick(step.size, step.digest);
        self.failed.insert(attempt(step));
        self.is_last_pass |= self.failed.len() >= FAILURES;
    }

    /// The unit to work on, from this phase, the next, or the next pass; `None` at the end.
    fn unit(&mut self, world: &World<'_>) -> Option<Unit> {
        while self.units.is_empty() {
            let next = match self.phase {
                None => 0,
                Some(last) if last + 1 >= Phase::ALL.len() => {
                    let over = self.is_last_pass || self.ledger.passes() >= PASSES;
                    if !self.changed || over {
                        return None;
                    }
                    0
                }
                Some(phase) => phase + 1,
            };
            if next == 0 {
                self.changed = false;
                self.ledger.begin_pass();
            }
            self.phase = Some(next);
            self.units = Unit::all(Phase::ALL[next], world);
            self.units.reverse();
        }
        self.units.last().copied()
    }

    /// Moves of the unit from where the walk stands; none when the unit is through.
    fn work<S: Snapshot>(
        &mut self,
        snapshot: &S,
        world: &World<'_>,
        usage: Usage,
        unit: Unit,
    ) -> Result<Harvest, S::Error> {
        let mut harvest = Harvest { moves: Vec::new(), usage };
        if !unit.is_asked_for(world) {
            return Ok(harvest);
        }
        if !self.walk.started {
            self.walk.started = true;
            if is_idle(unit, snapshot, world, &harvest.usage)? {
                return Ok(harvest);
            }
        }
        if !world.is_available(unit.store) {
            let count = waiting(unit, snapshot, world, &harvest.usage)?;
            if !count.is_zero() {
                self.ledger.unmet_all(place(unit), Cause::Unavailable, count, &[]);
            }
            return Ok(harvest);
        }
        while !harvest.is_full(world, unit) {
            let page = self.page(snapshot, world, unit)?;
            if page.is_empty() {
                if harvest.moves.is_empty() {
                    self.note_excess(world, &harvest.usage, unit);
                }
                break;
            }
            for file in page {
                if harvest.is_full(world, unit) {
                    break;
                }
                self.walk.by_id = Some(file.id);
                self.walk.by_use = Some((file.last_used, file.id));
                if self.newest.is_some_and(|newest| file.id > newest) {
                    self.walk.over.newer += 1;
                    self.stick(file.size, file.digest);
                } else {
                    self.consider(world, &mut harvest, unit, &file);
                }
            }
        }
        Ok(harvest)
    }

    /// The next files that the unit may want to move, and few others.
    fn page<S: Snapshot>(
        &self,
        snapshot: &S,
        world: &World<'_>,
        unit: Unit,
    ) -> Result<Vec<File>, S::Error> {
        let Unit { phase, scope, store } = unit;
        match (phase, scope) {
            (Phase::Populate, Some(scope)) => {
                snapshot.files(FileSet::Missing(scope, store), self.walk.by_id, PAGE)
            }
            (Phase::ScopeLimit | Phase::StoreLimit, _) => {
                snapshot.least_used(store, self.walk.by_use, PAGE)
            }
            (Phase::CleanUp, _) if !has_residual(snapshot, world, store)? => {
                let corrupt = FileSet::Marked(ReplicaState::Corrupt, store);
                snapshot.files(corrupt, self.walk.by_id, PAGE)
            }
            _ => snapshot.files(FileSet::InStore(store), self.walk.by_id, PAGE),
        }
    }

    fn consider(&mut self, world: &World<'_>, harvest: &mut Harvest, unit: Unit, file: &File) {
        let decision = decide(world, &harvest.usage, file, unit);
        let tried = decision.moves.iter().any(|step| self.failed.contains(&attempt(step)));
        if tried {
            self.walk.over.failed += 1;
            self.stick(file.size, file.digest);
            return;
        }
        harvest.add(world, file, decision.moves);
        if let Some(note) = decision.note {
            self.take_note(unit, note, file);
        }
    }

    fn take_note(&mut self, unit: Unit, note: Note, file: &File) {
        match note {
            Note::InGrace => {}
            Note::LeftToDrain => {
                self.walk.over.draining += 1;
                self.stick(file.size, file.digest);
            }
            Note::Retained(scopes) => {
                self.ledger.retained(place(unit), &scopes, file);
                self.walk.over.retained += 1;
                self.stick(file.size, file.digest);
            }
            // Files that stay are no error of their own as long as enough others go.
            Note::Unmet(cause) if unit.phase.is_limit() => {
                let over = &mut self.walk.over;
                match cause {
                    Cause::NoTarget { .. } => over.no_target += 1,
                    Cause::NoSource | Cause::OnlyWriteOnly => over.no_source += 1,
                    _ => over.pinned += 1,
                }
                self.stick(file.size, file.digest);
            }
            Note::Unmet(cause) => self.ledger.unmet(place(unit), cause, file),
        }
    }

    fn stick(&mut self, size: u64, digest: Digest) {
        self.walk.stuck.add(size);
        let room = SHOWN_DIGESTS.saturating_sub(self.walk.stuck_digests.len());
        self.walk.stuck_digests.extend(std::iter::once(digest).take(room));
    }

    /// All files were looked at and the limit is still exceeded: one error with the reasons.
    fn note_excess(&mut self, world: &World<'_>, usage: &Usage, unit: Unit) {
        let Some(limit) = limit_of(unit, world) else { return };
        let excess = used(unit, usage).saturating_sub(limit);
        let over = Over { limit, excess, ..self.walk.over };
        let (stuck, digests) = (self.walk.stuck, &self.walk.stuck_digests);
        self.ledger.unmet_all(place(unit), Cause::StillOver(over), stuck, digests);
    }
}

fn attempt(step: &Move) -> Attempt {
    (step.file, step.leaves(), step.to)
}

fn place(unit: Unit) -> Place {
    Place { phase: unit.phase, scope: unit.scope, store: unit.store }
}
