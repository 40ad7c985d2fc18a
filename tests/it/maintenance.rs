//! Whole runs of storage maintenance: the sentences of SPEC 7, numbers as in SPEC 13.

use std::time::Duration;

use hayloft::api::{Outcome, Run};
use hayloft::domain::{Event, Policy};

use crate::house::{
    HOUR, House, body, causes, drain, drain_into, is_complete, limit, populate, sorted,
};
use crate::support::faulty::{Fault, Operation, When};

fn plain() -> Policy {
    Policy::default()
}

fn files(run: &Run) -> (u64, u64, u64, u64) {
    (run.copied.files, run.moved.files, run.removed.files, run.retained.files)
}

#[tokio::test]
async fn item_11_populate_reaches_a_write_only_store_and_a_file_without_source_is_an_error() {
    let mut house = House::new();
    house.store("local").await;
    let cold = house.store("cold").await;
    house.link("s", "local", Some(100), plain()).await;
    let write_only = Policy { write_only: true, ..populate() };
    house.link("s", "cold", None, write_only).await;
    let (a, b) = (house.put("s", "a", 10).await, house.put("s", "b", 20).await);
    let id = house.file(b).expect("file").id;
    let local = house.shelf("local").id;
    house.transfer.mark(id, local, Event::FoundCorrupt).await.expect("marked");
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert_eq!(files(&run), (1, 0, 0, 0));
    assert_eq!((house.places(a).as_str(), house.places(b).as_str()), ("cold local", ""));
    assert!(run.errors.iter().any(|e| e.phase == "populate" && e.digests == [b]), "{run:#?}");
    assert_eq!(cold.memory.count(), 1);
}

#[tokio::test]
async fn item_12_populate_near_a_limit_skips_the_big_and_takes_the_small() {
    let mut house = House::new();
    house.store("local").await;
    house.limited_store("near", None, Some(100)).await;
    house.link("s", "local", Some(100), plain()).await;
    house.link("s", "near", None, populate()).await;
    let big = house.put("s", "big", 101).await;
    let small = house.put("s", "small", 40).await;
    let rest = house.put("s", "rest", 60).await;
    let run = house.vacuum().await;
    assert_eq!(house.places(big), "local");
    assert_eq!(house.places(small), "local near");
    assert_eq!(house.places(rest), "local near");
    assert_eq!(run.errors.len(), 1, "one summary error: {:?}", causes(&run));
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_13_a_populated_store_over_its_soft_limit_sheds_nothing_and_says_so_again() {
    let house = House::linked(&[("local", Some(100), plain()), ("mirror", None, populate())]).await;
    let a = house.put("s", "a", 80).await;
    is_complete(&house.vacuum().await);
    house.limit_store("mirror", Some(50), None).await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, files(&run)), (Outcome::Incomplete, (0, 0, 0, 0)));
    assert_eq!(house.places(a), "local mirror");
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_14_a_drain_with_a_twin_transfers_nothing() {
    let house = House::linked(&[("old", Some(100), plain()), ("new", None, plain())]).await;
    let old = house.shelf("old").clone();
    let a = house.put("s", "a", 30).await;
    house.plant("new", a).await;
    house.link("s", "old", Some(100), drain()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(files(&run), (0, 0, 1, 0));
    assert_eq!(old.faulty.calls(Operation::Get), 0);
    assert_eq!(house.places(a), "new");
    assert_eq!(old.memory.count(), 0);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn a_drain_whose_twin_cannot_be_looked_at_is_unmet_and_says_why() {
    let house = House::linked(&[("old", Some(100), plain()), ("new", None, plain())]).await;
    let new = house.shelf("new").clone();
    let a = house.put("s", "a", 30).await;
    house.plant("new", a).await;
    house.link("s", "old", Some(100), drain()).await;
    new.faulty.inject(Operation::Stat, When::Always, Fault::Failed);
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert_eq!(house.places(a), "new old");
    let error = run.errors.iter().find(|e| e.phase == "drain").expect("an error of the drain");
    assert_eq!((error.files, error.bytes, error.digests.len()), (1, 30, 1), "{error:?}");
    new.faulty.heal();
    is_complete(&house.vacuum().await);
    assert_eq!(house.places(a), "new");
}

#[tokio::test]
async fn item_14_a_named_drain_copies_to_z_although_y_has_a_twin() {
    let mut house = House::new();
    for name in ["x", "y", "z"] {
        house.store(name).await;
        house.link("s", name, None, plain()).await;
    }
    let a = house.put("s", "a", 30).await;
    assert_eq!(house.places(a), "x");
    house.plant("y", a).await;
    house.link("s", "x", None, drain_into("z")).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(house.places(a), "y z");
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_15_a_drain_into_a_full_store_keeps_the_file_and_reports_it() {
    let mut house = House::new();
    house.store("x").await;
    house.limited_store("z", None, Some(10)).await;
    house.link("s", "x", Some(100), plain()).await;
    house.link("s", "z", None, plain()).await;
    let a = house.put("s", "a", 30).await;
    house.link("s", "x", Some(100), drain_into("z")).await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, files(&run)), (Outcome::Incomplete, (0, 0, 0, 0)));
    assert_eq!(house.places(a), "x");
    assert_eq!(run.errors[0].digests, [a]);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_16_two_draining_stores_do_not_swap_over_three_runs() {
    let mut house = House::new();
    house.store("p").await;
    house.store("q").await;
    house.link("a", "p", Some(100), plain()).await;
    house.link("b", "q", Some(100), plain()).await;
    let (x, y) = (house.put("a", "x", 10).await, house.put("b", "y", 10).await);
    house.link("a", "p", Some(100), drain()).await;
    house.link("a", "q", None, plain()).await;
    house.link("b", "q", Some(100), drain()).await;
    house.link("b", "p", None, plain()).await;
    house.vacuum().await;
    let after = (house.places(x), house.places(y));
    for _ in 0..2 {
        let run = house.vacuum().await;
        assert_eq!(run.moves, Some(Vec::new()));
        assert_eq!((house.places(x), house.places(y)), after);
    }
}

#[tokio::test]
async fn items_17_and_18_what_another_scope_reads_or_populates_stays_and_is_retained() {
    let mut house = House::new();
    house.store("x").await;
    house.store("y").await;
    for scope in ["a", "b"] {
        house.link(scope, "x", Some(100), plain()).await;
    }
    house.link("a", "y", None, plain()).await;
    let f = house.put("a", "f", 10).await;
    house.put_bytes("b", "f", crate::house::body("f", 10)).await;
    house.link("a", "x", Some(100), drain()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(files(&run), (1, 0, 0, 1), "copied although the source stays");
    assert_eq!(house.places(f), "x y");
    assert!(run.warnings.iter().any(|w| w.contains("retained in x for scope b")), "{run:#?}");
    house.is_settled(&run).await;
    house.link("b", "x", Some(100), populate()).await;
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_19_draining_a_write_only_store_reads_nothing() {
    let mut house = House::new();
    house.store("local").await;
    let cold = house.store("cold").await;
    house.link("s", "local", Some(100), plain()).await;
    let write_only = Policy { write_only: true, ..populate() };
    house.link("s", "cold", None, write_only).await;
    let (a, b) = (house.put("s", "a", 10).await, house.put("s", "b", 20).await);
    is_complete(&house.vacuum().await);
    let id = house.file(b).expect("file").id;
    let local = house.shelf("local").id;
    house.transfer.mark(id, local, Event::FoundCorrupt).await.expect("marked");
    house.link("s", "cold", None, Policy { write_only: true, ..drain() }).await;
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert_eq!((house.places(a).as_str(), house.places(b).as_str()), ("local", "cold"));
    assert_eq!(cold.faulty.calls(Operation::Get), 0);
    assert!(causes(&run).iter().any(|c| c.contains("write_only")), "{:?}", causes(&run));
}

#[tokio::test]
async fn items_20_to_23_shedding_takes_the_least_recently_used_down_to_the_limit_and_no_further() {
    let house = House::linked(&[("local", Some(100), plain()), ("far", None, plain())]).await;
    let a = house.put("s", "a", 40).await;
    let b = house.put("s", "b", 40).await;
    let c = house.put("s", "c", 40).await;
    // Three entries, one file.
    for path in ["b2", "b3"] {
        house.put_bytes("s", path, crate::house::body("b", 40)).await;
    }
    house.clock.advance(HOUR);
    house.catalogue().last_uses().note(house.file(a).expect("a").id, house.clock.now());
    house.link("s", "local", Some(100), limit(80)).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(files(&run), (0, 1, 0, 0));
    assert_eq!(house.places(a), "local", "a download made it recent");
    assert_eq!((house.places(b).as_str(), house.places(c).as_str()), ("local", "far"));
    house.is_settled(&run).await;
    house.link("s", "local", Some(100), plain()).await;
    house.limit_store("local", Some(40), None).await;
    let run = house.vacuum().await;
    assert_eq!(files(&run), (0, 1, 0, 0), "shed once, counted once");
    assert_eq!((house.places(a).as_str(), house.places(b).as_str()), ("local", "far"));
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_25_a_corrupted_source_is_marked_and_another_one_is_used() {
    let mut house = House::new();
    let bad = house.store("bad").await;
    house.store("good").await;
    house.store("target").await;
    house.link("s", "bad", Some(100), plain()).await;
    house.link("s", "good", None, plain()).await;
    let a = house.put("s", "a", 30).await;
    house.plant("good", a).await;
    bad.memory.plant(&a, vec![7; 30].into());
    house.link("s", "target", None, populate()).await;
    let run = house.vacuum().await;
    assert_eq!(house.places(a), "good target");
    assert_eq!(house.state(a, "bad"), None, "a corrupt replica with a good twin goes");
    is_complete(&run);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_26_a_store_that_is_down_stops_neither_the_others_nor_the_run() {
    let mut house = House::new();
    house.store("local").await;
    house.store("mirror").await;
    let far = house.store("far").await;
    house.link("s", "local", Some(100), plain()).await;
    house.link("s", "far", None, populate()).await;
    house.link("s", "mirror", None, populate()).await;
    let a = house.put("s", "a", 30).await;
    far.faulty.unplug();
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert_eq!(house.places(a), "local mirror");
    let about_far: Vec<_> =
        run.errors.iter().filter(|e| e.store.as_deref() == Some("far")).collect();
    assert!(!about_far.is_empty());
    far.faulty.heal();
    is_complete(&house.vacuum().await);
    assert_eq!(house.places(a), "far local mirror");
}

#[tokio::test]
async fn item_26_a_store_is_skipped_after_five_failures_in_a_row() {
    let mut house = House::with(|c| c.maintenance.concurrency = 1);
    house.store("local").await;
    let far = house.store("far").await;
    house.link("s", "local", Some(100), plain()).await;
    house.link("s", "far", None, populate()).await;
    for n in 0..20 {
        house.put("s", &format!("f{n}"), 10).await;
    }
    far.faulty.inject(Operation::Put, When::Always, Fault::Failed);
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert_eq!(far.faulty.calls(Operation::Put), 5);
    let skipped: Vec<_> = run.errors.iter().filter(|e| e.cause.contains("skipped")).collect();
    assert_eq!(skipped.len(), 1, "{:?}", causes(&run));
    far.faulty.heal();
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(run.copied.files, 20);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn item_26_a_store_that_gives_no_answer_is_skipped() {
    let mut house = House::with_patience(Duration::from_secs(2), |c| c.maintenance.concurrency = 1);
    house.store("local").await;
    house.store("mirror").await;
    let far = house.store("far").await;
    house.link("s", "local", Some(100), plain()).await;
    house.link("s", "far", None, populate()).await;
    house.link("s", "mirror", None, populate()).await;
    let a = house.put("s", "a", 30).await;
    let wait = Duration::from_secs(6);
    far.faulty.inject(Operation::Put, When::Always, Fault::Delay(wait));
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert!(causes(&run).iter().any(|c| c.contains("no answer")), "{:?}", causes(&run));
    assert_eq!(house.places(a), "local mirror");
    // What was left alone ends by itself.
    house.eventually("the copy", |house| house.places(a) == "far local mirror").await;
    house.check().await;
}

#[tokio::test]
async fn item_28_an_emptied_store_marks_nothing_missing_and_gets_no_write() {
    let house = House::linked(&[("local", Some(100), plain()), ("far", None, populate())]).await;
    let far = house.shelf("far").clone();
    let a = house.put("s", "a", 30).await;
    is_complete(&house.vacuum().await);
    let b = house.put("s", "b", 30).await;
    far.memory.delete_marker().await.expect("marker");
    far.memory.delete(&a).await.expect("object");
    house.link("s", "local", Some(100), drain()).await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, files(&run)), (Outcome::Incomplete, (0, 0, 0, 0)));
    assert_eq!((house.places(a).as_str(), house.places(b).as_str()), ("far local", "local"));
    assert_eq!(far.memory.count(), 0);
}

use hayloft::stores::Backend;

#[tokio::test]
async fn item_29_the_second_run_of_each_recipe_plans_nothing() {
    for recipe in 1..=5 {
        let mut house = House::new();
        house.store("local").await;
        house.store("s3").await;
        house.link("s", "local", Some(100), plain()).await;
        let populated = if recipe == 2 { populate() } else { plain() };
        house.link("s", "s3", None, populated).await;
        for n in 0..10 {
            house.put("s", &format!("f{n}"), 10).await;
        }
        match recipe {
            1 | 2 => house.limit_store("local", Some(55), None).await,
            3 => house.link("s", "s3", None, Policy { write_only: true, ..populate() }).await,
            4 => {
                house.link("s", "s3", Some(200), plain()).await;
                house.put("s", "cloud", 10).await;
                house.link("s", "s3", None, Policy { read_only: true, ..plain() }).await;
                house.link("s", "local", Some(100), populate()).await;
                is_complete(&house.vacuum().await);
                house.link("s", "local", Some(100), plain()).await;
                house.link("s", "s3", None, drain_into("local")).await;
            }
            _ => house.link("s", "local", None, drain()).await,
        }
        let dry = house.dry().await;
        let run = house.vacuum().await;
        is_complete(&run);
        assert!(run.moves.as_ref().is_some_and(|m| !m.is_empty()), "recipe {recipe} moves");
        assert_eq!(sorted(&dry), sorted(&run), "recipe {recipe}: dry run and run agree");
        house.is_settled(&run).await;
    }
}

#[tokio::test]
async fn item_30_a_dry_run_lists_what_the_next_run_does_and_changes_nothing() {
    let house = House::linked(&[("local", Some(100), limit(25)), ("far", None, plain())]).await;
    for n in 0..5 {
        house.put("s", &format!("f{n}"), 10).await;
    }
    house.remove("s", "f4").await;
    house.clock.advance(25 * HOUR);
    let used = house.put("s", "f0", 10).await;
    let before = house.catalogue().snapshot().expect("snapshot");
    let before = (before.counters().expect("counters"), before.runs(9).expect("runs"));
    let dry = house.dry().await;
    let after = house.catalogue().snapshot().expect("snapshot");
    let after = (after.counters().expect("counters"), after.runs(9).expect("runs"));
    assert_eq!(before, after);
    assert_eq!((dry.id, dry.dry_run), (None, true));
    let run = house.vacuum().await;
    assert_eq!(sorted(&dry), sorted(&run));
    assert_eq!(
        (dry.copied, dry.moved, dry.removed, dry.retained),
        (run.copied, run.moved, run.removed, run.retained)
    );
    assert_eq!(run.removed.files, 1, "the deleted file");
    assert_eq!(house.places(used), "local");
    house.is_settled(&run).await;
}

#[tokio::test]
async fn a_dry_run_says_what_the_next_run_says_when_lost_replicas_are_back() {
    let mut house = House::new();
    let local = house.store("local").await;
    house.link("s", "local", Some(100), plain()).await;
    let digest = house.put("s", "f", 10).await;
    local.memory.delete(&digest).await.expect("deleted");
    house.maintenance.verify(false, false).await.expect("verify");
    let lost = house.vacuum().await;
    assert_eq!(lost.outcome, Outcome::Incomplete);
    assert_eq!(house.dry().await.errors.last(), lost.errors.last(), "the file is lost");
    local.memory.plant(&digest, body("f", 10));
    let dry = house.dry().await;
    assert_eq!((dry.outcome, dry.errors.as_slice()), (Outcome::Complete, [].as_slice()));
    assert_eq!(house.vacuum().await.outcome, Outcome::Complete);
}

#[tokio::test]
async fn item_35_a_deleted_file_goes_after_its_grace_and_is_resurrected_by_an_upload() {
    let mut house = House::new();
    let local = house.store("local").await;
    house.link("s", "local", Some(100), plain()).await;
    let (a, b) = (house.put("s", "a", 10).await, house.put("s", "b", 20).await);
    house.remove("s", "a").await;
    house.remove("s", "b").await;
    house.clock.advance(23 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!((house.places(a).as_str(), house.places(b).as_str()), ("local", "local"));
    house.put("s", "b", 20).await;
    house.clock.advance(2 * HOUR);
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(files(&run), (0, 0, 1, 0));
    assert_eq!(house.file(a), None);
    assert_eq!(house.places(b), "local");
    assert_eq!(local.memory.count(), 1);
    house.is_settled(&run).await;
}
