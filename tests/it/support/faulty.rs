//! A store that fails on command, around any other.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use hayloft::domain::Digest;
use hayloft::stores::{
    Backend, Body, ByteStream, Calls, Lane, Marker, ObjectStat, Page, PresignOptions, StepResult,
    StepSeen, StoreError, Stored,
};

use super::memory::MemoryStore;

/// A call of the trait that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Put,
    Get,
    Stat,
    Delete,
    List,
    IsEmpty,
    ReadMarker,
    WriteMarker,
    DeleteMarker,
    CleanUnfinished,
    Presign,
}

/// Which calls a rule strikes, counted from the moment the rule was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// Only the n-th call, from 1.
    Nth(u64),
    /// Every call after the first n.
    After(u64),
}

/// What happens to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store does not answer; nothing is done.
    Unavailable,
    /// No room; nothing is done.
    Full,
    /// Trouble with this object only; nothing is done.
    Failed,
    /// The object is said to be absent.
    NotFound,
    /// The call is carried out, and its answer is lost.
    LoseAnswer,
    /// `get` yields a flipped bit in its first chunk.
    Corrupt,
    /// `get` yields so many bytes and then an error.
    Truncate(u64),
    /// The call is carried out after a while.
    Delay(Duration),
}

#[derive(Debug)]
struct Rule {
    operation: Operation,
    when: When,
    fault: Fault,
    seen: u64,
}

#[derive(Debug, Default)]
struct Script {
    rules: Vec<Rule>,
    calls: HashMap<Operation, u64>,
}

/// The decorator. All clones share rules and counts.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Backend>,
    script: Arc<Mutex<Script>>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// Adds a rule. Of several rules that strike a call, the oldest counts.
    pub fn inject(&self, operation: Operation, when: When, fault: Fault) {
        self.script().rules.push(Rule { operation, when, fault, seen: 0 });
    }

    /// Makes every call fail as if the store were unplugged.
    pub fn unplug(&self) {
        use Operation as O;
        for operation in [
            O::Put,
            O::Get,
            O::Stat,
            O::Delete,
            O::List,
            O::IsEmpty,
            O::ReadMarker,
            O::WriteMarker,
            O::DeleteMarker,
            O::CleanUnfinished,
            O::Presign,
        ] {
            self.inject(operation, When::Always, Fault::Unavailable);
        }
    }

    /// Removes all rules.
    pub fn heal(&self) {
        self.script().rules.clear();
    }

    /// How often the operation was called, failed calls included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.script().calls.get(&operation).copied().unwrap_or(0)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, operation: Operation) -> Option<Fault> {
        let mut script = self.script();
        *script.calls.entry(operation).or_default() += 1;
        let mut struck = None;
        for rule in script.rules.iter_mut().filter(|r| r.operation == operation) {
            rule.seen += 1;
            let strikes = match rule.when {
                When::Always => true,
                When::Nth(n) => rule.seen == n,
                When::After(n) => rule.seen > n,
            };
            if strikes && struck.is_none() {
                struck = Some(rule.fault);
            }
        }
        struck
    }

    /// Applies the rule for this call around `work`, for calls without a body to damage.
    async fn apply<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.fault(operation) {
            Some(Fault::Delay(wait)) => tokio::time::sleep(wait).await,
            Some(Fault::LoseAnswer) => {
                work.await?;
                return Err(refusal(Fault::LoseAnswer));
            }
            Some(fault) => return Err(refusal(fault)),
            None => {}
        }
        work.await
    }
}

fn refusal(fault: Fault) -> StoreError {
    match fault {
        Fault::Full => StoreError::full("injected"),
        Fault::NotFound => StoreError::NotFound,
        Fault::Failed | Fault::Corrupt | Fault::Truncate(_) => StoreError::failed("injected"),
        Fault::Unavailable | Fault::LoseAnswer | Fault::Delay(_) => {
            StoreError::unavailable("injected")
        }
    }
}

fn corrupt(body: ByteStream) -> ByteStream {
    Box::pin(body.enumerate().map(|(n, chunk)| {
        let chunk = chunk?;
        if n > 0 || chunk.is_empty() {
            return Ok(chunk);
        }
        let mut bytes = BytesMut::from(&chunk[..]);
        bytes[0] ^= 1;
        Ok(bytes.freeze())
    }))
}

fn truncate(body: ByteStream, keep: u64) -> ByteStream {
    let cut = body.scan(Some(keep), |left, chunk| {
        let next: Option<Result<Bytes, StoreError>> = match (*left, chunk) {
            (None, _) => None,
            (Some(_), Err(e)) => Some(Err(e)),
            (Some(n), Ok(mut chunk)) => {
                if (chunk.len() as u64) <= n {
                    *left = Some(n - chunk.len() as u64);
                    Some(Ok(chunk))
                } else {
                    *left = None;
                    chunk.truncate(usize::try_from(n).unwrap_or(usize::MAX));
                    Some(Ok(chunk))
                }
            }
        };
        futures_util::future::ready(next)
    });
    let end = stream::once(async { Err(StoreError::failed("injected: body cut")) });
    Box::pin(cut.chain(end))
}

#[async_trait]
impl Backend for FaultyStore {
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError> {
        self.apply(Operation::Put, self.inner.put(digest, size, body)).await
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        match self.fault(Operation::Get) {
            None => self.inner.get(digest, range).await,
            Some(Fault::Corrupt) => self.inner.get(digest, range).await.map(corrupt),
            Some(Fault::Truncate(n)) => {
                self.inner.get(digest, range).await.map(|body| truncate(body, n))
            }
            Some(Fault::Delay(wait)) => {
                tokio::time::sleep(wait).await;
                self.inner.get(digest, range).await
            }
            Some(fault) => Err(refusal(fault)),
        }
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        match self.apply(Operation::Stat, self.inner.stat(digest)).await {
            Err(StoreError::NotFound) => Ok(None),
            result => result,
        }
    }

    async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        self.apply(Operation::Delete, self.inner.delete(digest)).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Page, StoreError> {
        self.apply(Operation::List, self.inner.list(after, limit)).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.apply(Operation::IsEmpty, self.inner.is_empty()).await
    }

    async fn read_marker(&self) -> Result<Option<Marker>, StoreError> {
        match self.apply(Operation::ReadMarker, self.inner.read_marker()).await {
            Err(StoreError::NotFound) => Ok(None),
            result => result,
        }
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        self.apply(Operation::WriteMarker, self.inner.write_marker(marker)).await
    }

    async fn delete_marker(&self) -> Result<(), StoreError> {
        self.apply(Operation::DeleteMarker, self.inner.delete_marker()).await
    }

    async fn clean_unfinished(&self, age: Duration) -> Result<u64, StoreError> {
        self.apply(Operation::CleanUnfinished, self.inner.clean_unfinished(age)).await
    }

    /// `None` while reads are scripted, so that no reader goes around the script.
    fn local_path(&self, digest: &Digest) -> Option<PathBuf> {
        let scripted = self.script().rules.iter().any(|r| r.operation == Operation::Get);
        if scripted { None } else { self.inner.local_path(digest) }
    }

    fn staging_dir(&self) -> Option<&Path> {
        self.inner.staging_dir()
    }

    fn lane(&self) -> Option<&Lane> {
        self.inner.lane()
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        self.inner.free_space()
    }

    fn calls(&self) -> Option<&Calls> {
        self.inner.calls()
    }

    async fn presign_get(
        &self,
        digest: &Digest,
        options: PresignOptions,
    ) -> Result<Option<String>, StoreError> {
        self.apply(Operation::Presign, self.inner.presign_get(digest, options)).await
    }

    async fn check(&self, expected: Option<&Marker>, seen: StepSeen<'_>) -> Vec<StepResult> {
        self.inner.check(expected, seen).await
    }
}

const CONTENT: &[u8] = b"0123456789";

async fn filled() -> (FaultyStore, Digest) {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let digest = Digest(*blake3::hash(CONTENT).as_bytes());
    store.put(&digest, 10, body()).await.expect("stored");
    (store, digest)
}

fn body() -> Body {
    Body::Stream(Box::pin(stream::once(async { Ok(Bytes::from_static(CONTENT)) })))
}

async fn read(store: &FaultyStore, digest: &Digest) -> (Vec<u8>, bool) {
    let mut body = store.get(digest, None).await.expect("begun");
    let mut all = Vec::new();
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(_) => return (all, false),
        }
    }
    (all, true)
}

#[tokio::test]
async fn rules_strike_the_calls_they_name_until_healed() {
    let (store, digest) = filled().await;
    store.inject(Operation::Stat, When::Nth(2), Fault::Failed);
    store.inject(Operation::Stat, When::After(2), Fault::NotFound);
    assert!(store.stat(&digest).await.expect("answers").is_some());
    assert!(matches!(store.stat(&digest).await, Err(StoreError::Failed(_))));
    assert_eq!(store.stat(&digest).await.expect("answers"), None);
    store.heal();
    assert!(store.stat(&digest).await.expect("answers").is_some());
    assert_eq!(store.calls(Operation::Stat), 4);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_work_done() {
    let (store, digest) = filled().await;
    store.inject(Operation::Delete, When::Nth(1), Fault::LoseAnswer);
    assert!(matches!(store.delete(&digest).await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.stat(&digest).await.expect("answers"), None);
    store.inject(Operation::Put, When::Nth(1), Fault::Full);
    assert!(matches!(store.put(&digest, 10, body()).await, Err(StoreError::Full(_))));
    assert_eq!(store.stat(&digest).await.expect("answers"), None);
}

#[tokio::test]
async fn bodies_are_damaged_or_cut() {
    let (store, digest) = filled().await;
    store.inject(Operation::Get, When::Nth(1), Fault::Corrupt);
    store.inject(Operation::Get, When::Nth(2), Fault::Truncate(4));
    assert_eq!(read(&store, &digest).await, (b"1123456789".to_vec(), true));
    assert_eq!(read(&store, &digest).await, (b"0123".to_vec(), false));
    assert_eq!(read(&store, &digest).await, (CONTENT.to_vec(), true));
}
