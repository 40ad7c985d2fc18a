//! Access, status, verification and what else concerns the whole instance.

use serde::{Deserialize, Serialize};

use super::stores::StoreView;
use super::vacuum::Run;
use crate::domain::{Digest, Remedy, ScopeName, StoreName, Timestamp};
use crate::words::Phrase;

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Read,
    Write,
    Admin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    #[cfg_attr(
        test,
        schema(
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
            max_length = 100
        )
    )]
    pub name: String,
    pub role: Role,
    /// None: the whole instance.
    #[serde(default)]
    pub scope: Option<ScopeName>,
    /// `90d`, `24h`; none never expires.
    #[serde(default)]
    #[cfg_attr(test, schema(pattern = "^(?!0+[smhd]?$)[0-9]{1,5}[smhd]?$"))]
    pub expires: Option<String>,
}

/// `token create`: the only time that the token is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TokenCreated {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scope: Option<ScopeName>,
    pub token: String,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scope: Option<ScopeName>,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
    pub last_used: Option<Timestamp>,
}

/// A one-time sign-in link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SignInLink {
    pub url: String,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

/// A recorded change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct AuditEntry {
    pub id: u64,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// `socket`, `cli`, `token:NAME (ID)`, `session of token NAME (ID)`, `session by link`.
    pub who: String,
    pub what: String,
    pub subject: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// How many files have so many readable replicas, over all scopes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Safety {
    pub readable_0: u64,
    pub readable_1: u64,
    pub readable_2_or_more: u64,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work, or a file is in danger.
    Error,
    /// It works; a setting should be changed.
    Advice,
}

/// Something that an administrator should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Attention {
    pub severity: Severity,
    pub what: Phrase,
    /// The command to type; none when `what` names several.
    pub command: Option<String>,
    /// The same as a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub remedy: Option<Remedy>,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Status {
    pub version: String,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    pub files: u64,
    pub bytes: u64,
    pub stores: Vec<StoreView>,
    pub last_run: Option<Run>,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
    pub next_run: Option<Timestamp>,
    pub running: Option<u64>,
    pub safety: Safety,
    /// What is wrong, then what is advised; each with the command that mends it.
    #[serde(default)]
    pub attention: Vec<Attention>,
    pub warnings: Vec<Phrase>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub repair: bool,
}

/// A file that verify complains about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct VerifyFinding {
    pub digest: Digest,
    pub store: Option<String>,
    pub detail: String,
    /// The first few names of the file. None when it has only deleted ones, or none as an orphan.
    #[serde(default)]
    pub entries: Vec<FileName>,
}

/// What a file is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct FileName {
    pub scope: String,
    pub path: String,
}

/// How many of each kind verify found: lists end at 10,000.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct VerifyTotals {
    pub lost: u64,
    pub missing: u64,
    pub corrupt: u64,
    pub orphans: u64,
}

/// A counter that differs from the recount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CounterFinding {
    pub counter: String,
    pub recorded: i64,
    pub counted: i64,
}

/// `verify`. `ok` is false for lost, missing, corrupt files and wrong counters only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct VerifyReport {
    pub ok: bool,
    pub checked_files: u64,
    pub checked_replicas: u64,
    pub read_bytes: u64,
    /// Files with no replica left.
    pub lost: Vec<VerifyFinding>,
    pub missing: Vec<VerifyFinding>,
    pub corrupt: Vec<VerifyFinding>,
    pub counters: Vec<CounterFinding>,
    /// Bytes that no row names.
    pub orphans: Vec<VerifyFinding>,
    #[serde(default)]
    pub totals: VerifyTotals,
    pub pending_deletes: u64,
    /// Stores that could not be asked, and the replicas in them, of which nothing is known.
    pub unavailable: Vec<String>,
    #[serde(default)]
    pub unchecked_replicas: u64,
    pub repaired: u64,
}

/// One row of `import workspaces` [39].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Workspace {
    pub scope: ScopeName,
    pub workspace: String,
    pub default_file_store: StoreName,
    #[serde(default)]
    pub other_file_stores: Vec<StoreName>,
}

/// One receiver in `notify test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct NotifyTested {
    /// `json`, `ntfy` or `slack`.
    pub kind: String,
    /// Scheme and host: the rest may be secret.
    pub url: String,
    pub delivered: bool,
    pub problem: Option<String>,
}

/// What `import workspaces` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct WorkspacesImported {
    pub scopes_created: u64,
    pub links_created: u64,
}
