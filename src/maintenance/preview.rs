//! Previews: dry runs for those who look at a page, now and under settings that nobody saved yet.
//!
//! A dry run over millions of files takes seconds, so one is at work at a time, in a task of its own
//! that goes on when its asker leaves; those who ask for the same meanwhile share it, and its result
//! answers until it is old. Nothing here changes the catalogue (SPEC 13, 30).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::api::Preview;
use crate::catalogue::{CatalogueError, Changes, Mark, Settings};
use crate::domain::{Digest, FileId, Topology};

use super::dry_run::{Keep, PreviewError, Seat};
use super::{MOVES_KEPT, Maintenance, locked};

/// Moves kept under settings that nobody saved: their sums are what is looked at.
const MOVES_KEPT_UNSAVED: usize = 1_000;
/// Previews of different settings that are remembered.
const REMEMBERED: usize = 4;
/// A preview answers for so long, or for so many times what it took: one that takes long is not begun
/// again all the time.
const FRESH: Duration = Duration::from_secs(5);
const FRESH_PER_TIME_TAKEN: u32 = 20;

/// What somebody wants to know of the next run.
#[derive(Debug, Clone, PartialEq)]
pub enum PreviewRequest {
    /// Its sums and first moves.
    Sums(Freshness),
    /// Every move of the next run as of now.
    EveryMove,
    /// Every move of this file, and maybe others', as of the file's last change or later.
    File(FileId, Digest),
    /// The sums as if this, which is not saved, were the configuration.
    With(Topology),
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Some seconds, and some minutes where looking takes long.
    Recent,
    /// Ready only after the question; one that is under way will do.
    New,
}

/// A preview that nobody has to wait for.
#[derive(Debug, Clone)]
pub struct KnownPreview {
    pub preview: Arc<Preview>,
    /// Whether it is recent: as new as an answer that is waited for.
    pub is_fresh: bool,
}

/// When it was ready, and the preview.
type Ready = Result<(Instant, Arc<Preview>), PreviewError>;

/// What a preview that is shared has to be.
struct Terms {
    settings: Arc<Settings>,
    /// The moves that it keeps, at least.
    moves: usize,
    /// A file that the asker may just have changed: an answer from before that will not do.
    about: Option<FileId>,
}

/// A preview that is there or under way.
#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    /// The moves that it keeps.
    moves: usize,
    /// The runs that had ended when it was begun.
    after: u64,
    /// Changes of files that it has for certain.
    mark: Mark,
    ready: watch::Receiver<Option<Ready>>,
}

impl Shared {
    /// Whether another asker may have the answer, or wait for it.
    fn is_good(&self, ended: u64) -> bool {
        self.after == ended
            && match &*self.ready.borrow() {
                None => self.ready.has_changed().is_ok(),
                Some(Ok((since, preview))) => is_fresh(*since, preview),
                Some(Err(_)) => false,
            }
    }

    fn is_of(&self, settings: &Settings, moves: usize) -> bool {
        self.moves >= moves && self.settings.topology == settings.topology
    }

    fn is_ready(&self) -> bool {
        self.ready.borrow().is_some()
    }

    fn meets(&self, terms: &Terms, changes: &Changes) -> bool {
        let has = |file: FileId| !changes.is_changed_since(file, self.mark);
        self.is_of(&terms.settings, terms.moves) && terms.about.is_none_or(has)
    }
}

fn is_fresh(ready: Instant, preview: &Preview) -> bool {
    ready.elapsed() < FRESH.max(preview.took.saturating_mul(FRESH_PER_TIME_TAKEN))
}

/// The newest preview of the settings as they were, and what it was made from.
#[derive(Debug)]
struct Newest {
    settings: Arc<Settings>,
    /// The runs that had ended when it was begun.
    after: u64,
    ready: Instant,
    preview: Arc<Preview>,
}

/// All previews of an instance.
#[derive(Debug, Default)]
pub(super) struct Previews {
    /// Newest first.
    shared: Mutex<Vec<Shared>>,
    newest: Mutex<Option<Newest>>,
    ended: AtomicU64,
}

impl Previews {
    /// What was said about the next run is now said about the last one.
    pub fn run_ended(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets previews of these settings; one under way stays.
    fn forget(&self, settings: &Settings) {
        locked(&self.shared).retain(|entry| !entry.is_of(settings, 0) || !entry.is_ready());
    }
}

impl Maintenance {
    /// What the next run would do; nothing is changed. A dry run that others may share goes on when
    /// the caller is dropped.
    pub async fn preview(
        self: &Arc<Self>,
        wanted: PreviewRequest,
    ) -> Result<Arc<Preview>, PreviewError> {
        let settings = self.catalogue().settings();
        match wanted {
            PreviewRequest::Sums(freshness) => {
                if freshness == Freshness::New {
                    self.previews.forget(&settings);
                }
                self.share(Terms::now(settings)).await
            }
            PreviewRequest::EveryMove => self.look(settings, Keep::All).await,
            PreviewRequest::File(file, digest) => self.look_at_file(settings, file, digest).await,
            PreviewRequest::With(topology) if topology == settings.topology => {
                self.share(Terms::now(settings)).await
            }
            PreviewRequest::With(topology) => {
                let settings = Arc::new(Settings { topology, ..Settings::default() });
                self.share(Terms { settings, moves: MOVES_KEPT_UNSAVED, about: None }).await
            }
        }
    }

    /// The newest preview of the settings as they are, however old; never waits. `None` when a run has
    /// ended since, or the settings are others now: it would tell of moves that were made, or will not
    /// be.
    pub fn known_preview(&self) -> Option<KnownPreview> {
        let settings = self.catalogue().settings();
        let ended = self.previews.ended.load(Ordering::Acquire);
        let newest = locked(&self.previews.newest);
        let newest = newest.as_ref().filter(|newest| {
            newest.after == ended && newest.settings.topology == settings.topology
        })?;
        let is_fresh = is_fresh(newest.ready, &newest.preview);
        Some(KnownPreview { preview: Arc::clone(&newest.preview), is_fresh })
    }

    /// A plan that is listed whole answers for every file, so that those who ask share it. Only for a
    /// file that was changed since is another one begun; the old one stays for the others.
    async fn look_at_file(
        self: &Arc<Self>,
        settings: Arc<Settings>,
        file: FileId,
        digest: Digest,
    ) -> Result<Arc<Preview>, PreviewError> {
        if self.known_preview().is_none_or(|known| known.preview.is_whole()) {
            let terms = Terms { about: Some(file), ..Terms::now(Arc::clone(&settings)) };
            let preview = self.share(terms).await?;
            if preview.is_whole() {
                return Ok(preview);
            }
        }
        self.look(settings, Keep::Of(digest)).await
    }

    /// A dry run that nobody shares.
    async fn look(
        &self,
        settings: Arc<Settings>,
        keep: Keep,
    ) -> Result<Arc<Preview>, PreviewError> {
        let seat = self.dry_runs.seat()?;
        Ok(Arc::new(self.dry_run(settings, keep, seat).await?))
    }

    async fn share(self: &Arc<Self>, terms: Terms) -> Result<Arc<Preview>, PreviewError> {
        let mut ready = self.begin_or_join(terms)?;
        let told = ready.wait_for(Option::is_some).await.map(|told| told.clone());
        let why = "a preview of the next run ended early: see the log".to_owned();
        let ended = || Err(CatalogueError::Storage(why).into());
        told.ok().flatten().map_or_else(ended, |ready| ready.map(|(_, preview)| preview))
    }

    fn begin_or_join(
        self: &Arc<Self>,
        terms: Terms,
    ) -> Result<watch::Receiver<Option<Ready>>, PreviewError> {
        let mut shared = locked(&self.previews.shared);
        let after = self.previews.ended.load(Ordering::Acquire);
        shared.retain(|entry| entry.is_good(after));
        let changes = self.catalogue().changes();
        // One that is ready before one that is newer and under way.
        let good = shared.iter().filter(|entry| entry.meets(&terms, changes));
        if let Some(entry) = good.min_by_key(|entry| !entry.is_ready()) {
            return Ok(entry.ready.clone());
        }
        let seat = self.dry_runs.seat()?;
        let Terms { settings, moves, about: _ } = terms;
        let (tell, ready) = watch::channel(None);
        // Of the answers that are ready, the newest is better than all others.
        let mut has_one = false;
        let is_old = |e: &Shared| e.is_ready() && e.is_of(&settings, moves);
        shared.retain(|entry| !(is_old(entry) && std::mem::replace(&mut has_one, true)));
        let mark = changes.mark();
        let entry =
            Shared { settings: Arc::clone(&settings), moves, after, mark, ready: ready.clone() };
        shared.insert(0, entry);
        shared.truncate(REMEMBERED);
        drop(shared);
        let me = Arc::clone(self);
        self.tasks.spawn(async move {
            let made = me.make(settings, moves, after, seat).await;
            tell.send_replace(Some(made));
        });
        Ok(ready)
    }

    async fn make(&self, settings: Arc<Settings>, moves: usize, after: u64, seat: Seat) -> Ready {
        let preview = self.dry_run(Arc::clone(&settings), Keep::First(moves), seat).await?;
        let (ready, preview) = (Instant::now(), Arc::new(preview));
        if self.catalogue().settings().topology == settings.topology {
            let newest = Newest { settings, after, ready, preview: Arc::clone(&preview) };
            *locked(&self.previews.newest) = Some(newest);
        }
        Ok((ready, preview))
    }
}

impl Terms {
    /// The next run under the settings as they are.
    fn now(settings: Arc<Settings>) -> Self {
        Self { settings, moves: MOVES_KEPT, about: None }
    }
}
