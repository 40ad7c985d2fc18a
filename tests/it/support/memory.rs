//! A store in memory: the contract in its simplest form.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use hayloft::clock::Clock;
use hayloft::domain::{Digest, Timestamp};
use hayloft::stores::{
    Backend, Body, ByteStream, Listed, Marker, ObjectStat, Page, StepResult, StepSeen, StoreError,
    Stored,
};

use super::{digest, read_all};

/// Objects in a map. Clones share the objects. Always available, so absence needs no marker.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    clock: Clock,
    capacity: u64,
    staging: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Digest, (Bytes, Timestamp)>,
    marker: Option<Marker>,
    used: u64,
    peak: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(256 << 20, Clock::System)
    }
}

impl MemoryStore {
    /// A store for `capacity` bytes whose objects get their times from `clock`.
    pub fn new(capacity: u64, clock: Clock) -> Self {
        Self { state: Arc::default(), clock, capacity, staging: None }
    }

    /// The directory in which bodies for this store are staged, as a local store has one.
    #[must_use]
    pub fn staged_in(self, dir: PathBuf) -> Self {
        Self { staging: Some(dir), ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a test must not hide the test's own message.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places bytes under a digest that need not be theirs: damage.
    pub fn plant(&self, digest: &Digest, bytes: Bytes) {
        let now = self.clock.now();
        self.state().insert(*digest, bytes, now);
    }

    /// The most bytes that were here at once since the last question.
    pub fn take_peak(&self) -> u64 {
        let mut state = self.state();
        let used = state.used;
        std::mem::replace(&mut state.peak, used)
    }

    /// Number of objects.
    pub fn count(&self) -> usize {
        self.state().objects.len()
    }
}

impl State {
    fn insert(&mut self, digest: Digest, bytes: Bytes, now: Timestamp) {
        self.used += bytes.len() as u64;
        if let Some((old, _)) = self.objects.insert(digest, (bytes, now)) {
            self.used -= old.len() as u64;
        }
        self.peak = self.peak.max(self.used);
    }
}

async fn read_body(expected: &Digest, size: u64, body: Body) -> Result<Bytes, StoreError> {
    let bytes = match body {
        Body::Verified(path) => {
            let read = tokio::fs::read(&path).await;
            read.map_err(|e| StoreError::Source(format!("{}: {e}", path.display())))?.into()
        }
        Body::Bytes(bytes) => return Ok(bytes),
        Body::Stream(stream) | Body::Local { stream, .. } => {
            let bytes = Bytes::from(read_all(stream).await.map_err(of_source)?);
            if digest(&bytes) != *expected {
                return Err(StoreError::Mismatch("they have another digest".to_owned()));
            }
            bytes
        }
    };
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(StoreError::Mismatch(format!("{} bytes came instead of {size}", bytes.len())))
    }
}

/// Trouble of the store that is read is none of the store that is written.
fn of_source(error: StoreError) -> StoreError {
    match error {
        StoreError::Source(_) | StoreError::Mismatch(_) => error,
        other => StoreError::Source(other.to_string()),
    }
}

fn clip(range: Option<Range<u64>>, size: u64) -> Result<Range<u64>, StoreError> {
    let range = range.unwrap_or(0..size);
    if range.end > size || range.start > range.end {
        return Err(StoreError::Mismatch(format!("the object ends at byte {size}")));
    }
    Ok(range)
}

#[async_trait]
impl Backend for MemoryStore {
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError> {
        if size > self.capacity {
            return Err(StoreError::full(format!("{size} bytes in {}", self.capacity)));
        }
        let bytes = read_body(digest, size, body).await?;
        let now = self.clock.now();
        let mut state = self.state();
        let replaced = state.objects.get(digest).map_or(0, |(b, _)| b.len() as u64);
        if state.used - replaced + size > self.capacity {
            return Err(StoreError::full(format!("{} of {} used", state.used, self.capacity)));
        }
        state.insert(*digest, bytes, now);
        Ok(Stored { verified: true })
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let bytes =
            self.state().objects.get(digest).map(|(b, _)| b.clone()).ok_or(StoreError::NotFound)?;
        let range = clip(range, bytes.len() as u64)?;
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let bytes = bytes.slice(index(range.start)..index(range.end));
        Ok(Box::pin(stream::iter((!bytes.is_empty()).then_some(Ok(bytes)))))
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        let state = self.state();
        let found = state.objects.get(digest);
        Ok(found.map(|(b, t)| ObjectStat { size: b.len() as u64, modified: Some(*t) }))
    }

    async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some((bytes, _)) = state.objects.remove(digest) {
            state.used -= bytes.len() as u64;
        }
        Ok(())
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, 1000);
        let start = after.map_or(Bound::Unbounded, |d| Bound::Excluded(*d));
        let state = self.state();
        let mut rest = state.objects.range((start, Bound::Unbounded));
        let objects: Vec<Listed> = rest
            .by_ref()
            .take(limit)
            .map(|(d, (b, t))| Listed { digest: *d, size: b.len() as u64, modified: Some(*t) })
            .collect();
        let next = rest.next().and_then(|_| objects.last().map(|o| o.digest));
        Ok(Page { objects, next })
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let state = self.state();
        Ok(state.objects.is_empty() && state.marker.is_none())
    }

    async fn read_marker(&self) -> Result<Option<Marker>, StoreError> {
        Ok(self.state().marker.clone())
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        self.state().marker = Some(marker.clone());
        Ok(())
    }

    async fn delete_marker(&self) -> Result<(), StoreError> {
        self.state().marker = None;
        Ok(())
    }

    async fn clean_unfinished(&self, _age: Duration) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn staging_dir(&self) -> Option<&Path> {
        self.staging.as_deref()
    }

    /// There is nothing to look for: whether the marker is ours, `transfer` asks itself.
    async fn check(&self, _expected: Option<&Marker>, _seen: StepSeen<'_>) -> Vec<StepResult> {
        Vec::new()
    }
}
