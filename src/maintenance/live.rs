//! A run as others see and steer it: progress, errors, moves, pause and cancel.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::api::{Count, MoveAction, MoveView, Outcome, Progress, Run, RunError};
use crate::clock::Clock;
use crate::config::Window;
use crate::domain::{Digest, Remedy, Timestamp, Topology};
use crate::planner::{Action, Batch, Move, MoveResult};

use super::schedule;

/// Moves kept of a run for `-v`: some megabytes at most.
pub const MOVES_KEPT: usize = 10_000;
/// The rate is that of the last seconds.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// How often the hours of copying are looked at.
const WINDOW_STEP: Duration = Duration::from_secs(15);
/// Digests shown per class of errors.
const SHOWN_DIGESTS: usize = 10;
/// Classes of errors of one run outside the planner's own, which are bounded as well.
const CLASSES: usize = 200;

/// What an administrator, or the end of the process, wants of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Go,
    Pause,
    Cancel,
    /// The process ends; the run goes on after the next start.
    Stop,
}

/// An error before it is written to the report.
#[derive(Debug, Clone)]
pub struct Trouble<'a> {
    pub phase: &'a str,
    pub scope: Option<&'a str>,
    pub store: Option<&'a str>,
    pub cause: &'a str,
    pub remedy: Option<Remedy>,
}

#[derive(Debug, Default)]
struct Board {
    moves: Vec<MoveView>,
    /// Bytes moved, in slices of time.
    recent: VecDeque<(Instant, u64)>,
    errors: BTreeMap<(String, Option<String>, Option<String>, String), RunError>,
}

/// The run that is under way.
#[derive(Debug)]
pub struct Live {
    pub id: u64,
    run: watch::Sender<Run>,
    wish: watch::Sender<Wish>,
    board: Mutex<Board>,
    window: Option<Window>,
    clock: Clock,
}

impl Live {
    /// `run` is new, or one that an earlier process left unfinished: its counts go on.
    pub fn new(id: u64, run: Run, window: Option<Window>, clock: Clock) -> Arc<Self> {
        let wish = if run.outcome == Outcome::Paused { Wish::Pause } else { Wish::Go };
        let progress = Some(Progress::default());
        let mut run = Run { progress, moves: None, ..run };
        // What is wrong is found anew.
        run.errors.clear();
        run.warnings.clear();
        Arc::new(Self {
            id,
            run: watch::Sender::new(run),
            wish: watch::Sender::new(wish),
            board: Mutex::default(),
            window,
            clock,
        })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- what others see ----

    pub fn watch(&self) -> watch::Receiver<Run> {
        self.run.subscribe()
    }

    /// The run as it is now.
    pub fn view(&self) -> Run {
        let rate = self.rate();
        let mut run = self.run.borrow().clone();
        set_rate(&mut run, rate);
        run
    }

    /// The moves made so far, at most `MOVES_KEPT`.
    pub fn moves(&self) -> Vec<MoveView> {
        self.board().moves.clone()
    }

    pub fn errors(&self) -> Vec<RunError> {
        self.board().errors.values().cloned().collect()
    }

    /// Publishes the run as it ended.
    pub fn publish(&self, run: Run) {
        self.run.send_replace(run);
    }

    fn rate(&self) -> u64 {
        let mut board = self.board();
        while board.recent.front().is_some_and(|(at, _)| at.elapsed() > RATE_SPAN) {
            board.recent.pop_front();
        }
        let bytes: u64 = board.recent.iter().map(|(_, n)| n).sum();
        let span = board.recent.front().map_or(0, |(at, _)| at.elapsed().as_millis());
        let span = u64::try_from(span).unwrap_or(u64::MAX).max(1000);
        bytes.saturating_mul(1000) / span
    }

    // ---- steering ----

    pub fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    /// A cancelled run stays cancelled, and one that ends with the process ends.
    pub fn set_wish(&self, wish: Wish) {
        self.wish.send_if_modified(|now| {
            let changes = match *now {
                Wish::Go | Wish::Pause => *now != wish,
                Wish::Cancel | Wish::Stop => false,
            };
            if changes {
                *now = wish;
            }
            changes
        });
    }

    pub fn set_outcome(&self, outcome: Outcome) {
        self.run.send_modify(|run| run.outcome = outcome);
    }

    /// Waits while the run is paused. False when it has to end.
    pub async fn gate(&self) -> bool {
        let mut wishes = self.wish.subscribe();
        loop {
            match *wishes.borrow_and_update() {
                Wish::Go => return true,
                Wish::Cancel | Wish::Stop => return false,
                Wish::Pause => {}
            }
            // The sender lives as long as `self`.
            wishes.changed().await.ok();
        }
    }

    /// The same for copies, which also wait for their hours of the day.
    pub async fn copy_gate(&self) -> bool {
        loop {
            if !self.gate().await {
                return false;
            }
            if self.is_in_window() {
                return true;
            }
            let mut wishes = self.wish.subscribe();
            wishes.borrow_and_update();
            tokio::time::timeout(WINDOW_STEP, wishes.changed()).await.ok();
        }
    }

    /// Whether another copy may begin now.
    pub fn may_copy(&self) -> bool {
        self.wish() == Wish::Go && self.is_in_window()
    }

    fn is_in_window(&self) -> bool {
        is_in(self.window, self.clock.now())
    }

    // ---- progress ----

    pub fn enter(&self, phase: &str, scope: Option<String>, store: Option<String>) {
        self.run.send_modify(|run| {
            let progress = run.progress.get_or_insert_default();
            phase.clone_into(&mut progress.phase);
            progress.scope = scope;
            progress.store = store;
        });
    }

    /// Raises what is known to be ahead, to `count` more than what is done.
    pub fn expect(&self, count: Count) {
        self.run.send_modify(|run| {
            let progress = run.progress.get_or_insert_default();
            let (done, total) = (progress.done, &mut progress.total);
            total.files = total.files.max(done.files.saturating_add(count.files));
            total.bytes = total.bytes.max(done.bytes.saturating_add(count.bytes));
        });
    }

    /// Bytes were read from a source.
    pub fn transferred(&self, bytes: u64) {
        let mut board = self.board();
        match board.recent.back_mut() {
            Some((at, n)) if at.elapsed() < Duration::from_millis(250) => *n += bytes,
            _ => board.recent.push_back((Instant::now(), bytes)),
        }
    }

    /// A move has ended, well or not.
    pub fn step_done(&self, size: u64) {
        let rate = self.rate();
        self.run.send_modify(|run| {
            let progress = run.progress.get_or_insert_default();
            progress.done.add(size);
            progress.total.files = progress.total.files.max(progress.done.files);
            progress.total.bytes = progress.total.bytes.max(progress.done.bytes);
            set_rate(run, rate);
        });
    }

    // ---- the report ----

    /// Counts a batch the way the planner does: a copy that a later move of the same file completes
    /// is part of that move.
    pub fn tally(&self, batch: &Batch, results: &[MoveResult], topology: &Topology) {
        let moves: Vec<MoveView> = batch
            .moves
            .iter()
            .zip(results)
            .filter_map(|(step, result)| match result {
                MoveResult::Done => Some(view_of(step, topology)),
                MoveResult::Copied => {
                    Some(view_of(&Move { action: Action::Copy, ..step.clone() }, topology))
                }
                MoveResult::Skipped | MoveResult::Failed { .. } => None,
            })
            .collect();
        self.keep(moves);
        self.run.send_modify(|run| {
            for (i, (step, result)) in batch.moves.iter().zip(results).enumerate() {
                let count = match (result, step.action) {
                    (MoveResult::Done, Action::Copy) if batch.is_completed_later(results, i) => {
                        continue;
                    }
                    (MoveResult::Done | MoveResult::Copied, Action::Copy)
                    | (MoveResult::Copied, Action::Move) => &mut run.copied,
                    (MoveResult::Done, Action::Move) => &mut run.moved,
                    (MoveResult::Done, Action::Remove) => &mut run.removed,
                    _ => continue,
                };
                count.add(step.size);
            }
        });
    }

    /// Counts removals that no policy asked for.
    pub fn removed(&self, moves: Vec<MoveView>) {
        self.run.send_modify(|run| {
            for step in &moves {
                run.removed.add(step.size);
            }
        });
        self.keep(moves);
    }

    fn keep(&self, moves: Vec<MoveView>) {
        for made in &moves {
            let MoveView { action, scope, digest, size, from, to, .. } = made;
            tracing::debug!(run = self.id, ?action, scope, from, to, %digest, bytes = size,
                "a replica was moved");
        }
        let mut board = self.board();
        let room = MOVES_KEPT.saturating_sub(board.moves.len());
        if moves.len() > room && room > 0 {
            drop(board);
            self.warn(format!("only the first {MOVES_KEPT} moves of this run are listed"));
            board = self.board();
        }
        board.moves.extend(moves.into_iter().take(room));
    }

    /// Replicas that stay for other scopes.
    pub fn retain(&self, count: Count) {
        self.run.send_modify(|run| run.retained = count);
    }

    pub fn warn(&self, text: String) {
        self.run.send_modify(|run| {
            if !run.warnings.contains(&text) && run.warnings.len() < CLASSES {
                run.warnings.push(text);
            }
        });
    }

    /// Adds files to a class of errors.
    pub fn error(&self, trouble: Trouble<'_>, count: Count, digests: &[Digest]) {
        let Trouble { phase, scope, store, cause, mut remedy } = trouble;
        let owned = |t: Option<&str>| t.map(str::to_owned);
        let mut board = self.board();
        let full = board.errors.len() >= CLASSES;
        let key = |cause: &str| (phase.to_owned(), owned(scope), owned(store), cause.to_owned());
        let mut at = key(cause);
        if full && !board.errors.contains_key(&at) {
            at = key("other failures, see the log");
            remedy = None;
        }
        let class =
            board.errors.entry(at).or_insert_with_key(|(phase, scope, store, cause)| RunError {
                phase: phase.clone(),
                scope: scope.clone(),
                store: store.clone(),
                cause: cause.clone(),
                remedy,
                files: 0,
                bytes: 0,
                digests: Vec::new(),
            });
        class.files = class.files.saturating_add(count.files);
        class.bytes = class.bytes.saturating_add(count.bytes);
        let room = SHOWN_DIGESTS.saturating_sub(class.digests.len());
        class.digests.extend(digests.iter().take(room));
    }
}

/// Whether a window allows copies at that time.
pub fn is_in(window: Option<Window>, now: Timestamp) -> bool {
    window.is_none_or(|w| schedule::local_time(now).is_none_or(|time| w.contains(time)))
}

/// A run that has not begun.
pub fn fresh_run(id: Option<u64>, started_at: Timestamp) -> Run {
    Run {
        id,
        dry_run: id.is_none(),
        outcome: Outcome::Running,
        started_at,
        finished_at: None,
        copied: Count::default(),
        moved: Count::default(),
        removed: Count::default(),
        retained: Count::default(),
        errors: Vec::new(),
        warnings: Vec::new(),
        moves: None,
        progress: None,
    }
}

pub fn action_of(action: Action) -> MoveAction {
    match action {
        Action::Copy => MoveAction::Copy,
        Action::Move => MoveAction::Move,
        Action::Remove => MoveAction::Remove,
    }
}

/// A move with names.
pub fn view_of(step: &Move, topology: &Topology) -> MoveView {
    let store = |id| topology.store_name(id);
    MoveView {
        action: action_of(step.action),
        scope: step.scope.map(|id| topology.scope_name(id)),
        digest: step.digest,
        size: step.size,
        from: step.from.map(store),
        to: step.to.map(store),
        reason: step.reason.to_string(),
    }
}

fn set_rate(run: &mut Run, rate: u64) {
    if let Some(progress) = &mut run.progress {
        progress.rate = rate;
        let left = progress.total.bytes.saturating_sub(progress.done.bytes);
        progress.seconds_left = left.checked_div(rate);
    }
}
