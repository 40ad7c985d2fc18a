//! What surrounds the policies of a run: sweep, markers, missing replicas, steering, verify.

use std::time::Duration;

use hayloft::api::{Outcome, Run, VerifyFinding};
use hayloft::domain::{Event, Policy, ReplicaState};
use hayloft::maintenance::{ControlError, StartError, SweepError};
use hayloft::stores::{Backend, Marker};

use crate::house::{HOUR, House, body, causes, is_complete, populate};
use crate::support;
use crate::support::faulty::{Fault, Operation, When};

fn plain() -> Policy {
    Policy::default()
}

/// Two stores, one scope, `n` files in `local`, `far` to be populated.
async fn pair(n: usize) -> House {
    pair_with(n, |_| {}).await
}

async fn pair_with(n: usize, change: impl FnOnce(&mut hayloft::config::Config)) -> House {
    let mut house = House::with(change);
    house.store("local").await;
    house.store("far").await;
    house.link("s", "local", Some(100), plain()).await;
    house.link("s", "far", None, populate()).await;
    for i in 0..n {
        house.put("s", &format!("f{i}"), 10).await;
    }
    house
}

async fn wait_for(house: &House, what: impl Fn(&Run) -> bool) {
    for _ in 0..2000 {
        if house.maintenance.current().is_some_and(|run| what(&run)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it never comes: {:#?}", house.maintenance.current());
}

#[tokio::test]
async fn item_27_an_orphan_goes_after_a_day_and_not_before() {
    let house = pair(3).await;
    let far = house.shelf("far");
    let (orphan, adopted) = (body("orphan", 9), body("adopted", 9));
    let (orphan_id, adopted_id) = (support::digest(&orphan), support::digest(&adopted));
    far.memory.plant(&orphan_id, orphan);
    far.memory.plant(&adopted_id, adopted);
    let id = far.id;
    house.catalogue().write(move |tx| tx.adopt(id, &adopted_id, 9)).await.expect("adopted");
    house.clock.advance(23 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!(far.memory.count(), 5);
    house.clock.advance(2 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!(far.memory.count(), 4);
    assert!(far.memory.stat(&adopted_id).await.expect("stat").is_some());
}

#[tokio::test]
async fn item_27_a_sweep_of_many_objects_stops_and_asks() {
    let house = pair(1).await;
    let far = house.shelf("far");
    for i in 0..101 {
        let orphan = body(&format!("orphan {i}"), 9);
        far.memory.plant(&support::digest(&orphan), orphan);
    }
    house.clock.advance(25 * HOUR);
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert!(causes(&run)[0].contains("store sweep far --confirm"), "{:?}", causes(&run));
    assert_eq!(far.memory.count(), 102);
    let report = house.maintenance.sweep(far.id, true).await.expect("swept");
    assert_eq!((report.objects, report.orphans, report.deleted), (102, 101, 101));
    assert_eq!(far.memory.count(), 1);
    is_complete(&house.vacuum().await);
}

#[tokio::test]
async fn item_27_a_foreign_or_newer_marker_stops_every_deletion_until_reconcile() {
    for newer in [false, true] {
        let house = pair(1).await;
        is_complete(&house.vacuum().await);
        let far = house.shelf("far");
        let orphan = body("orphan", 9);
        far.memory.plant(&support::digest(&orphan), orphan);
        let mut marker = far.memory.read_marker().await.expect("read").expect("marker");
        if newer {
            marker.generation += 7;
        } else {
            marker = Marker { instance: "another".to_owned(), ..marker };
        }
        far.memory.write_marker(&marker).await.expect("marker");
        house.clock.advance(25 * HOUR);
        let run = house.vacuum().await;
        assert_eq!(run.outcome, Outcome::Incomplete);
        assert_eq!(far.memory.count(), 2);
        let refused = house.maintenance.sweep(far.id, true).await;
        assert!(matches!(refused, Err(SweepError::NotOurs(_))), "{refused:?}");
        let report = house.maintenance.reconcile(far.id).await.expect("reconciled");
        assert_eq!((report.objects, report.known, report.adopted, report.missing), (2, 1, 1, 0));
        let written = far.memory.read_marker().await.expect("read").expect("marker");
        assert!(!newer || written.generation > marker.generation);
        is_complete(&house.vacuum().await);
        assert_eq!(far.memory.count(), 2, "adopted objects are never swept");
        house.check().await;
    }
}

#[tokio::test]
async fn reconciling_an_emptied_store_marks_its_rows_missing_and_the_next_run_fills_it() {
    let house = pair(4).await;
    is_complete(&house.vacuum().await);
    let far = house.shelf("far");
    far.memory.delete_marker().await.expect("marker");
    let digest = support::digest(&body("f0", 10));
    far.memory.delete(&digest).await.expect("deleted");
    let report = house.maintenance.reconcile(far.id).await.expect("reconciled");
    assert_eq!((report.objects, report.known, report.adopted, report.missing), (3, 3, 0, 1));
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(run.copied.files, 1);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn a_generation_is_raised_at_every_run_and_a_lost_marker_write_locks_nobody_out() {
    let house = pair(1).await;
    let far = house.shelf("far");
    let generation = || house.catalogue().settings().topology.stores[&far.id].generation;
    is_complete(&house.vacuum().await);
    is_complete(&house.vacuum().await);
    assert_eq!(generation(), 2);
    far.faulty.inject(Operation::WriteMarker, When::Nth(1), Fault::Failed);
    assert_eq!(house.vacuum().await.outcome, Outcome::Incomplete);
    assert_eq!(generation(), 3);
    let marker = far.memory.read_marker().await.expect("read").expect("marker");
    assert_eq!(marker.generation, 2);
    let house = house.restart().await;
    let run = house.vacuum().await;
    is_complete(&run);
    let far = house.shelf("far");
    let marker = far.memory.read_marker().await.expect("read").expect("marker");
    assert_eq!(marker.generation, 3);
}

#[tokio::test]
async fn a_full_disk_is_relieved_although_its_marker_cannot_be_written() {
    let house = pair(3).await;
    is_complete(&house.vacuum().await);
    let local = house.shelf("local");
    for operation in [Operation::WriteMarker, Operation::Put] {
        local.faulty.inject(operation, When::Always, Fault::Full);
    }
    house.limit_store("local", Some(0), None).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((run.removed.files, local.memory.count()), (3, 0));
    local.faulty.heal();
    is_complete(&house.vacuum().await);
    let marker = local.memory.read_marker().await.expect("read").expect("marker");
    let settings = house.catalogue().settings();
    assert_eq!(marker.generation, settings.topology.stores[&local.id].generation);
}

#[tokio::test]
async fn a_missing_replica_is_present_again_only_after_its_bytes_were_seen() {
    let house = pair(2).await;
    is_complete(&house.vacuum().await);
    house.link("s", "far", None, plain()).await;
    let (a, b) = (support::digest(&body("f0", 10)), support::digest(&body("f1", 10)));
    let far = house.shelf("far");
    for digest in [a, b] {
        let id = house.file(digest).expect("file").id;
        house.transfer.mark(id, far.id, Event::FoundMissing).await.expect("marked");
    }
    far.memory.plant(&b, vec![1; 10].into());
    let dry = house.dry().await;
    let run = house.vacuum().await;
    // A plan goes by sizes; the run reads the bytes.
    assert_eq!(causes(&dry), Vec::<String>::new());
    assert_eq!(house.state(a, "far"), Some(ReplicaState::Present));
    assert_eq!(house.state(b, "far"), Some(ReplicaState::Missing));
    assert_eq!(run.outcome, Outcome::Incomplete);
    let repaired = house.maintenance.verify(false, true).await.expect("verify");
    assert!(repaired.ok && repaired.repaired == 1, "{repaired:#?}");
    house.check().await;
}

#[tokio::test]
async fn verify_finds_damage_and_wrong_counters_and_repairs_them() {
    let house = pair(3).await;
    is_complete(&house.vacuum().await);
    let (a, b) = (support::digest(&body("f0", 10)), support::digest(&body("f1", 10)));
    let (local, far) = (house.shelf("local"), house.shelf("far"));
    local.memory.plant(&a, vec![1; 10].into());
    far.memory.delete(&b).await.expect("deleted");
    let wrong = hayloft::api::Count { files: 9, bytes: 9 };
    house
        .catalogue()
        .write(move |tx| {
            tx.set_counter(hayloft::catalogue::Counter::Total, wrong);
            Ok::<_, hayloft::catalogue::CatalogueError>(())
        })
        .await
        .expect("set");
    let report = house.maintenance.verify(true, false).await.expect("verify");
    assert!(!report.ok);
    assert_eq!((report.missing.len(), report.corrupt.len(), report.counters.len()), (1, 1, 2));
    assert_eq!(report.missing[0].digest, b);
    assert_eq!(report.corrupt[0].digest, a);
    assert!(report.lost.is_empty());
    let report = house.maintenance.verify(true, true).await.expect("verify");
    assert!(report.ok, "{report:#?}");
    assert_eq!(report.repaired, 3);
    house.check().await;
}

#[tokio::test]
async fn verify_reports_a_file_without_any_replica_as_lost() {
    let mut house = House::new();
    let local = house.store("local").await;
    house.link("s", "local", Some(100), plain()).await;
    let a = house.put("s", "a", 10).await;
    local.memory.delete(&a).await.expect("deleted");
    let report = house.maintenance.verify(false, true).await.expect("verify");
    assert!(!report.ok);
    assert_eq!((report.lost.len(), report.missing.len(), report.repaired), (1, 1, 0));
    assert_eq!((report.totals.lost, report.totals.missing), (1, 1));
    let named = |list: &[VerifyFinding]| -> Vec<String> {
        list[0].entries.iter().map(|name| format!("{}/{}", name.scope, name.path)).collect()
    };
    assert_eq!(
        (named(&report.lost), named(&report.missing)),
        (vec!["s/a".into()], vec!["s/a".into()])
    );
    let run = house.vacuum().await;
    assert!(causes(&run).iter().any(|c| c.contains("no replica left")), "{:?}", causes(&run));
    house.remove("s", "a").await;
    let report = house.maintenance.verify(false, false).await.expect("verify");
    assert!(report.lost[0].entries.is_empty(), "{report:#?}");
    assert!(report.lost[0].detail.starts_with("deleted"), "{report:#?}");
}

#[tokio::test]
async fn verify_counts_what_it_could_not_check() {
    let house = pair(3).await;
    is_complete(&house.vacuum().await);
    house.shelf("far").faulty.unplug();
    let report = house.maintenance.verify(false, false).await.expect("verify");
    assert_eq!((report.ok, report.checked_replicas, report.unchecked_replicas), (true, 3, 3));
    assert_eq!(report.unavailable, ["far"]);
}

/// A house whose run copies one file at a time, slowly.
async fn slow(n: usize) -> House {
    let house = pair_with(n, |c| c.maintenance.concurrency = 1).await;
    let wait = Duration::from_millis(5);
    house.shelf("far").faulty.inject(Operation::Put, When::Always, Fault::Delay(wait));
    house
}

#[tokio::test]
async fn one_run_at_a_time_and_a_second_start_names_it() {
    let house = slow(50).await;
    let run = house.maintenance.start().await.expect("started");
    let refused = house.maintenance.start().await;
    assert!(matches!(refused, Err(StartError::InProgress { run: id }) if Some(id) == run.id));
    let run = house.end_of(run.id.expect("id")).await;
    is_complete(&run);
    assert_eq!(run.copied.files, 50);
}

#[tokio::test]
async fn a_cancelled_run_ends_between_files_and_leaves_nothing_half_done() {
    let house = slow(100).await;
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    wait_for(&house, |run| run.progress.as_ref().is_some_and(|p| p.done.files > 3)).await;
    house.maintenance.cancel(id).await.expect("cancelled");
    let run = house.end_of(id).await;
    assert_eq!(run.outcome, Outcome::Cancelled);
    assert!((4..100).contains(&run.copied.files), "{}", run.copied.files);
    assert_eq!(house.shelf("far").memory.count() as u64, run.copied.files);
    house.check().await;
    let again = house.maintenance.cancel(id).await;
    assert!(matches!(again, Err(ControlError::NotRunning)), "{again:?}");
    assert!(matches!(house.maintenance.pause(99).await, Err(ControlError::NoSuchRun)));
    let rest = house.vacuum().await;
    is_complete(&rest);
    assert_eq!(run.copied.files + rest.copied.files, 100);
}

#[tokio::test]
async fn a_paused_run_stays_paused_across_a_restart_and_goes_on_when_resumed() {
    let house = slow(100).await;
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    wait_for(&house, |run| run.progress.as_ref().is_some_and(|p| p.done.files > 3)).await;
    let paused = house.maintenance.pause(id).await.expect("paused");
    assert_eq!(paused.outcome, Outcome::Paused);
    let house = house.restart().await;
    let refused = house.maintenance.start().await;
    assert!(matches!(refused, Err(StartError::InProgress { run }) if run == id), "{refused:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let current = house.maintenance.current().expect("current");
    assert_eq!((current.id, current.outcome), (Some(id), Outcome::Paused));
    let before = house.shelf("far").memory.count() as u64;
    assert!(before < 100);
    house.maintenance.resume(id).await.expect("resumed");
    let run = house.end_of(id).await;
    is_complete(&run);
    assert_eq!(run.copied.files, 100, "the counts go on");
    house.check().await;
}

#[tokio::test]
async fn a_run_that_ended_with_the_process_goes_on_after_the_start() {
    let house = slow(100).await;
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    wait_for(&house, |run| run.progress.as_ref().is_some_and(|p| p.done.files > 3)).await;
    let house = house.restart().await;
    house.maintenance.spawn_timer();
    wait_for(&house, |run| run.id == Some(id)).await;
    let run = house.end_of(id).await;
    is_complete(&run);
    assert_eq!(run.copied.files, 100);
    house.maintenance.shutdown().await;
}

#[tokio::test]
async fn copies_wait_for_their_hours_and_keep_to_their_bandwidth() {
    let zone = jiff::tz::TimeZone::system();
    let now = jiff::Timestamp::from_microsecond(crate::house::START.0).expect("time");
    let hour = i64::from(now.to_zoned(zone).hour());
    let window = format!("{:02}:00-{:02}:00", (hour + 2) % 24, (hour + 4) % 24);
    let house =
        pair_with(2, |c| c.maintenance.window = Some(window.parse().expect("window"))).await;
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.shelf("far").memory.count(), 0);
    house.clock.advance(2 * HOUR);
    // The window is looked at when something changes, too.
    house.maintenance.pause(id).await.expect("paused");
    house.maintenance.resume(id).await.expect("resumed");
    is_complete(&house.end_of(id).await);

    let house = pair_with(0, |c| c.maintenance.bandwidth = Some(400_000)).await;
    house.put("s", "big", 300_000).await;
    let start = std::time::Instant::now();
    is_complete(&house.vacuum().await);
    assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
}

/// Runs of which the catalogue knows.
fn runs(house: &House) -> usize {
    house.catalogue().snapshot().expect("read").runs(9).expect("runs").len()
}

#[tokio::test]
async fn item_38_a_missed_run_starts_with_the_server_and_not_when_off() {
    for (schedule, starts) in [("02:00", true), ("off", false)] {
        let house = pair_with(1, |c| {
            c.maintenance.schedule = schedule.parse().expect("schedule");
        })
        .await;
        // A new instance counts as just maintained.
        house.maintenance.spawn_timer();
        if starts {
            house.eventually("a next run", |house| house.maintenance.next_run().is_some()).await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(house.maintenance.next_run(), None);
        }
        assert_eq!(runs(&house), 0);
        let house = house.restart().await;
        house.clock.advance(25 * HOUR);
        house.maintenance.spawn_timer();
        if starts {
            house.eventually("the missed run", |house| runs(house) > 0).await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(runs(&house), usize::from(starts), "{schedule}");
        house.maintenance.shutdown().await;
    }
}

#[tokio::test]
async fn a_residual_replica_goes_when_its_unlink_is_older_than_the_grace() {
    let house = pair(1).await;
    is_complete(&house.vacuum().await);
    let a = support::digest(&body("f0", 10));
    house.unlink("s", "far").await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(house.places(a), "far local");
    house.clock.advance(25 * HOUR);
    let planned = house.moves_of(a).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(house.places(a), "local");
    assert_eq!(run.moves, Some(planned));
}

#[tokio::test]
async fn an_upload_under_way_keeps_what_it_relies_on() {
    let house = pair(1).await;
    let a = support::digest(&body("f0", 10));
    let file = house.file(a).expect("file").id;
    house.remove("s", "f0").await;
    house.clock.advance(25 * HOUR);
    let pin = house.transfer.pins.pin(house.shelf("local").id, file);
    is_complete(&house.vacuum().await);
    assert_eq!(house.places(a), "local");
    drop(pin);
    is_complete(&house.vacuum().await);
    assert_eq!(house.file(a), None);
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_repeated() {
    let house = pair(3).await;
    is_complete(&house.vacuum().await);
    house.link("s", "far", None, crate::house::drain()).await;
    let far = house.shelf("far");
    far.faulty.inject(Operation::Delete, When::Nth(1), Fault::LoseAnswer);
    let run = house.vacuum().await;
    assert_eq!((run.outcome, run.removed.files), (Outcome::Incomplete, 3));
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(far.memory.count(), 0);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn a_deferred_delete_counts_as_done_and_waits_for_the_urls_that_were_issued() {
    let house = pair(2).await;
    is_complete(&house.vacuum().await);
    let (a, far) = (support::digest(&body("f0", 10)), house.shelf("far"));
    let id = house.file(a).expect("file").id;
    let minute = Duration::from_mins(1);
    house.transfer.urls.issue(far.id, id, house.clock.now(), minute);
    house.link("s", "far", None, crate::house::drain()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(run.removed.files, 2);
    assert_eq!(house.state(a, "far"), Some(ReplicaState::Deleting));
    assert_eq!(far.memory.count(), 1, "only the one with a URL stays");
    let again = house.vacuum().await;
    assert_eq!((again.outcome, again.moves), (Outcome::Complete, Some(Vec::new())));
    house.clock.advance(2 * minute);
    house.maintenance.spawn_timer();
    house.eventually("the deletion", |house| house.state(a, "far").is_none()).await;
    assert_eq!(far.memory.count(), 0);
    house.maintenance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_beside_a_draining_run_are_neither_lost_nor_counted_wrong() {
    let mut house = House::new();
    for name in ["old", "new"] {
        house.store(name).await;
        house.link("s", name, None, plain()).await;
    }
    house.link("s", "old", Some(200), plain()).await;
    for i in 0..100 {
        house.put("s", &format!("f{i}"), 20).await;
    }
    house.link("s", "new", Some(100), plain()).await;
    // Uploads go on into the store that is being emptied: it is not read_only.
    let policy = Policy { drain: hayloft::domain::Drain::Anywhere, ..plain() };
    house.link("s", "old", Some(200), policy).await;
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    // The same files again, while they move, and new ones.
    for i in 0..100 {
        house.put_bytes("s", &format!("again{i}"), body(&format!("f{i}"), 20)).await;
        house.put("s", &format!("new{i}"), 20).await;
    }
    house.end_of(id).await;
    let run = house.vacuum().await;
    is_complete(&run);
    for i in 0..100 {
        for path in [format!("f{i}"), format!("new{i}")] {
            assert_eq!(house.places(support::digest(&body(&path, 20))), "new", "{path}");
        }
    }
    assert_eq!(house.shelf("old").memory.count(), 0);
    house.check().await;
}

#[tokio::test]
async fn a_dry_run_reports_a_store_that_is_down_and_notes_nothing() {
    let house = pair(1).await;
    house.shelf("far").faulty.unplug();
    let dry = house.dry().await;
    assert_eq!((dry.outcome, dry.moves.as_deref()), (Outcome::Incomplete, Some(&[][..])));
    assert!(dry.errors.iter().any(|e| e.phase == "stores"), "{:?}", causes(&dry));
    assert!(house.catalogue().snapshot().expect("read").runs(9).expect("runs").is_empty());
}
