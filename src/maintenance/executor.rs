//! Executes a batch: copies first, each followed by the removal that completes it, then the
//! removals that need no copy. Decides nothing: what no longer holds is skipped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use crate::api::Count;
use crate::catalogue::{CatalogueError, Settings};
use crate::domain::{Diagnosis, StoreId};
use crate::planner::{Action, Batch, Checked, Move, MoveResult, Phase, check_store};
use crate::stores::StoreError;
use crate::transfer::{CopyError, Granted, Intent, Kept, Reaped, Removal, Transfer};

use super::live::{Live, Trouble, Wish};
use super::pace::{Pulse, Throttle, metered};
use super::skip_list::SkipList;
use super::view::Scene;
use super::{locked, said};

/// Moves under way at once, those that wait for a commit or a delete included: as many share one
/// commit.
const IN_FLIGHT: usize = 64;

/// What the moves of one run share.
#[derive(Debug)]
pub struct Executor {
    pub transfer: Arc<Transfer>,
    pub live: Arc<Live>,
    pub skip_list: Arc<SkipList>,
    throttle: Arc<Throttle>,
    /// Transfers of bytes at once.
    permits: Arc<Semaphore>,
    patience: Duration,
}

type Done = (usize, Result<MoveResult, CatalogueError>);

/// Moves under way; their results by index.
struct Flight {
    tasks: JoinSet<Done>,
    results: Vec<MoveResult>,
    broken: Option<CatalogueError>,
}

impl Flight {
    fn new(moves: usize) -> Self {
        Self { tasks: JoinSet::new(), results: vec![MoveResult::Skipped; moves], broken: None }
    }

    fn land(&mut self, landed: Result<Done, JoinError>) {
        match landed {
            Ok((i, Ok(result))) => self.results[i] = result,
            Ok((_, Err(error))) => self.broken = Some(error),
            Err(error) => {
                self.broken = Some(CatalogueError::Storage(format!("a move ended: {error}")));
            }
        }
    }

    /// Waits until another move may begin.
    async fn room(&mut self) {
        while self.tasks.len() >= IN_FLIGHT {
            if let Some(landed) = self.tasks.join_next().await {
                self.land(landed);
            }
        }
    }

    async fn all(&mut self) {
        while let Some(landed) = self.tasks.join_next().await {
            self.land(landed);
        }
    }
}

impl Executor {
    pub fn new(
        transfer: Arc<Transfer>,
        live: Arc<Live>,
        config: &crate::config::Maintenance,
        patience: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            transfer,
            live,
            skip_list: Arc::default(),
            throttle: Arc::new(Throttle::new(config.bandwidth)),
            permits: Arc::new(Semaphore::new(config.concurrency.max(1))),
            patience,
        })
    }

    /// What became of each move, in the order of the batch. Moves that were not begun when the run
    /// was to end are skipped.
    pub async fn execute(
        self: &Arc<Self>,
        checked: &Checked,
        scene: &Scene,
    ) -> Result<Vec<MoveResult>, CatalogueError> {
        let batch = checked.batch();
        let mut flight = Flight::new(batch.moves.len());
        let copied = self.copies(batch, scene, &mut flight).await;
        // Nothing is dropped half way, whatever happened.
        flight.all().await;
        copied?;
        self.removals(batch, scene, &mut flight).await;
        flight.all().await;
        match flight.broken {
            Some(error) => Err(error),
            None => Ok(flight.results),
        }
    }

    async fn copies(
        self: &Arc<Self>,
        batch: &Batch,
        scene: &Scene,
        flight: &mut Flight,
    ) -> Result<(), CatalogueError> {
        let is_copy = |i: &usize| batch.moves[*i].action != Action::Remove;
        let mut waiting: VecDeque<usize> = (0..batch.moves.len()).filter(is_copy).collect();
        while !waiting.is_empty() && flight.broken.is_none() {
            if !self.live.copy_gate().await {
                return Ok(());
            }
            waiting.retain(|i| self.is_usable(&batch.moves[*i]));
            let intents = waiting.iter().filter_map(|i| intent(&batch.moves[*i])).collect();
            let granted = self.transfer.intend(intents).await?;
            let mut begun = VecDeque::new();
            for (i, granted) in waiting.drain(..).zip(granted) {
                match granted {
                    Ok(granted) => begun.push_back((i, granted)),
                    Err(why) => {
                        let step = &batch.moves[i];
                        let to = step.to.map(|id| scene.settings.topology.store_name(id));
                        tracing::debug!(store = to, digest = %step.digest, %why, "a copy is skipped");
                        self.live.step_done(step.size);
                    }
                }
            }
            let left = self.fly(batch, scene, flight, begun).await;
            waiting.extend(left.iter().map(|(i, _)| *i));
            if !left.is_empty() {
                self.transfer.withdraw(left.into_iter().map(|(_, g)| g).collect()).await?;
            }
        }
        Ok(())
    }

    /// Begins copies one after the other as long as that is wanted; returns the others.
    async fn fly(
        self: &Arc<Self>,
        batch: &Batch,
        scene: &Scene,
        flight: &mut Flight,
        mut begun: VecDeque<(usize, Granted)>,
    ) -> Vec<(usize, Granted)> {
        let mut left = Vec::new();
        while let Some((i, granted)) = begun.pop_front() {
            flight.room().await;
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let Ok(permit) = permit else { break };
            if !self.live.may_copy() || flight.broken.is_some() {
                left.push((i, granted));
                left.extend(begun);
                return left;
            }
            if !self.is_usable(&batch.moves[i]) {
                left.push((i, granted));
                continue;
            }
            let (me, step) = (Arc::clone(self), batch.moves[i].clone());
            let (scene, phase) = (scene.clone(), batch.phase);
            let copying = async move {
                let result = me.copy(&step, granted, permit, &scene, phase).await;
                me.live.step_done(step.size);
                (i, result)
            };
            flight.tasks.spawn(copying.in_current_span());
        }
        left
    }

    async fn removals(self: &Arc<Self>, batch: &Batch, scene: &Scene, flight: &mut Flight) {
        for (i, step) in batch.moves.iter().enumerate() {
            if step.action != Action::Remove {
                continue;
            }
            flight.room().await;
            if flight.broken.is_some() || !self.live.gate().await {
                return;
            }
            if !self.is_usable(step) {
                continue;
            }
            let (me, step) = (Arc::clone(self), step.clone());
            let (scene, phase) = (scene.clone(), batch.phase);
            let removing = async move {
                let result = me.remove(&step, &scene, phase).await;
                me.live.step_done(step.size);
                (i, result)
            };
            flight.tasks.spawn(removing.in_current_span());
        }
    }

    /// False when a store that the move needs is skipped by now.
    fn is_usable(&self, step: &Move) -> bool {
        let skipped = |store: Option<StoreId>| store.is_some_and(|s| self.skip_list.is_skipped(s));
        !skipped(step.to) && !skipped(step.leaves())
    }

    async fn copy(
        self: &Arc<Self>,
        step: &Move,
        granted: Granted,
        permit: OwnedSemaphorePermit,
        scene: &Scene,
        phase: Phase,
    ) -> Result<MoveResult, CatalogueError> {
        let pulse = Pulse::new();
        let (me, beat) = (Arc::clone(self), Arc::clone(&pulse));
        let settings = Arc::clone(&scene.settings);
        // Whoever learns first that the bytes no longer move gives the permit back.
        let permit = Arc::new(Mutex::new(Some(permit)));
        let release = |permit: &Mutex<Option<OwnedSemaphorePermit>>| drop(locked(permit).take());
        let slot = Arc::clone(&permit);
        let copying = async move {
            let wrap = |source| metered(source, &me.live, &me.throttle, &beat);
            let arrived = || release(&slot);
            let copied = me.transfer.fulfil(&granted, arrived, &wrap).await;
            // A failure is noted before the next transfer begins.
            let copied = copied.map_err(|error| match me.live.wish() {
                // Cut short on purpose: the run goes on after the next start.
                Wish::Stop => Ok(MoveResult::Skipped),
                Wish::Go | Wish::Pause | Wish::Cancel => me.copy_failed(&granted, &settings, error),
            });
            release(&slot);
            copied
        };
        let mut job = tokio::spawn(copying.in_current_span());
        let copied = loop {
            match tokio::time::timeout(self.patience / 4, &mut job).await {
                Ok(copied) => break copied,
                Err(_) if pulse.idle() < self.patience => {}
                // Left alone, not dropped: it ends by itself and tidies up.
                Err(_) => {
                    release(&permit);
                    let store = if pulse.waits_for_source() { step.from } else { step.to };
                    return Ok(self.no_answer(store, &scene.settings));
                }
            }
        };
        match copied {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => return failed,
            Err(error) => {
                return Err(CatalogueError::Storage(format!("a copy ended: {error}")));
            }
        }
        if let Some(to) = step.to {
            self.skip_list.success(to);
        }
        if step.action == Action::Copy {
            return Ok(MoveResult::Done);
        }
        match self.remove(step, scene, phase).await? {
            MoveResult::Skipped => Ok(MoveResult::Copied),
            other => Ok(other),
        }
    }

    fn copy_failed(
        &self,
        granted: &Granted,
        settings: &Settings,
        error: CopyError,
    ) -> Result<MoveResult, CatalogueError> {
        let Intent { to, via, digest, .. } = &granted.intent;
        let (scope, store) =
            (settings.topology.scope_name(*via), settings.topology.store_name(*to));
        tracing::warn!(scope, store, %digest, %error, "a copy failed");
        let (store, cause) = match error {
            CopyError::Target { store, error } => (Some(store), text(&error)),
            CopyError::NoSource { store, last: Some(last) } => {
                (store, format!("no readable source: {last}"))
            }
            CopyError::NoSource { store, last: None } => (store, "no readable source".to_owned()),
            CopyError::Catalogue(error) => return Err(error),
        };
        Ok(self.failed(store, cause, settings))
    }

    async fn remove(
        &self,
        step: &Move,
        scene: &Scene,
        phase: Phase,
    ) -> Result<MoveResult, CatalogueError> {
        let Some(store) = step.leaves() else { return Ok(MoveResult::Skipped) };
        let name = || scene.settings.topology.store_name(store);
        let removal = Removal {
            file: step.file,
            store,
            run: scene.run,
            now: scene.now,
            grace: scene.grace,
            unavailable: Arc::clone(&scene.unavailable),
            deferred: Arc::clone(&scene.deferred),
        };
        // Each store is waited for by itself, so that who does not answer is known.
        let confirmed = self.transfer.confirm_others(&removal, self.patience).await?;
        let (silent, troubled) = (confirmed.silent.clone(), confirmed.troubled.clone());
        for other in &silent {
            self.no_answer(Some(*other), &scene.settings);
        }
        let transfer = Arc::clone(&self.transfer);
        let removing = async move { transfer.give_up(removal, confirmed).await };
        let job = tokio::spawn(removing.in_current_span());
        let given_up = match tokio::time::timeout(self.patience, job).await {
            Ok(Ok(given_up)) => given_up,
            Ok(Err(error)) => {
                return Err(CatalogueError::Storage(format!("a removal ended: {error}")));
            }
            Err(_) => return Ok(self.no_answer(Some(store), &scene.settings)),
        };
        match given_up {
            Ok(Reaped::Failed(problem)) => {
                // The replica is given up; its bytes go when the store lets them.
                self.note_failure(store, &scene.settings);
                let cause = format!("the deletion has to be repeated: {problem}");
                let trouble = Trouble {
                    phase: phase.as_str(),
                    scope: None,
                    store: Some(&name()),
                    cause: &cause,
                    remedy: None,
                };
                self.live.error(trouble, Count { files: 1, bytes: step.size }, &[step.digest]);
                Ok(MoveResult::Done)
            }
            Ok(Reaped::Gone | Reaped::Revived | Reaped::Later(_)) => {
                self.skip_list.success(store);
                Ok(MoveResult::Done)
            }
            Err(Kept::NotOurs(problem)) => {
                let problem = said(&problem, store, &scene.settings.topology);
                Ok(self.failed(Some(store), problem, &scene.settings))
            }
            Err(Kept::Catalogue(error)) => Err(error),
            Err(why @ (Kept::Changed | Kept::InUse)) => {
                tracing::debug!(store = name(), digest = %step.digest, %why, "a removal is skipped");
                Ok(MoveResult::Skipped)
            }
            Err(why @ Kept::Pinned(_)) => {
                tracing::debug!(store = name(), digest = %step.digest, %why, "a removal is skipped");
                match silent.first() {
                    Some(other) => Ok(self.no_answer(Some(*other), &scene.settings)),
                    None => self.unconfirmed(step, store, scene, troubled),
                }
            }
        }
    }

    /// A replica stays because no other one counts. When a store that has one does not answer, or
    /// answers with an error, that is a failure of that store.
    fn unconfirmed(
        &self,
        step: &Move,
        leaving: StoreId,
        scene: &Scene,
        troubled: BTreeMap<StoreId, Diagnosis>,
    ) -> Result<MoveResult, CatalogueError> {
        let Some(file) = self.transfer.catalogue.snapshot()?.file(step.file)? else {
            return Ok(MoveResult::Skipped);
        };
        let silent = file.present().filter(|s| *s != leaving && !scene.unavailable.contains(s));
        let silent = silent
            .map(|s| (s, self.transfer.stores.last_seen(s)))
            .find(|(_, state)| state.problem().is_some());
        Ok(match silent {
            Some((store, state)) => {
                let problem = said(&state.obstacle(), store, &scene.settings.topology);
                self.failed(Some(store), problem, &scene.settings)
            }
            None => match troubled.into_iter().next() {
                Some((store, problem)) => {
                    let problem = said(&problem, store, &scene.settings.topology);
                    self.failed(Some(store), problem, &scene.settings)
                }
                None => MoveResult::Skipped,
            },
        })
    }

    fn failed(&self, store: Option<StoreId>, cause: String, settings: &Settings) -> MoveResult {
        if let Some(store) = store {
            self.note_failure(store, settings);
        }
        MoveResult::Failed { store, cause: cause.into() }
    }

    fn note_failure(&self, store: StoreId, settings: &Settings) {
        if self.skip_list.failure(store) {
            self.skipped(store, settings, "five failures in a row");
        }
    }

    fn no_answer(&self, store: Option<StoreId>, settings: &Settings) -> MoveResult {
        let cause = format!("no answer for {} s", self.patience.as_secs());
        if let Some(store) = store
            && self.skip_list.skip(store)
        {
            self.skipped(store, settings, &cause);
        }
        MoveResult::Failed { store, cause: cause.into() }
    }

    fn skipped(&self, store: StoreId, settings: &Settings, why: &str) {
        let name = settings.topology.store_name(store);
        tracing::warn!(store = %name, why, "the run goes on without a store");
        let cause = format!(
            "skipped for the rest of the run after {why}: run `hayloft store check {name}`"
        );
        let remedy = check_store(store, &settings.topology);
        let trouble =
            Trouble { phase: "stores", scope: None, store: Some(&name), cause: &cause, remedy };
        self.live.error(trouble, Count::default(), &[]);
    }
}

fn intent(step: &Move) -> Option<Intent> {
    let (to, via) = (step.to?, step.via?);
    Some(Intent { file: step.file, digest: step.digest, size: step.size, to, via })
}

/// A cause that files share: sizes and digests would make each its own class.
fn text(error: &StoreError) -> String {
    match error {
        StoreError::Mismatch(_) => "the store received other bytes than were sent".to_owned(),
        StoreError::Full(_) => "the store has no room left".to_owned(),
        other => other.to_string(),
    }
}
