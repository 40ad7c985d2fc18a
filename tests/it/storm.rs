//! Runs under random policies, limits and failures: whatever happens, nothing is lost, the counters
//! are right, and once the stores are well again dry run and run agree until nothing is left to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use hayloft::domain::{Digest, Policy};
use hayloft::stores::{Backend, LocalStore};

use crate::house::{House, body, drain, drain_into, is_complete, limit, populate, sorted};
use crate::support::faulty::{Fault, Operation, When};
use crate::support::{self, Dice};

const STORES: [&str; 4] = ["a", "b", "c", "d"];
const SCOPES: [&str; 2] = ["x", "y"];

async fn relink(house: &House, dice: &mut Dice) {
    for scope in SCOPES {
        for (i, store) in STORES.into_iter().enumerate() {
            let target = STORES[usize::try_from(dice.roll(4)).expect("small")];
            let policy = match dice.roll(9) {
                0 if i > 0 => populate(),
                1 if i > 0 => drain(),
                2 if i > 0 && target == "a" => drain_into("a"),
                3 => limit(dice.roll(200)),
                4 if i > 0 => Policy { write_only: true, ..Policy::default() },
                5 if i > 0 => Policy { read_only: true, ..Policy::default() },
                _ => Policy::default(),
            };
            let priority = i32::try_from(dice.roll(5)).expect("small");
            house.link(scope, store, Some(priority), policy).await;
        }
    }
    for store in STORES {
        let soft = (dice.roll(4) == 0).then(|| dice.roll(300));
        let max = (store == "d" && dice.roll(2) == 0).then_some(400);
        house.limit_store(store, soft, max).await;
    }
}

fn break_some(house: &House, dice: &mut Dice) {
    use Operation as O;
    let operations = [O::Put, O::Get, O::Stat, O::Delete, O::ReadMarker, O::WriteMarker, O::List];
    let faults = [Fault::Unavailable, Fault::Failed, Fault::LoseAnswer, Fault::Full];
    for shelf in house.shelves.values() {
        for _ in 0..dice.roll(4) {
            let operation = operations[usize::try_from(dice.roll(7)).expect("small")];
            let fault = match operation {
                O::Get if dice.roll(3) == 0 => Fault::Corrupt,
                // Damage is not simulated on questions: it would be believed.
                _ => faults[usize::try_from(dice.roll(4)).expect("small")],
            };
            let when = if dice.roll(4) == 0 { When::Always } else { When::Nth(1 + dice.roll(20)) };
            shelf.faulty.inject(operation, when, fault);
        }
    }
}

async fn assert_all_there(house: &House, files: &BTreeMap<Digest, String>, seed: u64) {
    for (digest, path) in files {
        let file = house.file(*digest).expect("row");
        let mut sound = 0;
        for shelf in house.shelves.values() {
            let Ok(bytes) = shelf.memory.get(digest, None).await else { continue };
            let bytes = support::read_all(bytes).await.expect("read");
            sound += usize::from(support::digest(&bytes) == *digest);
        }
        assert!(sound > 0, "seed {seed}: {path} is lost: {file:?}");
    }
}

async fn storm(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut house = House::new();
    for store in STORES {
        house.store(store).await;
    }
    for scope in SCOPES {
        house.link(scope, "a", Some(100), Policy::default()).await;
        house.link(scope, "b", Some(10), Policy::default()).await;
    }
    let mut files = BTreeMap::new();
    for i in 0..16 {
        let scope = SCOPES[usize::try_from(dice.roll(2)).expect("small")];
        let len = 5 + usize::try_from(dice.roll(60)).expect("small");
        let path = format!("f{i}");
        let digest = house.put(scope, &path, len).await;
        if dice.roll(3) == 0 {
            house.put_bytes(SCOPES[0], &path, body(&path, len)).await;
            house.put_bytes(SCOPES[1], &path, body(&path, len)).await;
        }
        files.insert(digest, path);
    }
    for _ in 0..2 {
        relink(&house, &mut dice).await;
        break_some(&house, &mut dice);
        house.vacuum().await;
        assert_all_there(&house, &files, seed).await;
        house.shelves.values().for_each(|shelf| shelf.faulty.heal());
    }
    for round in 0.. {
        let dry = house.dry().await;
        let run = house.vacuum().await;
        assert_all_there(&house, &files, seed).await;
        assert_eq!(sorted(&dry), sorted(&run), "seed {seed}, round {round}");
        if sorted(&run).is_empty() {
            break;
        }
        assert!(round < 10, "seed {seed} never settles");
    }
    let report = house.maintenance.verify(true, true).await.expect("verify");
    assert!(report.lost.is_empty() && report.counters.is_empty(), "seed {seed}: {report:#?}");
    assert!(report.orphans.is_empty(), "seed {seed}: {report:#?}");
    assert_eq!(report.pending_deletes, 0, "seed {seed}");
}

#[tokio::test]
async fn storms_of_failures_lose_nothing_and_settle() {
    let seeds =
        std::env::var("HAYLOFT_TEST_STORMS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    for seed in 1..=seeds {
        storm(seed).await;
    }
}

#[tokio::test]
async fn a_drain_between_two_directories_leaves_plain_files() {
    let mut house = House::new();
    let (old, new) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    for (name, dir) in [("old", &old), ("new", &new)] {
        let shelf = house.store(name).await;
        let local = LocalStore::open(dir.path());
        let marker = shelf.memory.read_marker().await.expect("read").expect("marker");
        local.write_marker(&marker).await.expect("marker");
        house.install(name, shelf.id, Arc::new(local));
        house.link("s", name, (name == "old").then_some(100), Policy::default()).await;
    }
    let mut files = Vec::new();
    for i in 0..300 {
        files.push(house.put("s", &format!("f{i}"), 100 + i).await);
    }
    house.link("s", "new", Some(100), Policy::default()).await;
    house.link("s", "old", None, drain()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(run.moved.files, 300);
    for digest in &files {
        let name = digest.to_string();
        let path = new.path().join(&name[..2]).join(&name[2..4]).join(&name);
        assert_eq!(support::digest(&std::fs::read(path).expect("plain file")), *digest);
    }
    house.is_settled(&run).await;
    // An unmounted disk: the root is there, the marker and the files are not [28].
    std::fs::remove_dir_all(new.path()).expect("unmounted");
    std::fs::create_dir(new.path()).expect("mount point");
    let run = house.vacuum().await;
    assert_eq!(run.moves, Some(Vec::new()));
    assert_eq!(house.places(files[0]), "new");
    assert!(std::fs::read_dir(new.path()).expect("read").next().is_none(), "no write");
}
