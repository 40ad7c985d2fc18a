use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::api::Count;
use crate::domain::{
    BackendConfig, Digest, File, FilePath, LocalConfig, Replica, ReplicaState, Scope, ScopeId,
    ScopeName, Store, StoreId, StoreName, Timestamp,
};

const SCOPE: ScopeId = ScopeId(1);
const STORE: StoreId = StoreId(1);

async fn fresh(dir: &tempfile::TempDir) -> Arc<Catalogue> {
    let catalogue =
        Catalogue::open(&dir.path().join("hayloft.redb"), &Options::default()).expect("open");
    catalogue
        .write(|tx| {
            let (scope, store) = (tx.new_scope_id()?, tx.new_store_id()?);
            let name = ScopeName::new("s").expect("name");
            let at = tx.now();
            tx.put_scope(Scope { id: scope, name, public_read: false, created_at: at })?;
            tx.put_store(Store {
                id: store,
                name: StoreName::new("local").expect("name"),
                uid: "u".to_owned(),
                backend: BackendConfig::Local(LocalConfig { root: "/x".into() }),
                instance_wide: true,
                soft_max_size: None,
                max_size: None,
                generation: 1,
                created_at: at,
            })
        })
        .await
        .map_err(|e: CatalogueError| e)
        .expect("set up");
    catalogue
}

fn put(tx: &mut Tx<'_>, path: &str, seed: u8, size: u64) -> Result<Placed, CatalogueError> {
    let mut file = tx.file_or_new(Digest([seed; 32]), size)?;
    let now = tx.now();
    file.put_replica(Replica {
        store: STORE,
        state: ReplicaState::Present,
        stored_at: now,
        verified_at: Some(now),
    });
    tx.place_entry(SCOPE, &FilePath::new(path).expect("path"), file, "text/plain")
}

async fn upload(catalogue: &Catalogue, path: &'static str, seed: u8, size: u64) -> Placed {
    catalogue.write(move |tx| put(tx, path, seed, size)).await.expect("upload")
}

/// The sum of what every file contributes equals the stored counters.
fn assert_counters_are_right(catalogue: &Catalogue) {
    let snapshot = catalogue.snapshot().expect("snapshot");
    let mut recount: std::collections::BTreeMap<Counter, Count> =
        std::collections::BTreeMap::default();
    for file in snapshot.files(None, usize::MAX).expect("files") {
        for (counter, count) in contributions(&file) {
            let sum = recount.entry(counter).or_default();
            sum.files += count.files;
            sum.bytes += count.bytes;
        }
    }
    assert_eq!(snapshot.counters().expect("counters"), recount);
}

#[tokio::test]
async fn an_entry_survives_closing_and_opening() {
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    upload(&catalogue, "a/b", 1, 10).await;
    catalogue.close().await.expect("close");
    let options = Options::default();
    let again = Catalogue::open(&dir.path().join("hayloft.redb"), &options).expect("open");
    let snapshot = again.snapshot().expect("snapshot");
    let entry = snapshot.entry(SCOPE, &FilePath::new("a/b").expect("path")).expect("read");
    let file = snapshot.file(entry.expect("entry").file).expect("read").expect("file");
    assert_eq!((file.size, file.present().count()), (10, 1));
    assert_eq!(again.ledger().hard_usage(STORE), 10);
    assert_counters_are_right(&again);
}

#[tokio::test]
async fn replacing_deleting_and_undeleting_keep_counters_and_indexes() {
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    upload(&catalogue, "a", 1, 10).await;
    assert!(upload(&catalogue, "a", 2, 20).await.replaced);
    upload(&catalogue, "b", 2, 20).await;
    assert_counters_are_right(&catalogue);
    let path = FilePath::new("a").expect("path");
    let p = path.clone();
    catalogue
        .write(move |tx| {
            assert_eq!(tx.remove_entry(SCOPE, &p)?, DeleteOutcome::Deleted);
            assert_eq!(tx.remove_entry(SCOPE, &p)?, DeleteOutcome::Absent);
            let (id, tombstone) = tx.tombstone_of(SCOPE, &p)?.expect("tombstone");
            tx.undelete(id, &tombstone)
        })
        .await
        .map_err(|e: CatalogueError| e)
        .expect("write");
    assert_counters_are_right(&catalogue);
    let snapshot = catalogue.snapshot().expect("snapshot");
    let newest = snapshot
        .newest_entry_of(SCOPE, snapshot.entry(SCOPE, &path).expect("read").expect("entry").file);
    assert!(newest.expect("read").is_some());
    let old = snapshot.tombstones(0, Timestamp(i64::MAX), 10).expect("tombstones");
    assert_eq!(old.len(), 1, "the replaced first version");
    catalogue.write(move |tx| tx.expire_tombstone(old[0].0)).await.expect("expire");
    let snapshot = catalogue.snapshot().expect("snapshot");
    let unreferenced = snapshot.unreferenced(None, 10).expect("unreferenced");
    assert_eq!(unreferenced.len(), 1);
    let gone = File { replicas: vec![], ..unreferenced[0].clone() };
    catalogue.write(move |tx| tx.put_file(&gone)).await.expect("forget");
    let snapshot = catalogue.snapshot().expect("snapshot");
    assert!(snapshot.file_by_digest(&Digest([1; 32])).expect("read").is_none());
    assert_counters_are_right(&catalogue);
}

#[tokio::test]
async fn a_level_shows_names_and_folders_once_in_pages_of_any_size() {
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    let paths = ["a", "a-b", "a/1", "a/b/2", "a/b/3", "a0", "b/1", "c", "c/x/y", "ü/é"];
    for path in paths {
        upload(&catalogue, path, 1, 10).await;
    }
    let snapshot = catalogue.snapshot().expect("snapshot");
    let shown = |listed: &Listed| match listed {
        Listed::Folder(folder) => folder.clone(),
        Listed::Entry(path, _) => path.to_string(),
    };
    let cases: [(&str, &[&str]); 6] = [
        ("", &["a", "a-b", "a/", "a0", "b/", "c", "c/", "ü/"]),
        ("a", &["a", "a-b", "a/", "a0"]),
        ("a/", &["a/1", "a/b/"]),
        ("a/b/", &["a/b/2", "a/b/3"]),
        ("ü/", &["ü/é"]),
        ("x", &[]),
    ];
    for (prefix, expected) in cases {
        for limit in 1..=expected.len() + 1 {
            let mut found = Vec::new();
            loop {
                let after = found.last().cloned();
                let page = snapshot.level(SCOPE, prefix, after.as_deref(), limit).expect("level");
                assert!(page.items.len() <= limit);
                found.extend(page.items.iter().map(shown));
                if !page.more {
                    break;
                }
            }
            assert_eq!(found, expected, "{prefix:?} by {limit}");
        }
    }
}

#[tokio::test]
async fn deleted_paths_are_listed_once_with_their_newest_version() {
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    for (path, seed) in [("a/x", 1), ("a/x", 2), ("a/x", 3), ("a/y", 4), ("b", 5)] {
        upload(&catalogue, path, seed, u64::from(seed)).await;
    }
    for path in ["a/x", "a/y", "b"] {
        let path = FilePath::new(path).expect("path");
        let gone = catalogue.write(move |tx| tx.remove_entry(SCOPE, &path)).await;
        assert_eq!(gone.map_err(|e: CatalogueError| e).expect("write"), DeleteOutcome::Deleted);
    }
    let snapshot = catalogue.snapshot().expect("snapshot");
    let page = snapshot.deleted(SCOPE, "a/", None, 1).expect("deleted");
    assert!(page.more);
    let newest = snapshot.file(page.items[0].file).expect("read").expect("file");
    assert_eq!((page.items[0].path.as_str(), newest.size), ("a/x", 3));
    let rest = snapshot.deleted(SCOPE, "a/", Some("a/x"), 9).expect("deleted");
    assert_eq!((rest.items.len(), rest.items[0].path.as_str(), rest.more), (1, "a/y", false));
}

#[tokio::test]
async fn a_failed_job_leaves_nothing_and_its_neighbours_are_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    let bad = catalogue.write(|tx| {
        put(tx, "bad", 9, 9)?;
        Err::<(), _>(CatalogueError::Corrupt("on purpose".to_owned()))
    });
    let (bad, a, b) =
        tokio::join!(bad, upload(&catalogue, "a", 1, 1), upload(&catalogue, "b", 2, 2));
    assert!(bad.is_err() && !a.replaced && !b.replaced);
    let page = catalogue.snapshot().expect("snapshot").entries(SCOPE, "", None, 10).expect("list");
    let paths: Vec<_> = page.entries.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(paths, ["a", "b"]);
    assert_counters_are_right(&catalogue);
}

#[tokio::test]
async fn the_least_recently_used_come_first_and_unwritten_uses_count() {
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    for (path, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        upload(&catalogue, path, seed, 1).await;
    }
    let order = |catalogue: &Catalogue| -> Vec<u8> {
        let snapshot = catalogue.snapshot().expect("snapshot");
        let snapshot = snapshot.with_last_uses(catalogue.last_uses().pending());
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = snapshot.least_used(STORE, after, 2).expect("least used");
            let Some(last) = page.last() else { return all };
            after = Some((last.last_used, last.id));
            all.extend(page.iter().map(|f| f.digest.0[0]));
        }
    };
    assert_eq!(order(&catalogue), [1, 2, 3]);
    let later = catalogue.clock().now().after(Duration::from_hours(2));
    let first = catalogue.snapshot().expect("snapshot").files(None, 1).expect("files")[0].id;
    catalogue.last_uses().note(first, later);
    assert_eq!(order(&catalogue), [2, 3, 1], "unwritten");
    assert_eq!(catalogue.flush_last_uses(Duration::from_hours(1)).await.expect("flush"), 1);
    assert!(catalogue.last_uses().pending().is_empty());
    assert_eq!(order(&catalogue), [2, 3, 1], "written");
}

#[tokio::test]
async fn what_a_scope_lacks_in_a_store_is_found_page_by_page() {
    const OTHER: StoreId = StoreId(2);
    let dir = tempfile::tempdir().expect("dir");
    let catalogue = fresh(&dir).await;
    let present = |n: u8| n.is_multiple_of(3) || (100..180).contains(&n);
    catalogue
        .write(move |tx| {
            // Each file twice.
            for n in 1..=200_u8 {
                put(tx, &format!("a/{n}"), n, 1)?;
                put(tx, &format!("b/{n}"), n, 1)?;
            }
            for n in 1..=200_u8 {
                let mut file = tx.file_or_new(Digest([n; 32]), 1)?;
                let state = match n {
                    _ if present(n) => ReplicaState::Present,
                    _ if n % 3 == 1 => ReplicaState::Missing,
                    _ => continue,
                };
                let (stored_at, verified_at) = (tx.now(), None);
                file.put_replica(Replica { store: OTHER, state, stored_at, verified_at });
                tx.put_file(&file)?;
            }
            // Every fifth is deleted again.
            for n in (5..=200_u8).step_by(5) {
                for side in ["a", "b"] {
                    let path = FilePath::new(format!("{side}/{n}")).expect("path");
                    tx.remove_entry(SCOPE, &path)?;
                }
            }
            Ok::<_, CatalogueError>(())
        })
        .await
        .expect("set up");
    let snapshot = catalogue.snapshot().expect("snapshot");
    let expected: Vec<u8> = (1..=200).filter(|n| !present(*n) && n % 5 != 0).collect();
    for limit in [1, 7, 1000] {
        let mut found: Vec<File> = Vec::new();
        loop {
            let after = found.last().map(|f| f.id);
            let page = snapshot.missing_files(SCOPE, OTHER, after, limit).expect("page");
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let found: Vec<u8> = found.iter().map(|f| f.digest.0[0]).collect();
        assert_eq!(found, expected, "by {limit}");
    }
    assert!(snapshot.missing_files(SCOPE, STORE, None, 9).expect("page").is_empty());
}

#[tokio::test]
async fn foreign_newer_and_locked_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("hayloft.redb");
    std::fs::write(&path, b"something else").expect("write");
    let error = Catalogue::open(&path, &Options::default()).expect_err("foreign");
    assert!(matches!(error, CatalogueError::Unreadable(..)), "{error}");
    assert_eq!(std::fs::read(&path).expect("read"), b"something else");
    std::fs::remove_file(&path).expect("remove");

    let catalogue = fresh(&dir).await;
    let error = Catalogue::open(&path, &Options::default()).expect_err("locked");
    assert!(matches!(error, CatalogueError::Locked(_)), "{error}");
    catalogue.write(|tx| tx.set_value(&values::FORMAT, &99)).await.expect("write");
    catalogue.close().await.expect("close");
    let error = Catalogue::open(&path, &Options::default()).expect_err("newer");
    assert!(matches!(error, CatalogueError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_truncated_file_is_refused_without_a_panic() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("hayloft.redb");
    let catalogue = fresh(&dir).await;
    catalogue.close().await.expect("close");
    let whole = std::fs::read(&path).expect("read");
    for keep in [5, 100, 4096, whole.len() / 2] {
        std::fs::write(&path, &whole[..keep]).expect("write");
        let opened = Catalogue::open(&path, &Options::default());
        assert!(opened.is_err(), "{keep} bytes of {}", whole.len());
    }
}

#[tokio::test]
async fn a_file_with_damaged_pages_is_refused_without_a_panic() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("hayloft.redb");
    let catalogue = fresh(&dir).await;
    catalogue.close().await.expect("close");
    let mut bytes = std::fs::read(&path).expect("read");
    for page in bytes.chunks_mut(4096).skip(8) {
        page.fill(0xa5);
    }
    std::fs::write(&path, &bytes).expect("write");
    assert!(Catalogue::open(&path, &Options::default()).is_err());
}
