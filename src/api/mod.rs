//! Requests and answers shared by server, command line and page (SPEC 11). Keys may be added, not
//! renamed. Bytes and counts are integers, times RFC 3339.

mod files;
mod instance;
mod scopes;
mod stores;
mod vacuum;

use serde::{Deserialize, Deserializer, Serialize};

use crate::words::Phrase;

pub use crate::domain::Count;
pub use files::*;
pub use instance::*;
pub use scopes::*;
pub use stores::*;
pub use vacuum::*;

/// Tells "not given" (`None`) from "given as null" (`Some(None)`) in a change request.
#[expect(clippy::option_option, reason = "a change request has three answers: keep, unset, set")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

/// A key that may be left out, but not be null: null is no value of its type.
fn value<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// Only an object or null will do: serde's derived structs would take an array too.
fn object<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    let map = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(d)?;
    let read = |map| serde_json::from_value(serde_json::Value::Object(map));
    map.map(read).transpose().map_err(serde::de::Error::custom)
}

/// An error answer (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Problem {
    /// The kind of problem, stable: `insufficient-storage`, `run-in-progress`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What was wrong and what to do.
    pub detail: Phrase,
    /// Further facts: `run` (id), `stores`, `files`, `bytes`, …; as `remedy` the first thing to do.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}
