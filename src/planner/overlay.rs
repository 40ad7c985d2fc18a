//! A snapshot in which planned moves are done already: the dry run's catalogue.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use roaring::RoaringTreemap;

use super::driver::Driver;
use super::plan::{Move, MoveResult};
use super::report::Report;
use super::snapshot::{FileSet, Snapshot};
use super::usage::Usage;
use super::world::World;
use crate::domain::Count;
use crate::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp};

/// A base snapshot and what moves change of it. A move costs a bit or two: a plan may have as many
/// moves as there are files.
#[derive(Debug)]
pub struct Overlay<'w, S> {
    base: &'w S,
    world: World<'w>,
    usage: Usage,
    /// Files that had another shape than the base's before the first move.
    put: BTreeMap<FileId, File>,
    /// Files that were copied into each store, and those that left it since: nothing comes back to a
    /// store that it has left in the same run.
    arrived: BTreeMap<StoreId, RoaringTreemap>,
    left: BTreeMap<StoreId, RoaringTreemap>,
    /// Of each store that was asked for its least used files: those that arrived, and those in
    /// another shape.
    by_use: RefCell<BTreeMap<StoreId, BTreeSet<(Timestamp, FileId)>>>,
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

impl<'w, S: Snapshot> Overlay<'w, S> {
    /// The base as it is. All moves are made in `world`.
    pub fn new(base: &'w S, world: World<'w>) -> Result<Self, S::Error> {
        let usage = base.usage()?;
        Ok(Self {
            base,
            world,
            usage,
            put: BTreeMap::new(),
            arrived: BTreeMap::new(),
            left: BTreeMap::new(),
            by_use: RefCell::default(),
            links: BTreeMap::new(),
            live: BTreeMap::new(),
            live_present: BTreeMap::new(),
            marked: BTreeMap::new(),
            held: BTreeMap::new(),
        })
    }

    /// Pretends that `step` was done. A file that is gone stays gone.
    pub fn apply(&mut self, step: &Move) -> Result<(), S::Error> {
        let Some(before) = self.file(step.file)? else { return Ok(()) };
        self.replace(Some(&before), &self.world.after(&before, step));
        let by_use = self.by_use.get_mut();
        let key = (before.last_used, before.id);
        if let Some(to) = step.to {
            self.arrived.entry(to).or_default().insert(before.id.0);
            by_use.entry(to).and_modify(|keys| _ = keys.insert(key));
        }
        if let Some(from) = step.leaves() {
            self.left.entry(from).or_default().insert(before.id.0);
            by_use.entry(from).and_modify(|keys| _ = keys.remove(&key));
        }
        Ok(())
    }

    /// Pretends that the catalogue has `file` in this shape: a later use, fewer tombstones, or no
    /// replicas and members at all for one that was deleted. Comes before all moves.
    pub fn put(&mut self, file: File) -> Result<(), S::Error> {
        debug_assert!(self.arrived.is_empty() && self.left.is_empty(), "moves come later");
        self.replace(self.file(file.id)?.as_ref(), &file);
        self.put.insert(file.id, file);
        self.by_use.get_mut().clear();
        Ok(())
    }

    fn replace(&mut self, before: Option<&File>, after: &File) {
        if let Some(before) = before {
            self.usage.subtract(before);
            self.account(before, -1);
        }
        self.usage.add(after);
        self.account(after, 1);
    }

    /// The file after its moves.
    fn moved(&self, mut file: File) -> File {
        let of_this = |ids: &RoaringTreemap| ids.contains(file.id.0);
        let arrived: Vec<_> = self.arrived.iter().filter(|(_, ids)| of_this(ids)).collect();
        let left: Vec<_> = self.left.iter().filter(|(_, ids)| of_this(ids)).collect();
        for (store, _) in arrived {
            self.world.arrive(&mut file, *store);
        }
        for (store, _) in left {
            self.world.leave(&mut file, *store);
        }
        file
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
        for member in &file.members {
            let link = (member.scope, store);
            self.links.entry(link).or_default().change(file.size, sign);
            if member.live > 0 {
                self.live_present.entry(link).or_default().change(file.size, sign);
            }
        }
    }

    /// A page of the base after `after` as it is after all moves, and the `others` that belong
    /// between there and the end of the page.
    fn merge<K: Ord + Copy>(
        &self,
        mut after: Option<K>,
        limit: usize,
        key: impl Fn(&File) -> K,
        fetch: impl Fn(Option<K>) -> Result<Vec<File>, S::Error>,
        others: impl Fn(Option<K>, Option<K>) -> Result<Vec<File>, S::Error>,
        belongs: impl Fn(&File) -> bool,
    ) -> Result<Vec<File>, S::Error> {
        loop {
            let page = fetch(after)?;
            let end = page.last().map(&key);
            let mut merged = others(after, end)?;
            let page = page.into_iter().filter(|f| !self.put.contains_key(&f.id));
            merged.extend(page.map(|f| self.moved(f)).filter(&belongs));
            if end.is_none() || !merged.is_empty() {
                merged.sort_by_key(&key);
                merged.dedup_by_key(|f| f.id);
                merged.truncate(limit);
                return Ok(merged);
            }
            after = end;
        }
    }

    /// The first `limit` of the files that belong.
    fn some(
        &self,
        ids: impl Iterator<Item = FileId>,
        limit: usize,
        belongs: impl Fn(&File) -> bool,
    ) -> Result<Vec<File>, S::Error> {
        let mut found = Vec::new();
        for id in ids {
            if found.len() == limit {
                break;
            }
            found.extend(self.file(id)?.filter(&belongs));
        }
        Ok(found)
    }

    /// Files that arrived in the store or were put into it, between `after` and `end`.
    fn others_by_use(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        end: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        if !self.by_use.borrow().contains_key(&store) {
            let keys = self.keys_by_use(store)?;
            self.by_use.borrow_mut().insert(store, keys);
        }
        let by_use = self.by_use.borrow();
        let keys = by_use.get(&store).into_iter();
        let keys = keys.flat_map(|k| k.range((after.map_or(Unbounded, Excluded), Unbounded)));
        let ids = keys.take_while(|key| end.is_none_or(|end| **key <= end)).map(|(_, id)| *id);
        self.some(ids, limit, |f| f.is_present(store))
    }

    fn keys_by_use(&self, store: StoreId) -> Result<BTreeSet<(Timestamp, FileId)>, S::Error> {
        let arrived = self.arrived.get(&store).into_iter().flatten().map(FileId);
        let mut keys = BTreeSet::new();
        for id in arrived.chain(self.put.keys().copied()) {
            let file = self.file(id)?.filter(|f| f.is_present(store));
            keys.extend(file.map(|f| (f.last_used, f.id)));
        }
        Ok(keys)
    }
}

impl<S: Snapshot> Snapshot for Overlay<'_, S> {
    type Error = S::Error;

    fn usage(&self) -> Result<Usage, S::Error> {
        Ok(self.usage.clone())
    }

    fn newest(&self) -> Result<FileId, S::Error> {
        self.base.newest()
    }

    fn file(&self, id: FileId) -> Result<Option<File>, S::Error> {
        let file = match self.put.get(&id) {
            Some(file) => Some(file.clone()),
            None => self.base.file(id)?,
        };
        Ok(file.map(|file| self.moved(file)))
    }

    fn files(
        &self,
        set: FileSet,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        // Those that moves add to the set.
        let more = match set {
            FileSet::InStore(store) => self.arrived.get(&store),
            FileSet::Missing(_, store) => self.left.get(&store),
            // No move marks a replica.
            FileSet::Marked(..) => None,
        };
        let others = |after: Option<FileId>, end: Option<FileId>| {
            let put = self.put.range((after.map_or(Unbounded, Excluded), Unbounded));
            let more = more.into_iter().flat_map(|ids| {
                let mut ids = ids.iter();
                ids.advance_to(after.map_or(0, |id| id.0 + 1));
                ids.map(FileId)
            });
            let is_within = |id: &FileId| end.is_none_or(|end| *id <= end);
            let put = put.map(|(id, _)| *id).take_while(is_within);
            let mut found = self.some(put, limit, |f| set.has(f))?;
            found.extend(self.some(more.take_while(is_within), limit, |f| set.has(f))?);
            Ok(found)
        };
        let fetch = |after| self.base.files(set, after, limit);
        self.merge(after, limit, |f| f.id, fetch, others, |f| set.has(f))
    }

    fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, S::Error> {
        self.merge(
            after,
            limit,
            |f| (f.last_used, f.id),
            |after| self.base.least_used(store, after, limit),
            |after, end| self.others_by_use(store, after, end, limit),
            |f| f.is_present(store),
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

/// Plans a whole run against the overlay, as if every move succeeded. `seen` is shown each move, and
/// may put an end to it all.
pub fn plan_all<S: Snapshot>(
    overlay: &mut Overlay<'_, S>,
    mut seen: impl FnMut(&Move) -> Result<(), S::Error>,
) -> Result<Report, S::Error> {
    let world = overlay.world;
    let mut driver = Driver::new();
    while let Some(batch) = driver.next(overlay, &world)? {
        for step in &batch.moves {
            overlay.apply(step)?;
            seen(step)?;
        }
        driver.executed(&vec![MoveResult::Done; batch.moves.len()]);
    }
    Ok(driver.finish(world.topology))
}
