//! Writes about files, entries and tombstones. Every index of a file is kept by `put_file` alone.

use std::time::Duration;

use redb::ReadableTable;

use super::CatalogueError;
use super::counters::state_code;
use super::tx::Tx;
use super::{records, values};
use crate::domain::{
    Digest, Entry, Event, File, FileId, FilePath, ReplicaState, ScopeId, StoreId, Timestamp,
    Tombstone,
};

/// What placing an entry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub entry: Entry,
    /// True when another entry stood at the path; it is a tombstone now.
    pub replaced: bool,
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    Deleted,
    Absent,
}

impl Tx<'_> {
    pub fn file(&self, id: FileId) -> Result<Option<File>, CatalogueError> {
        self.files.get(id.0)?.map(|v| records::decode_file(id, v.value())).transpose()
    }

    pub fn file_by_digest(&self, digest: &Digest) -> Result<Option<File>, CatalogueError> {
        let id = self.digests.get(&digest.0)?.map(|v| FileId(v.value()));
        id.map_or(Ok(None), |id| self.file(id))
    }

    /// The file with this digest, or a new one that is not in the catalogue until `put_file`.
    pub fn file_or_new(&mut self, digest: Digest, size: u64) -> Result<File, CatalogueError> {
        if let Some(file) = self.file_by_digest(&digest)? {
            return Ok(file);
        }
        let id = FileId(self.next_id(&values::NEXT_FILE)?);
        let created_at = self.next_creation();
        Ok(File {
            id,
            digest,
            size,
            created_at,
            last_used: created_at,
            replicas: Vec::new(),
            members: Vec::new(),
            departed: None,
        })
    }

    /// Writes `file`, made or placed, and every index of it: what happens to a replica of a file that is
    /// there goes through [`Self::apply`]. A file with neither replicas nor scopes is forgotten;
    /// one without scopes is listed for deletion by the next run.
    pub fn put_file(&mut self, file: &File) -> Result<(), CatalogueError> {
        let old = self.file(file.id)?;
        self.replace_file(old, file)
    }

    /// Lets `event` happen to the replica of `file` in `store`. The file as it is then; `None`, and
    /// nothing is written, where it cannot happen.
    pub fn apply(
        &mut self,
        file: FileId,
        store: StoreId,
        event: Event,
    ) -> Result<Option<File>, CatalogueError> {
        let Some(old) = self.file(file)? else { return Ok(None) };
        let mut new = old.clone();
        if !new.apply(store, event, self.now()) {
            return Ok(None);
        }
        self.replace_file(Some(old), &new)?;
        Ok(Some(new))
    }

    fn replace_file(&mut self, old: Option<File>, file: &File) -> Result<(), CatalogueError> {
        self.dirty = true;
        let is_same = |o: &File| (&o.replicas, &o.members) == (&file.replicas, &file.members);
        if !old.as_ref().is_some_and(is_same) {
            self.moved.push(file.id);
        }
        self.recount(old.as_ref(), Some(file))?;
        self.index_replicas(old.as_ref(), Some(file))?;
        if file.members.is_empty() && file.replicas.is_empty() {
            self.recount(Some(file), None)?;
            self.index_replicas(Some(file), None)?;
            self.files.remove(file.id.0)?;
            self.digests.remove(&file.digest.0)?;
            self.unreferenced.remove(file.id.0)?;
            return Ok(());
        }
        if old.is_none() {
            self.digests.insert(&file.digest.0, file.id.0)?;
        }
        if file.members.is_empty() {
            self.unreferenced.insert(file.id.0, ())?;
        } else if old.is_none_or(|o| o.members.is_empty()) {
            self.unreferenced.remove(file.id.0)?;
        }
        self.files.insert(file.id.0, records::encode_file(file)?.as_slice())?;
        Ok(())
    }

    fn index_replicas(
        &mut self,
        old: Option<&File>,
        new: Option<&File>,
    ) -> Result<(), CatalogueError> {
        for (file, r) in old.iter().flat_map(|f| f.replicas.iter().map(move |r| (f, r))) {
            let same_use = new.is_some_and(|n| n.last_used == file.last_used);
            if same_use && new.and_then(|n| n.state(r.store)) == Some(r.state) {
                continue;
            }
            if new.and_then(|n| n.state(r.store)).is_none() {
                self.store_files.remove((r.store.0, file.id.0))?;
            }
            if r.state == ReplicaState::Present {
                self.last_use.remove((r.store.0, file.last_used.0, file.id.0))?;
            } else {
                self.marked.remove((state_code(r.state), r.store.0, file.id.0))?;
            }
        }
        for (file, r) in new.iter().flat_map(|f| f.replicas.iter().map(move |r| (f, r))) {
            let same_use = old.is_some_and(|o| o.last_used == file.last_used);
            if same_use && old.and_then(|o| o.state(r.store)) == Some(r.state) {
                continue;
            }
            self.store_files.insert((r.store.0, file.id.0), state_code(r.state))?;
            if r.state == ReplicaState::Present {
                self.last_use.insert((r.store.0, file.last_used.0, file.id.0), ())?;
            } else {
                self.marked.insert((state_code(r.state), r.store.0, file.id.0), ())?;
            }
        }
        Ok(())
    }

    /// Writes last uses whose stored value is older than `granularity`; returns those that are
    /// settled: written now, or about files that are gone or newer already.
    pub(super) fn touch_files(
        &mut self,
        rows: &[(FileId, Timestamp)],
        granularity: Duration,
    ) -> Result<Vec<(FileId, Timestamp)>, CatalogueError> {
        let mut settled = Vec::new();
        for (id, at) in rows {
            match self.file(*id)? {
                Some(file) if file.last_used < *at => {
                    if at.since(file.last_used) < granularity {
                        continue;
                    }
                    self.put_file(&File { last_used: *at, ..file })?;
                }
                _ => {}
            }
            settled.push((*id, *at));
        }
        Ok(settled)
    }

    pub fn entry(&self, scope: ScopeId, path: &FilePath) -> Result<Option<Entry>, CatalogueError> {
        self.entries
            .get((scope.0, path.as_str()))?
            .map(|v| records::decode_entry(v.value()))
            .transpose()
    }

    /// Points (scope, path) at `file`, which must be in the catalogue or be handed to `put_file`
    /// by this call: the old entry becomes a tombstone, the membership and last use follow.
    pub fn place_entry(
        &mut self,
        scope: ScopeId,
        path: &FilePath,
        mut file: File,
        content_type: &str,
    ) -> Result<Placed, CatalogueError> {
        // The replica first: a file that is still unknown must not vanish for want of a scope.
        let now = self.now();
        file.adjust_member(scope, 1, 0);
        file.last_used = file.last_used.max(now);
        self.put_file(&file)?;
        let replaced = self.remove_entry(scope, path)? == DeleteOutcome::Deleted;
        let entry = Entry { file: file.id, content_type: content_type.to_owned(), created_at: now };
        self.insert_entry(scope, path, &entry)?;
        Ok(Placed { entry, replaced })
    }

    fn insert_entry(
        &mut self,
        scope: ScopeId,
        path: &FilePath,
        entry: &Entry,
    ) -> Result<(), CatalogueError> {
        self.dirty = true;
        self.entries.insert((scope.0, path.as_str()), records::encode_entry(entry)?.as_slice())?;
        self.scope_files.insert((scope.0, entry.file.0, path.as_str()), entry.created_at.0)?;
        Ok(())
    }

    /// Turns the entry at (scope, path) into a tombstone.
    pub fn remove_entry(
        &mut self,
        scope: ScopeId,
        path: &FilePath,
    ) -> Result<DeleteOutcome, CatalogueError> {
        let Some(entry) = self.entry(scope, path)? else {
            return Ok(DeleteOutcome::Absent);
        };
        self.dirty = true;
        self.entries.remove((scope.0, path.as_str()))?;
        self.scope_files.remove((scope.0, entry.file.0, path.as_str()))?;
        let id = self.next_id(&values::NEXT_TOMBSTONE)?;
        let tombstone = Tombstone {
            scope,
            path: path.clone(),
            file: entry.file,
            content_type: entry.content_type,
            created_at: entry.created_at,
            deleted_at: self.now(),
        };
        self.tombstones.insert(id, records::encode_tombstone(&tombstone)?.as_slice())?;
        self.tombstone_paths.insert((scope.0, path.as_str(), id), ())?;
        self.adjust(entry.file, scope, -1, 1)?;
        Ok(DeleteOutcome::Deleted)
    }

    fn adjust(
        &mut self,
        id: FileId,
        scope: ScopeId,
        live: i32,
        tombstones: i32,
    ) -> Result<(), CatalogueError> {
        let mut file = self.file(id)?.ok_or_else(|| {
            CatalogueError::Corrupt(format!("an entry points to file {}, which is gone", id.0))
        })?;
        file.adjust_member(scope, live, tombstones);
        self.put_file(&file)
    }

    /// The newest tombstone of a path.
    pub fn tombstone_of(
        &self,
        scope: ScopeId,
        path: &FilePath,
    ) -> Result<Option<(u64, Tombstone)>, CatalogueError> {
        let range = (scope.0, path.as_str(), 0)..=(scope.0, path.as_str(), u64::MAX);
        let Some(row) = self.tombstone_paths.range(range)?.next_back() else {
            return Ok(None);
        };
        let id = row?.0.value().2;
        Ok(self.tombstone(id)?.map(|t| (id, t)))
    }

    pub fn tombstone(&self, id: u64) -> Result<Option<Tombstone>, CatalogueError> {
        self.tombstones.get(id)?.map(|v| records::decode_tombstone(v.value())).transpose()
    }

    /// Brings a tombstone back as an entry. The path must be free.
    pub fn undelete(&mut self, id: u64, tombstone: &Tombstone) -> Result<Entry, CatalogueError> {
        self.drop_tombstone_rows(id, tombstone)?;
        let entry = Entry {
            file: tombstone.file,
            content_type: tombstone.content_type.clone(),
            created_at: tombstone.created_at,
        };
        self.insert_entry(tombstone.scope, &tombstone.path, &entry)?;
        self.adjust(tombstone.file, tombstone.scope, 1, -1)?;
        Ok(entry)
    }

    /// Ends a tombstone's grace: its file leaves the scope when nothing else holds it there.
    pub fn expire_tombstone(&mut self, id: u64) -> Result<(), CatalogueError> {
        let Some(tombstone) = self.tombstone(id)? else {
            return Ok(());
        };
        self.drop_tombstone_rows(id, &tombstone)?;
        self.adjust(tombstone.file, tombstone.scope, 0, -1)
    }

    fn drop_tombstone_rows(&mut self, id: u64, t: &Tombstone) -> Result<(), CatalogueError> {
        self.dirty = true;
        self.tombstones.remove(id)?;
        self.tombstone_paths.remove((t.scope.0, t.path.as_str(), id))?;
        Ok(())
    }

    /// Up to `limit` paths of live entries of a scope, in path order.
    pub fn some_paths(
        &self,
        scope: ScopeId,
        limit: usize,
    ) -> Result<Vec<FilePath>, CatalogueError> {
        let mut paths = Vec::new();
        for row in self.entries.range((scope.0, "")..(scope.0 + 1, ""))?.take(limit) {
            let path = row?.0.value().1.to_owned();
            paths.push(FilePath::new(path).map_err(|e| CatalogueError::Corrupt(e.to_string()))?);
        }
        Ok(paths)
    }

    /// Up to `limit` files with a replica row in `store`.
    pub fn some_files_of_store(
        &self,
        store: StoreId,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let mut files = Vec::new();
        let rows = self.store_files.range((store.0, 0)..=(store.0, u64::MAX))?;
        for row in rows.take(limit) {
            let id = FileId(row?.0.value().1);
            files.extend(self.file(id)?);
        }
        Ok(files)
    }

    /// Records an object that lay in the store before it was ours (SPEC 2, `--adopt`).
    pub fn adopt(
        &mut self,
        store: StoreId,
        digest: &Digest,
        size: u64,
    ) -> Result<(), CatalogueError> {
        self.dirty = true;
        self.adopted.insert((store.0, &digest.0), size)?;
        Ok(())
    }

    /// The size of an adopted object.
    pub fn adopted(&self, store: StoreId, digest: &Digest) -> Result<Option<u64>, CatalogueError> {
        Ok(self.adopted.get((store.0, &digest.0))?.map(|v| v.value()))
    }

    /// Ends the adoption of an object: it is a replica now, or the store goes.
    pub fn disown(&mut self, store: StoreId, digest: &Digest) -> Result<(), CatalogueError> {
        self.dirty = true;
        self.adopted.remove((store.0, &digest.0))?;
        Ok(())
    }

    /// Keeps one usage sample per store and day (SPEC 2).
    pub fn sample_usage(&mut self, store: StoreId, day: u32) -> Result<(), CatalogueError> {
        let count = self.count(&super::Counter::Store(store, ReplicaState::Present))?;
        self.dirty = true;
        self.samples.insert((store.0, day), (count.files, count.bytes))?;
        let kept_from = day.saturating_sub(400);
        self.samples.retain_in((store.0, 0)..(store.0, kept_from), |_, _| false)?;
        Ok(())
    }
}
