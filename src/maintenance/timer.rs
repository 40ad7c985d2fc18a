//! What the server does by the clock: runs, deferred deletes, last uses, health, samples, sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::catalogue::{CatalogueError, values};
use crate::domain::{ReplicaState, StoreId, Timestamp};
use crate::transfer::HealthState;

use super::{Maintenance, StartError, history, locked, schedule};

/// How far the wall clock may be set before a timer notices.
const TICK: Duration = Duration::from_secs(20);
/// Pending deletions are tried this often.
const REAP_EVERY: Duration = Duration::from_secs(5);
/// Last uses are written this often: at most 60 s late (SPEC 6).
const FLUSH_EVERY: Duration = Duration::from_secs(20);
/// Stores that cannot be used are looked at this often.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// All stores, when this many looks at those that cannot be used have passed: one that nobody uses
/// fails unnoticed otherwise.
const PROBE_ALL: u64 = 30;
/// Samples and sessions are seen to this often.
const CHORES_EVERY: Duration = Duration::from_mins(15);

impl Maintenance {
    /// Starts the timers of a server, and goes on with a run that was under way when it ended.
    pub fn spawn_timer(self: &Arc<Self>) {
        let me = Arc::clone(self);
        self.tasks.spawn(async move { me.keep_schedule().await });
        self.every(REAP_EVERY, "deferred deletes", |me| async move { me.reap().await });
        self.every(FLUSH_EVERY, "last uses", |me| async move {
            let granularity = me.config.maintenance.last_use_granularity;
            me.catalogue().flush_last_uses(granularity).await.map(|_| ())
        });
        self.every(PROBE_EVERY, "store health", |me| async move { me.probe().await });
        self.every(PROBE_EVERY, "lost replicas", |me| async move { me.note_losses().await });
        self.every(CHORES_EVERY, "samples and sessions", |me| async move { me.chores().await });
    }

    /// Does `work` now and then every so often, one at a time, until the process ends. An error is
    /// logged and the work tried again the next time.
    fn every<F, W>(self: &Arc<Self>, pause: Duration, what: &'static str, work: W)
    where
        W: Fn(Arc<Self>) -> F + Send + 'static,
        F: Future<Output = Result<(), CatalogueError>> + Send,
    {
        let me = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                if let Err(error) = work(Arc::clone(&me)).await {
                    tracing::error!(what, %error, "a timed task failed");
                }
                if me.is_stopped_within(pause).await {
                    return;
                }
            }
        });
    }

    async fn is_stopped_within(&self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stopping.cancelled()).await.is_ok()
    }

    async fn keep_schedule(self: &Arc<Self>) {
        match self.resume_left().await {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "an interrupted run does not go on"),
        }
        let schedule = self.config.maintenance.schedule;
        let mut at_start = true;
        while !self.stopping.is_cancelled() {
            let last = match history::last_finished(self.catalogue(), self.now()).await {
                Ok(last) => last,
                Err(error) => {
                    tracing::error!(%error, "the schedule cannot be read");
                    if self.is_stopped_within(TICK).await {
                        return;
                    }
                    continue;
                }
            };
            let missed = at_start && schedule::is_overdue(schedule, last, self.now());
            at_start = false;
            let due =
                if missed { Some(self.now()) } else { schedule::next(schedule, last, self.now()) };
            *locked(&self.next) = due;
            let Some(due) = due else { return };
            if !self.wait_until(due).await {
                return;
            }
            self.run_by_timer().await;
        }
    }

    async fn resume_left(self: &Arc<Self>) -> Result<(), CatalogueError> {
        let _steering = self.steering.lock().await;
        self.restore().map(|_| ())
    }

    /// False when the process ends first. Short steps, since the wall clock may be set.
    async fn wait_until(&self, due: Timestamp) -> bool {
        loop {
            let now = self.now();
            if now >= due {
                return !self.stopping.is_cancelled();
            }
            if self.is_stopped_within(due.since(now).min(TICK)).await {
                return false;
            }
        }
    }

    /// Starts a run and waits for its end, so that an interval counts from there.
    async fn run_by_timer(self: &Arc<Self>) {
        let id = match self.start().await {
            Ok(run) => run.id,
            Err(StartError::InProgress { run }) => {
                tracing::info!(run, "the run that is due is under way already, or paused");
                Some(run)
            }
            Err(StartError::Catalogue(error)) => {
                tracing::error!(%error, "the run that is due does not start");
                self.is_stopped_within(TICK).await;
                None
            }
        };
        let Some(mut progress) = id.and_then(|id| self.watch(id)) else { return };
        let ended = progress.wait_for(|run| run.finished_at.is_some());
        tokio::select! {
            // An error means that the run ended with the process.
            _ = ended => {}
            () = self.stopping.cancelled() => {}
        }
    }

    fn stores(&self) -> Vec<StoreId> {
        self.catalogue().settings().topology.stores.keys().copied().collect()
    }

    async fn reap(&self) -> Result<(), CatalogueError> {
        for store in self.stores() {
            let counts = self.catalogue().snapshot()?.store_counts(store)?;
            let pending = counts.get(&ReplicaState::Deleting).is_some_and(|c| c.files > 0);
            if pending && !self.stopping.is_cancelled() {
                self.transfer.reap_store(store).await?;
            }
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), CatalogueError> {
        let all = self.probes.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROBE_ALL);
        let doubtful = self
            .stores()
            .into_iter()
            .filter(|s| all || self.transfer.stores.last_seen(*s) != HealthState::Ok);
        let looks = doubtful.map(|store| async move {
            let state = self.transfer.stores.look(store).await;
            self.note_state(store, &state);
        });
        tokio::select! {
            _ = futures_util::future::join_all(looks) => {}
            () = self.stopping.cancelled() => {}
        }
        Ok(())
    }

    /// One usage sample per store and day, an end to expired sessions, and a look ahead.
    pub(super) async fn chores(self: &Arc<Self>) -> Result<(), CatalogueError> {
        let (day, stores) = (self.now().day(), self.stores());
        self.catalogue()
            .write(move |tx| {
                if tx.value(&values::SAMPLED_DAY)? != Some(day) {
                    stores.iter().try_for_each(|store| tx.sample_usage(*store, day))?;
                    tx.set_value(&values::SAMPLED_DAY, &day)?;
                }
                tx.expire_sessions()
            })
            .await?;
        self.look_ahead().await
    }
}
