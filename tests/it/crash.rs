//! A kill at every step of a run and of an upload [24, 34]: nothing is lost, nothing is there
//! twice, and the counters are right.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hayloft::catalogue::CatalogueError;
use hayloft::domain::{Digest, FilePath, Policy};
use hayloft::stores::{
    Backend, Body, ByteStream, Marker, ObjectStat, Page, StepResult, StepSeen, StoreError, Stored,
};
use hayloft::transfer::{Condition, Declared, UploadRequest};
use tokio::sync::Notify;

use crate::house::{HOUR, House, body, drain, is_complete, limit, populate};
use crate::support;
use crate::support::memory::MemoryStore;

/// Counts the steps of a process and ends it at one of them: from then on no call returns.
#[derive(Debug, Default)]
struct Fuse {
    left: AtomicI64,
    blown: Notify,
}

impl Fuse {
    async fn step(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.blown.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// A store whose calls are steps: before each, and after those that change something.
#[derive(Debug)]
struct Fused {
    inner: MemoryStore,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Backend for Fused {
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError> {
        self.fuse.step().await;
        let result = self.inner.put(digest, size, body).await;
        self.fuse.step().await;
        result
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        self.fuse.step().await;
        self.inner.get(digest, range).await
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        self.fuse.step().await;
        self.inner.stat(digest).await
    }

    async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        self.fuse.step().await;
        let result = self.inner.delete(digest).await;
        self.fuse.step().await;
        result
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Page, StoreError> {
        self.fuse.step().await;
        self.inner.list(after, limit).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.inner.is_empty().await
    }

    async fn read_marker(&self) -> Result<Option<Marker>, StoreError> {
        self.inner.read_marker().await
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        self.fuse.step().await;
        let result = self.inner.write_marker(marker).await;
        self.fuse.step().await;
        result
    }

    async fn delete_marker(&self) -> Result<(), StoreError> {
        self.inner.delete_marker().await
    }

    async fn clean_unfinished(&self, age: Duration) -> Result<u64, StoreError> {
        self.inner.clean_unfinished(age).await
    }

    fn staging_dir(&self) -> Option<&Path> {
        self.inner.staging_dir()
    }

    async fn check(&self, expected: Option<&Marker>, seen: StepSeen<'_>) -> Vec<StepResult> {
        self.inner.check(expected, seen).await
    }
}

fn arm(house: &House, steps: i64) -> Arc<Fuse> {
    let fuse = Arc::new(Fuse { left: AtomicI64::new(steps), ..Fuse::default() });
    for (name, shelf) in &house.shelves {
        let fused = Fused { inner: shelf.memory.clone(), fuse: Arc::clone(&fuse) };
        house.install(name, shelf.id, Arc::new(fused));
    }
    fuse
}

/// A house whose next run drains, sheds, populates and deletes.
async fn busy() -> (House, Vec<Digest>) {
    let mut house = House::with(|c| c.maintenance.concurrency = 1);
    for name in ["far", "local", "mirror", "old"] {
        house.store(name).await;
    }
    house.link("s", "old", Some(200), Policy::default()).await;
    house.link("s", "far", None, Policy::default()).await;
    let mut files = vec![house.put("s", "drained", 30).await];
    house.link("s", "old", None, drain()).await;
    house.link("s", "local", Some(100), limit(45)).await;
    for path in ["shed", "kept", "used"] {
        files.push(house.put("s", path, 20).await);
    }
    house.put("s", "deleted", 5).await;
    house.remove("s", "deleted").await;
    house.clock.advance(25 * HOUR);
    house.link("s", "mirror", None, populate()).await;
    (house, files)
}

/// Every file has a replica whose bytes are there.
async fn assert_nothing_lost(house: &House, files: &[Digest], at: i64) {
    for digest in files {
        let file = house.file(*digest).expect("row");
        let mut found = false;
        for shelf in house.shelves.values().filter(|s| file.is_present(s.id)) {
            let stat = shelf.memory.stat(digest).await.expect("stat");
            assert!(stat.is_some(), "step {at}: a present row without bytes");
            found = true;
        }
        assert!(found, "step {at}: {digest} is lost");
    }
}

#[test]
fn item_24_a_kill_at_every_step_of_a_run_loses_nothing_and_leaves_nothing_twice() {
    let mut goal = None;
    for at in -1.. {
        let before = runtime();
        let (house, files, ended) = before.block_on(async {
            let (house, files) = busy().await;
            let fuse = arm(&house, if at < 0 { i64::MAX } else { at });
            let id = house.maintenance.start().await.expect("started").id.expect("id");
            let ended = tokio::select! {
                run = house.end_of(id) => { is_complete(&run); true }
                () = fuse.blown.notified() => false,
            };
            // What was on its way to the catalogue gets there.
            tokio::time::sleep(Duration::from_millis(if ended { 0 } else { 15 })).await;
            (house, files, ended)
        });
        let after = runtime();
        let house = Arc::new(house);
        let old = Arc::clone(&house);
        let state = after.block_on(async move {
            let house = old.after_crash().await;
            assert_nothing_lost(&house, &files, at).await;
            for _ in 0..2 {
                is_complete(&house.vacuum().await);
            }
            house.check().await;
            let places: Vec<_> = files.iter().map(|f| house.places(*f)).collect();
            let objects: Vec<_> = house.shelves.values().map(|s| s.memory.count()).collect();
            (places, objects)
        });
        before.shutdown_background();
        drop(house);
        let Some(goal) = &goal else {
            assert!(ended);
            goal = Some(state);
            continue;
        };
        assert_eq!(&state, goal, "killed at step {at}");
        if ended {
            assert!(at > 30, "only {at} steps");
            return;
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime")
}

#[test]
fn item_34_a_kill_at_every_step_of_an_upload_leaks_no_reservation() {
    for at in 0.. {
        let before = runtime();
        let (house, ended) = before.block_on(async {
            let mut house = House::new();
            house.limited_store("local", None, Some(100)).await;
            house.link("s", "local", Some(100), Policy::default()).await;
            let fuse = arm(&house, at);
            let request = UploadRequest {
                scope: house.scope("s"),
                path: FilePath::new("a").expect("path"),
                size: Some(100),
                content_type: String::new(),
                declared: Declared::default(),
                condition: Condition::None,
            };
            let upload = async {
                let admission = house.transfer.admit(request).await.expect("admitted");
                let bytes = support::stream_of(body("a", 100));
                house.transfer.receive(admission, bytes).await.expect("stored");
            };
            let ended = tokio::select! {
                () = upload => true,
                () = fuse.blown.notified() => false,
            };
            (house, ended)
        });
        let after = runtime();
        let old = Arc::new(house);
        let killed = Arc::clone(&old);
        after
            .block_on(async move {
                let house = killed.after_crash().await;
                assert_eq!(house.catalogue().ledger().reserved(house.shelf("local").id), 0);
                let scope = house.scope("s");
                let path = FilePath::new("a").expect("path");
                let entry = house.catalogue().snapshot().and_then(|s| s.entry(scope, &path));
                assert_eq!(entry.expect("read").is_some(), ended);
                // The room is free again, whatever bytes were left.
                if !ended {
                    house.put("s", "a", 100).await;
                }
                house.check().await;
                Ok::<_, CatalogueError>(())
            })
            .expect("after the crash");
        before.shutdown_background();
        drop(old);
        if ended {
            assert!(at >= 2);
            return;
        }
    }
}
