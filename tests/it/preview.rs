//! Previews of the next run: shared, kept for a while, and without a trace in the catalogue.

use std::sync::Arc;
use std::time::Duration;

use hayloft::api::{Count, MoveAction, Preview, StoreEffect};
use hayloft::catalogue::CatalogueError;
use hayloft::domain::{FilePath, Policy, Replica, ReplicaState, StoreId, Topology};
use hayloft::maintenance::{Freshness, MOVES_KEPT, PreviewError, PreviewRequest};

use crate::house::{HOUR, House, is_complete, limit, populate, sorted};
use crate::support;
use crate::support::faulty::{Fault, Operation, When};

const RECENT: PreviewRequest = PreviewRequest::Sums(Freshness::Recent);

fn known(house: &House) -> Arc<Preview> {
    house.maintenance.known_preview().expect("kept").preview
}

/// Five files of 10 bytes in `local`, which may keep two and a half of them; `far` takes the rest.
async fn crowded() -> House {
    let house =
        House::linked(&[("local", Some(100), limit(25)), ("far", None, Policy::default())]).await;
    for n in 0..5 {
        house.put("s", &format!("f{n}"), 10).await;
    }
    house
}

fn topology(house: &House) -> Topology {
    house.catalogue().settings().topology.clone()
}

/// The configuration with another policy of the link between `s` and `store`.
fn with_policy(house: &House, store: &str, policy: Policy) -> Topology {
    let mut topology = topology(house);
    let key = (house.scope("s"), house.shelf(store).id);
    topology.links.get_mut(&key).expect("linked").policy = policy;
    topology
}

/// Everything that a preview must not touch.
fn traces(house: &House) -> String {
    let snapshot = house.catalogue().snapshot().expect("snapshot");
    let runs = snapshot.runs(9).expect("runs");
    let audit = snapshot.next_run_id().expect("id");
    format!("{:?} {runs:?} {audit} {:?}", snapshot.counters().expect("counters"), topology(house))
}

fn effect(store: &str, incoming: (u64, u64), outgoing: (u64, u64)) -> StoreEffect {
    let count = |(files, bytes)| Count { files, bytes };
    StoreEffect { store: store.to_owned(), incoming: count(incoming), outgoing: count(outgoing) }
}

#[tokio::test]
async fn a_preview_sums_up_the_next_run_and_changes_nothing() {
    let house = crowded().await;
    house.remove("s", "f4").await;
    house.clock.advance(25 * HOUR);
    let before = traces(&house);
    let preview = house.maintenance.preview(RECENT).await.expect("a preview");
    assert_eq!(traces(&house), before);
    assert_eq!(preview.at, house.clock.now());
    assert_eq!((preview.run.id, preview.run.dry_run), (None, true));
    let groups: Vec<_> = preview
        .groups
        .iter()
        .map(|g| (g.action, g.scope.as_deref(), g.from.as_deref(), g.to.as_deref(), g.count))
        .collect();
    let count = |files, bytes| Count { files, bytes };
    assert_eq!(
        groups,
        [
            (MoveAction::Move, Some("s"), Some("local"), Some("far"), count(2, 20)),
            (MoveAction::Remove, None, Some("local"), None, count(1, 10)),
        ]
    );
    assert!(preview.groups[0].reason.contains("soft limit"), "{preview:?}");
    assert_eq!(preview.stores, [effect("far", (2, 20), (0, 0)), effect("local", (0, 0), (3, 30))]);
    assert_eq!(preview.store("local").outgoing.files, 3);
    assert_eq!(preview.store("elsewhere"), effect("elsewhere", (0, 0), (0, 0)));
    assert_eq!(preview.moves_total, 3);
    let run = house.vacuum().await;
    assert_eq!(sorted(&preview.run), sorted(&run));
}

#[tokio::test]
async fn a_preview_answers_until_the_settings_change_or_a_run_ends() {
    let house = crowded().await;
    assert!(house.maintenance.known_preview().is_none());
    let ask = || async { house.maintenance.preview(RECENT).await.expect("a preview") };
    let first = ask().await;
    assert!(Arc::ptr_eq(&first, &ask().await));
    assert!(Arc::ptr_eq(&first, &known(&house)));
    assert!(house.maintenance.known_preview().is_some_and(|known| known.is_fresh));
    let anew =
        house.maintenance.preview(PreviewRequest::Sums(Freshness::New)).await.expect("a preview");
    assert!(!Arc::ptr_eq(&first, &anew));
    assert!(Arc::ptr_eq(&anew, &ask().await));
    let first = anew;
    house.link("s", "local", Some(100), limit(35)).await;
    assert!(house.maintenance.known_preview().is_none(), "the plan of other settings");
    let second = ask().await;
    assert_eq!((first.moves_total, second.moves_total), (3, 2));
    assert!(Arc::ptr_eq(&second, &known(&house)));
    is_complete(&house.vacuum().await);
    assert!(house.maintenance.known_preview().is_none(), "its moves are made");
    let third = ask().await;
    assert_eq!((third.moves_total, third.groups.len()), (0, 0));
    assert!(Arc::ptr_eq(&third, &known(&house)));
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_dry_run() {
    let house = crowded().await;
    let slow = Fault::Delay(Duration::from_millis(100));
    house.shelf("far").faulty.inject(Operation::ReadMarker, When::Always, slow);
    let asked = (0..50).map(|_| house.maintenance.preview(RECENT));
    let all = futures_util::future::join_all(asked).await;
    let all: Vec<Arc<Preview>> = all.into_iter().map(|p| p.expect("a preview")).collect();
    assert!(all.iter().all(|p| Arc::ptr_eq(p, &all[0])));
}

#[tokio::test]
async fn what_happens_to_many_files_is_answered_by_one_plan() {
    let house = crowded().await;
    let slow = Fault::Delay(Duration::from_millis(100));
    house.shelf("far").faulty.inject(Operation::ReadMarker, When::Always, slow);
    let oldest = support::digest(&crate::house::body("f0", 10));
    let asked = (0..50).map(|_| house.moves_of(oldest));
    for moves in futures_util::future::join_all(asked).await {
        assert_eq!(moves.len(), 1);
    }
}

#[tokio::test]
async fn what_happens_to_a_file_is_known_from_a_plan_that_took_long() {
    let house = crowded().await;
    let slow = Fault::Delay(Duration::from_millis(3200));
    house.shelf("far").faulty.inject(Operation::ReadMarker, When::Always, slow);
    let shared = house.maintenance.preview(RECENT).await.expect("a preview");
    let oldest = support::digest(&crate::house::body("f0", 10));
    let begun = std::time::Instant::now();
    assert_eq!(house.moves_of(oldest).await.len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "planned again");
    assert!(Arc::ptr_eq(&shared, &known(&house)));
}

#[tokio::test]
async fn a_file_that_was_just_changed_is_not_answered_for_from_before() {
    let house = crowded().await;
    let first = house.maintenance.preview(RECENT).await.expect("a preview");
    house.remove("s", "f0").await;
    house.put("s", "new", 20).await;
    let plan = async |name: &str, size: usize| {
        house.moves_of(support::digest(&crate::house::body(name, size))).await
    };
    // Nothing was done to this one: what was known of it still is.
    assert_eq!(plan("f1", 10).await.len(), 1);
    assert!(Arc::ptr_eq(&first, &house.maintenance.preview(RECENT).await.expect("shared")));
    let moves = plan("new", 20).await;
    let second = house.maintenance.preview(RECENT).await.expect("a preview");
    assert!(!Arc::ptr_eq(&first, &second));
    let digest = support::digest(&crate::house::body("new", 20));
    assert_eq!(second.moves_of(digest), moves);
    // Settings that were changed are never answered for from before.
    house.link("s", "far", None, populate()).await;
    assert_eq!(plan("new", 20).await.len(), 1);
}

#[tokio::test]
async fn a_preview_goes_on_when_its_asker_leaves() {
    let house = crowded().await;
    let slow = Fault::Delay(Duration::from_millis(100));
    house.shelf("far").faulty.inject(Operation::ReadMarker, When::Always, slow);
    let asked = tokio::time::timeout(Duration::from_millis(10), house.maintenance.preview(RECENT));
    assert!(asked.await.is_err(), "the asker leaves first");
    let made = async {
        while house.maintenance.known_preview().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), made).await.expect("made all the same");
}

#[tokio::test]
async fn a_preview_under_other_settings_is_the_run_that_follows_when_they_are_saved() {
    let house = crowded().await;
    let before = traces(&house);
    let now = house.maintenance.preview(RECENT).await.expect("a preview");
    let populated = with_policy(&house, "far", populate());
    let then = house
        .maintenance
        .preview(PreviewRequest::With(populated.clone()))
        .await
        .expect("a preview");
    assert_eq!(traces(&house), before);
    assert_eq!((now.store("far").incoming.files, then.store("far").incoming.files), (3, 5));
    assert!(!Arc::ptr_eq(&now, &then));
    // The same thought again is not planned again, and what is true stays known.
    let again =
        house.maintenance.preview(PreviewRequest::With(populated)).await.expect("a preview");
    assert!(Arc::ptr_eq(&then, &again));
    assert!(Arc::ptr_eq(&now, &known(&house)));
    let unchanged =
        house.maintenance.preview(PreviewRequest::With(topology(&house))).await.expect("a preview");
    assert!(Arc::ptr_eq(&now, &unchanged));
    house.link("s", "far", None, populate()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(sorted(&then.run), sorted(&run));
}

#[tokio::test]
async fn a_store_limit_that_is_only_thought_of_sheds() {
    let house = crowded().await;
    let mut lower = topology(&house);
    let local = house.shelf("local").id;
    lower.stores.get_mut(&local).expect("a store").soft_max_size = Some(10);
    let then = house.maintenance.preview(PreviewRequest::With(lower)).await.expect("a preview");
    assert_eq!(then.store("local"), effect("local", (0, 0), (4, 40)));
    house.limit_store("local", Some(10), None).await;
    assert_eq!(sorted(&then.run), sorted(&house.vacuum().await));
}

#[tokio::test]
async fn too_many_previews_at_once_are_refused_and_one_is_at_work_at_a_time() {
    let house = crowded().await;
    let slow = Fault::Delay(Duration::from_millis(30));
    house.shelf("far").faulty.inject(Operation::ReadMarker, When::Always, slow);
    let begun = std::time::Instant::now();
    let asked = (0..20_u64).map(|n| {
        let thought = with_policy(&house, "local", limit(n));
        let maintenance = Arc::clone(&house.maintenance);
        async move { maintenance.preview(PreviewRequest::With(thought)).await }
    });
    let answers = futures_util::future::join_all(asked).await;
    let refused = answers.iter().filter(|a| matches!(a, Err(PreviewError::Busy))).count();
    assert_eq!((refused, answers.len() - refused), (12, 8));
    assert!(begun.elapsed() >= Duration::from_millis(8 * 30), "{:?}", begun.elapsed());
    house.maintenance.preview(RECENT).await.expect("there is room again");
}

#[tokio::test]
async fn a_preview_under_way_ends_with_the_process() {
    let house = crowded().await;
    let slow = Fault::Delay(Duration::from_mins(1));
    house.shelf("far").faulty.inject(Operation::ReadMarker, When::Always, slow);
    let maintenance = Arc::clone(&house.maintenance);
    let asked = tokio::spawn(async move { maintenance.preview(RECENT).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), house.maintenance.shutdown());
    ended.await.expect("the process need not wait");
    let answer = asked.await.expect("an answer");
    assert!(matches!(answer, Err(PreviewError::Catalogue(CatalogueError::Closed))), "{answer:?}");
}

/// Enters files with a replica in `store` that nobody wrote.
async fn pretend(house: &House, store: StoreId, files: u64) {
    let scope = house.scope("s");
    let planted = house.catalogue().write(move |tx| {
        let now = tx.now();
        for n in 0..files {
            let mut file = tx.file_or_new(support::digest(&n.to_le_bytes()), 3)?;
            let verified_at = Some(now);
            let state = ReplicaState::Present;
            file.put_replica(Replica { store, state, stored_at: now, verified_at });
            let path = FilePath::new(format!("many/{n}").as_str()).expect("path");
            tx.place_entry(scope, &path, file, "text/plain")?;
        }
        Ok::<_, CatalogueError>(())
    });
    planted.await.expect("planted");
}

#[tokio::test]
async fn a_preview_of_a_large_run_keeps_some_moves_and_all_sums() {
    let house =
        House::linked(&[("local", Some(100), Policy::default()), ("far", None, populate())]).await;
    let many = MOVES_KEPT as u64 + 500;
    pretend(&house, house.shelf("local").id, many).await;
    let preview = house.maintenance.preview(RECENT).await.expect("a preview");
    assert_eq!(preview.run.moves.as_ref().map(Vec::len), Some(MOVES_KEPT));
    assert_eq!((preview.moves_total, preview.run.copied.files), (many, many));
    assert_eq!(preview.groups.len(), 1);
    assert_eq!(preview.groups[0].count, Count { files: many, bytes: 3 * many });
    assert_eq!(preview.store("far").incoming.bytes, 3 * many);
    // What is not among those kept is found all the same.
    let last = house.file(support::digest(&(many - 1).to_le_bytes())).expect("the file");
    let moves = house.moves_of(last.digest).await;
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert_eq!((moves[0].digest, moves[0].to.as_deref()), (last.digest, Some("far")));
}
