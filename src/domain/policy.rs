//! The relation between a scope and a store, and its policy (SPEC 3).

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ScopeId, StoreId, StoreName, Timestamp};

/// `drain`: `false`, `true`, or the name of the store that must end up with the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Drain {
    #[default]
    No,
    Anywhere,
    Into(StoreName),
}

impl Drain {
    pub fn is_on(&self) -> bool {
        *self != Self::No
    }

    pub fn target(&self) -> Option<&StoreName> {
        match self {
            Self::Into(name) => Some(name),
            Self::No | Self::Anywhere => None,
        }
    }
}

impl Serialize for Drain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::Anywhere => serializer.serialize_bool(true),
            Self::Into(name) => serializer.serialize_str(name.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for Drain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DrainVisitor;
        impl Visitor<'_> for DrainVisitor {
            type Value = Drain;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false, true or the name of a store")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Drain, E> {
                Ok(if v { Drain::Anywhere } else { Drain::No })
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Drain, E> {
                StoreName::new(v).map(Drain::Into).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(DrainVisitor)
    }
}

/// The policy object of a link. Unknown keys and wrong types are refused [37].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct Policy {
    pub populate: bool,
    pub drain: Drain,
    pub read_only: bool,
    pub write_only: bool,
    /// Bytes that the store should hold for this scope; `None` is no limit.
    pub soft_max_size: Option<u64>,
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Only an object will do: serde's derived structs would take an array too.
impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Policy;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Policy, A::Error> {
                Policy::deserialize(de::value::MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A policy that contradicts itself (SPEC 3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("populate and drain contradict each other: set one of them")]
    PopulateWithDrain,
    #[error("populate and read_only contradict each other: a read-only store takes no files")]
    PopulateReadOnly,
}

impl Policy {
    /// The rules that need no look at other links; those are in `ops::links`.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.populate && self.drain.is_on() {
            return Err(PolicyError::PopulateWithDrain);
        }
        if self.populate && self.read_only {
            return Err(PolicyError::PopulateReadOnly);
        }
        Ok(())
    }

    /// True when files may be added through this link.
    pub fn accepts_uploads(&self) -> bool {
        !self.read_only && !self.write_only
    }
}

/// The (scope, store) relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub scope: ScopeId,
    pub store: StoreId,
    /// `None` sorts below every integer.
    pub upload_priority: Option<i32>,
    pub download_priority: Option<i32>,
    pub policy: Policy,
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_policy_keys_and_wrong_types_are_refused() {
        let ok: Policy =
            serde_json::from_str(r#"{"drain":"cold","soft_max_size":5}"#).expect("policy");
        assert_eq!(ok.drain.target().map(StoreName::as_str), Some("cold"));
        for bad in [
            r#"{"colour":1}"#,
            r#"{"populate":"yes"}"#,
            r#"{"drain":3}"#,
            r#"{"drain":"a b"}"#,
            r#"{"soft_max_size":-1}"#,
            r#"{"soft_max_size":"80GB"}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<Policy>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_policy_object_has_all_its_keys() {
        let json = serde_json::to_string(&Policy::default()).expect("json");
        assert_eq!(
            json,
            r#"{"populate":false,"drain":false,"read_only":false,"write_only":false,"soft_max_size":null}"#
        );
    }

    #[test]
    fn contradictions_are_named() {
        let mut p = Policy { populate: true, drain: Drain::Anywhere, ..Policy::default() };
        assert_eq!(p.check(), Err(PolicyError::PopulateWithDrain));
        p.drain = Drain::No;
        p.read_only = true;
        assert_eq!(p.check(), Err(PolicyError::PopulateReadOnly));
    }
}
