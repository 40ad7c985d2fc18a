//! Uploads, downloads, copies and removals against stores that fail on command.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use hayloft::catalogue::{Catalogue, CatalogueError, Options};
use hayloft::clock::Clock;
use hayloft::domain::{
    BackendConfig, Digest, File, FilePath, Link, LocalConfig, Policy, Replica, ReplicaState, Scope,
    ScopeId, ScopeName, Store, StoreId, StoreName, Timestamp,
};
use hayloft::stores::{Backend, ByteStream};
use hayloft::transfer::{
    Committed, Condition, CopyError, Declared, Delivery, Intent, Kept, Read, Reaped, Removal,
    ServeError, Transfer, UploadError, UploadRequest, marker_of,
};

use crate::support::faulty::{Fault, FaultyStore, Operation, When};
use crate::support::memory::MemoryStore;

/// Two linked stores, `a` (priority 100) and `b` (none), in memory, with faults on command.
struct Rig {
    _dir: tempfile::TempDir,
    transfer: Arc<Transfer>,
    scope: ScopeId,
    a: (StoreId, FaultyStore, MemoryStore),
    b: (StoreId, FaultyStore, MemoryStore),
}

fn store(id: StoreId, name: &str, max_size: Option<u64>) -> Store {
    Store {
        id,
        name: StoreName::new(name).expect("name"),
        uid: name.to_owned(),
        backend: BackendConfig::Local(LocalConfig { root: format!("/memory/{name}").into() }),
        instance_wide: true,
        soft_max_size: None,
        max_size,
        generation: 0,
        created_at: Timestamp(0),
    }
}

impl Rig {
    async fn new(max_a: Option<u64>) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        let options = Options { clock, ..Options::default() };
        let path = dir.path().join("hayloft.redb");
        let catalogue = Catalogue::open(&path, &options).expect("open");
        let (scope, a, b) = catalogue
            .write(move |tx| {
                let (scope, a, b) = (tx.new_scope_id()?, tx.new_store_id()?, tx.new_store_id()?);
                let name = ScopeName::new("s").expect("name");
                let created_at = tx.now();
                tx.put_scope(Scope { id: scope, name, public_read: false, created_at })?;
                tx.put_store(store(a, "a", max_a))?;
                tx.put_store(store(b, "b", None))?;
                for (store, upload_priority) in [(a, Some(100)), (b, None)] {
                    tx.put_link(Link {
                        scope,
                        store,
                        upload_priority,
                        download_priority: None,
                        policy: Policy::default(),
                        created_at,
                    })?;
                }
                Ok::<_, CatalogueError>((scope, a, b))
            })
            .await
            .expect("set up");
        let spool = dir.path().join("spool");
        std::fs::create_dir(&spool).expect("spool");
        let transfer = Transfer::new(catalogue, spool);
        let a = install(&transfer, a, MemoryStore::default()).await;
        let b = install(&transfer, b, MemoryStore::default()).await;
        Self { _dir: dir, transfer, scope, a, b }
    }

    async fn put(&self, path: &str, body: &'static [u8]) -> Result<Committed, UploadError> {
        self.put_with(path, body, Some(body.len() as u64), Declared::default()).await
    }

    async fn put_with(
        &self,
        path: &str,
        body: &'static [u8],
        size: Option<u64>,
        declared: Declared,
    ) -> Result<Committed, UploadError> {
        let request = UploadRequest {
            scope: self.scope,
            path: FilePath::new(path).expect("path"),
            size,
            content_type: "text/plain".to_owned(),
            declared,
            condition: Condition::None,
        };
        let admission = self.transfer.admit(request).await?;
        self.transfer.receive(admission, stream(body)).await
    }

    fn file(&self, body: &[u8]) -> Option<File> {
        let snapshot = self.transfer.catalogue.snapshot().expect("snapshot");
        snapshot.file_by_digest(&digest(body)).expect("read")
    }

    async fn get(&self, body: &[u8]) -> Result<Vec<u8>, ServeError> {
        let file = self.file(body).expect("file");
        match self.transfer.open(self.scope, &file, &Read::default()).await? {
            Delivery::Redirect(url) => panic!("memory stores have no URL: {url}"),
            Delivery::Body(download) => {
                Ok(download.stream.map(|c| c.expect("chunk")).collect::<Vec<_>>().await.concat())
            }
        }
    }

    /// Copies a file from `a` to `b`.
    async fn copy(&self, body: &[u8]) -> Result<(), CopyError> {
        let file = self.file(body).expect("file");
        let to = self.b.0;
        let intent =
            Intent { file: file.id, digest: file.digest, size: file.size, to, via: self.scope };
        let mut granted = self.transfer.intend(vec![intent]).await.expect("intend");
        let granted = granted.remove(0).expect("granted");
        assert_eq!(self.file(body).expect("file").state(to), Some(ReplicaState::Writing));
        self.transfer.fulfil(&granted, || {}, &|stream| stream).await
    }

    async fn give_up(&self, body: &[u8], store: StoreId) -> Result<Reaped, Kept> {
        let removal = self.removal(body, store);
        let confirmed = self.transfer.confirm_others(&removal, Duration::from_mins(1)).await;
        self.transfer.give_up(removal, confirmed.expect("asked")).await
    }

    fn removal(&self, body: &[u8], store: StoreId) -> Removal {
        Removal {
            file: self.file(body).expect("file").id,
            store,
            run: 1,
            now: self.transfer.catalogue.clock().now(),
            grace: Duration::from_hours(24),
            unavailable: Arc::new(BTreeSet::new()),
            deferred: Arc::new(BTreeSet::new()),
        }
    }

    fn usage(&self, store: StoreId) -> (u64, u64) {
        let ledger = self.transfer.catalogue.ledger();
        (ledger.reserved(store), ledger.hard_usage(store))
    }
}

async fn install(
    transfer: &Transfer,
    id: StoreId,
    memory: MemoryStore,
) -> (StoreId, FaultyStore, MemoryStore) {
    let faulty = FaultyStore::new(Arc::new(memory.clone()));
    let settings = transfer.catalogue.settings();
    let config = &settings.topology.stores[&id];
    let marker = marker_of(transfer.catalogue.instance(), config);
    memory.write_marker(&marker).await.expect("marker");
    transfer.stores.install(id, Arc::new(faulty.clone()), config.backend.clone());
    (id, faulty, memory)
}

fn digest(body: &[u8]) -> Digest {
    Digest(*blake3::hash(body).as_bytes())
}

fn stream(body: &'static [u8]) -> ByteStream {
    let chunks: Vec<_> = body.chunks(3).map(|c| Ok(Bytes::from_static(c))).collect();
    Box::pin(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn an_upload_lands_in_the_first_store_and_its_reservation_ends() {
    let rig = Rig::new(Some(5)).await;
    let done = rig.put("x", b"hello").await.expect("equal fits");
    assert_eq!((done.store.as_str(), done.replaced), ("a", false));
    assert_eq!(rig.usage(rig.a.0), (0, 5));
    assert_eq!(rig.get(b"hello").await.expect("get"), b"hello");
    let next = rig.put("y", b"there is no room here").await.expect("the next store");
    assert_eq!(next.store.as_str(), "b");
    assert_eq!(rig.usage(rig.a.0), (0, 5));
}

#[tokio::test]
async fn a_wrong_declared_digest_or_length_keeps_nothing() {
    let rig = Rig::new(None).await;
    let declared = Declared { blake3: Some(digest(b"other")), sha256: None };
    let wrong = rig.put_with("x", b"hello", Some(5), declared).await;
    assert!(matches!(wrong, Err(UploadError::DigestMismatch { what: "BLAKE3" })), "{wrong:?}");
    let declared = Declared { blake3: None, sha256: Some([7; 32]) };
    let wrong = rig.put_with("x", b"hello", Some(5), declared).await;
    assert!(matches!(wrong, Err(UploadError::DigestMismatch { what: "SHA-256" })), "{wrong:?}");
    for size in [4, 6] {
        let wrong = rig.put_with("x", b"hello", Some(size), Declared::default()).await;
        assert!(matches!(wrong, Err(UploadError::Length { .. })), "{wrong:?}");
    }
    assert_eq!((rig.a.2.count(), rig.usage(rig.a.0)), (0, (0, 0)));
    assert!(rig.file(b"hello").is_none());
}

#[tokio::test]
async fn a_body_of_unknown_size_reserves_as_it_grows() {
    let rig = Rig::new(Some(10)).await;
    rig.put_with("x", b"0123456789", None, Declared::default()).await.expect("equal fits");
    let over = rig.put_with("y", b"a", None, Declared::default()).await;
    assert!(matches!(over, Err(UploadError::Insufficient { .. })), "{over:?}");
    assert_eq!(rig.usage(rig.a.0), (0, 10));
}

#[tokio::test]
async fn a_declared_file_that_a_full_store_holds_needs_no_room_and_writes_nothing() {
    let rig = Rig::new(Some(5)).await;
    rig.put("x", b"hello").await.expect("put");
    let puts = rig.a.1.calls(Operation::Put);
    let declared = Declared { blake3: Some(digest(b"hello")), sha256: None };
    let again = rig.put_with("y", b"hello", Some(5), declared).await.expect("again");
    assert_eq!((again.store.as_str(), rig.a.1.calls(Operation::Put)), ("a", puts));
    let liar = rig.put_with("z", b"HELLO", Some(5), declared).await;
    assert!(matches!(liar, Err(UploadError::DigestMismatch { .. })), "{liar:?}");
}

#[tokio::test]
async fn when_the_store_fails_after_the_body_the_next_one_takes_it() {
    let rig = Rig::new(None).await;
    rig.a.1.inject(Operation::Put, When::Always, Fault::Failed);
    let done = rig.put("x", b"hello").await.expect("put");
    assert_eq!((done.store.as_str(), rig.usage(rig.a.0).0), ("b", 0));
    rig.b.1.inject(Operation::Put, When::Nth(1), Fault::Full);
    let full = rig.put("y", b"other").await;
    assert!(matches!(full, Err(UploadError::Insufficient { size: 5 })), "{full:?}");
    rig.b.1.inject(Operation::Put, When::Always, Fault::Failed);
    let failed = rig.put("y", b"other").await;
    assert!(matches!(failed, Err(UploadError::StoreFailing { .. })), "{failed:?}");
    assert!(rig.file(b"other").is_none());
    assert_eq!((rig.usage(rig.a.0), rig.usage(rig.b.0)), ((0, 0), (0, 5)));
}

#[tokio::test]
async fn a_body_that_is_staged_needs_no_second_place_when_its_store_fails() {
    let mut rig = Rig::new(None).await;
    // No room for a second staged body.
    let nowhere = MemoryStore::default().staged_in("/nowhere/at/all".into());
    rig.b = install(&rig.transfer, rig.b.0, nowhere).await;
    rig.a.1.inject(Operation::Put, When::Nth(1), Fault::Failed);
    // More than is kept in memory.
    let body: &'static [u8] = Box::leak(vec![7; 100_000].into_boxed_slice());
    let done = rig.put("x", body).await.expect("the bytes are here already");
    assert_eq!((done.store.as_str(), rig.usage(rig.a.0).0), ("b", 0));
}

#[tokio::test]
async fn an_unavailable_store_gets_no_write() {
    let rig = Rig::new(None).await;
    rig.a.1.unplug();
    assert_eq!(rig.put("x", b"hello").await.expect("put").store.as_str(), "b");
    assert_eq!(rig.a.1.calls(Operation::Put), 0);
    rig.b.1.unplug();
    let failing = rig.put("y", b"other").await;
    assert!(matches!(failing, Err(UploadError::StoreFailing { .. })), "{failing:?}");
}

#[tokio::test]
async fn a_vanished_replica_is_marked_and_the_second_store_serves() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.copy(b"hello").await.expect("copy");
    rig.a.2.delete(&digest(b"hello")).await.expect("delete");
    assert_eq!(rig.get(b"hello").await.expect("get"), b"hello");
    let file = rig.file(b"hello").expect("file");
    assert_eq!(file.state(rig.a.0), Some(ReplicaState::Missing));
    // Uploading the same bytes again heals it.
    rig.put("x", b"hello").await.expect("put");
    assert!(rig.file(b"hello").expect("file").is_present(rig.a.0));
    assert_eq!(rig.a.2.count(), 1);
}

#[tokio::test]
async fn a_replica_cut_short_is_marked_and_the_second_store_serves() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.copy(b"hello").await.expect("copy");
    rig.a.2.plant(&digest(b"hello"), Bytes::from_static(b"hel"));
    assert_eq!(rig.get(b"hello").await.expect("get"), b"hello");
    assert_eq!(rig.file(b"hello").expect("file").state(rig.a.0), Some(ReplicaState::Corrupt));
}

#[tokio::test]
async fn an_unplugged_store_marks_nothing_missing() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.a.1.unplug();
    assert!(matches!(rig.get(b"hello").await, Err(ServeError::Unavailable)));
    assert!(rig.file(b"hello").expect("file").is_present(rig.a.0));
    rig.a.1.heal();
    rig.a.1.inject(Operation::Get, When::Always, Fault::NotFound);
    rig.a.1.inject(Operation::ReadMarker, When::Always, Fault::Unavailable);
    assert!(matches!(rig.get(b"hello").await, Err(ServeError::Unavailable)));
    assert!(rig.file(b"hello").expect("file").is_present(rig.a.0), "the marker was not read");
}

#[tokio::test]
async fn damage_is_never_copied_and_another_source_is_used() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.a.2.plant(&digest(b"hello"), Bytes::from_static(b"hellO"));
    let failed = rig.copy(b"hello").await;
    assert!(matches!(failed, Err(CopyError::NoSource { .. })), "{failed:?}");
    let file = rig.file(b"hello").expect("file");
    assert_eq!(file.state(rig.a.0), Some(ReplicaState::Corrupt));
    assert_eq!(file.state(rig.b.0), None);
    assert_eq!((rig.b.2.count(), rig.usage(rig.b.0)), (0, (0, 0)));
}

#[tokio::test]
async fn a_failed_copy_leaves_neither_row_nor_bytes() {
    for fault in [Fault::Failed, Fault::LoseAnswer, Fault::Unavailable] {
        let rig = Rig::new(None).await;
        rig.put("x", b"hello").await.expect("put");
        rig.b.1.inject(Operation::Put, When::Nth(1), fault);
        assert!(rig.copy(b"hello").await.is_err(), "{fault:?}");
        rig.transfer.reap_store(rig.b.0).await.expect("reap");
        let file = rig.file(b"hello").expect("file");
        assert_eq!((file.state(rig.b.0), rig.b.2.count()), (None, 0), "{fault:?}");
        assert_eq!(rig.usage(rig.b.0), (0, 0));
        rig.copy(b"hello").await.expect("the second try works");
    }
}

#[tokio::test]
async fn a_failed_copy_onto_an_adopted_object_leaves_it_there() {
    for fault in [Fault::Failed, Fault::LoseAnswer, Fault::Unavailable] {
        let rig = Rig::new(None).await;
        rig.put("x", b"hello").await.expect("put");
        let (b, adopted) = (rig.b.0, digest(b"hello"));
        rig.b.2.plant(&adopted, Bytes::from_static(b"hello"));
        let recorded = rig.transfer.catalogue.write(move |tx| tx.adopt(b, &adopted, 5)).await;
        recorded.map_err(|e: CatalogueError| e).expect("adopted");
        rig.b.1.inject(Operation::Put, When::Nth(1), fault);
        assert!(rig.copy(b"hello").await.is_err(), "{fault:?}");
        rig.transfer.reap_store(b).await.expect("reap");
        let file = rig.file(b"hello").expect("file");
        assert_eq!((file.state(b), rig.b.2.count()), (None, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn the_last_readable_replica_is_never_given_up() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    let kept = rig.give_up(b"hello", rig.a.0).await;
    assert!(matches!(kept, Err(Kept::Pinned(_))), "{kept:?}");
    rig.copy(b"hello").await.expect("copy");
    // The row of the other replica is there, its bytes are not.
    rig.b.2.delete(&digest(b"hello")).await.expect("delete");
    let kept = rig.give_up(b"hello", rig.a.0).await;
    assert!(matches!(kept, Err(Kept::Pinned(_))), "{kept:?}");
    let file = rig.file(b"hello").expect("file");
    assert_eq!(file.state(rig.b.0), Some(ReplicaState::Missing));
    rig.copy(b"hello").await.expect("copy");
    let gone = rig.give_up(b"hello", rig.a.0).await.expect("removed");
    assert_eq!((gone, rig.a.2.count()), (Reaped::Gone, 0));
    assert_eq!(rig.usage(rig.a.0), (0, 0));
    assert_eq!(rig.get(b"hello").await.expect("get"), b"hello");
}

#[tokio::test]
async fn an_issued_url_defers_the_deletion_and_an_upload_revives_the_replica() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.copy(b"hello").await.expect("copy");
    let file = rig.file(b"hello").expect("file");
    let clock = rig.transfer.catalogue.clock().clone();
    rig.transfer.urls.issue(rig.a.0, file.id, clock.now(), Duration::from_mins(1));
    let later = rig.give_up(b"hello", rig.a.0).await.expect("deleting");
    assert!(matches!(later, Reaped::Later(Some(_))), "{later:?}");
    assert_eq!((rig.a.2.count(), rig.usage(rig.a.0).1), (1, 5), "deleting bytes count");
    // As in a store whose provider checks nothing.
    let (id, store) = (file.id, rig.a.0);
    let unproved = rig.transfer.catalogue.write(move |tx| {
        let mut file = tx.file(id)?.expect("file");
        let replica = *file.replica(store).expect("replica");
        file.put_replica(Replica { verified_at: None, ..replica });
        tx.put_file(&file)
    });
    unproved.await.expect("written");
    let puts = rig.a.1.calls(Operation::Put);
    rig.put("x", b"hello").await.expect("revived");
    assert_eq!(rig.a.1.calls(Operation::Put), puts, "nothing was written");
    clock.advance(Duration::from_mins(2));
    rig.transfer.reap_store(rig.a.0).await.expect("reap");
    let revived = *rig.file(b"hello").expect("file").replica(rig.a.0).expect("replica");
    assert_eq!((revived.state, revived.verified_at), (ReplicaState::Present, None));
    assert_eq!(rig.a.2.count(), 1);
}

#[tokio::test]
async fn a_delete_with_a_lost_answer_is_settled_before_the_key_is_written_again() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.copy(b"hello").await.expect("copy");
    rig.a.1.inject(Operation::Delete, When::Nth(1), Fault::Unavailable);
    let failed = rig.give_up(b"hello", rig.a.0).await.expect("deleting");
    assert!(matches!(failed, Reaped::Failed(_)), "{failed:?}");
    rig.put("x", b"hello").await.expect("put");
    assert_eq!(rig.a.1.calls(Operation::Delete), 2, "deleted again before it is written");
    assert!(rig.file(b"hello").expect("file").is_present(rig.a.0));
    assert_eq!((rig.a.2.count(), rig.usage(rig.a.0)), (1, (0, 5)));
}

#[tokio::test]
async fn a_copy_cut_short_by_a_crash_is_cleaned_up_at_the_next_start() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    let file = rig.file(b"hello").expect("file");
    let to = rig.b.0;
    let intent = Intent { file: file.id, digest: file.digest, size: file.size, to, via: rig.scope };
    rig.transfer.intend(vec![intent]).await.expect("intend");
    rig.b.2.plant(&file.digest, Bytes::from_static(b"hello"));
    assert_eq!(rig.usage(to), (0, 5), "writing bytes count");
    rig.transfer.recover().await.expect("recover");
    rig.transfer.reap_store(to).await.expect("reap");
    assert_eq!((rig.b.2.count(), rig.usage(to)), (0, (0, 0)));
    assert_eq!(rig.file(b"hello").expect("file").replicas.len(), 1);
}

#[tokio::test]
async fn a_foreign_marker_stops_every_deletion() {
    let rig = Rig::new(None).await;
    rig.put("x", b"hello").await.expect("put");
    rig.copy(b"hello").await.expect("copy");
    let mut marker = rig.a.2.read_marker().await.expect("marker").expect("marker");
    marker.generation += 1;
    rig.a.2.write_marker(&marker).await.expect("marker");
    let kept = rig.give_up(b"hello", rig.a.0).await;
    assert!(matches!(kept, Err(Kept::NotOurs(_))), "{kept:?}");
    assert_eq!(rig.a.2.count(), 1);
}

#[tokio::test]
async fn uploads_together_never_pass_the_hard_limit() {
    let rig = Arc::new(Rig::new(Some(50)).await);
    let b = rig.b.0;
    let scope = rig.scope;
    let unlinked = rig.transfer.catalogue.write(move |tx| tx.delete_link(scope, b)).await;
    unlinked.map_err(|e: CatalogueError| e).expect("unlink");
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..50u8 {
        let rig = Arc::clone(&rig);
        tasks.spawn(async move {
            let body: &'static [u8] = Box::leak(vec![i; 5].into_boxed_slice());
            rig.put(&format!("f{i}"), body).await.is_ok()
        });
    }
    let stored = tasks.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!((stored, rig.usage(rig.a.0)), (10, (0, 50)));
}
