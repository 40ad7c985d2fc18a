//! Reads: a consistent view as of one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition};

use super::counters::{Counter, STATES, state_code};
use super::{AuditRecord, CatalogueError, Session, Token, records, tables, values};
use crate::api::{Count, Run};
use crate::domain::{
    Digest, Entry, File, FileId, FilePath, ReplicaState, ScopeId, StoreId, Timestamp, Tombstone,
    Topology,
};

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryPage {
    pub entries: Vec<(FilePath, Entry)>,
    /// True when more entries follow the last one.
    pub more: bool,
}

/// A view of the catalogue; drop it before any I/O.
#[derive(Debug)]
pub struct Snapshot {
    txn: ReadTransaction,
    /// Last uses that are not written yet; they win over the stored ones (SPEC 6).
    touched: Arc<BTreeMap<FileId, Timestamp>>,
}

pub(super) fn path(text: &str) -> Result<FilePath, CatalogueError> {
    FilePath::new(text).map_err(|e| CatalogueError::Corrupt(e.to_string()))
}

impl Snapshot {
    pub(super) fn new(txn: ReadTransaction) -> Self {
        Self { txn, touched: Arc::default() }
    }

    /// The same view with unwritten last uses laid over it.
    #[must_use]
    pub fn with_last_uses(mut self, touched: Arc<BTreeMap<FileId, Timestamp>>) -> Self {
        self.touched = touched;
        self
    }

    pub(super) fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, CatalogueError> {
        Ok(self.txn.open_table(definition)?)
    }

    // ---- files ----

    fn decode(&self, id: FileId, bytes: &[u8]) -> Result<File, CatalogueError> {
        let mut file = records::decode_file(id, bytes)?;
        if let Some(at) = self.touched.get(&id) {
            file.last_used = file.last_used.max(*at);
        }
        Ok(file)
    }

    pub fn file(&self, id: FileId) -> Result<Option<File>, CatalogueError> {
        let files = self.table(tables::FILES)?;
        files.get(id.0)?.map(|v| self.decode(id, v.value())).transpose()
    }

    pub fn file_by_digest(&self, digest: &Digest) -> Result<Option<File>, CatalogueError> {
        let id = self.table(tables::DIGESTS)?.get(&digest.0)?.map(|v| FileId(v.value()));
        id.map_or(Ok(None), |id| self.file(id))
    }

    /// The file created last.
    pub fn newest_file(&self) -> Result<Option<File>, CatalogueError> {
        let files = self.table(tables::FILES)?;
        files.last()?.map(|(id, v)| self.decode(FileId(id.value()), v.value())).transpose()
    }

    /// The highest file id given out; 0 before the first.
    pub fn newest_id(&self) -> Result<FileId, CatalogueError> {
        let next = self.value(&values::NEXT_FILE)?.unwrap_or(1);
        Ok(FileId(next.saturating_sub(1)))
    }

    /// All files after `after`, in id order.
    pub fn files(&self, after: Option<FileId>, limit: usize) -> Result<Vec<File>, CatalogueError> {
        let files = self.table(tables::FILES)?;
        let mut page = Vec::new();
        for row in files.range(after.map_or(0, |id| id.0 + 1)..)?.take(limit) {
            let (id, bytes) = row?;
            page.push(self.decode(FileId(id.value()), bytes.value())?);
        }
        Ok(page)
    }

    fn files_of(&self, ids: Vec<FileId>) -> Result<Vec<File>, CatalogueError> {
        let files = self.table(tables::FILES)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(bytes) = files.get(id.0)? {
                found.push(self.decode(id, bytes.value())?);
            }
        }
        Ok(found)
    }

    /// Files with a replica row of any state in `store`, oldest first.
    pub fn files_of_store(
        &self,
        store: StoreId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let table = self.table(tables::STORE_FILES)?;
        let from = after.map_or(0, |id| id.0 + 1);
        let mut ids = Vec::new();
        for row in table.range((store.0, from)..=(store.0, u64::MAX))?.take(limit) {
            ids.push(FileId(row?.0.value().1));
        }
        self.files_of(ids)
    }

    /// Files with a live entry in `scope`, oldest first, each once.
    pub fn live_files_of_scope(
        &self,
        scope: ScopeId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let table = self.table(tables::SCOPE_FILES)?;
        let from = after.map_or(0, |id| id.0 + 1);
        let mut ids: Vec<FileId> = Vec::new();
        for row in table.range((scope.0, from, "")..(scope.0 + 1, 0, ""))? {
            let id = FileId(row?.0.value().1);
            if ids.last() != Some(&id) {
                if ids.len() == limit {
                    break;
                }
                ids.push(id);
            }
        }
        self.files_of(ids)
    }

    /// Files with a live entry in `scope` and no present replica in `store`, oldest first, each once.
    /// Only files that are missing are read: the rows of both indices are a tenth of a file's.
    pub fn missing_files(
        &self,
        scope: ScopeId,
        store: StoreId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let (here, there) = (self.table(tables::SCOPE_FILES)?, self.table(tables::STORE_FILES)?);
        let from = after.map_or(0, |id| id.0 + 1);
        let mut ids: Vec<FileId> = Vec::new();
        let mut last = None;
        for row in here.range((scope.0, from, "")..(scope.0 + 1, 0, ""))? {
            let id = row?.0.value().1;
            if last.replace(id) == Some(id) {
                continue;
            }
            let state = there.get((store.0, id))?.map(|v| v.value());
            if state != Some(state_code(ReplicaState::Present)) {
                ids.push(FileId(id));
                if ids.len() == limit {
                    break;
                }
            }
        }
        self.files_of(ids)
    }

    /// Files present in `store` after `after`, least recently used first; unwritten uses count.
    pub fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let table = self.table(tables::LAST_USE)?;
        let from = match after {
            Some((at, id)) => (store.0, at.0, id.0 + 1),
            None => (store.0, i64::MIN, 0),
        };
        let mut stored = Vec::new();
        for row in table.range(from..=(store.0, i64::MAX, u64::MAX))? {
            let (_, at, id) = row?.0.value();
            let id = FileId(id);
            // A file used since stands later in the order than its row says.
            if self.touched.get(&id).is_none_or(|used| used.0 <= at) {
                stored.push((Timestamp(at), id));
                if stored.len() == limit {
                    break;
                }
            }
        }
        if !self.touched.is_empty() {
            stored.extend(self.touched_in(store, after)?);
            stored.sort_unstable();
            stored.dedup();
            stored.truncate(limit);
        }
        self.files_of(stored.into_iter().map(|(_, id)| id).collect())
    }

    /// Files of the last-use overlay that are present in `store` and stand after `after`.
    fn touched_in(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
    ) -> Result<Vec<(Timestamp, FileId)>, CatalogueError> {
        let table = self.table(tables::STORE_FILES)?;
        let mut found = Vec::new();
        for (id, at) in self.touched.iter() {
            if after.is_some_and(|a| (*at, *id) <= a) {
                continue;
            }
            let state = table.get((store.0, id.0))?.map(|v| v.value());
            if state != Some(state_code(ReplicaState::Present)) {
                continue;
            }
            if let Some(file) = self.file(*id)? {
                found.push((file.last_used, *id));
            }
        }
        Ok(found)
    }

    /// Files whose replica in `store` is in `state` (not `Present`), oldest first.
    pub fn marked(
        &self,
        state: ReplicaState,
        store: StoreId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let table = self.table(tables::MARKED)?;
        let code = state_code(state);
        let from = after.map_or(0, |id| id.0 + 1);
        let mut ids = Vec::new();
        for row in table.range((code, store.0, from)..=(code, store.0, u64::MAX))?.take(limit) {
            ids.push(FileId(row?.0.value().2));
        }
        self.files_of(ids)
    }

    /// Files in no scope.
    pub fn unreferenced(
        &self,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let table = self.table(tables::UNREFERENCED)?;
        let mut ids = Vec::new();
        for row in table.range(after.map_or(0, |id| id.0 + 1)..)?.take(limit) {
            ids.push(FileId(row?.0.value()));
        }
        self.files_of(ids)
    }

    // ---- entries ----

    pub fn entry(&self, scope: ScopeId, path: &FilePath) -> Result<Option<Entry>, CatalogueError> {
        let entries = self.table(tables::ENTRIES)?;
        entries.get((scope.0, path.as_str()))?.map(|v| records::decode_entry(v.value())).transpose()
    }

    /// Live entries with `prefix` after `after`, in path order.
    pub fn entries(
        &self,
        scope: ScopeId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<EntryPage, CatalogueError> {
        let table = self.table(tables::ENTRIES)?;
        let start = after.filter(|a| *a >= prefix).unwrap_or(prefix);
        let mut page = EntryPage::default();
        for row in table.range((scope.0, start)..(scope.0 + 1, ""))? {
            let (key, value) = row?;
            let (_, text) = key.value();
            if after == Some(text) {
                continue;
            }
            if !text.starts_with(prefix) {
                break;
            }
            if page.entries.len() == limit {
                page.more = true;
                break;
            }
            page.entries.push((path(text)?, records::decode_entry(value.value())?));
        }
        Ok(page)
    }

    /// Paths of live entries of `scope` that point to `file`, at most `limit`.
    pub fn paths_of(
        &self,
        scope: ScopeId,
        file: FileId,
        limit: usize,
    ) -> Result<Vec<FilePath>, CatalogueError> {
        let table = self.table(tables::SCOPE_FILES)?;
        let mut paths = Vec::new();
        for row in table.range((scope.0, file.0, "")..(scope.0, file.0 + 1, ""))?.take(limit) {
            paths.push(path(row?.0.value().2)?);
        }
        Ok(paths)
    }

    /// The newest live entry of `scope` that points to `file`: its content type is by-hash's.
    pub fn newest_entry_of(
        &self,
        scope: ScopeId,
        file: FileId,
    ) -> Result<Option<(FilePath, Entry)>, CatalogueError> {
        let table = self.table(tables::SCOPE_FILES)?;
        let mut newest: Option<(i64, FilePath)> = None;
        for row in table.range((scope.0, file.0, "")..(scope.0, file.0 + 1, ""))? {
            let (key, created) = row?;
            if newest.as_ref().is_none_or(|(at, _)| created.value() >= *at) {
                newest = Some((created.value(), path(key.value().2)?));
            }
        }
        let Some((_, path)) = newest else { return Ok(None) };
        Ok(self.entry(scope, &path)?.map(|entry| (path, entry)))
    }

    /// Tombstones after `after` in the order of deletion, those deleted up to `until`.
    pub fn tombstones(
        &self,
        after: u64,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(u64, Tombstone)>, CatalogueError> {
        let table = self.table(tables::TOMBSTONES)?;
        let mut page = Vec::new();
        for row in table.range(after + 1..)?.take(limit) {
            let (id, bytes) = row?;
            let tombstone = records::decode_tombstone(bytes.value())?;
            if tombstone.deleted_at > until {
                break;
            }
            page.push((id.value(), tombstone));
        }
        Ok(page)
    }

    // ---- counters ----

    pub fn count(&self, counter: &Counter) -> Result<Count, CatalogueError> {
        let stored = self.table(tables::COUNTERS)?.get(counter.key().as_slice())?;
        Ok(stored.map_or_else(Count::default, |v| {
            let (files, bytes) = v.value();
            Count { files, bytes }
        }))
    }

    /// A store's replica rows by state.
    pub fn store_counts(
        &self,
        store: StoreId,
    ) -> Result<BTreeMap<ReplicaState, Count>, CatalogueError> {
        STATES.iter().map(|s| Ok((*s, self.count(&Counter::Store(store, *s))?))).collect()
    }

    /// A scope's files by the set of stores that hold them: (live, holders, count).
    pub fn holders(&self, scope: ScopeId) -> Result<Vec<Holders>, CatalogueError> {
        let prefix = Counter::holders_prefix(scope);
        let table = self.table(tables::COUNTERS)?;
        let mut all = Vec::new();
        for row in table.range(prefix.as_slice()..)? {
            let (key, value) = row?;
            if !key.value().starts_with(&prefix) {
                break;
            }
            let Some(Counter::Holders { live, stores, .. }) = Counter::parse(key.value()) else {
                return Err(CatalogueError::Corrupt("a counter has an unknown key".to_owned()));
            };
            let (files, bytes) = value.value();
            all.push(Holders { live, stores, count: Count { files, bytes } });
        }
        Ok(all)
    }

    /// Every counter, for a recount.
    pub fn counters(&self) -> Result<BTreeMap<Counter, Count>, CatalogueError> {
        let mut all = BTreeMap::new();
        for row in self.table(tables::COUNTERS)?.iter()? {
            let (key, value) = row?;
            let (files, bytes) = value.value();
            if let Some(counter) = Counter::parse(key.value()) {
                all.insert(counter, Count { files, bytes });
            }
        }
        Ok(all)
    }

    // ---- adopted objects, samples ----

    pub fn adopted(&self, store: StoreId, digest: &Digest) -> Result<Option<u64>, CatalogueError> {
        Ok(self.table(tables::ADOPTED)?.get((store.0, &digest.0))?.map(|v| v.value()))
    }

    pub fn adopted_count(&self, store: StoreId) -> Result<u64, CatalogueError> {
        let (first, last) = ([0; 32], [0xff; 32]);
        let table = self.table(tables::ADOPTED)?;
        let rows = table.range((store.0, &first)..=(store.0, &last))?;
        Ok(u64::try_from(rows.count()).unwrap_or(u64::MAX))
    }

    /// Usage samples of a store: (day since the epoch, files and bytes), oldest first.
    pub fn samples(&self, store: StoreId) -> Result<Vec<(u32, Count)>, CatalogueError> {
        let table = self.table(tables::SAMPLES)?;
        let mut all = Vec::new();
        for row in table.range((store.0, 0)..=(store.0, u32::MAX))? {
            let (key, value) = row?;
            let (files, bytes) = value.value();
            all.push((key.value().1, Count { files, bytes }));
        }
        Ok(all)
    }

    // ---- runs, access, audit, single values ----

    pub fn run(&self, id: u64) -> Result<Option<Run>, CatalogueError> {
        let runs = self.table(tables::RUNS)?;
        runs.get(id)?.map(|v| records::decode_json(v.value())).transpose()
    }

    /// Runs, newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<Run>, CatalogueError> {
        let runs = self.table(tables::RUNS)?;
        let mut all = Vec::new();
        for row in runs.iter()?.rev().take(limit) {
            all.push(records::decode_json(row?.1.value())?);
        }
        Ok(all)
    }

    /// The id that the next run will get.
    pub fn next_run_id(&self) -> Result<u64, CatalogueError> {
        Ok(self.value(&values::NEXT_RUN)?.unwrap_or(1))
    }

    pub fn session(&self, secret: &Digest) -> Result<Option<Session>, CatalogueError> {
        let sessions = self.table(tables::SESSIONS)?;
        sessions.get(&secret.0)?.map(|v| records::decode_json(v.value())).transpose()
    }

    /// Audit rows before `before` (or the newest), newest first.
    pub fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, AuditRecord)>, CatalogueError> {
        let audit = self.table(tables::AUDIT)?;
        let mut all = Vec::new();
        for row in audit.range(..before.unwrap_or(u64::MAX))?.rev().take(limit) {
            let (id, bytes) = row?;
            all.push((id.value(), records::decode_json(bytes.value())?));
        }
        Ok(all)
    }

    pub(super) fn load_tokens(&self) -> Result<BTreeMap<String, Token>, CatalogueError> {
        let mut all = BTreeMap::new();
        for row in self.table(tables::TOKENS)?.iter()? {
            let (id, bytes) = row?;
            all.insert(id.value().to_owned(), records::decode_json(bytes.value())?);
        }
        Ok(all)
    }

    pub(super) fn load_topology(&self) -> Result<Topology, CatalogueError> {
        let mut topology = Topology::default();
        for row in self.table(tables::SCOPES)?.iter()? {
            let (id, bytes) = row?;
            let id = ScopeId(id.value());
            topology.scopes.insert(id, records::decode_scope(id, bytes.value())?);
        }
        for row in self.table(tables::STORES)?.iter()? {
            let (id, bytes) = row?;
            let id = StoreId(id.value());
            topology.stores.insert(id, records::decode_store(id, bytes.value())?);
        }
        for row in self.table(tables::LINKS)?.iter()? {
            let (key, bytes) = row?;
            let (scope, store) = (ScopeId(key.value().0), StoreId(key.value().1));
            let link = records::decode_link(scope, store, bytes.value())?;
            topology.links.insert((scope, store), link);
        }
        for row in self.table(tables::UNLINKED)?.iter()? {
            let (key, at) = row?;
            let (scope, store) = key.value();
            topology.unlinked.insert((ScopeId(scope), StoreId(store)), Timestamp(at.value()));
        }
        Ok(topology)
    }
}

/// A scope's files that lie in exactly these stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// With a live entry; otherwise held by tombstones only.
    pub live: bool,
    pub stores: Vec<StoreId>,
    pub count: Count,
}
