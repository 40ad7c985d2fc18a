//! Stores: settings, limits, checks, and what stands in the way of giving one up.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::given;
use crate::domain::{Checksum, Diagnosis, Digest, Remedy, ServeMode, StoreName, Timestamp, plural};
use crate::stores::StepResult;
use crate::words::{self, Phrase};

/// Like [`super::object`], without null.
fn settings<'de, D: Deserializer<'de>>(d: D) -> Result<S3Settings, D::Error> {
    let map = serde_json::Map::<String, serde_json::Value>::deserialize(d)?;
    serde_json::from_value(serde_json::Value::Object(map)).map_err(serde::de::Error::custom)
}

/// Settings of an S3 store that may be given at creation or changed later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    #[cfg_attr(test, schema(minimum = 10, maximum = 3600))]
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreCreate {
    pub name: StoreName,
    /// `local` or `s3`.
    #[cfg_attr(test, schema(pattern = "^(?:local|s3)$"))]
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

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreChange {
    #[serde(default, deserialize_with = "settings")]
    pub s3: S3Settings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_wide: Option<bool>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<u64>))]
    pub soft_max_size: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<u64>))]
    pub max_size: Option<Option<u64>>,
}

/// A scope's use of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct StoreScope {
    pub scope: String,
    pub linked: bool,
    pub files: u64,
    pub bytes: u64,
    pub missing_files: u64,
    pub missing_bytes: u64,
}

/// `foreign`: the marker is another's, and nothing is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthWord {
    Ok,
    Unavailable,
    Foreign,
    Unknown,
}

impl HealthWord {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unavailable => "unavailable",
            Self::Foreign => "foreign",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for HealthWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a store can be used now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Health {
    pub state: HealthWord,
    /// What is wrong and what helps.
    pub problem: Option<Phrase>,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
    pub since: Option<Timestamp>,
}

/// S3 configuration without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    pub warnings: Vec<Phrase>,
}

/// One step of `store check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CheckStep {
    pub step: String,
    pub ok: bool,
    pub milliseconds: u64,
    /// What is wrong, when it failed.
    pub problem: Option<Phrase>,
    /// What to change, when it failed.
    pub remedy: Option<Phrase>,
    /// What of that Hayloft itself can do, the first thing first.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Vec<Object>))]
    pub remedies: Vec<Remedy>,
}

impl CheckStep {
    pub fn new(result: &StepResult, store: &StoreName) -> Self {
        let advice = result.found.as_ref().map(Diagnosis::advice).unwrap_or_default();
        Self {
            step: result.step.as_str().to_owned(),
            ok: result.found.is_none(),
            milliseconds: result.milliseconds,
            problem: result.found.as_ref().map(|found| Phrase::new(found.to_string())),
            remedy: result.found.as_ref().map(|_| words::what_helps(&advice, store)),
            remedies: advice.iter().filter_map(|step| step.remedy(store)).collect(),
        }
    }
}

/// `store check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct StoreCheck {
    pub store: StoreName,
    pub ok: bool,
    pub steps: Vec<CheckStep>,
}

/// One scope in `store evacuation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct EvacuationFile {
    pub path: Option<String>,
    pub digest: Digest,
    pub size: u64,
}

/// `store evacuation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Evacuation {
    pub store: StoreName,
    pub can_be_given_up: bool,
    pub scopes: Vec<EvacuationScope>,
    /// What to do next, in words.
    pub advice: Vec<Phrase>,
}

/// `store delete`, and what was lost with `--force`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct StoreDeleted {
    pub store: StoreName,
    pub lost_files: u64,
    pub lost_bytes: u64,
    pub lost_digests: Vec<Digest>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SweepRequest {
    #[serde(default)]
    pub confirm: bool,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ReconcileReport {
    pub store: String,
    pub objects: u64,
    pub known: u64,
    pub adopted: u64,
    pub missing: u64,
}

impl ReconcileReport {
    /// The findings in a line, for page and command line.
    pub fn findings(&self) -> String {
        let Self { store: _, objects, known, adopted, missing } = self;
        let found = plural(*objects, "object");
        format!(
            "{found} found, {known} known, {adopted} adopted, {missing} missing. The marker is ours."
        )
    }
}
