//! Runs of the vacuum, planned or made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Count, Digest, Remedy, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum MoveAction {
    Copy,
    Move,
    Remove,
}

impl MoveAction {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Remove => "remove",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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

impl Outcome {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One step of a run. `scope` is the scope whose policy asked for it, none for a store's limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RunError {
    pub phase: String,
    pub scope: Option<String>,
    pub store: Option<String>,
    pub cause: String,
    /// What mends it; none in runs of older versions, and where only time helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub remedy: Option<Remedy>,
    pub files: u64,
    pub bytes: u64,
    /// The first ten.
    pub digests: Vec<Digest>,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Run {
    /// None for a dry run.
    pub id: Option<u64>,
    pub dry_run: bool,
    pub outcome: Outcome,
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    #[cfg_attr(test, schema(value_type = Option<String>, format = DateTime))]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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

    /// Groups that are alike as one, in the order of action, stores, scope and reason.
    pub fn merged(groups: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sums = BTreeMap::<_, Count>::new();
        for Self { action, scope, from, to, reason, count } in groups {
            sums.entry((action, from, to, scope, reason)).or_default().add_all(count);
        }
        let group = |((action, from, to, scope, reason), count)| Self {
            action,
            scope,
            from,
            to,
            reason,
            count,
        };
        sums.into_iter().map(group).collect()
    }

    /// The sums of the groups that have a key in common.
    pub fn sums<'a, K: Ord>(
        groups: impl IntoIterator<Item = &'a Self>,
        key: impl Fn(&'a Self) -> K,
    ) -> BTreeMap<K, Count> {
        let mut sums = BTreeMap::<K, Count>::new();
        for group in groups {
            sums.entry(key(group)).or_default().add_all(group.count);
        }
        sums
    }
}

/// What a run would bring into a store and take out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct StoreEffect {
    pub store: String,
    pub incoming: Count,
    pub outgoing: Count,
}

impl StoreEffect {
    /// A copy arrives, a removal leaves, a move does both. By name.
    pub fn of(groups: &[MoveGroup]) -> Vec<Self> {
        let incoming = MoveGroup::sums(groups, |group| group.to.as_deref());
        let outgoing = MoveGroup::sums(groups, MoveGroup::leaves);
        let stores: BTreeSet<&str> =
            incoming.keys().chain(outgoing.keys()).copied().flatten().collect();
        let effect = |store| Self {
            store: String::from(store),
            incoming: incoming.get(&Some(store)).copied().unwrap_or_default(),
            outgoing: outgoing.get(&Some(store)).copied().unwrap_or_default(),
        };
        stores.into_iter().map(effect).collect()
    }
}

/// What the next run would do, in sums, as of `at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Preview {
    /// When it was looked at.
    #[cfg_attr(test, schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// How long that took; milliseconds in JSON.
    #[serde(rename = "milliseconds", with = "milliseconds")]
    #[cfg_attr(test, schema(value_type = u64))]
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

    /// The listed moves of a file.
    pub fn moves_of(&self, digest: Digest) -> Vec<MoveView> {
        self.run.moves.iter().flatten().filter(|step| step.digest == digest).cloned().collect()
    }

    /// Whether all its moves are listed.
    pub fn is_whole(&self) -> bool {
        self.run.moves.as_ref().map_or(0, Vec::len) as u64 == self.moves_total
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ChangePreview {
    pub before: Preview,
    pub after: Preview,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::RunError;
    use crate::domain::Remedy;

    #[test]
    fn an_error_of_an_older_version_is_read_and_one_of_this_keeps_its_remedy() {
        let old = json!({
            "phase": "drain", "scope": "media", "store": "cold", "cause": "no room for it there",
            "files": 2, "bytes": 20, "digests": [],
        });
        let mut error: RunError = serde_json::from_value(old.clone()).expect("is read");
        assert_eq!((error.cause.as_str(), &error.remedy), ("no room for it there", &None));
        assert_eq!(serde_json::to_value(&error).expect("JSON"), old);
        error.remedy = Some(Remedy::Repair);
        let kept = serde_json::to_value(&error).expect("JSON");
        assert_eq!(kept["remedy"], json!({"action": "repair"}));
        assert_eq!(serde_json::from_value::<RunError>(kept).expect("is read"), error);
    }
}
