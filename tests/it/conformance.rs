//! One suite for every backend: the contract on `Backend`, sentence by sentence.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hayloft::domain::{Digest, MarkerOwner, S3Config, StoreProblem};
use hayloft::stores::{Backend, Body, ByteStream, LocalStore, Marker, S3Store, StoreError};

use crate::support::memory::MemoryStore;
use crate::support::{body_of, bytes, digest, read_all, s3, s3_config, stream_of, weed};

const MIB: usize = 1 << 20;

/// A store of one kind, with its marker, and a way to put foreign names into it.
struct Fixture {
    store: Arc<dyn Backend>,
    foreign: Option<Foreign>,
    /// What has to live as long as the store.
    _keep: Box<dyn Any + Send>,
}

enum Foreign {
    Directory(PathBuf),
    Bucket(Box<::s3::Bucket>),
}

impl Foreign {
    async fn plant(&self, name: &str) {
        match self {
            Self::Directory(root) => {
                let path = root.join(name);
                let parent = path.parent().expect("below the root");
                std::fs::create_dir_all(parent).expect("made");
                std::fs::write(path, b"foreign").expect("written");
            }
            Self::Bucket(bucket) => {
                let key = format!("hay/{name}");
                bucket.put_object(&key, b"foreign").await.expect("written");
            }
        }
    }
}

pub fn marker() -> Marker {
    Marker { format: 1, instance: "i-1".to_owned(), store: "s-1".to_owned(), generation: 7 }
}

/// Bucket names that no other test has.
fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("bucket-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

async fn memory() -> Fixture {
    Fixture { store: Arc::new(MemoryStore::default()), foreign: None, _keep: Box::new(()) }
}

async fn local() -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Arc::new(LocalStore::open(dir.path()));
    let foreign = Some(Foreign::Directory(dir.path().to_owned()));
    Fixture { store, foreign, _keep: Box::new(dir) }
}

async fn s3_in_process() -> Fixture {
    let server = s3::in_process(s3::Faults::default()).await;
    let name = fresh_name();
    server.make_bucket(&name);
    let config = s3_config(&server.endpoint, &name, s3::KEY, s3::SECRET);
    let foreign = Some(Foreign::Directory(server.bucket_path(&name).join("hay")));
    Fixture { store: open(&config), foreign, _keep: Box::new(server) }
}

async fn seaweed() -> Fixture {
    let (config, name) = seaweed_config().await;
    let foreign = Some(Foreign::Bucket(weed::shared().bucket(&name)));
    Fixture { store: open(&config), foreign, _keep: Box::new(()) }
}

pub async fn seaweed_config() -> (S3Config, String) {
    let server = tokio::task::spawn_blocking(weed::shared).await.expect("started");
    let name = fresh_name();
    server.make_bucket(&name).await;
    (s3_config(&server.endpoint, &name, weed::KEY, weed::SECRET), name)
}

pub fn open(config: &S3Config) -> Arc<dyn Backend> {
    Arc::new(S3Store::open(config).expect("the configuration is sound"))
}

pub async fn put(store: &dyn Backend, bytes: &Bytes) -> Digest {
    let digest = digest(bytes);
    store.put(&digest, bytes.len() as u64, body_of(bytes)).await.expect("stored");
    digest
}

pub async fn get(store: &dyn Backend, digest: &Digest) -> Vec<u8> {
    read_all(store.get(digest, None).await.expect("there")).await.expect("read")
}

pub async fn is_there(store: &dyn Backend, digest: &Digest) -> bool {
    store.stat(digest).await.expect("the store answers").is_some()
}

macro_rules! suite {
    ($($kind:ident: $($test:ident),+;)+) => { $(
        mod $kind {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let fixture = super::$kind().await;
                fixture.store.write_marker(&super::marker()).await.expect("marked");
                super::$test(&*fixture.store, fixture.foreign.as_ref()).await;
            })+
        }
    )+ };
}

/// A store in memory has nothing that a check could look for.
macro_rules! suites {
    ($($test:ident),+; $check:ident) => {
        suite! {
            memory: $($test),+;
            local: $($test),+, $check;
            s3_in_process: $($test),+, $check;
            seaweed: $($test),+, $check;
        }
    };
}

suites!(
    what_was_put_is_read_back,
    a_big_object_is_read_back_and_can_be_replaced_by_itself,
    a_verified_file_is_stored,
    other_bytes_or_lengths_are_refused_and_leave_nothing,
    a_failing_source_is_reported_as_the_source,
    a_dropped_put_leaves_nothing,
    a_refused_put_leaves_the_object_that_was_there,
    ranges_lie_within_the_object,
    absent_objects_are_not_found_and_may_be_deleted,
    listings_come_in_pages_in_digest_order_without_foreign_names,
    the_marker_is_kept_replaced_and_removed,
    only_an_empty_location_is_empty;
    every_step_of_the_check_succeeds_and_leaves_nothing
);

async fn what_was_put_is_read_back(store: &dyn Backend, _: Option<&Foreign>) {
    for len in [0, 1, 65_536, 65_537, 300_000, 2 * MIB + 1] {
        let content = bytes(len as u64, len);
        let digest = put(store, &content).await;
        assert!(get(store, &digest).await == content, "{len} bytes");
        let stat = store.stat(&digest).await.expect("answers").expect("there");
        assert_eq!(stat.size, len as u64);
        assert!(
            stat.modified.is_some_and(|at| at.seconds() > 1_700_000_000),
            "{:?}",
            stat.modified
        );
    }
}

async fn a_big_object_is_read_back_and_can_be_replaced_by_itself(
    store: &dyn Backend,
    _: Option<&Foreign>,
) {
    let content = bytes(1, 40 * MIB + 3);
    for _ in 0..2 {
        let found = put(store, &content).await;
        assert!(get(store, &found).await == content);
    }
}

async fn a_verified_file_is_stored(store: &dyn Backend, _: Option<&Foreign>) {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let directory = store.staging_dir().unwrap_or(elsewhere.path());
    for len in [0, 5000, 17 * MIB] {
        let content = bytes(2, len);
        let path = directory.join("upload");
        std::fs::write(&path, &content).expect("written");
        let digest = digest(&content);
        let wrong = store.put(&digest, len as u64 + 1, Body::Verified(path.clone())).await;
        assert!(matches!(wrong, Err(StoreError::Mismatch(_))), "{wrong:?}");
        assert!(!is_there(store, &digest).await);
        store.put(&digest, len as u64, Body::Verified(path)).await.expect("stored");
        assert!(get(store, &digest).await == content);
    }
}

async fn other_bytes_or_lengths_are_refused_and_leave_nothing(
    store: &dyn Backend,
    _: Option<&Foreign>,
) {
    for len in [1000, 2 * MIB, 17 * MIB] {
        let promised = bytes(3, len);
        let digest = digest(&promised);
        let mut flipped = promised.to_vec();
        flipped[len - 1] ^= 1;
        let longer = [&promised[..], b"x"].concat();
        for other in [flipped, promised[..len - 1].to_vec(), longer, Vec::new()] {
            let put = store.put(&digest, len as u64, body_of(&other.into())).await;
            assert!(matches!(put, Err(StoreError::Mismatch(_))), "{put:?}");
            assert!(!is_there(store, &digest).await);
        }
    }
}

async fn a_failing_source_is_reported_as_the_source(store: &dyn Backend, _: Option<&Foreign>) {
    for len in [1000, 17 * MIB] {
        let content = bytes(4, len);
        let half = stream_of(content.slice(..len / 2));
        let failure = StoreError::unavailable("the other store");
        let source = half.chain(stream::once(async { Err(failure) }));
        let put = store.put(&digest(&content), len as u64, Body::Stream(Box::pin(source))).await;
        assert!(matches!(put, Err(StoreError::Source(_))), "{put:?}");
        assert!(!is_there(store, &digest(&content)).await);
    }
}

async fn a_dropped_put_leaves_nothing(store: &dyn Backend, _: Option<&Foreign>) {
    for len in [1000, 2 * MIB, 25 * MIB] {
        let content = bytes(5, len);
        let never_ends: ByteStream =
            Box::pin(stream_of(content.slice(..len - 1)).chain(stream::pending()));
        let digest = digest(&content);
        let put = store.put(&digest, len as u64, Body::Stream(never_ends));
        assert!(tokio::time::timeout(Duration::from_millis(300), put).await.is_err());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!is_there(store, &digest).await);
    }
}

async fn a_refused_put_leaves_the_object_that_was_there(store: &dyn Backend, _: Option<&Foreign>) {
    for len in [1000, 17 * MIB] {
        let content = bytes(6, len);
        let digest = put(store, &content).await;
        let put = store.put(&digest, len as u64, body_of(&bytes(7, len))).await;
        assert!(matches!(put, Err(StoreError::Mismatch(_))), "{put:?}");
        assert!(get(store, &digest).await == content);
    }
}

async fn ranges_lie_within_the_object(store: &dyn Backend, _: Option<&Foreign>) {
    let content = bytes(8, 300_000);
    let found = put(store, &content).await;
    for range in
        [0..1, 5..70_000, 10..299_999, 299_999..300_000, 0..300_000, 7..7, 300_000..300_000]
    {
        let body = store.get(&found, Some(range.clone())).await.expect("a range");
        let index = |n: u64| usize::try_from(n.min(300_000)).expect("small");
        let expected = &content[index(range.start)..index(range.end)];
        assert!(read_all(body).await.expect("read") == expected, "{range:?}");
    }
    // Whoever asks for more knows of a larger file: this object is not it.
    for behind in [300_001..300_002, 300_000..300_001, 0..300_001] {
        let read = store.get(&found, Some(behind.clone())).await.map(drop);
        assert!(matches!(read, Err(StoreError::Mismatch(_))), "{behind:?}: {read:?}");
    }
}

async fn absent_objects_are_not_found_and_may_be_deleted(store: &dyn Backend, _: Option<&Foreign>) {
    let content = bytes(9, 100);
    let absent = digest(&content);
    for range in [None, Some(0..10), Some(3..3)] {
        let body = store.get(&absent, range).await.map(drop);
        assert!(matches!(body, Err(StoreError::NotFound)), "{body:?}");
    }
    assert_eq!(store.stat(&absent).await.expect("answers"), None);
    store.delete(&absent).await.expect("what is not there is gone");
    put(store, &content).await;
    for _ in 0..2 {
        store.delete(&absent).await.expect("deleted");
        assert!(!is_there(store, &absent).await);
    }
    put(store, &content).await;
    assert!(is_there(store, &absent).await);
}

async fn listings_come_in_pages_in_digest_order_without_foreign_names(
    store: &dyn Backend,
    foreign: Option<&Foreign>,
) {
    let mut expected = Vec::new();
    for n in 0..25 {
        expected.push(put(store, &bytes(100 + n, usize::try_from(n).expect("small"))).await);
    }
    expected.sort();
    if let Some(foreign) = foreign {
        let hex = expected[3].to_hex();
        foreign.plant("notes.txt").await;
        foreign.plant("00/00/readme").await;
        foreign.plant(&format!("00/00/{hex}")).await;
        foreign.plant(&format!("zz/{hex}")).await;
        foreign.plant("tom & jerry+co/a b").await;
    }
    for limit in [1, 7, 24, 25, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(after.as_ref(), limit).await.expect("listed");
            assert!(page.objects.len() <= limit);
            found.extend(page.objects.iter().map(|o| o.digest));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "limit {limit}");
    }
    let last = store.list(expected.get(23), 10).await.expect("listed").objects;
    assert_eq!(last.len(), 1);
    let stat = store.stat(&expected[24]).await.expect("answers").expect("there");
    assert_eq!(last[0].size, stat.size);
    let seconds = |at: Option<hayloft::domain::Timestamp>| at.expect("a time").seconds();
    let apart = seconds(last[0].modified) - seconds(stat.modified);
    assert!(apart.abs() <= 1, "{last:?} {stat:?}");
}

async fn the_marker_is_kept_replaced_and_removed(store: &dyn Backend, _: Option<&Foreign>) {
    assert_eq!(store.read_marker().await.expect("answers"), Some(marker()));
    let next = Marker { generation: 8, ..marker() };
    store.write_marker(&next).await.expect("replaced");
    assert_eq!(store.read_marker().await.expect("answers"), Some(next));
    store.delete_marker().await.expect("removed");
    assert_eq!(store.read_marker().await.expect("answers"), None);
    store.delete_marker().await.expect("what is not there is gone");
}

async fn only_an_empty_location_is_empty(store: &dyn Backend, foreign: Option<&Foreign>) {
    let digest = put(store, &bytes(10, 10)).await;
    assert!(!store.is_empty().await.expect("answers"));
    store.delete(&digest).await.expect("deleted");
    assert!(!store.is_empty().await.expect("answers"), "the marker is there");
    store.delete_marker().await.expect("removed");
    assert!(store.is_empty().await.expect("answers"));
    if let Some(foreign) = foreign {
        foreign.plant("notes.txt").await;
        assert!(!store.is_empty().await.expect("answers"));
    }
}

async fn every_step_of_the_check_succeeds_and_leaves_nothing(
    store: &dyn Backend,
    _: Option<&Foreign>,
) {
    let steps = store.check(Some(&marker()), &|_| ()).await;
    assert!(steps.iter().all(|s| s.found.is_none()), "{steps:#?}");
    let other = Marker { store: "s-2".to_owned(), ..marker() };
    let steps = store.check(Some(&other), &|_| ()).await;
    let found = steps[0].found.as_ref().expect("a problem");
    let (problem, s1) = (&found.problem, MarkerOwner::Store("s-1".to_owned()));
    assert!(
        matches!(problem, StoreProblem::MarkerForeign { owner, .. } if *owner == s1),
        "{steps:#?}"
    );
    store.delete_marker().await.expect("removed");
    assert!(store.is_empty().await.expect("answers"), "no probe is left");
}
