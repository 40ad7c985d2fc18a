//! A store that gives no answer holds up itself, and nothing else.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hayloft::domain::{Digest, Event, Policy};
use hayloft::stores::{Backend, LocalStore, StoreError};

use crate::conformance::{get, marker, put};
use crate::house::{House, causes, drain, is_complete, populate};
use crate::support::bytes;
use crate::support::faulty::{Fault, Operation, When};
use crate::support::instance::Instance;

/// What a disk that hangs looks like: opening it never ends.
fn hang(path: &Path) {
    std::fs::remove_file(path).expect("removed");
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// Lets go of everybody who waits for `path`, and of those who come until this is dropped.
fn release(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().read(true).write(true).open(path).expect("opened")
}

fn object(root: &Path, digest: &Digest) -> std::path::PathBuf {
    let hex = digest.to_hex();
    root.join(&hex[..2]).join(&hex[2..4]).join(hex)
}

#[test]
fn a_disk_that_hangs_holds_its_share_of_the_threads_and_no_more() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(70)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (ill_dir, well_dir) =
            (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let silence = Duration::from_millis(300);
        let ill = LocalStore::with_silence(ill_dir.path(), silence);
        let well = LocalStore::open(well_dir.path());
        for store in [&ill, &well] {
            store.write_marker(&marker()).await.expect("marked");
        }
        let content = bytes(1, 1000);
        let digest = put(&ill, &content).await;
        assert_eq!(put(&well, &content).await, digest);
        let fifo = object(ill_dir.path(), &digest);
        hang(&fifo);
        let begun = Instant::now();
        let reads = join_all((0..200).map(|_| ill.get(&digest, None))).await;
        for read in reads {
            assert!(matches!(read, Err(StoreError::Unavailable(_))), "{:?}", read.err());
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(get(&well, &digest).await == content, "the other store has threads left");
        // What reads the marker has a thread of its own, and one only.
        assert!(ill.read_marker().await.expect("answers").is_some());
        let _open = release(&fifo);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_disk_serves_more_callers_than_it_has_threads() {
    let dir = tempfile::tempdir().expect("dir");
    let store = LocalStore::with_silence(dir.path(), Duration::from_secs(5));
    store.write_marker(&marker()).await.expect("marked");
    let content = bytes(1, 1 << 20);
    let digest = put(&store, &content).await;
    let reads = (0..200).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { get(&store, &digest).await })
    });
    for read in join_all(reads).await {
        assert!(read.expect("no panic") == content);
    }
}

#[tokio::test]
async fn cleaning_up_stops_when_nobody_waits_for_it() {
    let dir = tempfile::tempdir().expect("dir");
    let store = LocalStore::open(dir.path());
    store.write_marker(&marker()).await.expect("marked");
    let marker = dir.path().join(".hayloft-store");
    hang(&marker);
    let cleaning = store.clean_unfinished(Duration::ZERO);
    assert!(tokio::time::timeout(Duration::from_millis(200), cleaning).await.is_err());
    let staged = store.staging_dir().expect("a directory").join("staged since");
    std::fs::write(&staged, b"x").expect("written");
    // The marker is there again: what was given up goes on.
    let text = serde_json::to_vec(&crate::conformance::marker()).expect("JSON");
    std::fs::write(&marker, text).expect("written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(staged.exists());
}

#[tokio::test]
async fn a_hung_store_stops_neither_the_server_nor_its_next_start() {
    let mut server = Instance::started("").await;
    let root = server.path("b");
    let text = root.display().to_string();
    server.ok(&["store", "create", "b", "local", "--root", &text]);
    server.ok(&["scope", "create", "s"]);
    server.ok(&["scope", "manage", "s", "add-store", "b", "--download-priority", "9"]);
    server.put_ok("s/x", bytes(1, 1000)).await;
    let marker = root.join(".hayloft-store");
    let kept = std::fs::read(&marker).expect("the marker");
    hang(&marker);

    let status = |n: u32| {
        let request = server.request(reqwest::Method::GET, "/api/v1/status");
        async move { (n, request.timeout(Duration::from_secs(20)).send().await) }
    };
    for (n, answer) in join_all((0..150).map(status)).await {
        assert!(answer.expect("an answer").status().is_success(), "{n}");
    }
    let begun = Instant::now();
    let shown = server.ok(&["store", "show", "b"]);
    assert_eq!(shown["health"]["state"], "unavailable", "{shown:#}");
    assert!(shown["health"]["problem"].as_str().expect("why").contains("no answer for 5 s"));
    assert!(server.fetch("s/x").await == bytes(1, 1000));
    server.put_ok("s/y", bytes(2, 200_000)).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let said = server.log().matches("a store cannot be used as usual").count();
    assert_eq!(said, 1, "{}", server.log());
    assert_eq!(server.ok(&["store", "show", "local"])["health"]["state"], "ok");
    let report = server.cli(&["store", "evacuation", "local"]).json();
    assert_eq!(report["scopes"][0]["fits"], false, "{report:#}");
    assert!(report["advice"].to_string().contains("b is unavailable"), "{report:#}");

    server.kill();
    server.start().await;
    assert!(server.log().contains("leftovers of uploads stay"), "{}", server.log());
    assert!(server.fetch("s/x").await == bytes(1, 1000));

    // The disk is back: whoever still waits for the old file gets an end of it.
    std::fs::write(root.join("kept"), &kept).expect("written");
    drop(release(&marker));
    std::fs::rename(root.join("kept"), &marker).expect("renamed");
    let mut state = serde_json::Value::Null;
    for _ in 0..60 {
        state = server.ok(&["store", "show", "b"])["health"]["state"].clone();
        if state == "ok" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{state}: {}", server.log());
}

/// A hung store that should confirm a replica, and a healthy one that is to be drained.
#[tokio::test]
async fn a_store_that_does_not_confirm_is_skipped_and_not_the_one_that_is_left() {
    let mut house = House::with_patience(Duration::from_secs(2), |_| {});
    for name in ["cloud", "local", "third"] {
        house.store(name).await;
    }
    house.link("s", "local", Some(100), Policy::default()).await;
    let twins = house.put("s", "twins", 10).await;
    house.plant("cloud", twins).await;
    house.link("s", "cloud", None, Policy { read_only: true, ..Policy::default() }).await;
    house.link("s", "third", Some(1), Policy::default()).await;
    let alone = house.put("s", "alone", 10).await;
    house.link("s", "local", Some(100), drain()).await;
    let wait = Fault::Delay(Duration::from_mins(1));
    house.shelf("cloud").faulty.inject(Operation::Stat, When::Always, wait);
    let run = house.vacuum().await;
    let causes = causes(&run);
    assert!(causes.iter().any(|c| c.contains("Some(\"cloud\")")), "{causes:?}");
    assert!(!causes.iter().any(|c| c.contains("Some(\"local\")")), "{causes:?}");
    assert_eq!(house.places(alone), "third", "the healthy source was not skipped");
}

#[tokio::test]
async fn a_store_that_fails_in_the_midst_of_a_recheck_is_asked_no_further() {
    let mut house = House::new();
    house.store("local").await;
    house.link("s", "local", Some(100), Policy::default()).await;
    for n in 0..40 {
        let digest = house.put("s", &format!("f{n}"), 10).await;
        let (file, store) = (house.file(digest).expect("file").id, house.shelf("local").id);
        house.transfer.mark(file, store, Event::FoundMissing).await.expect("marked");
    }
    let faulty = &house.shelf("local").faulty;
    let before = faulty.calls(Operation::Stat);
    faulty.inject(Operation::Stat, When::Always, Fault::Unavailable);
    let run = house.vacuum().await;
    let causes = causes(&run);
    let said = |c: &String| c.contains("missing replicas were not all looked for");
    assert!(causes.iter().any(said), "{causes:?}");
    let asked = faulty.calls(Operation::Stat) - before;
    assert!(asked < 40, "{asked} questions");
}

#[tokio::test]
async fn a_plan_reads_no_replica_that_came_back() {
    let house =
        House::linked(&[("local", Some(100), Policy::default()), ("far", None, populate())]).await;
    let digest = house.put("s", "x", 10).await;
    is_complete(&house.vacuum().await);
    let (file, far) = (house.file(digest).expect("file").id, house.shelf("far").clone());
    house.transfer.mark(file, far.id, Event::FoundMissing).await.expect("marked");
    let before = far.faulty.calls(Operation::Get);
    let plan = house.dry().await;
    assert_eq!(plan.moves, Some(Vec::new()), "it is back, so there is nothing to copy");
    assert_eq!(far.faulty.calls(Operation::Get), before);
    let run = house.vacuum().await;
    assert_eq!(far.faulty.calls(Operation::Get), before + 1, "the run itself reads it");
    assert_eq!((run.moves, house.places(digest)), (Some(Vec::new()), "far local".to_owned()));
}

#[tokio::test]
async fn a_throttled_copy_shows_its_rate_and_ends_with_the_process() {
    let mut house = House::with(|c| c.maintenance.bandwidth = Some(100_000));
    house.store("local").await;
    house.store("far").await;
    house.link("s", "local", Some(100), Policy::default()).await;
    let digest = house.put("s", "x", 3_000_000).await;
    house.link("s", "far", None, populate()).await;
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    let mut rates = Vec::new();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let run = house.maintenance.current().expect("under way");
        rates.push(run.progress.expect("progress").rate);
    }
    assert!(rates.iter().all(|rate| *rate <= 130_000), "{rates:?}");
    assert!(rates.iter().any(|rate| *rate >= 50_000), "{rates:?}");
    let begun = Instant::now();
    let house = house.restart().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(house.places(digest), "local");
    let left = house.maintenance.run(id, false).await.expect("read").expect("recorded");
    assert_eq!(causes(&left), Vec::<String>::new(), "an end is no failure");
}

#[tokio::test]
async fn whoever_asks_while_a_store_is_looked_at_shares_the_next_look() {
    let mut house = House::new();
    let shelf = house.store("local").await;
    let stores = house.transfer.stores.clone();
    assert!(stores.check(shelf.id).await.is_available());
    let before = shelf.faulty.calls(Operation::ReadMarker);
    let wait = Fault::Delay(Duration::from_millis(200));
    shelf.faulty.inject(Operation::ReadMarker, When::Always, wait);
    let states = join_all((0..20).map(|_| stores.check(shelf.id))).await;
    assert!(states.iter().all(hayloft::transfer::HealthState::is_available));
    assert_eq!(shelf.faulty.calls(Operation::ReadMarker) - before, 2);
}
