//! Every table of the catalogue, in one place.
//!
//! Only `DIGESTS` and `ENTRIES` are written in random order; all other keys grow with the
//! sequential file id, so that a bulk of uploads touches few pages.

use redb::TableDefinition;

/// Single values: format, instance id, next ids, URL horizon, …
pub const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

pub const SCOPES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("scopes");
pub const STORES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("stores");
/// (scope, store) -> link.
pub const LINKS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("links");
/// (scope, store) -> when the link was removed.
pub const UNLINKED: TableDefinition<'_, (u32, u32), i64> = TableDefinition::new("unlinked");

/// file -> everything placement needs about it.
pub const FILES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("files");
pub const DIGESTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("digests");
/// (scope, path) -> entry.
pub const ENTRIES: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("entries");
/// (scope, file, path) -> creation of the entry; live entries only. Its order is "oldest file first".
pub const SCOPE_FILES: TableDefinition<'_, (u32, u64, &str), i64> =
    TableDefinition::new("scope_files");
/// (store, file) -> state, for every replica row.
pub const STORE_FILES: TableDefinition<'_, (u32, u64), u8> = TableDefinition::new("store_files");
/// (store, last use, file), present replicas only: the least recently used come first.
pub const LAST_USE: TableDefinition<'_, (u32, i64, u64), ()> = TableDefinition::new("last_use");
/// (state, store, file) for every replica that is not simply present.
pub const MARKED: TableDefinition<'_, (u8, u32, u64), ()> = TableDefinition::new("marked");
/// Files in no scope: phase 1 of a run deletes them.
pub const UNREFERENCED: TableDefinition<'_, u64, ()> = TableDefinition::new("unreferenced");
/// Ids grow with the time of deletion, so the oldest tombstones come first.
pub const TOMBSTONES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("tombstones");
/// (scope, path, tombstone).
pub const TOMBSTONE_PATHS: TableDefinition<'_, (u32, &str, u64), ()> =
    TableDefinition::new("tombstone_paths");

/// Counter key (see `counters`) -> (files, bytes).
pub const COUNTERS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("counters");
/// (store, digest) -> size of an object that was there before us (SPEC 2, `--adopt`).
pub const ADOPTED: TableDefinition<'_, (u32, &[u8; 32]), u64> = TableDefinition::new("adopted");
/// (store, day since the epoch) -> (files, bytes).
pub const SAMPLES: TableDefinition<'_, (u32, u32), (u64, u64)> = TableDefinition::new("samples");

pub const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens");
/// BLAKE3 of the secret -> sign-in link or session.
pub const SESSIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("sessions");
pub const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
pub const RUNS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("runs");
