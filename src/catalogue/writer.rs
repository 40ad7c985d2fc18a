//! The one writer: a thread that runs queued jobs, many in one durable commit (group commit).
//!
//! While a commit syncs, further jobs queue up; they share the next commit. A job that fails after it
//! changed something is undone by aborting the transaction and running the others again without it.
//! After a failed commit redb refuses to write until the file is opened again: the ballast file is
//! given up to make room, the file reopened, and the callers of that commit get the error.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::{mpsc, oneshot};

use super::tx::{Published, Tx};
use super::{CatalogueError, Changes, Ledger, Settings, open};
use crate::clock::Clock;
use crate::domain::Timestamp;

/// Jobs per commit: enough to saturate any disk, small enough to keep the latency of a commit low.
const BATCH: usize = 512;
const QUEUE: usize = 4096;

/// Whether a job's changes are to be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Undo,
}

type Job = Box<dyn FnMut(&mut Tx<'_>) -> Verdict + Send>;

enum Request {
    Run { job: Job, reply: oneshot::Sender<Result<(), CatalogueError>> },
    Close(oneshot::Sender<()>),
}

/// The open file, replaced when it has to be opened again; `None` once closed.
#[derive(Debug)]
pub struct SharedDatabase {
    path: PathBuf,
    cache: usize,
    database: RwLock<Option<Database>>,
}

impl SharedDatabase {
    pub fn new(path: PathBuf, cache: usize, database: Database) -> Self {
        Self { path, cache, database: RwLock::new(Some(database)) }
    }

    pub fn begin_read(&self) -> Result<ReadTransaction, CatalogueError> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(guard.as_ref().ok_or(CatalogueError::Closed)?.begin_read()?)
    }

    pub fn close(&self) -> Result<(), CatalogueError> {
        let taken = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        taken.map_or(Ok(()), |db| db.close().map_err(CatalogueError::from))
    }

    /// Opens the file again after a failed commit. Readers still at work keep the old handle alive, and
    /// with it the lock, so this waits for them.
    fn reopen(&self) {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old handle must be gone before the lock can be had; its close fails like the commit did.
        drop(guard.take());
        for attempt in 0u32.. {
            match open::open_file(&self.path, self.cache) {
                Ok(database) => {
                    *guard = Some(database);
                    tracing::info!("the catalogue was opened again");
                    return;
                }
                Err(error) => {
                    if attempt.is_multiple_of(100) {
                        tracing::error!(%error, "the catalogue cannot be opened again yet");
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

/// Sends jobs to the writer thread.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Sender<Request>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

pub struct WriterState {
    pub database: Arc<SharedDatabase>,
    pub settings: Arc<RwLock<Arc<Settings>>>,
    pub ledger: Arc<Ledger>,
    pub changes: Arc<Changes>,
    pub clock: Clock,
    /// Creation time of the newest file.
    pub last_created: Timestamp,
}

impl Writer {
    pub fn start(state: WriterState) -> Result<Self, CatalogueError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("catalogue".to_owned())
            .spawn(move || write_loop(state, requests))
            .map_err(|e| CatalogueError::Storage(format!("no thread for the writer: {e}")))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    pub async fn write<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogueError> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let result = Arc::clone(&slot);
        let job: Job = Box::new(move |tx| {
            let outcome = job(tx);
            let verdict = if outcome.is_ok() { Verdict::Keep } else { Verdict::Undo };
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            verdict
        });
        self.submit(job).await?;
        let outcome = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.unwrap_or_else(|| Err(CatalogueError::Closed.into()))
    }

    /// Boxed, so that waiting is compiled once and not for every kind of job.
    fn submit(&self, job: Job) -> BoxFuture<'_, Result<(), CatalogueError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let sent = self.queue.send(Request::Run { job, reply }).await;
            sent.map_err(|_| CatalogueError::Closed)?;
            answer.await.map_err(|_| CatalogueError::Closed)?
        })
    }

    /// Ends the thread after the jobs that are queued already.
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.queue.send(Request::Close(done)).await.is_ok() {
            // An error means that the thread has ended, which is what is wanted.
            ended.await.ok();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the catalogue's writer ended in a panic");
        }
    }
}

struct Queued {
    job: Job,
    reply: oneshot::Sender<Result<(), CatalogueError>>,
}

fn write_loop(mut state: WriterState, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.blocking_recv() {
        let mut batch = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Run { job, reply } => batch.push(Queued { job, reply }),
                Request::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            next = if batch.len() < BATCH { requests.try_recv().ok() } else { None };
        }
        commit_batch(&mut state, batch);
        if let Some(done) = closing {
            drop(state);
            // The closer may have given up waiting.
            done.send(()).ok();
            return;
        }
    }
}

/// Runs the jobs until a transaction holds only those that succeed, commits it and answers.
fn commit_batch(state: &mut WriterState, mut batch: Vec<Queued>) {
    while !batch.is_empty() {
        match std::panic::catch_unwind(AssertUnwindSafe(|| try_commit(state, &mut batch))) {
            Ok(Ok(Attempt::Undone(index))) => answer(batch.remove(index), Ok(())),
            Ok(Ok(Attempt::Committed)) => {
                for queued in batch {
                    answer(queued, Ok(()));
                }
                return;
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a catalogue commit failed");
                if error.needs_reopen() {
                    open::give_up_ballast(state.database.path.as_path());
                    state.database.reopen();
                }
                for queued in batch {
                    answer(queued, Err(error.clone()));
                }
                return;
            }
            Err(_) => {
                tracing::error!("a catalogue job panicked; its commit was rolled back");
                let error = CatalogueError::Storage("a write was rolled back".to_owned());
                for queued in batch {
                    answer(queued, Err(error.clone()));
                }
                return;
            }
        }
    }
}

fn answer(queued: Queued, result: Result<(), CatalogueError>) {
    // A caller that went away does not need its answer.
    queued.reply.send(result).ok();
}

enum Attempt {
    Committed,
    /// The job at this index failed after changing something; nothing was committed.
    Undone(usize),
}

fn try_commit(state: &mut WriterState, batch: &mut [Queued]) -> Result<Attempt, CatalogueError> {
    let guard = state.database.database.read().unwrap_or_else(PoisonError::into_inner);
    let database = guard.as_ref().ok_or(CatalogueError::Closed)?;
    let mut txn = database.begin_write()?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    let now = state.clock.now();
    let settings = Arc::clone(&state.settings.read().unwrap_or_else(PoisonError::into_inner));
    let mut tx = Tx::open(&txn, settings, now, state.last_created)?;
    let mut changed = false;
    for (index, queued) in batch.iter_mut().enumerate() {
        tx.dirty = false;
        let verdict = (queued.job)(&mut tx);
        if verdict == Verdict::Undo && tx.dirty {
            drop(tx);
            txn.abort()?;
            return Ok(Attempt::Undone(index));
        }
        changed |= tx.dirty;
    }
    if !changed {
        drop(tx);
        txn.abort()?;
        return Ok(Attempt::Committed);
    }
    let published = tx.finish()?;
    txn.commit()?;
    drop(guard);
    state.last_created = published.last_created;
    publish(state, published);
    Ok(Attempt::Committed)
}

fn publish(state: &WriterState, published: Published) {
    if let Some(settings) = published.settings {
        *state.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
    state.ledger.settle(&published.totals, &published.used);
    state.changes.note(&published.files);
}

/// Test hook and tool for `open`: the path that belongs to the database file.
pub fn ballast_path(path: &Path) -> PathBuf {
    path.with_extension("ballast")
}
