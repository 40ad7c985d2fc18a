//! Scopes and their links to stores.

use serde::{Deserialize, Serialize};

use super::{given, object, value};
use crate::domain::{Policy, ScopeName, StoreName};
use crate::words::Phrase;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScopeChange {
    pub public_read: Option<bool>,
}

/// New or changed link settings: what is absent stays (or takes its default in a new link), null
/// unsets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkChange {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<i32>))]
    pub upload_priority: Option<Option<i32>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<i32>))]
    pub download_priority: Option<Option<i32>>,
    /// Only these keys of the policy change.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyChange>,
    /// Goes through although it breaks another link's drain target.
    #[serde(default)]
    pub force: bool,
}

/// Changes to single keys of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    #[serde(default, deserialize_with = "value", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(nullable = false))]
    pub populate: Option<bool>,
    #[serde(default, deserialize_with = "value", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(nullable = false))]
    pub drain: Option<crate::domain::Drain>,
    #[serde(default, deserialize_with = "value", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(nullable = false))]
    pub read_only: Option<bool>,
    #[serde(default, deserialize_with = "value", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(nullable = false))]
    pub write_only: Option<bool>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<u64>))]
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DefaultStore {
    pub store: StoreName,
}

/// Where a link stands (SPEC 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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

impl LinkState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Drained => "drained",
            Self::Draining => "draining",
            Self::Active => "active",
        }
    }
}

/// Files of a draining link that another scope keeps there, those that are not deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Retained {
    pub scope: String,
    pub files: u64,
    pub bytes: u64,
    /// There are too many files to look at all of them: so many or more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// A link as shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    pub warnings: Vec<Phrase>,
}

/// `scope show`; stores in upload order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ScopeView {
    pub name: ScopeName,
    pub public_read: bool,
    pub files: u64,
    pub bytes: u64,
    pub stores: Vec<LinkView>,
}
