//! A small instance with stores in memory that fail on command, for tests of whole runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hayloft::api::{MoveView, Outcome, Run};
use hayloft::catalogue::{Catalogue, CatalogueError, Options};
use hayloft::clock::Clock;
use hayloft::config::Config;
use hayloft::domain::{
    BackendConfig, Digest, Drain, File, FilePath, Link, LocalConfig, Policy, ReplicaState, Scope,
    ScopeId, ScopeName, Store, StoreId, StoreName, Timestamp,
};
use hayloft::maintenance::{Maintenance, PreviewRequest};
use hayloft::stores::Backend;
use hayloft::transfer::{Condition, Declared, Transfer, UploadRequest, marker_of};

use crate::support;
use crate::support::faulty::FaultyStore;
use crate::support::memory::MemoryStore;

pub const START: Timestamp = Timestamp(1_700_000_000_000_000);
pub const HOUR: Duration = Duration::from_hours(1);

/// A store of the house.
#[derive(Debug, Clone)]
pub struct Shelf {
    pub id: StoreId,
    pub faulty: FaultyStore,
    pub memory: MemoryStore,
}

pub struct House {
    pub dir: tempfile::TempDir,
    pub clock: Clock,
    pub config: Arc<Config>,
    patience: Duration,
    pub transfer: Arc<Transfer>,
    pub maintenance: Arc<Maintenance>,
    pub shelves: BTreeMap<String, Shelf>,
}

fn open(
    dir: &Path,
    clock: &Clock,
    config: &Arc<Config>,
    patience: Duration,
) -> (Arc<Transfer>, Arc<Maintenance>) {
    let options = Options { clock: clock.clone(), ..Options::default() };
    let catalogue = Catalogue::open(&dir.join("hayloft.redb"), &options).expect("open");
    let spool = dir.join("spool");
    std::fs::create_dir_all(&spool).expect("spool");
    let transfer = Transfer::new(catalogue, spool);
    let maintenance =
        Maintenance::with_patience(Arc::clone(&transfer), Arc::clone(config), patience);
    (transfer, maintenance)
}

pub fn populate() -> Policy {
    Policy { populate: true, ..Policy::default() }
}

pub fn drain() -> Policy {
    Policy { drain: Drain::Anywhere, read_only: true, ..Policy::default() }
}

pub fn drain_into(store: &str) -> Policy {
    let target = StoreName::new(store).expect("name");
    Policy { drain: Drain::Into(target), read_only: true, ..Policy::default() }
}

pub fn limit(bytes: u64) -> Policy {
    Policy { soft_max_size: Some(bytes), ..Policy::default() }
}

/// A store that is silent for so long is skipped: never, although a busy machine stands still.
const PATIENCE: Duration = Duration::from_mins(5);

impl House {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A house with stores that a scope `s` links: their names, upload priorities and policies.
    pub async fn linked(links: &[(&str, Option<i32>, Policy)]) -> Self {
        let mut house = Self::new();
        for (store, ..) in links {
            house.store(store).await;
        }
        for (store, priority, policy) in links {
            house.link("s", store, *priority, policy.clone()).await;
        }
        house
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_patience(PATIENCE, change)
    }

    /// Stores that are silent for so long are skipped.
    pub fn with_patience(patience: Duration, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let clock = Clock::manual(START);
        let mut config = Config::default();
        change(&mut config);
        let config = Arc::new(config);
        let (transfer, maintenance) = open(dir.path(), &clock, &config, patience);
        let shelves = BTreeMap::new();
        Self { dir, clock, config, patience, transfer, maintenance, shelves }
    }

    /// Ends the process in order and starts the next one.
    pub async fn restart(self) -> Self {
        self.maintenance.shutdown().await;
        self.transfer.catalogue.close().await.expect("close");
        let Self { dir, clock, config, patience, transfer, maintenance, shelves } = self;
        drop((transfer, maintenance));
        let (transfer, maintenance) = open(dir.path(), &clock, &config, patience);
        transfer.recover().await.expect("recover");
        let house = Self { dir, clock, config, patience, transfer, maintenance, shelves };
        for (name, shelf) in &house.shelves {
            house.install(name, shelf.id, Arc::new(shelf.faulty.clone()));
        }
        house
    }

    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.transfer.catalogue
    }

    fn config_of(name: &str) -> BackendConfig {
        BackendConfig::Local(LocalConfig { root: format!("/memory/{name}").into() })
    }

    pub fn install(&self, name: &str, id: StoreId, backend: Arc<dyn Backend>) {
        self.transfer.stores.install(id, backend, Self::config_of(name));
    }

    pub async fn store(&mut self, name: &str) -> Shelf {
        self.limited_store(name, None, None).await
    }

    pub async fn limited_store(
        &mut self,
        name: &str,
        soft_max_size: Option<u64>,
        max_size: Option<u64>,
    ) -> Shelf {
        let text = name.to_owned();
        let store = self
            .catalogue()
            .write(move |tx| {
                let store = Store {
                    id: tx.new_store_id()?,
                    name: StoreName::new(text.as_str()).expect("name"),
                    uid: text.clone(),
                    backend: Self::config_of(&text),
                    instance_wide: true,
                    soft_max_size,
                    max_size,
                    generation: 0,
                    created_at: tx.now(),
                };
                tx.put_store(store.clone())?;
                Ok::<_, CatalogueError>(store)
            })
            .await
            .expect("store");
        let memory = MemoryStore::new(1 << 30, self.clock.clone());
        let marker = marker_of(self.catalogue().instance(), &store);
        memory.write_marker(&marker).await.expect("marker");
        let faulty = FaultyStore::new(Arc::new(memory.clone()));
        self.install(name, store.id, Arc::new(faulty.clone()));
        let made = Shelf { id: store.id, faulty, memory };
        self.shelves.insert(name.to_owned(), made.clone());
        made
    }

    pub async fn limit_store(&self, name: &str, soft: Option<u64>, max: Option<u64>) {
        let mut store = self.catalogue().settings().topology.store(name).expect("store").clone();
        store.soft_max_size = soft;
        store.max_size = max;
        self.catalogue().write(move |tx| tx.put_store(store.clone())).await.expect("limits");
    }

    /// Links `scope` (made when it is new) to `store`.
    pub async fn link(&self, scope: &str, store: &str, priority: Option<i32>, policy: Policy) {
        let (scope, store) = (scope.to_owned(), store.to_owned());
        self.catalogue()
            .write(move |tx| {
                let created_at = tx.now();
                let known = tx.topology().scope(&scope).map(|s| s.id);
                let id = known.map_or_else(|| tx.new_scope_id(), Ok)?;
                if known.is_none() {
                    let name = ScopeName::new(scope.as_str()).expect("name");
                    tx.put_scope(Scope { id, name, public_read: false, created_at })?;
                }
                tx.put_link(Link {
                    scope: id,
                    store: tx.topology().store(&store).expect("store").id,
                    upload_priority: priority,
                    download_priority: None,
                    policy: policy.clone(),
                    created_at,
                })
            })
            .await
            .expect("link");
    }

    pub async fn unlink(&self, scope: &str, store: &str) {
        let (scope, store) = (self.scope(scope), self.shelf(store).id);
        self.catalogue().write(move |tx| tx.delete_link(scope, store)).await.expect("unlink");
    }

    pub fn scope(&self, name: &str) -> ScopeId {
        self.catalogue().settings().topology.scope(name).expect("scope").id
    }

    pub fn shelf(&self, name: &str) -> &Shelf {
        &self.shelves[name]
    }

    /// Uploads `len` bytes that differ by the path, and lets a second pass.
    pub async fn put(&self, scope: &str, path: &str, len: usize) -> Digest {
        self.put_bytes(scope, path, body(path, len)).await
    }

    pub async fn put_bytes(&self, scope: &str, path: &str, bytes: Bytes) -> Digest {
        self.clock.advance(Duration::from_secs(1));
        let digest = support::digest(&bytes);
        let request = UploadRequest {
            scope: self.scope(scope),
            path: FilePath::new(path).expect("path"),
            size: Some(bytes.len() as u64),
            content_type: "text/plain".to_owned(),
            declared: Declared::default(),
            condition: Condition::None,
        };
        let admission = self.transfer.admit(request).await.expect("admitted");
        self.transfer.receive(admission, support::stream_of(bytes)).await.expect("stored");
        digest
    }

    /// Makes `store` hold the file too, without a run.
    pub async fn plant(&self, store: &str, digest: Digest) {
        let target = self.shelf(store);
        let file = self.file(digest).expect("file");
        let source = file.present().next().expect("source");
        let from = self.shelves.values().find(|s| s.id == source).expect("shelf");
        let bytes = from.memory.get(&digest, None).await.expect("get");
        let bytes = support::read_all(bytes).await.expect("read");
        target.memory.plant(&digest, bytes.into());
        let (id, store) = (file.id, target.id);
        self.catalogue()
            .write(move |tx| {
                let mut file = tx.file(id)?.expect("file");
                let now = tx.now();
                file.put_replica(hayloft::domain::Replica {
                    store,
                    state: ReplicaState::Present,
                    stored_at: now,
                    verified_at: Some(now),
                });
                tx.put_file(&file)
            })
            .await
            .expect("planted");
    }

    pub async fn remove(&self, scope: &str, path: &str) {
        let (scope, path) = (self.scope(scope), FilePath::new(path).expect("path"));
        self.catalogue().write(move |tx| tx.remove_entry(scope, &path)).await.expect("removed");
    }

    pub fn file(&self, digest: Digest) -> Option<File> {
        let snapshot = self.catalogue().snapshot().expect("snapshot");
        snapshot.file_by_digest(&digest).expect("read")
    }

    /// The stores with a present replica whose bytes are there, by name.
    pub fn places(&self, digest: Digest) -> String {
        let file = self.file(digest);
        let settings = self.catalogue().settings();
        let mut names: Vec<_> = file
            .iter()
            .flat_map(File::present)
            .map(|id| settings.topology.store_name(id))
            .collect();
        names.sort();
        names.join(" ")
    }

    pub fn state(&self, digest: Digest, store: &str) -> Option<ReplicaState> {
        self.file(digest)?.state(self.shelf(store).id)
    }

    /// A whole run with its moves, after a second.
    pub async fn vacuum(&self) -> Run {
        self.clock.advance(Duration::from_secs(1));
        let run = self.maintenance.start().await.expect("started");
        self.end_of(run.id.expect("id")).await
    }

    pub async fn end_of(&self, id: u64) -> Run {
        if let Some(mut progress) = self.maintenance.watch(id) {
            let ended = progress.wait_for(|run| run.finished_at.is_some());
            let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
            ended.expect("the run ends").expect("the run is published");
        }
        self.maintenance.run(id, true).await.expect("read").expect("recorded")
    }

    /// Waits for what comes by itself, on a busy machine late.
    pub async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never comes: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn dry(&self) -> Run {
        let preview = self.maintenance.preview(PreviewRequest::EveryMove).await.expect("planned");
        Arc::unwrap_or_clone(preview).run
    }

    /// What the next run would do with a file.
    pub async fn moves_of(&self, digest: Digest) -> Vec<MoveView> {
        let file = self.file(digest).expect("the file");
        let wanted = PreviewRequest::File(file.id, digest);
        self.maintenance.preview(wanted).await.expect("a plan").moves_of(digest)
    }

    /// Everything adds up: counters, replicas, and no orphan.
    pub async fn check(&self) {
        let report = self.maintenance.verify(true, false).await.expect("verify");
        assert!(report.ok, "{report:#?}");
        assert_eq!(report.orphans, [], "{report:#?}");
        for shelf in self.shelves.values() {
            assert_eq!(self.catalogue().ledger().reserved(shelf.id), 0, "a reservation leaks");
        }
    }

    /// Another run has nothing to do and says the same as `run` about what it cannot do.
    pub async fn is_settled(&self, run: &Run) {
        let again = self.vacuum().await;
        assert_eq!(again.moves, Some(Vec::new()), "the second run moves something");
        assert_eq!(again.outcome, run.outcome);
        assert_eq!(causes(&again), causes(run));
        self.check().await;
    }
}

pub fn body(path: &str, len: usize) -> Bytes {
    let seed = path.bytes().fold(0u64, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(b)));
    support::bytes(seed, len)
}

pub fn causes(run: &Run) -> Vec<String> {
    run.errors.iter().map(|e| format!("{} {:?}: {}", e.phase, e.store, e.cause)).collect()
}

pub fn is_complete(run: &Run) {
    assert_eq!(run.outcome, Outcome::Complete, "{:#?}", run.errors);
}

pub fn sorted(run: &Run) -> Vec<MoveView> {
    let mut moves = run.moves.clone().expect("moves");
    moves.sort();
    moves
}

impl House {
    /// What a kill of the process leaves: the catalogue as it lies on disk, and the stores. Nothing
    /// of this house may be writing any more.
    pub async fn after_crash(&self) -> Self {
        // Commits that are under way end first.
        self.catalogue().write(|_| Ok::<_, CatalogueError>(())).await.expect("write");
        let dir = tempfile::tempdir().expect("dir");
        let file = "hayloft.redb";
        std::fs::copy(self.dir.path().join(file), dir.path().join(file)).expect("copy");
        let (clock, config, patience) =
            (self.clock.clone(), Arc::clone(&self.config), self.patience);
        let (transfer, maintenance) = open(dir.path(), &clock, &config, patience);
        transfer.recover().await.expect("recover");
        let shelves = self.shelves.clone();
        let house = Self { dir, clock, config, patience, transfer, maintenance, shelves };
        for (name, shelf) in &house.shelves {
            house.install(name, shelf.id, Arc::new(shelf.memory.clone()));
        }
        house
    }
}
