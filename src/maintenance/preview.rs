//! Previews: dry runs for those who look at a page, now and under settings that nobody saved yet.
//!
//! A dry run over millions of files takes seconds, so one is at work at a time, in a task of its own
//! that goes on when its asker leaves; those who ask for the same meanwhile share it, and its result
//! answers until it is old. Nothing here changes the catalogue (SPEC 13, 30).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::api::{MoveGroup, MoveView, Preview, StoreEffect};
use crate::catalogue::{CatalogueError, Settings};
use crate::domain::{FileId, Timestamp, Topology};

use super::dry::{Keep, Planned};
use super::{MOVES_KEPT, Maintenance, sane};

/// Moves kept under settings that are only thought of: their sums are what is looked at.
const MOVES_OF_A_THOUGHT: usize = 1_000;
/// Previews of different settings that are remembered.
const REMEMBERED: usize = 4;
/// Dry runs at work or waiting for their turn. More would wait for minutes on a large instance.
const SEATS: usize = 8;
/// A preview answers for so long, or for `PATIENCE` times what it took: one that takes long is not
/// begun again all the time.
const FRESH: Duration = Duration::from_secs(5);
const PATIENCE: u32 = 20;
/// What is said about one file is younger: people ask about the file that they just changed.
const FRESH_FOR_ONE: Duration = Duration::from_secs(3);

/// Why there is no preview.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PreviewError {
    /// Too many are waited for.
    #[error("{SEATS} previews of the next run are at work or waiting: try again in a moment")]
    Busy,
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

type Answer = Result<(Instant, Arc<Preview>), PreviewError>;

/// A preview that is there or under way.
#[derive(Debug)]
struct Entry {
    settings: Arc<Settings>,
    /// The moves that it keeps.
    moves: usize,
    /// The runs that had ended when it was begun.
    after: u64,
    answer: watch::Receiver<Option<Answer>>,
}

impl Entry {
    /// Whether another asker may have the answer, or wait for it.
    fn is_good(&self, ended: u64) -> bool {
        self.after == ended
            && match &*self.answer.borrow() {
                None => self.answer.has_changed().is_ok(),
                Some(Ok((begun, preview))) => {
                    begun.elapsed() < FRESH.max(preview.took.saturating_mul(PATIENCE))
                }
                Some(Err(_)) => false,
            }
    }

    fn is_of(&self, settings: &Settings, moves: usize) -> bool {
        self.moves >= moves && self.settings.topology == settings.topology
    }
}

/// The right to wait for a turn.
pub(super) type Seat = OwnedSemaphorePermit;

/// The right to make a dry run.
#[derive(Debug)]
pub(super) struct Turn {
    _seat: Seat,
    _turn: OwnedSemaphorePermit,
}

/// A preview, and what it was made from.
#[derive(Debug)]
struct Last {
    settings: Arc<Settings>,
    /// The runs that had ended when it was begun.
    after: u64,
    preview: Arc<Preview>,
}

/// All previews of an instance.
#[derive(Debug)]
pub(super) struct Previews {
    seats: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    /// Newest first.
    entries: Mutex<Vec<Entry>>,
    /// The newest one of the settings as they were.
    last: Mutex<Option<Last>>,
    ended: AtomicU64,
}

impl Previews {
    pub fn new() -> Self {
        Self {
            seats: Arc::new(Semaphore::new(SEATS)),
            turn: Arc::new(Semaphore::new(1)),
            entries: Mutex::default(),
            last: Mutex::default(),
            ended: AtomicU64::new(0),
        }
    }

    pub fn seat(&self) -> Result<Seat, PreviewError> {
        Arc::clone(&self.seats).try_acquire_owned().map_err(|_| PreviewError::Busy)
    }

    pub async fn turn(&self, seat: Seat) -> Result<Turn, PreviewError> {
        // Never closed; if it were, so were the instance.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.map(|turn| Turn { _seat: seat, _turn: turn })
            .map_err(|_| PreviewError::Catalogue(CatalogueError::Closed))
    }

    /// What was said about the next run is now said about the last one.
    pub fn run_ended(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
    }

    /// A fresh preview of these settings.
    fn known(&self, settings: &Settings) -> Option<Arc<Preview>> {
        let ended = self.ended.load(Ordering::Acquire);
        let entries = sane(&self.entries);
        let is_known = |e: &&Entry| e.is_of(settings, MOVES_KEPT) && e.is_good(ended);
        let answer = entries.iter().find(is_known)?.answer.borrow();
        answer.as_ref()?.as_ref().ok().map(|(_, preview)| Arc::clone(preview))
    }

    /// Forgets previews of these settings that are older; one under way stays.
    fn forget_older(&self, settings: &Settings, age: Duration) {
        let is_young = |entry: &Entry| match &*entry.answer.borrow() {
            None => true,
            Some(Ok((begun, _))) => begun.elapsed() < age,
            Some(Err(_)) => false,
        };
        sane(&self.entries).retain(|entry| !entry.is_of(settings, 0) || is_young(entry));
    }
}

impl Maintenance {
    /// What the next run would do as things are: a fresh answer, or a new one. The dry run goes on
    /// when the caller is dropped.
    pub async fn preview(self: &Arc<Self>) -> Result<Arc<Preview>, PreviewError> {
        self.ask(self.catalogue().settings(), MOVES_KEPT).await
    }

    /// The same from now on: a fresh answer will not do, one under way will.
    pub async fn preview_anew(self: &Arc<Self>) -> Result<Arc<Preview>, PreviewError> {
        let settings = self.catalogue().settings();
        self.previews.forget_older(&settings, Duration::ZERO);
        self.ask(settings, MOVES_KEPT).await
    }

    /// The newest of these answers, however old; never waits. `None` when a run has ended since, or
    /// the settings are others now: it would tell of moves that were made, or will not be.
    pub fn cached_preview(&self) -> Option<Arc<Preview>> {
        let settings = self.catalogue().settings();
        let ended = self.previews.ended.load(Ordering::Acquire);
        let last = sane(&self.previews.last);
        let holds =
            |last: &&Last| last.after == ended && last.settings.topology == settings.topology;
        last.as_ref().filter(holds).map(|last| Arc::clone(&last.preview))
    }

    /// The answer that `preview` would give at once.
    pub fn fresh_preview(&self) -> Option<Arc<Preview>> {
        let settings = self.catalogue().settings();
        self.previews.known(&settings)
    }

    /// What the next run would do with another configuration, which is not saved.
    pub async fn preview_with(
        self: &Arc<Self>,
        topology: Topology,
    ) -> Result<Arc<Preview>, PreviewError> {
        let settings = self.catalogue().settings();
        if settings.topology == topology {
            return self.ask(settings, MOVES_KEPT).await;
        }
        let thought_of = Settings { topology, ..Settings::default() };
        self.ask(Arc::new(thought_of), MOVES_OF_A_THOUGHT).await
    }

    /// What the next run would do with one file.
    pub async fn plan_of(self: &Arc<Self>, file: FileId) -> Result<Vec<MoveView>, PreviewError> {
        let Some(file) = self.catalogue().snapshot()?.file(file)? else {
            return Ok(Vec::new());
        };
        let digest = file.digest;
        // One that began before the file came, or came to where it is, knows nothing of that.
        let arrivals = file.replicas.iter().map(|replica| replica.stored_at);
        let newest = arrivals.chain([file.created_at]).max().unwrap_or_default();
        let age = self.now().since(newest).min(FRESH_FOR_ONE);
        let settings = self.catalogue().settings();
        // A plan that is listed whole answers for every file, so that those who ask share it.
        if self.cached_preview().is_none_or(|last| is_whole(&last)) {
            self.previews.forget_older(&settings, age);
            let preview = self.ask(Arc::clone(&settings), MOVES_KEPT).await?;
            if is_whole(&preview) {
                let moves = preview.run.moves.iter().flatten();
                return Ok(moves.filter(|m| m.digest == digest).cloned().collect());
            }
        }
        let turn = self.previews.turn(self.previews.seat()?).await?;
        let planned = self.plan_ahead(settings, Keep::Of(digest), turn).await?;
        Ok(planned.run.moves.unwrap_or_default())
    }

    async fn ask(
        self: &Arc<Self>,
        settings: Arc<Settings>,
        moves: usize,
    ) -> Result<Arc<Preview>, PreviewError> {
        let mut answer = self.begin_or_join(settings, moves)?;
        let told = answer.wait_for(Option::is_some).await.map(|told| told.clone());
        let why = "a preview of the next run ended early: see the log".to_owned();
        let ended = || Err(CatalogueError::Storage(why).into());
        told.ok().flatten().map_or_else(ended, |answer| answer.map(|(_, preview)| preview))
    }

    fn begin_or_join(
        self: &Arc<Self>,
        settings: Arc<Settings>,
        moves: usize,
    ) -> Result<watch::Receiver<Option<Answer>>, PreviewError> {
        let previews = &self.previews;
        let mut entries = sane(&previews.entries);
        let after = previews.ended.load(Ordering::Acquire);
        entries.retain(|entry| entry.is_good(after));
        if let Some(entry) = entries.iter().find(|entry| entry.is_of(&settings, moves)) {
            return Ok(entry.answer.clone());
        }
        let seat = previews.seat()?;
        let (tell, answer) = watch::channel(None);
        let (settings_of_entry, answer_of_entry) = (Arc::clone(&settings), answer.clone());
        let entry = Entry { settings: settings_of_entry, moves, after, answer: answer_of_entry };
        entries.insert(0, entry);
        entries.truncate(REMEMBERED);
        drop(entries);
        let me = Arc::clone(self);
        self.tasks.spawn(async move {
            let made = me.make(settings, moves, after, seat).await;
            tell.send_replace(Some(made));
        });
        Ok(answer)
    }

    async fn make(&self, settings: Arc<Settings>, moves: usize, after: u64, seat: Seat) -> Answer {
        let turn = self.previews.turn(seat).await?;
        let (begun, at) = (Instant::now(), self.now());
        let planned = self.plan_ahead(Arc::clone(&settings), Keep::First(moves), turn).await?;
        let preview = Arc::new(summed(planned, at, begun.elapsed()));
        if self.catalogue().settings().topology == settings.topology {
            let last = Last { settings, after, preview: Arc::clone(&preview) };
            *sane(&self.previews.last) = Some(last);
        }
        Ok((begun, preview))
    }
}

/// Whether all its moves are listed.
fn is_whole(preview: &Preview) -> bool {
    let listed = preview.run.moves.as_ref().map_or(0, Vec::len);
    listed as u64 == preview.moves_total
}

fn summed(planned: Planned, at: Timestamp, took: Duration) -> Preview {
    let Planned { run, groups, total } = planned;
    Preview { at, took, run, moves_total: total, stores: effects(&groups), groups }
}

/// A copy arrives, a removal leaves, a move does both.
fn effects(groups: &[MoveGroup]) -> Vec<StoreEffect> {
    let mut stores = BTreeMap::<&str, StoreEffect>::new();
    for group in groups {
        if let Some(to) = &group.to {
            stores.entry(to).or_default().incoming.add_all(group.count);
        }
        if let Some(from) = group.leaves() {
            stores.entry(from).or_default().outgoing.add_all(group.count);
        }
    }
    let named =
        |(name, effect): (&str, StoreEffect)| StoreEffect { store: name.to_owned(), ..effect };
    stores.into_iter().map(named).collect()
}
