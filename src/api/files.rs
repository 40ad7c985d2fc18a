//! Files, and where they lie.

use serde::{Deserialize, Serialize};

use super::vacuum::MoveView;
use crate::domain::{Digest, ReplicaState, ScopeName, StoreName, Timestamp};
use crate::words::Phrase;

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Uploaded {
    pub scope: ScopeName,
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    pub store: StoreName,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ListedEntry {
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
}

/// A page of a listing; `next` goes into `after`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Listing {
    pub entries: Vec<ListedEntry>,
    pub next: Option<String>,
}

/// A replica in `file show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ReplicaView {
    pub store: StoreName,
    #[cfg_attr(test, schema(value_type = String))]
    pub state: ReplicaState,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub stored_at: Timestamp,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
    pub verified_at: Option<Timestamp>,
}

/// `file show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct FileView {
    pub scope: ScopeName,
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub last_used: Timestamp,
    pub replicas: Vec<ReplicaView>,
}

/// One replica in `file explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ReplicaExplanation {
    pub store: StoreName,
    #[cfg_attr(test, schema(value_type = String))]
    pub state: ReplicaState,
    /// True for the replica that a download would get now.
    pub serves: bool,
    /// Why it is removable, or what keeps it.
    pub removable: bool,
    pub why: Phrase,
}

/// `file explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Explanation {
    #[serde(flatten)]
    pub file: FileView,
    /// The store that a download would be served from, and why; `None` when none can.
    pub served_from: Option<StoreName>,
    pub scopes: Vec<String>,
    pub explained: Vec<ReplicaExplanation>,
    /// What the next run would do with this file.
    pub next_run: Vec<MoveView>,
}
