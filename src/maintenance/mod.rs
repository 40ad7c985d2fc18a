//! The vacuum (SPEC 7): gather, plan, execute, record.
//!
//! A run asks the planner's driver for a batch of moves, executes it through `transfer`, reports what
//! became of each move, and takes a fresh snapshot. It holds no list of files: what it knows lies
//! in the catalogue, so it can end at any time and go on, or be begun anew, with the same result.
//!
//! # What a crash leaves, and who finishes it
//!
//! | killed after | left | finished by |
//! |---|---|---|
//! | the intent of a copy | a row `writing`, no bytes or a temporary file | `recover`: the row becomes `deleting`; phase 0 deletes what may be there and drops the row |
//! | the bytes of a copy | the same, with bytes | the same: the copy is made again |
//! | the commit `present` | a copy; the source is still there | the next run plans the removal |
//! | the commit `deleting` | a row `deleting` with its bytes | the reaper and phase 0 |
//! | the deletion of the bytes | a row `deleting` without bytes | the same; deleting again is harmless |
//! | raising a generation in the catalogue | a marker one generation behind, noted as tolerated | the next run writes the marker |
//! | an upload's bytes, before its commit | bytes that no row names | the sweep, when they are older than `orphan_age` |
//!
//! A run that was under way goes on with its id: at once when a server starts or a run is asked
//! for, or when it is resumed if it was paused. Its counts are those of its last recorded moment.

mod dry_run;
mod early_phases;
mod executor;
mod forecast;
mod history;
mod late_phases;
mod live;
mod loss_alerts;
mod marker;
mod notify;
mod pace;
mod preview;
mod recheck;
mod reconcile;
mod run;
mod schedule;
mod skip_list;
mod sweep;
mod timer;
mod totals;
mod verify;
mod view;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::api::{Outcome, Run};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::config::Config;
use crate::domain::{Diagnosis, StoreId, Timestamp, Topology};
use crate::transfer::Transfer;
use crate::words;

pub use dry_run::PreviewError;
pub use forecast::{LimitForecast, StoreForecast};
pub use live::MOVES_KEPT;
use live::{Live, Wish};
pub use preview::{Freshness, KnownPreview, PreviewRequest};
pub use totals::Totals;
pub use view::on_own_thread;

/// Why a run does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("run {run} is in progress")]
    InProgress { run: u64 },
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Why a run cannot be steered.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("there is no such run")]
    NoSuchRun,
    #[error("the run has ended")]
    NotRunning,
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Why a store cannot be swept or reconciled.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("there is no such store")]
    NoSuchStore,
    #[error("the store is unavailable: {0}")]
    Unavailable(Diagnosis),
    /// The marker is another's.
    #[error("{0}")]
    NotOurs(Diagnosis),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Storage maintenance of one instance.
#[derive(Debug)]
pub struct Maintenance {
    pub transfer: Arc<Transfer>,
    pub config: Arc<Config>,
    /// A store that gives no sign of life for so long is skipped for the rest of the run (SPEC 7).
    patience: Duration,
    current: Mutex<Option<Arc<Live>>>,
    /// Runs begin, end and are steered one at a time.
    steering: tokio::sync::Mutex<()>,
    /// Losses are told of once.
    noticing: tokio::sync::Mutex<()>,
    /// Generations are raised one store list at a time.
    raising: tokio::sync::Mutex<()>,
    next: Mutex<Option<Timestamp>>,
    previews: preview::Previews,
    dry_runs: dry_run::Queue,
    notifier: notify::Notifier,
    probes: AtomicU64,
    totals: Mutex<Totals>,
    expected_limits: Mutex<Vec<LimitForecast>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// What is wrong with a store and what helps, for a report of the run.
fn said(found: &Diagnosis, store: StoreId, topology: &Topology) -> String {
    match topology.stores.get(&store) {
        Some(store) => words::diagnosis(found, &store.name).to_string(),
        None => found.to_string(),
    }
}

/// The value behind the mutex; a panic elsewhere leaves it as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Maintenance {
    pub fn new(transfer: Arc<Transfer>, config: Arc<Config>) -> Arc<Self> {
        Self::with_patience(transfer, config, Duration::from_mins(1))
    }

    /// The same, skipping a store that does not answer for `patience`.
    pub fn with_patience(
        transfer: Arc<Transfer>,
        config: Arc<Config>,
        patience: Duration,
    ) -> Arc<Self> {
        let notifier = notify::Notifier::new(&config);
        Arc::new(Self {
            transfer,
            config,
            notifier,
            patience,
            probes: AtomicU64::new(0),
            totals: Mutex::default(),
            expected_limits: Mutex::default(),
            current: Mutex::default(),
            steering: tokio::sync::Mutex::default(),
            noticing: tokio::sync::Mutex::default(),
            raising: tokio::sync::Mutex::default(),
            next: Mutex::default(),
            previews: preview::Previews::default(),
            dry_runs: dry_run::Queue::new(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    fn catalogue(&self) -> &Arc<Catalogue> {
        &self.transfer.catalogue
    }

    fn now(&self) -> Timestamp {
        self.catalogue().clock().now()
    }

    fn live(&self) -> Option<Arc<Live>> {
        locked(&self.current).clone()
    }

    // ---- runs ----

    /// Starts a run, or goes on with one that an earlier process left under way.
    pub async fn start(self: &Arc<Self>) -> Result<Run, StartError> {
        let _steering = self.steering.lock().await;
        if let Some(live) = self.live() {
            return Err(StartError::InProgress { run: live.id });
        }
        if let Some(left) = self.restore()? {
            let run = left.view();
            return match run.outcome {
                Outcome::Paused => Err(StartError::InProgress { run: left.id }),
                _ => Ok(run),
            };
        }
        let run = history::begin(self.catalogue(), self.now()).await?;
        Ok(self.launch(run).view())
    }

    /// Brings an unfinished run of an earlier process back, paused if it was paused.
    fn restore(self: &Arc<Self>) -> Result<Option<Arc<Live>>, CatalogueError> {
        if let Some(live) = self.live() {
            return Ok(Some(live));
        }
        let left = history::unfinished(self.catalogue())?;
        Ok(left.map(|run| self.launch(run)))
    }

    fn launch(self: &Arc<Self>, run: Run) -> Arc<Live> {
        let id = run.id.unwrap_or_default();
        let window = self.config.maintenance.window;
        let live = Live::new(id, run, window, self.catalogue().clock().clone());
        *locked(&self.current) = Some(Arc::clone(&live));
        if self.stopping.is_cancelled() {
            live.set_wish(Wish::Stop);
        }
        let (maintenance, at_work) = (Arc::clone(self), Arc::clone(&live));
        let span = tracing::info_span!("vacuum", run = id);
        self.tasks.spawn(async move { maintenance.conduct(at_work).await }.instrument(span));
        live
    }

    /// The run under way or paused, with its progress.
    pub fn current(&self) -> Option<Run> {
        self.live().map(|live| live.view())
    }

    /// A run, under way or from the history; `moves` asks for its moves, of which those of the
    /// last run are kept.
    pub async fn run(&self, id: u64, moves: bool) -> Result<Option<Run>, CatalogueError> {
        if let Some(live) = self.live().filter(|live| live.id == id) {
            let moves = moves.then(|| live.moves());
            return Ok(Some(Run { moves, ..live.view() }));
        }
        let catalogue = Arc::clone(self.catalogue());
        view::blocking(move || history::find(&catalogue, id, moves)).await
    }

    /// The progress of the current run; the last value has `finished_at`.
    pub fn watch(&self, id: u64) -> Option<tokio::sync::watch::Receiver<Run>> {
        self.live().filter(|live| live.id == id).map(|live| live.watch())
    }

    /// Holds the run between files, also across a restart, until it is resumed.
    pub async fn pause(self: &Arc<Self>, id: u64) -> Result<Run, ControlError> {
        self.steer(id, Wish::Pause, Some(Outcome::Paused)).await
    }

    pub async fn resume(self: &Arc<Self>, id: u64) -> Result<Run, ControlError> {
        self.steer(id, Wish::Go, Some(Outcome::Running)).await
    }

    /// Ends the run between files.
    pub async fn cancel(self: &Arc<Self>, id: u64) -> Result<Run, ControlError> {
        self.steer(id, Wish::Cancel, None).await
    }

    async fn steer(
        self: &Arc<Self>,
        id: u64,
        wish: Wish,
        outcome: Option<Outcome>,
    ) -> Result<Run, ControlError> {
        let _steering = self.steering.lock().await;
        let live = self.restore()?.filter(|live| live.id == id);
        let Some(live) = live else {
            let known = self.catalogue().snapshot().and_then(|s| s.run(id))?.is_some();
            return Err(if known { ControlError::NotRunning } else { ControlError::NoSuchRun });
        };
        if matches!(live.wish(), Wish::Cancel | Wish::Stop) {
            return Err(ControlError::NotRunning);
        }
        if let Some(outcome) = outcome {
            // Durable first: a run that says it is paused stays so whatever happens.
            history::record(self.catalogue(), &Run { outcome, ..live.view() }).await?;
            live.set_outcome(outcome);
        }
        live.set_wish(wish);
        Ok(live.view())
    }

    /// Whether the hours of the configuration allow copies now.
    pub fn may_copy_now(&self) -> bool {
        live::is_in(self.config.maintenance.window, self.now())
    }

    /// When the timer starts the next run; `None` when it does not.
    pub fn next_run(&self) -> Option<Timestamp> {
        *locked(&self.next)
    }

    /// Ends the current run between files and stops the timers. The run goes on after the next
    /// start.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        if let Some(live) = self.live() {
            live.set_wish(Wish::Stop);
        }
        self.tasks.close();
        let deadline = self.config.limits.shutdown_timeout;
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "maintenance did not come to an end in time and is left behind: a long copy, or a store that does not answer"
            );
        }
        self.notifier.stop().await;
    }
}
