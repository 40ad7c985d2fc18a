//! The planner's view of the catalogue (SPEC 7: gather, plan, execute).

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::catalogue::{self, Catalogue, CatalogueError, Counter, Holders, Settings};
use crate::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp};
use crate::planner::{Count, FileSet, Snapshot, Usage, World};

/// A fresh snapshot with unwritten last uses and promised room. Short-lived: never kept across I/O.
#[derive(Debug)]
pub struct View {
    pub snapshot: catalogue::Snapshot,
    settings: Arc<Settings>,
    reserved: BTreeMap<StoreId, u64>,
    holders: OnceCell<BTreeMap<ScopeId, Vec<Holders>>>,
}

impl View {
    pub fn take(catalogue: &Catalogue) -> Result<Self, CatalogueError> {
        Self::with(catalogue, catalogue.settings())
    }

    /// The same as if the settings were these.
    pub fn with(catalogue: &Catalogue, settings: Arc<Settings>) -> Result<Self, CatalogueError> {
        let ledger = catalogue.ledger();
        // Promises first: one that is kept meanwhile counts twice for a moment, never not at all.
        let reserved =
            settings.topology.stores.keys().map(|id| (*id, ledger.reserved(*id))).collect();
        let snapshot = catalogue.snapshot()?.with_last_uses(catalogue.last_uses().pending());
        Ok(Self { snapshot, settings, reserved, holders: OnceCell::new() })
    }

    fn holders(&self) -> Result<&BTreeMap<ScopeId, Vec<Holders>>, CatalogueError> {
        if let Some(holders) = self.holders.get() {
            return Ok(holders);
        }
        let scopes = self.settings.topology.scopes.keys();
        let all = scopes.map(|id| Ok((*id, self.snapshot.holders(*id)?)));
        let all = all.collect::<Result<_, CatalogueError>>()?;
        Ok(self.holders.get_or_init(|| all))
    }

    /// A scope's files by the stores that hold them.
    pub fn holders_of(&self, scope: ScopeId) -> Result<&[Holders], CatalogueError> {
        Ok(self.holders()?.get(&scope).map_or(&[], Vec::as_slice))
    }

    /// The files of each scope that are not deleted, by the stores that have them.
    pub fn live_holders(&self) -> Result<LiveHolders, CatalogueError> {
        let of_scope = |all: &Vec<Holders>| {
            let live = all.iter().filter(|held| held.live);
            live.map(|held| (held.stores.clone(), held.count)).collect()
        };
        Ok(self.holders()?.iter().map(|(scope, all)| (*scope, of_scope(all))).collect())
    }

    fn sum(
        &self,
        scope: ScopeId,
        wanted: impl Fn(&Holders) -> bool,
    ) -> Result<Count, CatalogueError> {
        let mut sum = Count::default();
        for holders in self.holders_of(scope)?.iter().filter(|h| wanted(h)) {
            sum.files = sum.files.saturating_add(holders.count.files);
            sum.bytes = sum.bytes.saturating_add(holders.count.bytes);
        }
        Ok(sum)
    }
}

/// The files of each scope that are not deleted, by the stores that have them.
pub(super) type LiveHolders = BTreeMap<ScopeId, BTreeMap<Vec<StoreId>, Count>>;

impl Snapshot for View {
    type Error = CatalogueError;

    fn usage(&self) -> Result<Usage, CatalogueError> {
        let mut usage = Usage::default();
        for id in self.settings.topology.stores.keys() {
            let reserved = self.reserved.get(id).copied().unwrap_or(0);
            let counts = self.snapshot.store_counts(*id)?;
            let bytes = |state| counts.get(&state).map_or(0, |c: &crate::api::Count| c.bytes);
            let committed = catalogue::hard_bytes(&counts);
            usage.hard.insert(*id, committed.saturating_add(reserved));
            usage.present.insert(*id, bytes(ReplicaState::Present));
            usage.incoming.insert(*id, bytes(ReplicaState::Writing).saturating_add(reserved));
        }
        for (scope, all) in self.holders()? {
            for holders in all {
                for store in &holders.stores {
                    let slot = usage.scope.entry((*scope, *store)).or_default();
                    *slot = slot.saturating_add(holders.count.bytes);
                }
            }
        }
        Ok(usage)
    }

    fn newest(&self) -> Result<FileId, CatalogueError> {
        self.snapshot.newest_id()
    }

    fn file(&self, id: FileId) -> Result<Option<File>, CatalogueError> {
        self.snapshot.file(id)
    }

    fn files(
        &self,
        set: FileSet,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        let snapshot = &self.snapshot;
        match set {
            FileSet::InStore(store) => snapshot.files_of_store(store, after, limit),
            FileSet::Missing(scope, store) => snapshot.missing_files(scope, store, after, limit),
            FileSet::Marked(state, store) => snapshot.marked(state, store, after, limit),
        }
    }

    fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, CatalogueError> {
        self.snapshot.least_used(store, after, limit)
    }

    fn link_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, CatalogueError> {
        self.sum(scope, |h| h.stores.contains(&store))
    }

    fn missing_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, CatalogueError> {
        self.sum(scope, |h| h.live && !h.stores.contains(&store))
    }

    fn marked_count(&self, state: ReplicaState, store: StoreId) -> Result<Count, CatalogueError> {
        self.snapshot.count(&Counter::Store(store, state))
    }
}

/// The inputs of a decision that the planner's `World` borrows.
#[derive(Debug, Clone)]
pub struct Scene {
    pub settings: Arc<Settings>,
    pub unavailable: Arc<BTreeSet<StoreId>>,
    pub deferred: Arc<BTreeSet<StoreId>>,
    pub run: u64,
    pub now: Timestamp,
    pub grace: Duration,
}

impl Scene {
    pub fn world(&self) -> World<'_> {
        World {
            topology: &self.settings.topology,
            unavailable: &self.unavailable,
            deferred: &self.deferred,
            run: self.run,
            now: self.now,
            grace: self.grace,
        }
    }
}

/// Runs catalogue work that may scan many rows on a thread that may block.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CatalogueError> + Send + 'static,
) -> Result<T, CatalogueError> {
    let ended = || Err(CatalogueError::Storage("a planning task ended early".to_owned()));
    on_own_thread(work).await.unwrap_or_else(ended)
}

/// Runs `work` on a thread that may block; none when it panicked. The runtime gets it boxed: tokio's code
/// for a task is large, and compiled once for each type of work.
pub async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let work: Box<dyn FnOnce() + Send> = Box::new(move || {
        // Who asked may be gone.
        answer.send(work()).ok();
    });
    tokio::task::spawn_blocking(work);
    answered.await.ok()
}
