//! One suite for every backend: the contract on `Backend`, sentence by sentence.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hayloft::domain::{Checksum, Digest, S3Config, ServeMode};
use hayloft::stores::{
    Backend, Body, ByteStream, LocalStore, Marker, MemoryStore, PresignOptions, S3Store, StoreError,
};

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

fn marker() -> Marker {
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
    let store = Arc::new(LocalStore::open(dir.path()).expect("a directory"));
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

async fn seaweed_config() -> (S3Config, String) {
    let server = tokio::task::spawn_blocking(weed::shared).await.expect("started");
    let name = fresh_name();
    server.make_bucket(&name).await;
    (s3_config(&server.endpoint, &name, weed::KEY, weed::SECRET), name)
}

fn open(config: &S3Config) -> Arc<dyn Backend> {
    Arc::new(S3Store::open(config).expect("the configuration is sound"))
}

async fn put(store: &dyn Backend, bytes: &Bytes) -> Digest {
    let digest = digest(bytes);
    store.put(&digest, bytes.len() as u64, body_of(bytes)).await.expect("stored");
    digest
}

async fn get(store: &dyn Backend, digest: &Digest) -> Vec<u8> {
    read_all(store.get(digest, None).await.expect("there")).await.expect("read")
}

async fn is_there(store: &dyn Backend, digest: &Digest) -> bool {
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

macro_rules! suites {
    ($($test:ident),+ $(,)?) => {
        suite! {
            memory: $($test),+;
            local: $($test),+;
            s3_in_process: $($test),+;
            seaweed: $($test),+;
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
    ranges_are_cut_at_the_end,
    absent_objects_are_not_found_and_may_be_deleted,
    listings_come_in_pages_in_digest_order_without_foreign_names,
    the_marker_is_kept_replaced_and_removed,
    only_an_empty_location_is_empty,
    every_step_of_the_check_succeeds_and_leaves_nothing,
);

async fn what_was_put_is_read_back(store: &dyn Backend, _: Option<&Foreign>) {
    for len in [0, 1, 65_536, 65_537, 300_000, 2 * MIB + 1] {
        let content = bytes(len as u64, len);
        let digest = put(store, &content).await;
        assert!(get(store, &digest).await == content, "{len} bytes");
        let stat = store.stat(&digest).await.expect("answers").expect("there");
        assert_eq!(stat.size, len as u64);
        assert!(stat.modified.seconds() > 1_700_000_000, "{:?}", stat.modified);
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
        let failure = StoreError::Unavailable("the other store".to_owned());
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
        assert_eq!(store.clean_unfinished(Duration::ZERO).await.expect("cleaned"), 0);
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

async fn ranges_are_cut_at_the_end(store: &dyn Backend, _: Option<&Foreign>) {
    let content = bytes(8, 300_000);
    let found = put(store, &content).await;
    for range in
        [0..1, 5..70_000, 10..299_999, 299_999..400_000, 0..300_000, 7..7, 300_000..300_001]
    {
        let body = store.get(&found, Some(range.clone())).await.expect("a range");
        let index = |n: u64| usize::try_from(n.min(300_000)).expect("small");
        let expected = &content[index(range.start)..index(range.end)];
        assert!(read_all(body).await.expect("read") == expected, "{range:?}");
    }
    let behind = store.get(&found, Some(300_001..300_002)).await.map(drop);
    assert!(matches!(behind, Err(StoreError::Failed(_))), "{behind:?}");
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
    let apart = last[0].modified.seconds() - stat.modified.seconds();
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
    let steps = store.check(Some(&marker())).await;
    assert!(steps.iter().all(|s| s.ok), "{steps:#?}");
    let other = Marker { store: "s-2".to_owned(), ..marker() };
    let steps = store.check(Some(&other)).await;
    let problem = steps[0].problem.as_deref().unwrap_or_default();
    assert!(!steps[0].ok && problem.contains("s-1"), "{steps:#?}");
    store.delete_marker().await.expect("removed");
    assert!(store.is_empty().await.expect("answers"), "no probe is left");
}

// What only some backends can show.

#[tokio::test]
async fn a_local_store_whose_volume_is_gone_is_unavailable() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let root = parent.path().join("mount");
    let store = LocalStore::create(&root).expect("made");
    store.write_marker(&marker()).await.expect("marked");
    let content = bytes(1, 1000);
    let digest = put(&store, &content).await;
    // What an administrator sees after umount: the mount point, empty.
    std::fs::rename(&root, parent.path().join("away")).expect("moved");
    std::fs::create_dir(&root).expect("an empty mount point");
    let calls = [
        store.stat(&digest).await.map(drop),
        store.get(&digest, None).await.map(drop),
        store.delete(&digest).await,
        store.put(&digest, 1000, body_of(&content)).await.map(drop),
        store.clean_unfinished(Duration::ZERO).await.map(drop),
    ];
    for call in calls {
        assert!(matches!(call, Err(StoreError::Unavailable(_))), "{call:?}");
    }
    let below = std::fs::read_dir(&root).expect("readable").count();
    assert_eq!(below, 0, "nothing is written below the mount point");
    std::fs::remove_dir(&root).expect("removed");
    let gone = store.read_marker().await;
    assert!(matches!(gone, Err(StoreError::Unavailable(_))), "{gone:?}");
    assert!(LocalStore::open(&root).is_err());
}

#[tokio::test]
async fn a_local_store_is_plain_files_and_survives_tidying() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(dir.path()).expect("a directory");
    store.write_marker(&marker()).await.expect("marked");
    let content = bytes(1, 1000);
    let digest = put(&store, &content).await;
    let hex = digest.to_hex();
    let path = dir.path().join(&hex[..2]).join(&hex[2..4]).join(&hex);
    assert_eq!(std::fs::read(&path).expect("readable"), content);
    assert_eq!(store.local_path(&digest), Some(path.clone()));
    let temp = store.staging_dir().expect("a directory");
    let mode = std::fs::metadata(temp).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Someone removes directories that are empty.
    store.delete(&digest).await.expect("deleted");
    std::fs::remove_dir(path.parent().expect("cd")).expect("removed");
    put(&store, &content).await;
    assert!(store.free_space().expect("answers").expect("a number") > 0);
    // A file cut short by others is an error, not content.
    std::fs::OpenOptions::new().write(true).open(&path).expect("open").set_len(5).expect("cut");
    assert_eq!(store.stat(&digest).await.expect("answers").expect("there").size, 5);
    std::fs::write(temp.join("left over"), b"x").expect("written");
    let cleaned = [Duration::from_hours(1), Duration::ZERO];
    for (age, expected) in cleaned.into_iter().zip([0, 1]) {
        assert_eq!(store.clean_unfinished(age).await.expect("cleaned"), expected);
    }
}

#[tokio::test]
async fn a_file_from_another_file_system_is_copied() {
    let elsewhere = std::path::Path::new("/dev/shm");
    let dir = tempfile::tempdir().expect("a temporary directory");
    if !elsewhere.is_dir() {
        return;
    }
    let store = LocalStore::open(dir.path()).expect("a directory");
    store.write_marker(&marker()).await.expect("marked");
    let mut file = tempfile::NamedTempFile::new_in(elsewhere).expect("a file");
    let content = bytes(1, 3 * MIB);
    std::io::Write::write_all(&mut file, &content).expect("written");
    let digest = digest(&content);
    let body = Body::Verified(file.path().to_owned());
    store.put(&digest, content.len() as u64, body).await.expect("stored");
    assert!(get(&store, &digest).await == content);
    assert!(file.path().exists(), "the caller's file stays");
}

/// An in-process server with one bucket and a marked store in it.
async fn faulty_s3() -> (s3::InProcess, S3Config, Arc<dyn Backend>) {
    let server = s3::in_process(s3::Faults::default()).await;
    server.make_bucket("bucket");
    let config = s3_config(&server.endpoint, "bucket", s3::KEY, s3::SECRET);
    let store = open(&config);
    store.write_marker(&marker()).await.expect("marked");
    (server, config, store)
}

#[tokio::test]
async fn refusals_and_broken_connections_are_tried_again() {
    let (server, _, store) = faulty_s3().await;
    let big = bytes(2, 20 * MIB);
    for (refuse, drop) in [(2, 0), (0, 2), (3, 4)] {
        server.faults.refuse_every.store(refuse, Ordering::SeqCst);
        server.faults.drop_every.store(drop, Ordering::SeqCst);
        for n in 0..5 {
            let content = bytes(n, 1000);
            let digest = put(&*store, &content).await;
            assert!(get(&*store, &digest).await == content);
            store.delete(&digest).await.expect("deleted");
        }
        let digest = put(&*store, &big).await;
        assert!(get(&*store, &digest).await == big);
    }
    server.faults.drop_every.store(0, Ordering::SeqCst);
    server.faults.refuse_every.store(0, Ordering::SeqCst);
    assert_eq!(server.dangling_uploads(), 0);
}

#[tokio::test]
async fn a_provider_that_only_refuses_is_unavailable_after_a_few_attempts() {
    let (server, _, store) = faulty_s3().await;
    server.faults.refuse_every.store(1, Ordering::SeqCst);
    let before = server.faults.requests("");
    let stat = store.stat(&digest(b"x")).await;
    assert!(matches!(stat, Err(StoreError::Unavailable(_))), "{stat:?}");
    assert_eq!(server.faults.requests("") - before, 5);
}

#[tokio::test]
async fn a_small_put_is_one_put_and_one_head() {
    let (server, _, store) = faulty_s3().await;
    server.faults.log.lock().expect("unpoisoned").clear();
    put(&*store, &bytes(1, 65_536)).await;
    assert_eq!(server.faults.requests("PUT"), 1);
    assert_eq!(server.faults.requests("HEAD"), 1);
    assert_eq!(server.faults.requests(""), 2);
}

#[tokio::test]
async fn a_refused_big_put_leaves_no_upload_behind() {
    let (server, _, store) = faulty_s3().await;
    let other = bytes(1, 20 * MIB);
    let put = store.put(&digest(b"promised"), other.len() as u64, body_of(&other)).await;
    assert!(matches!(put, Err(StoreError::Mismatch(_))), "{put:?}");
    assert_eq!(server.dangling_uploads(), 0);
    // The same for a put that is dropped while parts are on their way.
    let parts = stream_of(other.slice(..19 * MIB)).chain(stream::pending());
    let found = digest(&other);
    let put = store.put(&found, other.len() as u64, Body::Stream(Box::pin(parts)));
    assert!(tokio::time::timeout(Duration::from_secs(1), put).await.is_err());
    assert!(server.faults.requests("POST") >= 2, "an upload was begun");
    for _ in 0..50 {
        if server.dangling_uploads() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the upload was not aborted");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_resumed_or_fails() {
    let (server, _, store) = faulty_s3().await;
    let content = bytes(1, 2 * MIB);
    let digest = put(&*store, &content).await;
    server.faults.cut_bodies_after.store(300_000, Ordering::SeqCst);
    assert!(get(&*store, &digest).await == content, "resumed with ranges");
    server.faults.cut_bodies_after.store(1, Ordering::SeqCst);
    let cut = read_all(store.get(&digest, None).await.expect("begun")).await;
    assert!(matches!(cut, Err(StoreError::Unavailable(_))), "{:?}", cut.map(|b| b.len()));
}

#[tokio::test]
async fn an_error_answer_is_never_content() {
    let (server, _, store) = faulty_s3().await;
    let digest = put(&*store, &bytes(1, 1000)).await;
    type Judge = fn(&StoreError) -> bool;
    let cases: [(u16, &str, Judge); 5] = [
        (403, "InvalidObjectState", |e| matches!(e, StoreError::Archived)),
        (403, "AccessDenied", |e| matches!(e, StoreError::Unavailable(_))),
        (404, "NoSuchBucket", |e| matches!(e, StoreError::Unavailable(_))),
        (
            301,
            "PermanentRedirect",
            |e| matches!(e, StoreError::Unavailable(m) if m.contains("region")),
        ),
        (507, "QuotaExceeded", |e| matches!(e, StoreError::Full(_))),
    ];
    for (status, code, is_right) in cases {
        server.faults.answer(status, &format!("<Error><Code>{code}</Code></Error>"));
        let error = store.get(&digest, None).await.map(drop).expect_err("no content");
        assert!(is_right(&error), "{code}: {error:?}");
    }
    server.faults.answer(200, "another length than the range");
    assert!(store.get(&digest, Some(1..5)).await.is_err());
}

#[tokio::test]
async fn an_emptied_or_missing_bucket_is_unavailable_not_empty() {
    let (server, config, store) = faulty_s3().await;
    let digest = put(&*store, &bytes(1, 1000)).await;
    let bucket = server.bucket_path("bucket");
    std::fs::remove_dir_all(&bucket).expect("removed");
    std::fs::create_dir(&bucket).expect("made again");
    let stat = store.stat(&digest).await;
    assert!(matches!(&stat, Err(StoreError::Unavailable(m)) if m.contains("marker")), "{stat:?}");
    assert_eq!(store.read_marker().await.expect("the bucket answers"), None);
    let gone = open(&S3Config { bucket: "gone".to_owned(), ..config });
    let calls = [
        gone.stat(&digest).await.map(drop),
        gone.get(&digest, None).await.map(drop),
        gone.read_marker().await.map(drop),
        gone.list(None, 10).await.map(drop),
        put_error(&*gone).await,
    ];
    for call in calls {
        assert!(
            matches!(&call, Err(StoreError::Unavailable(m)) if m.contains("bucket")),
            "{call:?}"
        );
    }
}

async fn put_error(store: &dyn Backend) -> Result<(), StoreError> {
    let content = bytes(1, 10);
    store.put(&digest(&content), 10, body_of(&content)).await.map(drop)
}

#[tokio::test]
async fn a_marker_without_metadata_is_read_from_its_body() {
    let (server, _, store) = faulty_s3().await;
    let path = server.bucket_path("bucket").join("hay/.hayloft-store");
    let text = std::fs::read(&path).expect("plain JSON");
    std::fs::remove_file(&path).expect("removed");
    for entry in std::fs::read_dir(server.bucket_path("")).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::remove_file(path).expect("metadata removed");
        }
    }
    std::fs::write(&path, text).expect("written");
    assert_eq!(store.read_marker().await.expect("answers"), Some(marker()));
}

#[tokio::test]
async fn a_server_without_upload_listings_has_nothing_to_clean() {
    let (_server, _, store) = faulty_s3().await;
    assert_eq!(store.clean_unfinished(Duration::ZERO).await.expect("no error"), 0);
}

#[tokio::test]
async fn reading_back_removes_what_was_damaged_on_the_way() {
    let (server, config, _) = faulty_s3().await;
    let store = open(&S3Config { checksum: Checksum::Readback, ..config.clone() });
    let content = bytes(1, 1000);
    let found = put(&*store, &content).await;
    store.delete(&found).await.expect("deleted");
    // The PUT is swallowed and the HEAD lies; the GET then has other bytes.
    server.faults.answer(200, "");
    server.faults.answer(200, &"x".repeat(1000));
    server.faults.answer(200, &"x".repeat(1000));
    let damaged = store.put(&found, 1000, body_of(&content)).await;
    assert!(matches!(damaged, Err(StoreError::Failed(_))), "{damaged:?}");
    assert_eq!(server.faults.requests("DELETE"), 2);
    let unproved = open(&S3Config { checksum: Checksum::None, ..config });
    let stored = unproved.put(&found, 1000, body_of(&content)).await.expect("stored");
    assert!(!stored.verified);
}

fn path_of(digest: &Digest) -> String {
    let hex = digest.to_hex();
    format!("{}/{}/{hex}", &hex[..2], &hex[2..4])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presigned_urls_carry_type_and_disposition_and_expire() {
    let (config, _) = seaweed_config().await;
    let store = open(&config);
    let content = bytes(1, 1000);
    let digest = put(&*store, &content).await;
    let disposition = "attachment; filename*=UTF-8''na%C3%AFve%20a%2Bb.txt";
    let options = |ttl| PresignOptions {
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        content_disposition: Some(disposition.to_owned()),
        ttl,
    };
    let url = store.presign_get(&digest, options(None)).await.expect("signed").expect("a URL");
    assert!(url.contains("X-Amz-Expires=60") && !url.contains(weed::SECRET), "{url}");
    let answer = reqwest::get(&url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["content-disposition"], disposition);
    assert_eq!(answer.bytes().await.expect("a body"), content);
    let tampered = url.replace("text%2Fplain", "text%2Fhtml");
    assert_eq!(reqwest::get(&tampered).await.expect("an answer").status(), 403);
    let short = Some(Duration::from_secs(1));
    let url = store.presign_get(&digest, options(short)).await.expect("signed").expect("a URL");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 403);
    let public = Some("https://files.example.org".to_owned());
    let store = open(&S3Config { public_endpoint: public, ..config.clone() });
    let url = store.presign_get(&digest, options(None)).await.expect("signed").expect("a URL");
    assert!(url.starts_with(&format!("https://files.example.org/{}/hay/", config.bucket)));
    let proxied = open(&S3Config { serve: ServeMode::Proxy, ..config });
    assert_eq!(proxied.presign_get(&digest, options(None)).await.expect("answers"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_s3_configuration_is_said() {
    let (config, _) = seaweed_config().await;
    let stored = |id: &str, secret: &str| hayloft::domain::Credentials::Stored {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned(),
    };
    let cases = [
        (
            S3Config { credentials: stored(weed::KEY, "wrongsecret"), ..config.clone() },
            "secret access key",
        ),
        (
            S3Config { credentials: stored("nobody", weed::SECRET), ..config.clone() },
            "access key id",
        ),
        (S3Config { bucket: "no-such-bucket".to_owned(), ..config.clone() }, "bucket"),
        (
            S3Config { endpoint: Some("http://127.0.0.1:1".to_owned()), ..config.clone() },
            "endpoint",
        ),
        (S3Config { endpoint: Some("http://nowhere.invalid".to_owned()), ..config }, "endpoint"),
    ];
    for (config, word) in cases {
        let store = open(&config);
        let error = store.read_marker().await.expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, StoreError::Unavailable(_)) && text.contains(word), "{text}");
        assert!(!text.contains("wrongsecret") && !text.contains(weed::SECRET), "{text}");
        assert!(!format!("{store:?} {config:?}").contains("secret_access"), "{store:?}");
        let steps = store.check(None).await;
        assert!(!steps[0].ok, "{steps:?}");
        let remedy = steps[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains(word), "{remedy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_get_the_storage_class_and_the_marker_does_not() {
    let (config, name) = seaweed_config().await;
    let store = open(&S3Config { storage_class: Some("STANDARD_IA".to_owned()), ..config });
    store.write_marker(&marker()).await.expect("marked");
    let small = put(&*store, &bytes(1, 1000)).await;
    let big = put(&*store, &bytes(2, 17 * MIB)).await;
    let bucket = weed::shared().bucket(&name);
    let class = async |key: String| {
        let (head, _) = bucket.head_object(&key).await.expect("there");
        head.storage_class.unwrap_or_else(|| "STANDARD".to_owned())
    };
    assert_eq!(class(format!("hay/{}", path_of(&small))).await, "STANDARD_IA");
    assert_eq!(class(format!("hay/{}", path_of(&big))).await, "STANDARD_IA");
    assert_eq!(class("hay/.hayloft-store".to_owned()).await, "STANDARD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_uploads_are_aborted_and_foreign_ones_are_not() {
    let (config, name) = seaweed_config().await;
    let store = open(&config);
    let bucket = weed::shared().bucket(&name);
    let ours = format!("hay/{}", path_of(&digest(b"x")));
    for key in [ours.as_str(), "hay/foreign", "elsewhere"] {
        bucket.initiate_multipart_upload(key, "text/plain").await.expect("begun");
    }
    let cleaned = [Duration::from_hours(1), Duration::ZERO, Duration::ZERO];
    for (age, expected) in cleaned.into_iter().zip([0, 1, 0]) {
        assert_eq!(store.clean_unfinished(age).await.expect("cleaned"), expected, "{age:?}");
    }
}
