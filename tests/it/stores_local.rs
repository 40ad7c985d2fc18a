//! What only a local store can show.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use hayloft::stores::{Backend, Body, LocalStore, StoreError};

use crate::conformance::{get, marker, put};
use crate::support::{body_of, bytes, digest, stream_of};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_local_store_whose_volume_is_gone_is_unavailable() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let root = parent.path().join("mount");
    let store = LocalStore::create(&root).await.expect("made");
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
    let gone = LocalStore::open(&root).read_marker().await;
    assert!(matches!(gone, Err(StoreError::Unavailable(_))), "{gone:?}");
}

#[tokio::test]
async fn a_local_store_is_plain_files_and_survives_tidying() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(dir.path());
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
    let store = LocalStore::open(dir.path());
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

#[tokio::test]
async fn a_dropped_put_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(dir.path());
    store.write_marker(&marker()).await.expect("marked");
    let content = bytes(1, 3 * MIB);
    let unfinished = stream_of(content.slice(..2 * MIB)).chain(stream::pending());
    let (found, body) = (digest(&content), Body::Stream(Box::pin(unfinished)));
    let mut put = Box::pin(store.put(&found, content.len() as u64, body));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut put).await.is_err());
    let left = || std::fs::read_dir(store.staging_dir().expect("one")).expect("readable").count();
    assert_eq!(left(), 1, "the put had begun");
    drop(put);
    for _ in 0..100 {
        if left() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the temporary file stayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_puts_share_directories() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(dir.path());
    store.write_marker(&marker()).await.expect("marked");
    let puts = (0..64).map(|n| {
        let (store, content) = (store.clone(), bytes(n, 16 << 10));
        tokio::spawn(async move { put(&store, &content).await })
    });
    let puts: Vec<_> = puts.collect();
    for task in puts {
        let found = task.await.expect("no panic");
        assert_eq!(digest(&get(&store, &found).await), found);
    }
    assert_eq!(store.list(None, 1000).await.expect("listed").objects.len(), 64);
}
