//! The single values of the catalogue: every key with the type of its value, so that the two cannot part.
//!
//! Names and types are those of the files of all released versions: a value may gain keys with
//! defaults, and none changes its meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::tx::Tx;
use super::{CatalogueError, Snapshot, UrlHorizon, records, tables};
use crate::api::MoveView;
use crate::domain::{LimitKind, ScopeId, StoreId, Timestamp};
use redb::ReadableTable;

/// The name of a single value, and what is kept under it.
#[derive(Debug)]
pub struct Key<T> {
    pub(super) name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }
}

/// The format of the whole file (see `upgrade`).
pub const FORMAT: Key<u32> = Key::new("format");
/// The random id of the instance, which markers carry.
pub(super) const INSTANCE: Key<String> = Key::new("instance");

/// The next id of each sequence; 1 where there is none.
pub(super) const NEXT_SCOPE: Key<u64> = Key::new("next_scope");
pub(super) const NEXT_STORE: Key<u64> = Key::new("next_store");
pub(super) const NEXT_FILE: Key<u64> = Key::new("next_file");
pub(super) const NEXT_TOMBSTONE: Key<u64> = Key::new("next_tombstone");
pub(super) const NEXT_RUN: Key<u64> = Key::new("next_run");
pub(super) const NEXT_AUDIT: Key<u64> = Key::new("next_audit");

/// Set in the transaction that makes the first store: an administrator may delete it later.
pub const SET_UP: Key<bool> = Key::new("set_up");
/// Set when the first sign-in link was issued.
pub const FIRST_LINK: Key<bool> = Key::new("first_link");
/// The store that is being made: its adoptions are cleared when it never came to be.
pub const STORE_UNDER_WAY: Key<Option<StoreId>> = Key::new("store_under_way");
/// Ids of deleted scopes whose tombstones may still be in their grace, by name. A scope of that name
/// gets its id back, and with it what can be undeleted.
pub const FORMER_SCOPES: Key<BTreeMap<String, ScopeId>> = Key::new("former_scopes");

/// URLs that earlier processes issued.
pub const URL_HORIZON: Key<UrlHorizon> = Key::new("url_horizon");
/// Stores whose generation is being raised: store -> generation that their marker may still carry.
pub const RAISING_GENERATION: Key<BTreeMap<u32, u64>> = Key::new("raising_generation");

/// When the instance was new: it counts as maintained then [38].
pub const MAINTAINED_SINCE: Key<Timestamp> = Key::new("maintained_since");
/// The day that was sampled last.
pub const SAMPLED_DAY: Key<u32> = Key::new("sampled_day");
/// When a probe last tried whether the catalogue can be written, in seconds.
pub const PROBED_AT: Key<i64> = Key::new("probe");
/// The moves of the last run alone: those of all runs would be most of the catalogue.
pub const MOVES_OF_LAST_RUN: Key<RunMoves> = Key::new("moves_of_last_run");
/// By store, the losses that were told of.
pub const LOSSES_TOLD: Key<BTreeMap<u32, ToldLosses>> = Key::new("losses_told");
/// The limits that were told of: store, limit, its bytes.
pub const FORECASTS_TOLD: Key<BTreeSet<(u32, LimitKind, u64)>> = Key::new("forecasts_told");

#[derive(Debug, Serialize, Deserialize)]
pub struct RunMoves {
    pub run: u64,
    pub moves: Vec<MoveView>,
}

/// The losses of a store when they were last told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldLosses {
    pub missing: u64,
    pub corrupt: u64,
    pub at: i64,
}

/// Decodes the value of `key` in any table of single values.
pub(super) fn read<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &Key<T>,
) -> Result<Option<T>, CatalogueError> {
    table.get(key.name)?.map(|v| records::decode_json(v.value())).transpose()
}

impl Snapshot {
    pub fn value<T: DeserializeOwned>(&self, key: &Key<T>) -> Result<Option<T>, CatalogueError> {
        read(&self.table(tables::META)?, key)
    }
}

impl Tx<'_> {
    pub fn value<T: DeserializeOwned>(&self, key: &Key<T>) -> Result<Option<T>, CatalogueError> {
        read(&self.meta, key)
    }

    pub fn set_value<T: Serialize>(
        &mut self,
        key: &Key<T>,
        value: &T,
    ) -> Result<(), CatalogueError> {
        self.dirty = true;
        self.meta.insert(key.name, records::encode_json(value)?.as_slice())?;
        Ok(())
    }
}
