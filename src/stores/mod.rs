//! Places for bytes: the trait `Backend`, its contract, and the two backends.
//!
//! Layering: knows `domain` only. No catalogue, no HTTP status. `s3` is the sole user of rust-s3.

mod calls;
mod checklist;
mod intake;
mod lane;
mod local;
mod names;
mod s3;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use serde::{Deserialize, Serialize};

use crate::domain::{BackendConfig, Diagnosis, Digest, MarkerOwner, StoreProblem, Timestamp};

pub use calls::{CallCount, Calls, S3Operation};
pub use lane::{Lane, SILENCE};
pub use local::LocalStore;
pub use s3::{S3Store, install_crypto_provider};

/// A stream of body bytes. Dropping it ends the transfer.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// What went wrong in a store, by meaning.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is not there, although the store is. Says nothing when the marker was not read.
    #[error("the object is not in the store")]
    NotFound,
    /// The store cannot be used now: unmounted, unreachable, refused, timed out (SPEC 2).
    #[error("the store is unavailable: {0}")]
    Unavailable(Box<Diagnosis>),
    /// No room: full disk or provider quota.
    #[error("the store has no room left: {0}")]
    Full(Box<Diagnosis>),
    /// The bytes offered for a digest do not have it, or not the declared size.
    #[error("the bytes read from the source are not those of the file: {0}")]
    Mismatch(String),
    /// The source of the bytes failed while they were read; the store itself is fine.
    #[error("reading the source failed: {0}")]
    Source(String),
    /// The object is in an archive class and must be restored before it can be read.
    #[error("the object is archived and has to be restored first")]
    Archived,
    /// Anything else that concerns one object only.
    #[error("{0}")]
    Failed(Box<Diagnosis>),
}

impl StoreError {
    pub fn unavailable(found: impl Into<Diagnosis>) -> Self {
        Self::Unavailable(Box::new(found.into()))
    }

    pub fn full(found: impl Into<Diagnosis>) -> Self {
        Self::Full(Box::new(found.into()))
    }

    pub fn failed(found: impl Into<Diagnosis>) -> Self {
        Self::Failed(Box::new(found.into()))
    }

    /// What is wrong, by itself.
    pub fn into_diagnosis(self) -> Diagnosis {
        match self {
            Self::Unavailable(found) | Self::Full(found) | Self::Failed(found) => *found,
            Self::Archived => StoreProblem::Archived.into(),
            Self::NotFound | Self::Mismatch(_) | Self::Source(_) => {
                StoreProblem::NotKept(self.to_string()).into()
            }
        }
    }

    /// True when the store as a whole is in doubt, so that other objects would fail too.
    pub fn is_store_wide(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Makes the backend that `config` describes. Reads credentials, never the disk of a store or the
/// network.
///
/// `Unavailable` when credentials cannot be read.
pub fn open(config: &BackendConfig) -> Result<Arc<dyn Backend>, StoreError> {
    Ok(match config {
        BackendConfig::Local(local) => Arc::new(LocalStore::open(&local.root)),
        BackendConfig::S3(s3) => Arc::new(S3Store::open(s3)?),
    })
}

/// The part of an object of `size` bytes that `range` asks for. `Mismatch` when it reaches behind the
/// end: whoever asks knows the file's size, so the object is not the file.
fn clip(range: Option<Range<u64>>, size: u64) -> Result<Range<u64>, StoreError> {
    let Some(range) = range else { return Ok(0..size) };
    if range.end > size || range.start > range.end {
        return Err(StoreError::Mismatch(format!(
            "bytes {} to {} are wanted, the object ends at byte {size}",
            range.start, range.end
        )));
    }
    Ok(range)
}

/// What a store knows about an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStat {
    pub size: u64,
    /// `None` when the store does not say it, or not in a way that can be understood.
    pub modified: Option<Timestamp>,
}

/// One object of our shape in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub digest: Digest,
    pub size: u64,
    /// `None` when the store does not say it, or not in a way that can be understood: such an object
    /// is not old.
    pub modified: Option<Timestamp>,
}

/// One page of a listing, in digest order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// Pass to the next call; `None` at the end.
    pub next: Option<Digest>,
}

/// The marker object that says whose store this is (SPEC 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub format: u32,
    pub instance: String,
    pub store: String,
    pub generation: u64,
}

impl Marker {
    /// Whose the marker at `location` is, when it is not the one that is expected there.
    pub fn foreign(&self, expected: &Self, location: String) -> Option<StoreProblem> {
        let (found, ours) = (self.generation, expected.generation);
        let owner = if self.instance != expected.instance {
            MarkerOwner::Instance(self.instance.clone())
        } else if self.store != expected.store {
            MarkerOwner::Store(self.store.clone())
        } else if found > ours {
            MarkerOwner::Newer { found, ours }
        } else if found < ours {
            MarkerOwner::Older { found, ours }
        } else {
            return None;
        };
        Some(StoreProblem::MarkerForeign { location, owner })
    }
}

/// Where the bytes of a `put` come from.
pub enum Body {
    /// A finished local file whose BLAKE3 is known to be the digest (an upload's spool file): it
    /// is not hashed again. The backend leaves it where it is, or renames it away when it can.
    Verified(PathBuf),
    /// A whole small body whose BLAKE3 is known to be the digest: it is not hashed again.
    Bytes(Bytes),
    /// Bytes whose identity is not proved: the backend hashes while it reads and refuses a mismatch.
    Stream(ByteStream),
    /// The same, of an object that lies in a file on this machine: a backend that must know a part's
    /// checksum before it sends the part hashes the stream, and sends from the file without holding
    /// the part in memory.
    Local { path: PathBuf, stream: ByteStream },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified(path) => write!(f, "Verified({})", path.display()),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Local { path, .. } => write!(f, "Local({})", path.display()),
        }
    }
}

/// What `put` achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// False only for S3 stores with `checksum = none` (SPEC 7).
    pub verified: bool,
}

/// How a presigned URL is to be answered.
#[derive(Debug, Clone, Default)]
pub struct PresignOptions {
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    /// `None` is the store's own TTL.
    pub ttl: Option<Duration>,
}

/// Is told each step of a check as soon as it is over.
pub type StepSeen<'a> = &'a (dyn Fn(&StepResult) + Send + Sync);

pub use checklist::{Step, StepResult};

/// A place for bytes, addressed by digest. Names are derived from the digest and nothing else:
/// `ab/cd/<64 hex>` under the root or prefix.
///
/// Contract, checked by one conformance suite for every backend (`tests/it/conformance.rs`):
/// - **Atomic**: an object is visible whole with its right bytes, or not at all, also after a
///   crash, a dropped future or a failed `put`.
/// - **Durable**: when `put` returns `Ok`, the object survives power loss.
/// - **Idempotent**: `put` of what is there succeeds and leaves it right; `delete` of what is not
///   there succeeds.
/// - **Absence is proved**: `NotFound` (or `None` from `stat`) only when the store answered that
///   the object does not exist. Trouble with the store is `Unavailable`, never absence.
/// - **Bounded**: no call holds more than some tens of MiB, whatever the object's size.
/// - Calls for one digest are serialised by the caller (`transfer::locks`); calls for different
///   digests run concurrently. Questions and reads end: per-read time-outs, not per body. Writes and
///   deletions end with the disk or the connection; a disk that hangs holds a bounded number of threads.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// Stores `size` bytes as `digest`. `Mismatch` when a `Stream` has other bytes or another
    /// length; nothing is visible then, and an object that was there before stays. A local store
    /// takes no bytes before its first `write_marker`.
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError>;

    /// Reads the object, or the given byte range of it; `Mismatch` when the object ends before the
    /// range does. An S3 error answer is never content.
    /// A body cut short ends in an `Err` item.
    async fn get(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError>;

    /// Size and time of the object; `None` when it is not there.
    async fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError>;

    /// Removes the object; `Ok` when it is gone or was never there. After an `Err` the outcome is
    /// unknown and has to be settled by `stat`.
    async fn delete(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Objects of our shape after `after` in digest order, at most `limit` (<= 1000) a page.
    /// Foreign names are passed over. The marker is not looked at: who takes a missing name for a
    /// missing object reads it in the same check.
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Page, StoreError>;

    /// True when the location holds nothing at all, foreign names included.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// The marker; `Ok(None)` when the location answers and has none.
    async fn read_marker(&self) -> Result<Option<Marker>, StoreError>;
    /// Writes or replaces the marker durably (S3: class STANDARD, repeated in the metadata).
    async fn write_marker(&self, marker: &Marker) -> Result<(), StoreError>;
    /// Removes the marker, and what is empty of ours around it.
    async fn delete_marker(&self) -> Result<(), StoreError>;

    /// Removes leftovers of writes that ended without us: temp files, multipart uploads older than
    /// `age`. Returns how many.
    async fn clean_unfinished(&self, age: Duration) -> Result<u64, StoreError>;

    /// The file that holds the object, for stores on this machine's disk; `None` elsewhere.
    fn local_path(&self, _digest: &Digest) -> Option<PathBuf> {
        None
    }

    /// The directory where an upload for this store is staged so that `put(Verified)` is a rename;
    /// `None` when the caller's spool directory serves.
    fn staging_dir(&self) -> Option<&Path> {
        None
    }

    /// Where work on files in `staging_dir` has to run; `None` when any thread may wait for them.
    fn lane(&self) -> Option<&Lane> {
        None
    }

    /// Bytes free on the file system behind the store, not long ago; `None` when that means nothing or is
    /// not known. Blocks, for a moment only.
    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// What the calls to the provider came to since the store was opened; `None` for stores without
    /// one.
    fn calls(&self) -> Option<&Calls> {
        None
    }

    /// A URL that lets a client read the object without us; `None` when the store hands out none.
    async fn presign_get(
        &self,
        _digest: &Digest,
        _options: PresignOptions,
    ) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Proves that the store works, step by step, with a probe object that is removed again:
    /// marker, write, read back, range, presign, list, multipart, delete, clock (SPEC 2). A failed
    /// step says what is wrong and what to change; later steps that make no sense are left out.
    async fn check(&self, expected: Option<&Marker>, seen: StepSeen<'_>) -> Vec<StepResult>;
}
