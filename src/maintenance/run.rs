//! One run from its first look at the stores to its record.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::api::{Count, Outcome, Run, RunError};
use crate::catalogue::CatalogueError;
use crate::domain::{StoreId, Timestamp, Topology, plural};
use crate::planner::{
    self, Batch, Checked, Driver, ErrorClass, Position, Refused, Report, Retained,
};
use crate::transfer::HealthState;

use super::executor::Executor;
use super::history;
use super::live::Wish;
use super::live::{Live, Trouble, fresh_run};
use super::view::{Scene, View, blocking};
use super::{Maintenance, locked, said};

/// How a run came to its end.
enum Ended {
    /// Nothing is left to do.
    Through,
    Cancelled,
    /// With the process: it goes on after the next start.
    Stopped,
}

/// Stores as a run finds them.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Usable and ours.
    pub usable: Vec<StoreId>,
    /// The others, with what is wrong.
    pub problems: BTreeMap<StoreId, String>,
}

impl Maintenance {
    pub(super) async fn conduct(self: Arc<Self>, live: Arc<Live>) {
        tracing::info!(run = live.id, "a run of storage maintenance begins");
        let work = AssertUnwindSafe(self.go_through(&live)).catch_unwind();
        let mut run_failed = None;
        let ended = match work.await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                run_failed = Some(error.to_string());
                Ended::Through
            }
            Err(_) => {
                run_failed = Some("a defect of this program: see the log".to_owned());
                Ended::Through
            }
        };
        if let Some(cause) = &run_failed {
            tracing::error!(run = live.id, cause, "a run failed");
            let trouble = Trouble { phase: "run", scope: None, store: None, cause, remedy: None };
            live.error(trouble, Count::default(), &[]);
        }
        let mut run = live.view();
        run.errors.extend(live.errors());
        let _steering = self.steering.lock().await;
        if matches!(ended, Ended::Stopped) {
            // The wish to pause may have come after the last look at it.
            run.outcome = live.view().outcome;
            if let Err(error) = history::record(self.catalogue(), &run).await {
                tracing::error!(run = live.id, %error, "the state of a run could not be recorded");
            }
        } else {
            run.outcome = match (ended, run_failed) {
                (_, Some(_)) => Outcome::Failed,
                (Ended::Cancelled, None) => Outcome::Cancelled,
                (_, None) if run.errors.is_empty() => Outcome::Complete,
                (_, None) => Outcome::Incomplete,
            };
            run.finished_at = Some(self.now());
            if let Err(error) = history::conclude(self.catalogue(), &run, live.moves()).await {
                tracing::error!(run = live.id, %error, "a run could not be recorded");
                run.outcome = Outcome::Failed;
            }
            self.notifier.run_ended(&run, self.now());
            if let Err(error) = self.note_losses().await {
                tracing::error!(run = live.id, %error, "lost replicas could not be looked for");
            }
            tracing::info!(
                run = live.id,
                outcome = run.outcome.as_str(),
                moved = run.moved.files,
                copied = run.copied.files,
                removed = run.removed.files,
                errors = run.errors.len(),
                "a run has ended"
            );
        }
        let mut current = locked(&self.current);
        locked(&self.totals).add(&run);
        *current = None;
        drop(current);
        self.previews.run_ended();
        live.publish(run);
    }

    /// All phases. Errors of files and stores are noted; an error of the catalogue ends the run.
    async fn go_through(self: &Arc<Self>, live: &Arc<Live>) -> Result<Ended, CatalogueError> {
        if !live.gate().await {
            return Ok(ended(live));
        }
        let now = self.now();
        live.enter("stores", None, None);
        let looked = self.look_for_run(live).await?;
        let config = &self.config.maintenance;
        let transfer = Arc::clone(&self.transfer);
        let executor = Executor::new(transfer, Arc::clone(live), config, self.patience);
        let through = self.first_phases(live, &looked, now).await?
            && self.policies(live, &executor, &looked, now).await?
            && self.last_phases(live, &looked, &executor).await?;
        Ok(if through { Ended::Through } else { ended(live) })
    }

    /// Looks at every store at once and raises the generations of those that are ours.
    async fn look_for_run(&self, live: &Live) -> Result<Looked, CatalogueError> {
        let mut looked = self.look_at_stores().await;
        for (store, problem) in self.raise_generations(&looked.usable).await? {
            looked.usable.retain(|s| *s != store);
            looked.problems.insert(store, problem);
        }
        let settings = self.catalogue().settings();
        for (store, problem) in &looked.problems {
            let name = settings.topology.store_name(*store);
            let remedy = planner::check_store(*store, &settings.topology);
            let trouble = Trouble {
                phase: "stores",
                scope: None,
                store: Some(&name),
                cause: problem,
                remedy,
            };
            live.error(trouble, Count::default(), &[]);
        }
        Ok(looked)
    }

    /// Tells whoever wants to know when a store was lost or came back.
    pub(super) fn note_state(&self, id: StoreId, state: &HealthState) {
        let name = self.catalogue().settings().topology.store_name(id);
        self.notifier.store_seen((id, &name), state, self.now());
    }

    /// Reads every marker, all at once; each look has its own time-out.
    pub(super) async fn look_at_stores(&self) -> Looked {
        let settings = self.catalogue().settings();
        let stores: Vec<StoreId> = settings.topology.stores.keys().copied().collect();
        let looks = stores.into_iter().map(|id| async move {
            let state = self.transfer.stores.look(id).await;
            self.note_state(id, &state);
            (id, state)
        });
        let mut looked = Looked::default();
        for (id, state) in futures_util::future::join_all(looks).await {
            match state {
                HealthState::Ok => looked.usable.push(id),
                HealthState::Unknown => {
                    looked.problems.insert(id, "it was not looked at".to_owned());
                }
                HealthState::Unavailable(why) | HealthState::Foreign(why) => {
                    looked.problems.insert(id, said(&why, id, &settings.topology));
                }
            }
        }
        looked
    }

    /// Phases 2 to 6. False when the run is to end.
    async fn policies(
        self: &Arc<Self>,
        live: &Arc<Live>,
        executor: &Arc<Executor>,
        looked: &Looked,
        now: Timestamp,
    ) -> Result<bool, CatalogueError> {
        let mut driver = Driver::new();
        let mut first = true;
        let through = loop {
            if !live.gate().await {
                break false;
            }
            let scene = self.scene(live.id, now, looked, executor.skip_list.skipped());
            if std::mem::take(&mut first) {
                live.expect(self.ahead(&scene).await?);
            }
            let (returned, batch) = self.plan(driver, &scene).await?;
            driver = returned;
            let topology = &scene.settings.topology;
            let results = match batch {
                None => break true,
                Some(Ok(checked)) => {
                    let batch = checked.batch();
                    show(live, driver.position(), topology, batch);
                    let results = executor.execute(&checked, &scene).await?;
                    live.tally(batch, &results, topology);
                    results
                }
                Some(Err(refused)) => {
                    tell(live, &refused);
                    refused.results()
                }
            };
            driver.executed(&results);
        };
        let report = driver.finish(&self.catalogue().settings().topology);
        note_report(live, &report);
        Ok(through)
    }

    /// What the planner may look at, as of now.
    pub(super) fn scene(
        &self,
        run: u64,
        now: Timestamp,
        looked: &Looked,
        skipped: BTreeSet<StoreId>,
    ) -> Scene {
        let settings = self.catalogue().settings();
        let clock = self.now();
        let waits = |id: &&StoreId| self.transfer.urls.any_waiting(**id, clock);
        let deferred = settings.topology.stores.keys().filter(waits).copied().collect();
        let unavailable = looked.problems.keys().copied().chain(skipped).collect();
        Scene {
            settings,
            unavailable: Arc::new(unavailable),
            deferred: Arc::new(deferred),
            run,
            now,
            grace: self.config.maintenance.grace,
        }
    }

    async fn plan(
        &self,
        mut driver: Driver,
        scene: &Scene,
    ) -> Result<(Driver, Option<Result<Checked, Refused>>), CatalogueError> {
        let (catalogue, scene) = (Arc::clone(self.catalogue()), scene.clone());
        blocking(move || {
            let (view, world) = (View::take(&catalogue)?, scene.world());
            let batch = driver.next(&view, &world)?;
            let batch = batch.map(|batch| planner::admit(batch, &view, &world)).transpose()?;
            Ok((driver, batch))
        })
        .await
    }

    async fn ahead(&self, scene: &Scene) -> Result<Count, CatalogueError> {
        let (catalogue, scene) = (Arc::clone(self.catalogue()), scene.clone());
        blocking(move || planner::ahead(&View::take(&catalogue)?, &scene.world())).await
    }
}

fn ended(live: &Live) -> Ended {
    if live.wish() == Wish::Cancel { Ended::Cancelled } else { Ended::Stopped }
}

fn show(live: &Live, at: Position, topology: &Topology, batch: &Batch) {
    let scope = at.scope.map(|id| topology.scope_name(id));
    live.enter(at.phase.as_str(), scope, at.store.map(|id| topology.store_name(id)));
    let mut ahead = Count::default();
    batch.moves.iter().for_each(|step| ahead.add(step.size));
    live.expect(ahead);
}

fn tell(live: &Live, refused: &Refused) {
    for (step, violation) in &refused.broken {
        tracing::error!(run = live.id, ?step, %violation, "a plan breaks a rule and is not executed");
    }
}

/// Enters what the planner found unmet, and for whom replicas are kept.
fn note_report(live: &Live, report: &Report) {
    for class in &report.errors {
        let error = error_of(class);
        let trouble = Trouble {
            phase: &error.phase,
            scope: error.scope.as_deref(),
            store: error.store.as_deref(),
            cause: &error.cause,
            remedy: error.remedy.clone(),
        };
        live.error(trouble, Count::new(error.files, error.bytes), &error.digests);
    }
    live.retain(report.retained);
    for kept in &report.retained_for {
        live.warn(kept_for(kept));
    }
}

pub(super) fn error_of(class: &ErrorClass) -> RunError {
    RunError {
        phase: class.phase.as_str().to_owned(),
        scope: class.scope.as_ref().map(ToString::to_string),
        store: class.store.as_ref().map(ToString::to_string),
        cause: class.message.clone(),
        remedy: class.remedy.clone(),
        files: class.count.files,
        bytes: class.count.bytes,
        digests: class.digests.clone(),
    }
}

pub(super) fn kept_for(kept: &Retained) -> String {
    let (files, store) = (kept.count.files, &kept.store);
    let whose = kept.scope.as_ref().map_or_else(String::new, |scope| format!(" of scope {scope}"));
    format!("{}{whose} retained in {store} for scope {}", plural(files, "file"), kept.kept_for)
}

/// The answer of a dry run before it has moves.
pub(super) fn dry(now: Timestamp) -> Run {
    fresh_run(None, now)
}
