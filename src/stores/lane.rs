//! The threads that one disk may hold.
//!
//! A call to a disk that hangs cannot be taken back: its thread waits in the kernel until the disk
//! answers. Each local store therefore has lanes of its own into the threads that the whole program
//! shares, and a lane that is full of unanswered calls lets no further one in. The place in the
//! lane is held by the blocking work itself, so that a caller who gives up does not free it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

use super::StoreError;
use crate::domain::StoreProblem;

/// The longest silence of a disk, as long as that of a provider: one that sleeps needs ten seconds or
/// more to come up to speed.
pub const SILENCE: Duration = Duration::from_secs(30);

/// A bounded number of blocking calls at once. All clones share it.
#[derive(Debug, Clone)]
pub struct Lane(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    /// Signs of life: calls that ended, and steps of long ones.
    beats: AtomicU64,
    silence: Duration,
}

/// A place in the lane, held until the call has ended.
struct Place {
    _permit: OwnedSemaphorePermit,
    lane: Arc<Inner>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.beats.fetch_add(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// At most `threads` calls at once; a lane in which nothing ends for `silence` is given up.
    pub fn new(threads: usize, silence: Duration) -> Self {
        let places = Arc::new(Semaphore::new(threads));
        Self(Arc::new(Inner { places, beats: AtomicU64::new(0), silence }))
    }

    /// A long call got on.
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn try_enter(&self) -> Option<Place> {
        let permit = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        Some(Place { _permit: permit, lane: Arc::clone(&self.0) })
    }

    async fn enter(&self) -> Result<Place, StoreError> {
        match self.try_enter() {
            Some(place) => Ok(place),
            // Rare, and on the heap: the futures of requests are large enough.
            None => Box::pin(self.queue()).await,
        }
    }

    /// Waits for a place as long as calls end now and then: a disk that is slow under load is no dead one.
    async fn queue(&self) -> Result<Place, StoreError> {
        let mut permit = pin!(Arc::clone(&self.0.places).acquire_owned());
        let mut seen = self.0.beats.load(Ordering::Relaxed);
        loop {
            if let Ok(permit) = tokio::time::timeout(self.0.silence, &mut permit).await {
                let permit = permit.map_err(|e| StoreError::unavailable(e.to_string()))?;
                return Ok(Place { _permit: permit, lane: Arc::clone(&self.0) });
            }
            let now = self.0.beats.load(Ordering::Relaxed);
            if now == seen {
                return Err(self.silent());
            }
            seen = now;
        }
    }

    fn silent(&self) -> StoreError {
        let seconds = self.0.silence.as_secs();
        StoreError::unavailable(StoreProblem::DiskSilent { seconds })
    }

    /// Begins `work` where it may block, once there is a place for it.
    pub async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, StoreError> {
        Ok(spawn(self.enter().await?, work))
    }

    /// Runs `work` where it may block, however long it takes.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        finished(self.start(work).await?.await)
    }

    /// Runs `work` that takes no longer than a disk may be silent: a question, a short read. What is
    /// given up ends by itself, and must do no harm then.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.answer(self.start(work).await?).await
    }

    /// The same, begun at once when there is a place.
    pub fn ask_ahead<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let lane = self.clone();
        match self.try_enter() {
            Some(place) => {
                let job = spawn(place, work);
                async move { lane.answer(job).await }.boxed()
            }
            None => async move { lane.ask(work).await }.boxed(),
        }
    }

    /// The same for a caller that blocks, who waits for `patience` only. `None` when there is no
    /// place now.
    pub fn ask_blocking<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        let place = self.try_enter()?;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Some(work()) };
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        runtime.spawn_blocking(move || {
            let _place = place;
            // Nobody listens any more when the answer came too late.
            sender.send(work()).ok();
        });
        Some(receiver.recv_timeout(patience).unwrap_or_else(|_| Err(self.silent())))
    }

    /// Does `work` some time, for nobody who waits: also from where nothing may block.
    pub fn later(&self, work: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
        if let Some(place) = self.try_enter() {
            runtime.spawn_blocking(move || {
                let _place = place;
                work();
            });
        } else {
            let lane = self.clone();
            runtime.spawn(async move { lane.start(work).await.map(drop) });
        }
    }

    async fn answer<T>(&self, job: JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.0.silence, job).await {
            Ok(joined) => finished(joined),
            Err(_) => Err(self.silent()),
        }
    }
}

fn spawn<T: Send + 'static>(
    place: Place,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    })
}

/// The result of a blocking task; one that was cancelled or panicked has failed.
pub(super) fn finished<T>(
    joined: Result<Result<T, StoreError>, JoinError>,
) -> Result<T, StoreError> {
    joined.unwrap_or_else(|e| Err(StoreError::failed(format!("the disk task ended early: {e}"))))
}
