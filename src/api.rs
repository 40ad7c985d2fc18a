//! Requests and answers shared by server, command line and page (SPEC 11). Keys may be added, not
//! renamed. Bytes and counts are integers, times RFC 3339.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub use crate::domain::Count;
use crate::domain::{
    Checksum, Digest, Policy, ReplicaState, ScopeName, ServeMode, StoreName, Timestamp,
};
pub use crate::stores::CheckStep;

/// Tells "not given" (`None`) from "given as null" (`Some(None)`) in a change request.
#[expect(clippy::option_option, reason = "a change request has three answers: keep, unset, set")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

/// Only an object or null will do: serde's derived structs would take an array too.
fn object<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    let map = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(d)?;
    let read = |map| serde_json::from_value(serde_json::Value::Object(map));
    map.map(read).transpose().map_err(serde::de::Error::custom)
}

/// The same without null.
fn settings<'de, D: Deserializer<'de>>(d: D) -> Result<S3Settings, D::Error> {
    let map = serde_json::Map::<String, serde_json::Value>::deserialize(d)?;
    serde_json::from_value(serde_json::Value::Object(map)).map_err(serde::de::Error::custom)
}

/// An error answer (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, stable: `insufficient-storage`, `run-in-progress`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What was wrong and what to do.
    pub detail: String,
    /// Further facts: `run` (id), `stores`, `files`, `bytes`, …
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

// ---- files ----

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Uploaded {
    pub scope: ScopeName,
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    pub store: StoreName,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListedEntry {
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A page of a listing; `next` goes into `after`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listing {
    pub entries: Vec<ListedEntry>,
    pub next: Option<String>,
}

/// A replica in `file show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaView {
    pub store: StoreName,
    #[schema(value_type = String)]
    pub state: ReplicaState,
    #[schema(value_type = String, format = DateTime)]
    pub stored_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub verified_at: Option<Timestamp>,
}

/// `file show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    pub scope: ScopeName,
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_used: Timestamp,
    pub replicas: Vec<ReplicaView>,
}

/// One replica in `file explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaExplanation {
    pub store: StoreName,
    #[schema(value_type = String)]
    pub state: ReplicaState,
    /// True for the replica that a download would get now.
    pub serves: bool,
    /// Why it is removable, or what keeps it.
    pub removable: bool,
    pub why: String,
}

/// `file explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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

// ---- scopes and links ----

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeCreate {
    pub name: ScopeName,
    /// Stores to link beside the default one, without priorities; the first gets upload priority
    /// 100 when `no_local` is set.
    #[serde(default)]
    pub stores: Vec<StoreName>,
    #[serde(default)]
    pub no_local: bool,
    #[serde(default)]
    pub public_read: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeChange {
    pub public_read: Option<bool>,
}

/// New or changed link settings: what is absent stays (or takes its default in a new link), null
/// unsets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkChange {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>)]
    pub upload_priority: Option<Option<i32>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>)]
    pub download_priority: Option<Option<i32>>,
    /// Only these keys of the policy change.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyChange>,
    /// Goes through although it breaks another link's drain target.
    #[serde(default)]
    pub force: bool,
}

/// Changes to single keys of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub populate: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<crate::domain::Drain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_only: Option<bool>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub soft_max_size: Option<Option<u64>>,
}

impl PolicyChange {
    /// `policy` with the given keys replaced.
    pub fn apply(&self, policy: &Policy) -> Policy {
        Policy {
            populate: self.populate.unwrap_or(policy.populate),
            drain: self.drain.clone().unwrap_or_else(|| policy.drain.clone()),
            read_only: self.read_only.unwrap_or(policy.read_only),
            write_only: self.write_only.unwrap_or(policy.write_only),
            soft_max_size: self.soft_max_size.unwrap_or(policy.soft_max_size),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultStore {
    pub store: StoreName,
}

/// Where a link stands (SPEC 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// No file of the scope, and no drain asked for.
    Empty,
    /// Drain asked for and nothing left, tombstones included.
    Drained,
    /// Drain asked for and something left, or only tombstones left.
    Draining,
    Active,
}

/// Files of a draining link that another scope keeps there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Retained {
    pub scope: String,
    pub files: u64,
    pub bytes: u64,
}

/// A link as shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    pub store: StoreName,
    pub backend: String,
    pub upload_priority: Option<i32>,
    pub download_priority: Option<i32>,
    pub policy: Policy,
    pub files: u64,
    pub bytes: u64,
    pub missing_files: u64,
    pub missing_bytes: u64,
    pub only_here_files: u64,
    pub tombstone_bytes: u64,
    pub state: LinkState,
    pub retained: Vec<Retained>,
    pub warnings: Vec<String>,
}

/// `scope show`; stores in upload order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScopeView {
    pub name: ScopeName,
    pub public_read: bool,
    pub files: u64,
    pub bytes: u64,
    pub stores: Vec<LinkView>,
}

// ---- stores ----

/// Settings of an S3 store that may be given at creation or changed later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The empty string unsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The empty string unsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve: Option<ServeMode>,
    /// Seconds, 10 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10, maximum = 3600)]
    pub presign_ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
    /// `env`, `file:PATH` or `systemd:NAME`, instead of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreCreate {
    pub name: StoreName,
    /// `local` or `s3`.
    #[schema(pattern = "^(?:local|s3)$")]
    pub backend: String,
    /// Directory of a local store, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(default, deserialize_with = "settings")]
    pub s3: S3Settings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_wide: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_max_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Take a location that is not empty, recording its objects as adopted.
    #[serde(default)]
    pub adopt: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreChange {
    #[serde(default, deserialize_with = "settings")]
    pub s3: S3Settings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_wide: Option<bool>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub soft_max_size: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub max_size: Option<Option<u64>>,
}

/// A scope's use of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreScope {
    pub scope: String,
    pub linked: bool,
    pub files: u64,
    pub bytes: u64,
    pub missing_files: u64,
    pub missing_bytes: u64,
}

/// Whether a store can be used now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, `unavailable`, `foreign` (the marker is another's: no deletions) or `unknown`.
    pub state: String,
    pub problem: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

/// S3 configuration without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct S3View {
    pub bucket: String,
    pub prefix: String,
    pub region: String,
    pub endpoint: Option<String>,
    pub public_endpoint: Option<String>,
    pub path_style: bool,
    pub storage_class: Option<String>,
    pub serve: ServeMode,
    pub presign_ttl: u32,
    pub checksum: Checksum,
    /// `env`, `file:PATH`, `systemd:NAME` or `key:ID`.
    pub credentials: String,
}

/// `store show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreView {
    pub name: StoreName,
    pub backend: String,
    pub location: String,
    pub instance_wide: bool,
    pub soft_max_size: Option<u64>,
    pub max_size: Option<u64>,
    pub files: u64,
    pub bytes: u64,
    pub reserved_bytes: u64,
    pub writing_bytes: u64,
    pub deleting_files: u64,
    pub deleting_bytes: u64,
    pub missing_files: u64,
    pub corrupt_files: u64,
    pub adopted_objects: u64,
    pub scopes: Vec<StoreScope>,
    pub health: Health,
    pub s3: Option<S3View>,
    pub warnings: Vec<String>,
}

/// `store check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreCheck {
    pub store: StoreName,
    pub ok: bool,
    pub steps: Vec<CheckStep>,
}

/// One scope in `store evacuation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvacuationScope {
    pub scope: String,
    /// Files that would keep no readable replica.
    pub unreadable_files: u64,
    pub unreadable_bytes: u64,
    /// Files that would keep no replica at all, archives included.
    pub lost_files: u64,
    pub lost_bytes: u64,
    /// Files held by tombstones only that would go with the store.
    pub tombstones: u64,
    /// Whether what would have to move fits into the scope's other stores.
    pub fits: bool,
    /// The first files concerned; all of them with `--list`.
    pub files: Vec<EvacuationFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvacuationFile {
    pub path: Option<String>,
    pub digest: Digest,
    pub size: u64,
}

/// `store evacuation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evacuation {
    pub store: StoreName,
    pub can_be_given_up: bool,
    pub scopes: Vec<EvacuationScope>,
    /// What to do next, in words.
    pub advice: Vec<String>,
}

/// `store delete`, and what was lost with `--force`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreDeleted {
    pub store: StoreName,
    pub lost_files: u64,
    pub lost_bytes: u64,
    pub lost_digests: Vec<Digest>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepRequest {
    #[serde(default)]
    pub confirm: bool,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SweepReport {
    pub store: String,
    pub objects: u64,
    pub orphans: u64,
    pub orphan_bytes: u64,
    pub deleted: u64,
    /// Set when the sweep stopped before deleting, with the command to go on.
    pub stopped: Option<String>,
}

/// What `store reconcile` found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileReport {
    pub store: String,
    pub objects: u64,
    pub known: u64,
    pub adopted: u64,
    pub missing: u64,
}

// ---- vacuum ----

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MoveAction {
    Copy,
    Move,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Still at work.
    Running,
    Paused,
    Complete,
    Incomplete,
    Failed,
    Cancelled,
}

/// One step of a run. `scope` is the scope whose policy asked for it, none for a store's limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct MoveView {
    pub action: MoveAction,
    pub scope: Option<String>,
    pub digest: Digest,
    pub size: u64,
    /// The store that loses the replica (move, remove) or is read (copy).
    pub from: Option<String>,
    /// The store that gains it.
    pub to: Option<String>,
    pub reason: String,
}

/// One class of failures in a run: the same phase, scope, store and cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunError {
    pub phase: String,
    pub scope: Option<String>,
    pub store: Option<String>,
    pub cause: String,
    pub files: u64,
    pub bytes: u64,
    /// The first ten.
    pub digests: Vec<Digest>,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    pub phase: String,
    pub scope: Option<String>,
    pub store: Option<String>,
    pub done: Count,
    /// What is known to be ahead, done included; grows while the run plans.
    pub total: Count,
    /// Bytes per second over the last seconds.
    pub rate: u64,
    pub seconds_left: Option<u64>,
}

/// A vacuum run, dry or real.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// None for a dry run.
    pub id: Option<u64>,
    pub dry_run: bool,
    pub outcome: Outcome,
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    pub copied: Count,
    pub moved: Count,
    pub removed: Count,
    pub retained: Count,
    pub errors: Vec<RunError>,
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The moves of a dry run, and of a real one when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Vec<MoveView>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// Moves of a preview that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveGroup {
    pub action: MoveAction,
    /// The scope whose policy asks for them; none for a store's limit and for clean-up.
    pub scope: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub reason: String,
    #[serde(flatten)]
    pub count: Count,
}

impl MoveGroup {
    /// The store that loses replicas; a copy is only read from its source.
    pub fn leaves(&self) -> Option<&str> {
        match self.action {
            MoveAction::Copy => None,
            MoveAction::Move | MoveAction::Remove => self.from.as_deref(),
        }
    }
}

/// What a run would bring into a store and take out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreEffect {
    pub store: String,
    pub incoming: Count,
    pub outgoing: Count,
}

/// What the next run would do, in sums, as of `at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// When it was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How long that took; milliseconds in JSON.
    #[serde(rename = "milliseconds", with = "milliseconds")]
    #[schema(value_type = u64)]
    pub took: Duration,
    /// The dry run. In the server it has its first moves; they are not in answers of the API, where
    /// `vacuum/plan` lists all.
    pub run: Run,
    /// All moves of the run, also those that `run` does not list.
    pub moves_total: u64,
    /// Complete, by action, stores and scope.
    pub groups: Vec<MoveGroup>,
    /// The stores that gain or lose something, by name.
    pub stores: Vec<StoreEffect>,
}

impl Preview {
    /// What would happen to a store; zeros when it is not concerned.
    pub fn store(&self, name: &str) -> StoreEffect {
        let found = self.stores.iter().find(|s| s.store == name).cloned();
        found.unwrap_or_else(|| StoreEffect { store: name.to_owned(), ..StoreEffect::default() })
    }

    /// The same without its moves.
    #[must_use]
    pub fn in_sums(&self) -> Self {
        Self {
            run: Run { moves: None, ..self.run.clone() },
            groups: self.groups.clone(),
            stores: self.stores.clone(),
            ..*self
        }
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(took: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}

/// What the next run would do as things are, and with a change that was not made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangePreview {
    pub before: Preview,
    pub after: Preview,
}

// ---- tokens, audit, status, verify ----

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Read,
    Write,
    Admin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    #[schema(
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        max_length = 100
    )]
    pub name: String,
    pub role: Role,
    /// None: the whole instance.
    #[serde(default)]
    pub scope: Option<ScopeName>,
    /// `90d`, `24h`; none never expires.
    #[serde(default)]
    #[schema(pattern = "^[0-9]{1,5}[smhd]?$")]
    pub expires: Option<String>,
}

/// `token create`: the only time that the token is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scope: Option<ScopeName>,
    pub token: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scope: Option<ScopeName>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<Timestamp>,
}

/// A one-time sign-in link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignInLink {
    pub url: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A recorded change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub id: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `socket`, `cli`, `token:NAME`, `session`.
    pub who: String,
    pub what: String,
    pub subject: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// How many files have so many readable replicas, over all scopes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Safety {
    pub readable_0: u64,
    pub readable_1: u64,
    pub readable_2_or_more: u64,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work, or a file is in danger.
    Error,
    /// It works; a setting should be changed.
    Advice,
}

/// Something that an administrator should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    pub severity: Severity,
    pub what: String,
    /// The command to type; none when `what` names several.
    pub command: Option<String>,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub version: String,
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    pub files: u64,
    pub bytes: u64,
    pub stores: Vec<StoreView>,
    pub last_run: Option<Run>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_run: Option<Timestamp>,
    pub running: Option<u64>,
    pub safety: Safety,
    /// What is wrong, then what is advised; each with the command that mends it.
    #[serde(default)]
    pub attention: Vec<Attention>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub repair: bool,
}

/// A file that verify complains about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerifyFinding {
    pub digest: Digest,
    pub store: Option<String>,
    pub detail: String,
}

/// A counter that differs from the recount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CounterFinding {
    pub counter: String,
    pub recorded: i64,
    pub counted: i64,
}

/// `verify`. `ok` is false for lost, missing, corrupt files and wrong counters only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
    pub pending_deletes: u64,
    pub unavailable: Vec<String>,
    pub repaired: u64,
}

/// One row of `import workspaces` [39].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    pub scope: ScopeName,
    pub workspace: String,
    pub default_file_store: StoreName,
    #[serde(default)]
    pub other_file_stores: Vec<StoreName>,
}

/// One receiver in `notify test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotifyTested {
    /// `json`, `ntfy` or `slack`.
    pub kind: String,
    /// Scheme and host: the rest may be secret.
    pub url: String,
    pub delivered: bool,
    pub problem: Option<String>,
}

/// What `import workspaces` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkspacesImported {
    pub scopes_created: u64,
    pub links_created: u64,
}
