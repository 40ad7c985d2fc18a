//! A write transaction as the jobs see it: open tables, cached counters and ids, flushed once
//! before the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableTable, Table, WriteTransaction};

use super::counters::{Counter, contributions};
use super::ledger::Promise;
use super::tables;
use super::values::Key;
use super::{CatalogueError, Holders, Settings, records};
use crate::api::Count;
use crate::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp, Topology};

pub(super) type Bytes<'t, K> = Table<'t, K, &'static [u8]>;

/// A write transaction shared by the jobs of one commit.
pub struct Tx<'t> {
    pub(super) meta: Bytes<'t, &'static str>,
    pub(super) scopes: Bytes<'t, u32>,
    pub(super) stores: Bytes<'t, u32>,
    pub(super) links: Bytes<'t, (u32, u32)>,
    pub(super) unlinked: Table<'t, (u32, u32), i64>,
    pub(super) files: Bytes<'t, u64>,
    pub(super) digests: Table<'t, &'static [u8; 32], u64>,
    pub(super) entries: Bytes<'t, (u32, &'static str)>,
    pub(super) scope_files: Table<'t, (u32, u64, &'static str), i64>,
    pub(super) store_files: Table<'t, (u32, u64), u8>,
    pub(super) last_use: Table<'t, (u32, i64, u64), ()>,
    pub(super) marked: Table<'t, (u8, u32, u64), ()>,
    pub(super) unreferenced: Table<'t, u64, ()>,
    pub(super) tombstones: Bytes<'t, u64>,
    pub(super) tombstone_paths: Table<'t, (u32, &'static str, u64), ()>,
    pub(super) counters: Table<'t, &'static [u8], (u64, u64)>,
    pub(super) adopted: Table<'t, (u32, &'static [u8; 32]), u64>,
    pub(super) samples: Table<'t, (u32, u32), (u64, u64)>,
    pub(super) tokens: Bytes<'t, &'static str>,
    pub(super) sessions: Bytes<'t, &'static [u8; 32]>,
    pub(super) audit: Bytes<'t, u64>,
    pub(super) runs: Bytes<'t, u64>,
    /// Counters touched in this transaction, with their new values.
    changed: BTreeMap<Counter, Count>,
    /// Next ids handed out in this transaction, by name.
    next_ids: BTreeMap<&'static str, u64>,
    pub(super) settings: Arc<Settings>,
    pub(super) settings_changed: bool,
    used: Vec<Arc<Promise>>,
    /// Files whose places or scopes were changed.
    pub(super) moved: Vec<FileId>,
    now: Timestamp,
    /// Creation time of the newest file.
    last_created: Timestamp,
    /// Set by every change; tells whether a failed job has to be undone.
    pub(super) dirty: bool,
}

/// What a commit has to publish to the rest of the process.
pub(super) struct Published {
    pub settings: Option<Arc<Settings>>,
    pub totals: Vec<(StoreId, u64)>,
    pub used: Vec<Arc<Promise>>,
    /// Files whose places or scopes were changed.
    pub files: Vec<FileId>,
    pub last_created: Timestamp,
}

impl<'t> Tx<'t> {
    pub(super) fn open(
        txn: &'t WriteTransaction,
        settings: Arc<Settings>,
        now: Timestamp,
        last_created: Timestamp,
    ) -> Result<Self, CatalogueError> {
        Ok(Self {
            meta: txn.open_table(tables::META)?,
            scopes: txn.open_table(tables::SCOPES)?,
            stores: txn.open_table(tables::STORES)?,
            links: txn.open_table(tables::LINKS)?,
            unlinked: txn.open_table(tables::UNLINKED)?,
            files: txn.open_table(tables::FILES)?,
            digests: txn.open_table(tables::DIGESTS)?,
            entries: txn.open_table(tables::ENTRIES)?,
            scope_files: txn.open_table(tables::SCOPE_FILES)?,
            store_files: txn.open_table(tables::STORE_FILES)?,
            last_use: txn.open_table(tables::LAST_USE)?,
            marked: txn.open_table(tables::MARKED)?,
            unreferenced: txn.open_table(tables::UNREFERENCED)?,
            tombstones: txn.open_table(tables::TOMBSTONES)?,
            tombstone_paths: txn.open_table(tables::TOMBSTONE_PATHS)?,
            counters: txn.open_table(tables::COUNTERS)?,
            adopted: txn.open_table(tables::ADOPTED)?,
            samples: txn.open_table(tables::SAMPLES)?,
            tokens: txn.open_table(tables::TOKENS)?,
            sessions: txn.open_table(tables::SESSIONS)?,
            audit: txn.open_table(tables::AUDIT)?,
            runs: txn.open_table(tables::RUNS)?,
            changed: BTreeMap::new(),
            next_ids: BTreeMap::new(),
            settings,
            settings_changed: false,
            used: Vec::new(),
            moved: Vec::new(),
            now,
            last_created,
            dirty: false,
        })
    }

    /// The time of this transaction.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The configuration including what this transaction changed so far.
    pub fn topology(&self) -> &Topology {
        &self.settings.topology
    }

    /// The creation time of a new file: later than that of every other one, whatever the clock
    /// does, so that id order is creation order without ties.
    pub(super) fn next_creation(&mut self) -> Timestamp {
        self.last_created = self.now.max(Timestamp(self.last_created.0 + 1));
        self.last_created
    }

    pub(super) fn settings_mut(&mut self) -> &mut Settings {
        self.dirty = true;
        self.settings_changed = true;
        Arc::make_mut(&mut self.settings)
    }

    /// Ends the promise when this transaction is durable: its bytes are recorded here.
    pub fn consume(&mut self, promise: &Arc<Promise>) {
        self.dirty = true;
        self.used.push(Arc::clone(promise));
    }

    /// A fresh id of a sequence, starting at 1.
    pub(super) fn next_id(&mut self, sequence: &Key<u64>) -> Result<u64, CatalogueError> {
        let next = match self.next_ids.get(sequence.name) {
            Some(next) => *next,
            None => self.value(sequence)?.unwrap_or(1),
        };
        self.dirty = true;
        self.next_ids.insert(sequence.name, next + 1);
        Ok(next)
    }

    /// A counter's value including what this transaction changed.
    pub fn count(&self, counter: &Counter) -> Result<Count, CatalogueError> {
        if let Some(count) = self.changed.get(counter) {
            return Ok(*count);
        }
        let stored = self.counters.get(counter.key().as_slice())?;
        Ok(stored.map_or_else(Count::default, |v| {
            let (files, bytes) = v.value();
            Count { files, bytes }
        }))
    }

    /// A scope's files by the set of stores that hold them, including what this transaction changed.
    pub fn holders(&self, scope: ScopeId) -> Result<Vec<Holders>, CatalogueError> {
        let prefix = Counter::holders_prefix(scope);
        let mut all = BTreeMap::new();
        for row in self.counters.range(prefix.as_slice()..)? {
            let (key, value) = row?;
            if !key.value().starts_with(&prefix) {
                break;
            }
            let (files, bytes) = value.value();
            all.extend(Counter::parse(key.value()).map(|c| (c, Count { files, bytes })));
        }
        all.extend(self.changed.iter().map(|(counter, count)| (counter.clone(), *count)));
        let held = all.into_iter().filter_map(|(counter, count)| match counter {
            Counter::Holders { scope: s, live, stores } if s == scope && count.files > 0 => {
                Some(Holders { live, stores, count })
            }
            _ => None,
        });
        Ok(held.collect())
    }

    /// Replaces what `old` added to the counters by what `new` adds.
    pub(super) fn recount(
        &mut self,
        old: Option<&File>,
        new: Option<&File>,
    ) -> Result<(), CatalogueError> {
        for (counter, delta) in new.map(contributions).unwrap_or_default() {
            let mut count = self.count(&counter)?;
            count.files = count.files.saturating_add(delta.files);
            count.bytes = count.bytes.saturating_add(delta.bytes);
            self.changed.insert(counter, count);
        }
        for (counter, delta) in old.map(contributions).unwrap_or_default() {
            let mut count = self.count(&counter)?;
            count.files = count.files.saturating_sub(delta.files);
            count.bytes = count.bytes.saturating_sub(delta.bytes);
            self.changed.insert(counter, count);
        }
        Ok(())
    }

    /// Sets a counter outright: only for repairs after a recount.
    pub fn set_counter(&mut self, counter: Counter, count: Count) {
        self.dirty = true;
        self.changed.insert(counter, count);
    }

    /// Bytes of a store that its hard limit counts, without reservations.
    fn hard_total(&self, store: StoreId) -> Result<u64, CatalogueError> {
        let mut total = 0u64;
        for state in super::counters::STATES {
            if state != ReplicaState::Missing {
                total = total.saturating_add(self.count(&Counter::Store(store, state))?.bytes);
            }
        }
        Ok(total)
    }

    /// Writes cached counters and ids, and says what is to be published after the commit.
    pub(super) fn finish(mut self) -> Result<Published, CatalogueError> {
        let mut touched: Vec<StoreId> = self
            .changed
            .keys()
            .filter_map(|c| if let Counter::Store(store, _) = c { Some(*store) } else { None })
            .collect();
        touched.dedup();
        let mut totals = Vec::with_capacity(touched.len());
        for store in touched {
            totals.push((store, self.hard_total(store)?));
        }
        for (counter, count) in &self.changed {
            let key = counter.key();
            if count.files == 0 && count.bytes == 0 {
                self.counters.remove(key.as_slice())?;
            } else {
                self.counters.insert(key.as_slice(), (count.files, count.bytes))?;
            }
        }
        for (name, next) in &self.next_ids {
            self.meta.insert(*name, records::encode_json(next)?.as_slice())?;
        }
        let settings = self.settings_changed.then(|| Arc::clone(&self.settings));
        let used = std::mem::take(&mut self.used);
        let files = std::mem::take(&mut self.moved);
        Ok(Published { settings, totals, used, files, last_created: self.last_created })
    }
}
