//! What a client asks of an upload, and why it can be refused (SPEC 4).

use std::time::Duration;

use crate::catalogue::CatalogueError;
use crate::domain::{Digest, Entry, File, FilePath, ScopeId, StoreName};

/// An upload before its body.
#[derive(Debug, Clone)]
pub struct UploadRequest {
    pub scope: ScopeId,
    pub path: FilePath,
    /// Bytes; `None` when the client did not say.
    pub size: Option<u64>,
    pub content_type: String,
    pub declared: Declared,
    pub condition: Condition,
}

/// Digests that the client declared; they are verified.
#[derive(Debug, Clone, Copy, Default)]
pub struct Declared {
    pub blake3: Option<Digest>,
    pub sha256: Option<[u8; 32]>,
}

/// Preconditions on the entry at the path (RFC 9110 section 13).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-None-Match` with digests: not one of these.
    NotOneOf(Vec<Digest>),
    /// `If-Match: *`
    Present,
    /// `If-Match` with digests: one of these.
    OneOf(Vec<Digest>),
}

impl Condition {
    /// Whether the current file at the path satisfies the condition.
    pub fn holds(&self, current: Option<&Digest>) -> bool {
        match self {
            Self::None => true,
            Self::Absent => current.is_none(),
            Self::NotOneOf(digests) => current.is_none_or(|d| !digests.contains(d)),
            Self::Present => current.is_some(),
            Self::OneOf(digests) => current.is_some_and(|d| digests.contains(d)),
        }
    }
}

/// A finished upload.
#[derive(Debug, Clone)]
pub struct Committed {
    pub entry: Entry,
    pub file: File,
    pub store: StoreName,
    /// True when another entry stood at the path.
    pub replaced: bool,
}

/// Why an upload was refused or failed. Nothing is kept in any of these cases.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    #[error("there is no such scope")]
    NoScope,
    #[error(
        "no store of this scope accepts uploads: link one that is neither read_only nor write_only"
    )]
    NoWritableStore,
    #[error(
        "{size} bytes are more than any store of this scope may ever hold (max_size {largest})"
    )]
    TooLarge { size: u64, largest: u64 },
    #[error("a store that has room is not available now: {problem}")]
    StoreFailing { problem: String, retry_after: Duration },
    #[error("no store of this scope has room for {size} bytes under its max_size or on its disk")]
    Insufficient { size: u64 },
    #[error("the precondition on the current file does not hold")]
    Precondition,
    #[error("the declared {what} digest is not that of the body")]
    DigestMismatch { what: &'static str },
    #[error("the body has {received} bytes, declared were {}", declared.map_or_else(|| "none".to_owned(), |d| d.to_string()))]
    Length { declared: Option<u64>, received: u64 },
    #[error("the body could not be read: {0}")]
    Body(String),
    #[error("the disk that takes uploads is full: {0}")]
    StagingFull(String),
    #[error("the upload could not be written to temporary space: {0}")]
    Staging(String),
    #[error("the stored copy that this upload relied on is gone: send it again")]
    Vanished,
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}
