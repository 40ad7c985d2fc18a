//! A snapshot in which planned moves are done already: the dry run's catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::driver::Driver;
use super::plan::{Move, MoveResult, Plan};
use super::snapshot::Snapshot;
use super::usage::Usage;
use super::world::World;
use crate::domain::Count;
use crate::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp};

/// A base snapshot plus changed files. Its memory grows with the files that change, as does the
/// list of moves that a dry run answers with.
#[derive(Debug)]
pub struct Overlay<S> {
    base: S,
    usage: Usage,
    changed: BTreeMap<FileId, File>,
    /// (store, last use, id) of changed files with a present replica.
    by_use: BTreeSet<(StoreId, Timestamp, FileId)>,
    links: BTreeMap<(ScopeId, StoreId), Delta>,
    /// Live files by scope, and those of them with a present replica by link: what is missing is the
    /// difference.
    live: BTreeMap<ScopeId, Delta>,
    live_present: BTreeMap<(ScopeId, StoreId), Delta>,
    marked: BTreeMap<(StoreId, ReplicaState), Delta>,
    /// Live files of each scope by the stores with a present replica.
    held: BTreeMap<ScopeId, BTreeMap<Vec<StoreId>, Delta>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Delta {
    files: i64,
    bytes: i128,
}

impl Delta {
    fn change(&mut self, size: u64, sign: i64) {
        self.files += sign;
        self.bytes += i128::from(size) * i128::from(sign);
    }

    fn less(self, other: Self) -> Self {
        Self { files: self.files - other.files, bytes: self.bytes - other.bytes }
    }

    fn apply(self, to: Count) -> Count {
        Count {
            files: to.files.saturating_add_signed(self.files),
            bytes: u64::try_from((i128::from(to.bytes) + self.bytes).max(0)).unwrap_or(u64::MAX),
        }
    }
}

impl<S: Snapshot> Overlay<S> {
    pub fn new(base: S) -> Result<Self, S::Error> {
        let usage = base.usage()?;
        Ok(Self {
            base,
            usage,
            changed: BTreeMap::new(),
            by_use: BTreeSet::new(),
            links: BTreeMap::new(),
            live: BTreeMap::new(),
            live_present: BTreeMap::new(),
            marked: BTreeMap::new(),
            held: BTreeMap::new(),
        })
    }

    /// Pretends that `step` was done. A file that is gone stays gone.
    pub fn apply(&mut self, world: &World<'_>, step: &Move) -> Result<(), S::Error> {
        if let Some(before) = self.file(step.file)? {
            self.replace(Some(&before), world.after(&before, step));
        }
        Ok(())
    }

    /// Pretends that the catalogue has `file` in this shape: a later use, fewer tombstones, or no
    /// replicas and members at all for one that was deleted.
    pub fn put(&mut self, file: File) -> Result<(), S::Error> {
        let before = self.file(file.id)?;
        self.replace(before.as_ref(), file);
        Ok(())
    }

    fn replace(&mut self, before: Option<&File>, file: File) {
        if let Some(before) = before {
            self.usage.subtract(before);
            self.account(before, -1);
        }
        self.usage.add(&file);
        self.account(&file, 1);
        self.changed.insert(file.id, file);
    }

    /// The scope's live files by the stores that have them, given those of the base.
    pub fn held(
        &self,
        scope: ScopeId,
        mut base: BTreeMap<Vec<StoreId>, Count>,
    ) -> BTreeMap<Vec<StoreId>, Count> {
        for (stores, delta) in self.held.get(&scope).into_iter().flatten() {
            let count = base.entry(stores.clone()).or_default();
            *count = delta.apply(*count);
        }
        base
    }

    fn account(&mut self, file: &File, sign: i64) {
        for replica in &file.replicas {
            let store = replica.store;
            match replica.state {
                ReplicaState::Present => self.account_present(file, store, sign),
                ReplicaState::Missing | ReplicaState::Corrupt => {
                    let size = if replica.state == ReplicaState::Missing { 0 } else { file.size };
                    self.marked.entry((store, replica.state)).or_default().change(size, sign);
                }
                ReplicaState::Writing | ReplicaState::Deleting => {}
            }
        }
        let holders: Vec<StoreId> = file.present().collect();
        for member in file.members.iter().filter(|m| m.live > 0) {
            self.live.entry(member.scope).or_default().change(file.size, sign);
            let held = self.held.entry(member.scope).or_default();
            held.entry(holders.clone()).or_default().change(file.size, sign);
        }
    }

    fn account_present(&mut self, file: &File, store: StoreId, sign: i64) {
        let key = (store, file.last_used, file.id);
        if sign > 0 {
            self.by_use.insert(key);
        } else {
            self.by_use.remove(&key);
        }
        for member in &file.members {
            let link = (member.scope, store);
            self.links.entry(link).or_default().change(file.size, sign);
            if member.live > 0 {
                self.live_present.entry(link).or_default().change(file.size, sign);
            }
        }
    }

    /// Merges a page of the base with the changed files that belong between `after` and its end.
    fn merge<K: Ord + Copy>(
        &self,
        after: Option<K>,
        fetch: impl Fn(Option<K>) -> Result<Vec<File>, S::Error>,
        key: impl Fn(&File) -> K,
        changed: impl Fn(Option<K>, Option<K>) -> Vec<File>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        let mut after = after;
        loop {
            let page = fetch(after)?;
            let end = page.last().map(&key);
            let mut merged = changed(after, end);
            merged.extend(page.into_iter().filter(|f| !self.changed.contains_key(&f.id)));
            if end.is_none() || !merged.is_empty() {
                merged.sort_by_key(|f| key(f));
                merged.truncate(limit);
                return Ok(merged);
            }
            after = end;
        }
    }

    fn changed_by_id(
        &self,
        after: Option<FileId>,
        end: Option<FileId>,
        limit: usize,
        belongs: impl Fn(&File) -> bool,
    ) -> Vec<File> {
        self.changed
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .map(|(_, f)| f)
            .take_while(|f| end.is_none_or(|end| f.id <= end))
            .filter(|f| belongs(f))
            .take(limit)
            .cloned()
            .collect()
    }

    fn changed_by_use(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        end: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Vec<File> {
        let start = after
            .map_or(Included((store, Timestamp(i64::MIN), FileId(0))), |(used, id)| {
                Excluded((store, used, id))
            });
        self.by_use
            .range((start, Unbounded))
            .take_while(|(s, used, id)| *s == store && end.is_none_or(|e| (*used, *id) <= e))
            .take(limit)
            .filter_map(|(_, _, id)| self.changed.get(id).cloned())
            .collect()
    }
}

impl<S: Snapshot> Snapshot for Overlay<S> {
    type Error = S::Error;

    fn usage(&self) -> Result<Usage, S::Error> {
        Ok(self.usage.clone())
    }

    fn newest(&self) -> Result<FileId, S::Error> {
        self.base.newest()
    }

    fn file(&self, id: FileId) -> Result<Option<File>, S::Error> {
        match self.changed.get(&id) {
            Some(file) => Ok(Some(file.clone())),
            None => self.base.file(id),
        }
    }

    fn files_of_store(
        &self,
        store: StoreId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        self.merge(
            after,
            |after| self.base.files_of_store(store, after, limit),
            |f| f.id,
            |after, end| self.changed_by_id(after, end, limit, |f| f.replica(store).is_some()),
            limit,
        )
    }

    fn missing_files(
        &self,
        scope: ScopeId,
        store: StoreId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        let belongs = |f: &File| f.is_live_in(scope) && !f.is_present(store);
        self.merge(
            after,
            |after| self.base.missing_files(scope, store, after, limit),
            |f| f.id,
            |after, end| self.changed_by_id(after, end, limit, belongs),
            limit,
        )
    }

    fn marked_files(
        &self,
        state: ReplicaState,
        store: StoreId,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        self.merge(
            after,
            |after| self.base.marked_files(state, store, after, limit),
            |f| f.id,
            |after, end| self.changed_by_id(after, end, limit, |f| f.state(store) == Some(state)),
            limit,
        )
    }

    fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        self.merge(
            after,
            |after| self.base.least_used(store, after, limit),
            |f| (f.last_used, f.id),
            |after, end| self.changed_by_use(store, after, end, limit),
            limit,
        )
    }

    fn link_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, S::Error> {
        let delta = self.links.get(&(scope, store)).copied().unwrap_or_default();
        Ok(delta.apply(self.base.link_count(scope, store)?))
    }

    fn missing_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, S::Error> {
        let live = self.live.get(&scope).copied().unwrap_or_default();
        let present = self.live_present.get(&(scope, store)).copied().unwrap_or_default();
        Ok(live.less(present).apply(self.base.missing_count(scope, store)?))
    }

    fn marked_count(&self, state: ReplicaState, store: StoreId) -> Result<Count, S::Error> {
        let delta = self.marked.get(&(store, state)).copied().unwrap_or_default();
        Ok(delta.apply(self.base.marked_count(state, store)?))
    }
}

/// Plans a whole run against the overlay, as if every move succeeded.
pub fn plan_all<S: Snapshot>(mut overlay: Overlay<S>, world: &World<'_>) -> Result<Plan, S::Error> {
    let mut driver = Driver::new();
    let mut moves = Vec::new();
    while let Some(batch) = driver.next(&overlay, world)? {
        for step in &batch.moves {
            overlay.apply(world, step)?;
        }
        driver.executed(&vec![MoveResult::Done; batch.moves.len()]);
        moves.extend(batch.moves);
    }
    Ok(Plan { moves, report: driver.finish(world.topology) })
}
