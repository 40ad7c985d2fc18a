//! A store in memory, for tests: the contract in its simplest form.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;

use super::checklist::{Checklist, compare_markers};
use super::intake::{Intake, collect};
use super::{
    Backend, Body, ByteStream, CheckStep, Listed, Marker, ObjectStat, Page, StepSeen, StoreError,
    Stored, clip,
};
use crate::clock::Clock;
use crate::domain::{Digest, Timestamp};

/// Objects in a map. Clones share the objects. Always available, so absence needs no marker.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    clock: Clock,
    capacity: u64,
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
        Self { state: Arc::default(), clock, capacity }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a test must not hide the test's own message.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places bytes under a digest that need not be theirs: damage, for tests.
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

async fn read_body(digest: &Digest, size: u64, body: Body) -> Result<Bytes, StoreError> {
    match body {
        Body::Verified(path) => {
            let bytes = tokio::fs::read(&path)
                .await
                .map_err(|e| StoreError::Source(format!("{}: {e}", path.display())))?;
            if bytes.len() as u64 != size {
                return Err(StoreError::Mismatch(format!("the file has not {size} bytes")));
            }
            Ok(bytes.into())
        }
        Body::Bytes(bytes) => Ok(bytes),
        Body::Stream(mut source) | Body::Local { stream: mut source, .. } => {
            let mut intake = Intake::new(size);
            let mut bytes = BytesMut::new();
            for chunk in collect(&mut source, size).await? {
                intake.take(&chunk)?;
                bytes.extend_from_slice(&chunk);
            }
            intake.finish(digest)?;
            Ok(bytes.freeze())
        }
    }
}

#[async_trait]
impl Backend for MemoryStore {
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError> {
        if size > self.capacity {
            return Err(StoreError::Full(format!("{size} bytes in {}", self.capacity)));
        }
        let bytes = read_body(digest, size, body).await?;
        let now = self.clock.now();
        let mut state = self.state();
        let replaced = state.objects.get(digest).map_or(0, |(b, _)| b.len() as u64);
        if state.used - replaced + size > self.capacity {
            return Err(StoreError::Full(format!("{} of {} used", state.used, self.capacity)));
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

    async fn check(&self, expected: Option<&Marker>, seen: StepSeen<'_>) -> Vec<CheckStep> {
        let mut list = Checklist::new(seen);
        let found = self.state().marker.clone();
        list.run("marker", async { compare_markers(found.as_ref(), expected) }).await;
        list.into_steps()
    }
}
