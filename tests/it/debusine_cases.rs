//! What the peer that the design speaks of (debusine) tests of this feature, as cases of ours, one
//! per situation of its suite for storage maintenance and for the order of stores. Where we differ
//! the case says so: SPEC decides.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hayloft::api::{Outcome, Run};
use hayloft::domain::{Digest, Event, Policy};
use hayloft::stores::{Backend, LocalStore};

use crate::house::{
    HOUR, House, body, causes, drain, drain_into, is_complete, limit, populate, sorted,
};
use crate::support;
use crate::support::faulty::{Fault, Operation, When};

fn plain() -> Policy {
    Policy::default()
}

fn write_only() -> Policy {
    Policy { write_only: true, ..plain() }
}

fn read_only() -> Policy {
    Policy { read_only: true, ..plain() }
}

fn counts(run: &Run) -> [u64; 4] {
    [run.copied.files, run.moved.files, run.removed.files, run.retained.files]
}

/// Stores `near` and `far` of scope `s`, and files f0, f1, … of these sizes in `near`.
async fn with_files(sizes: &[usize]) -> (House, Vec<Digest>) {
    with_files_and(sizes, |_| {}).await
}

async fn with_files_and(
    sizes: &[usize],
    change: impl FnOnce(&mut hayloft::config::Config),
) -> (House, Vec<Digest>) {
    let mut house = House::with(change);
    house.store("near").await;
    house.store("far").await;
    house.link("s", "near", Some(100), plain()).await;
    house.link("s", "far", None, plain()).await;
    let mut files = Vec::new();
    for (i, size) in sizes.iter().enumerate() {
        files.push(house.put("s", &format!("f{i}"), *size).await);
    }
    (house, files)
}

fn places(house: &House, files: &[Digest]) -> Vec<String> {
    files.iter().map(|f| house.places(*f)).collect()
}

// ---- storage clean-up ----

/// There a day for what an upload left half written; here nobody has a URL for it, and what a kill
/// leaves goes when the store is next cleaned.
#[tokio::test]
async fn an_upload_that_was_never_finished_leaves_no_file_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = LocalStore::create(dir.path()).await.expect("made");
    store.write_marker(&crate::conformance::marker()).await.expect("marked");
    let staging = store.staging_dir().expect("a directory").to_owned();
    let (old, new) = (staging.join("old"), staging.join("new"));
    for path in [&old, &new] {
        std::fs::write(path, "half").expect("written");
    }
    age(&old, 48);
    store.clean_unfinished(24 * HOUR).await.expect("cleaned");
    assert!(!old.exists() && new.exists());
}

fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_hours(hours);
    let file = std::fs::File::open(path).expect("the file");
    file.set_modified(then).expect("touched");
}

/// The same, but an orphan is only what has exactly the shape of our names: there everything in the
/// directory is.
#[tokio::test]
async fn a_dry_run_deletes_no_orphan_and_a_run_deletes_old_ones_only() {
    let (house, files) = with_files(&[10]).await;
    let near = house.shelf("near");
    let orphan = body("orphan", 9);
    near.memory.plant(&support::digest(&orphan), orphan);
    is_complete(&house.vacuum().await);
    assert_eq!(near.memory.count(), 2, "too new");
    house.clock.advance(48 * HOUR);
    is_complete(&house.dry().await);
    assert_eq!(near.memory.count(), 2);
    is_complete(&house.vacuum().await);
    assert_eq!((near.memory.count(), house.places(files[0]).as_str()), (1, "near"));
}

/// There empty directories go after a day; here they stay: there are at most 65,536 of them, and one
/// that went away under a writer would fail an upload. Taking them away by hand is harmless.
#[tokio::test]
async fn directories_that_become_empty_do_no_harm_whoever_removes_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = LocalStore::create(dir.path()).await.expect("made");
    store.write_marker(&crate::conformance::marker()).await.expect("marked");
    let (content, other) = (support::bytes(1, 100), support::bytes(2, 100));
    let (digest, kept) = (support::digest(&content), support::digest(&other));
    for (digest, content) in [(&digest, &content), (&kept, &other)] {
        store.put(digest, 100, support::body_of(content)).await.expect("stored");
    }
    store.delete(&digest).await.expect("deleted");
    let hex = digest.to_hex();
    let parent = dir.path().join(&hex[..2]).join(&hex[2..4]);
    // It may be gone already: a store is free to tidy up behind itself.
    std::fs::remove_dir(&parent).ok();
    std::fs::remove_dir(parent.parent().expect("ab")).ok();
    let page = store.list(None, 10).await.expect("listed");
    assert_eq!(page.objects.iter().map(|o| o.digest).collect::<Vec<_>>(), [kept]);
    store.put(&digest, 100, support::body_of(&content)).await.expect("stored again");
    assert_eq!(store.stat(&digest).await.expect("stat").map(|s| s.size), Some(100));
}

/// There only reported ("cannot be fixed"); here the row is marked, reported once nothing heals it,
/// and a populate store is filled again from the other replica.
#[tokio::test]
async fn a_file_that_is_missing_in_a_store_is_reported_and_healed_where_there_is_another() {
    let (house, files) = with_files(&[10, 20]).await;
    house.link("s", "far", None, populate()).await;
    is_complete(&house.vacuum().await);
    let (near, far) = (house.shelf("near"), house.shelf("far"));
    far.memory.delete(&files[0]).await.expect("lost in far");
    let report = house.maintenance.verify(false, false).await.expect("verify");
    assert_eq!((report.missing.len(), report.lost.len()), (1, 0));
    let id = house.file(files[0]).expect("file").id;
    house.transfer.mark(id, far.id, Event::FoundMissing).await.expect("marked");
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((counts(&run)[0], places(&house, &files)), (1, vec!["far near".into(); 2]));
    for shelf in [near, far] {
        shelf.memory.delete(&files[1]).await.expect("lost everywhere");
        let id = house.file(files[1]).expect("file").id;
        house.transfer.mark(id, shelf.id, Event::FoundMissing).await.expect("marked");
    }
    let run = house.vacuum().await;
    assert_eq!(run.outcome, Outcome::Incomplete);
    assert!(causes(&run).iter().any(|c| c.contains("no replica left")), "{:?}", causes(&run));
}

/// There after a day by the artifact's expiry; here after the grace of the last entry.
#[tokio::test]
async fn a_file_that_nothing_refers_to_goes_when_its_grace_is_over_and_not_before() {
    let (house, files) = with_files(&[10, 20]).await;
    house.remove("s", "f0").await;
    house.clock.advance(23 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!(house.places(files[0]), "near");
    house.clock.advance(2 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!((house.file(files[0]), house.places(files[1])), (None, "near".into()));
    assert_eq!(house.shelf("near").memory.count(), 1);
}

// ---- populate ----

#[tokio::test]
async fn populate_copies_what_is_lacking_oldest_first_and_then_nothing() {
    let (house, files) = with_files_and(&[10, 20, 30], |c| c.maintenance.concurrency = 1).await;
    house.link("s", "far", None, Policy { write_only: true, ..populate() }).await;
    let dry = house.dry().await;
    assert_eq!(house.shelf("far").memory.count(), 0, "a dry run copies nothing");
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((counts(&run), sorted(&dry)), ([3, 0, 0, 0], sorted(&run)));
    // There in the order of the digests.
    let order: Vec<_> = run.moves.as_ref().expect("moves").iter().map(|m| m.digest).collect();
    assert_eq!(order, files);
    house.is_settled(&run).await;
    assert_eq!(house.shelf("far").faulty.calls(Operation::Get), 0, "write_only is not read");
}

#[tokio::test]
async fn files_that_are_deleted_while_a_store_is_populated_are_no_error() {
    let (house, files) = with_files_and(&[10; 20], |c| c.maintenance.concurrency = 1).await;
    let far = house.shelf("far").clone();
    house.link("s", "far", None, populate()).await;
    far.faulty.inject(Operation::Put, When::Always, Fault::Delay(Duration::from_millis(5)));
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    // The last ones lose their entries while the first are on their way.
    for i in 10..20 {
        house.remove("s", &format!("f{i}")).await;
    }
    is_complete(&house.end_of(id).await);
    assert_eq!(places(&house, &files[..10]), vec!["far near"; 10]);
    house.clock.advance(25 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!((far.memory.count(), house.shelf("near").memory.count()), (10, 10));
    house.check().await;
}

#[tokio::test]
async fn populate_without_a_store_to_read_from_is_an_error_about_these_files() {
    let (house, files) = with_files(&[10, 20]).await;
    house.link("s", "near", Some(100), write_only()).await;
    house.link("s", "far", None, populate()).await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, counts(&run)), (Outcome::Incomplete, [0; 4]));
    let error = run.errors.iter().find(|e| e.phase == "populate").expect("an error");
    assert_eq!((error.files, error.bytes, error.digests.len()), (2, 30, 2));
    assert_eq!(places(&house, &files), ["near", "near"]);
    house.is_settled(&run).await;
}

/// There the first file that does not fit ends it; here smaller ones follow, and one error sums up.
#[tokio::test]
async fn populate_keeps_to_the_limits_of_its_store() {
    let (house, files) = with_files(&[100, 100, 40, 20]).await;
    house.limit_store("far", Some(150), None).await;
    house.link("s", "far", None, populate()).await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, counts(&run)[0]), (Outcome::Incomplete, 2));
    assert_eq!(places(&house, &files), ["far near", "near", "far near", "near"]);
    let populates = run.errors.iter().filter(|e| e.phase == "populate");
    assert_eq!(populates.map(|e| (e.files, e.bytes)).collect::<Vec<_>>(), [(2, 120)]);
}

// ---- drain ----

#[tokio::test]
async fn a_drain_moves_what_is_only_here_and_removes_what_another_store_has() {
    let (house, files) = with_files(&[10, 20, 30]).await;
    house.plant("far", files[0]).await;
    house.link("s", "near", Some(100), drain()).await;
    let dry = house.dry().await;
    assert_eq!(places(&house, &files), ["far near", "near", "near"], "a dry run moves nothing");
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((counts(&run), sorted(&dry)), ([0, 2, 1, 0], sorted(&run)));
    assert_eq!(
        (places(&house, &files), house.shelf("near").memory.count()),
        (vec!["far".into(); 3], 0)
    );
    house.is_settled(&run).await;
}

/// There a row in another store is enough; here the other replica is looked at first.
#[tokio::test]
async fn a_drain_trusts_no_row_of_another_store_without_a_look_at_its_bytes() {
    let (house, files) = with_files(&[10]).await;
    house.plant("far", files[0]).await;
    house.shelf("far").memory.delete(&files[0]).await.expect("gone behind our back");
    house.link("s", "near", Some(100), drain()).await;
    house.vacuum().await;
    let mut sound = 0;
    for shelf in house.shelves.values() {
        sound += usize::from(shelf.memory.stat(&files[0]).await.expect("stat").is_some());
    }
    assert!(sound > 0, "the only bytes are kept");
    house.vacuum().await;
    assert_eq!(house.places(files[0]), "far");
    house.check().await;
}

#[tokio::test]
async fn files_that_are_deleted_or_uploaded_again_while_a_store_drains_are_no_error() {
    let (house, files) = with_files_and(&[10; 20], |c| c.maintenance.concurrency = 1).await;
    let near = house.shelf("near").clone();
    house.link("s", "near", None, drain()).await;
    let slow = Fault::Delay(Duration::from_millis(5));
    house.shelf("far").faulty.inject(Operation::Put, When::Always, slow);
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    for i in 10..20 {
        house.remove("s", &format!("f{i}")).await;
    }
    house.put_bytes("s", "again", body("f15", 10)).await;
    is_complete(&house.end_of(id).await);
    house.clock.advance(25 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!(places(&house, &files[..10]), vec!["far"; 10]);
    assert_eq!(house.places(files[15]), "far", "it is in use again");
    assert_eq!((near.memory.count(), house.shelf("far").memory.count()), (0, 11));
    house.check().await;
}

#[tokio::test]
async fn a_drain_without_a_store_that_takes_uploads_is_an_error_and_keeps_the_files() {
    for closed in [read_only(), write_only()] {
        let (house, files) = with_files(&[10, 20]).await;
        house.link("s", "far", None, closed).await;
        house.link("s", "near", Some(100), drain()).await;
        let run = house.vacuum().await;
        assert_eq!((run.outcome, counts(&run)), (Outcome::Incomplete, [0; 4]));
        let error = run.errors.iter().find(|e| e.phase == "drain").expect("an error");
        assert_eq!((error.files, error.bytes), (2, 30), "one for both files");
        assert_eq!(places(&house, &files), ["near", "near"]);
        house.is_settled(&run).await;
    }
}

#[tokio::test]
async fn a_drain_keeps_to_the_soft_limits_of_other_stores() {
    let (mut house, files) = with_files(&[100, 100]).await;
    house.limited_store("big", None, None).await;
    house.limit_store("far", Some(150), None).await;
    house.link("s", "far", Some(50), plain()).await;
    house.link("s", "big", None, plain()).await;
    house.link("s", "near", None, drain()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(places(&house, &files), ["far", "big"], "the next store takes what does not fit");
    house.is_settled(&run).await;
}

#[tokio::test]
async fn drain_to_names_the_store_whatever_its_priority() {
    let (mut house, files) = with_files(&[10, 20]).await;
    house.store("chosen").await;
    house.link("s", "far", Some(50), plain()).await;
    house.link("s", "chosen", Some(-7), plain()).await;
    house.link("s", "near", None, drain_into("chosen")).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((counts(&run), places(&house, &files)), ([0, 2, 0, 0], vec!["chosen".into(); 2]));
    house.is_settled(&run).await;
}

/// There such a policy can be set and fails in the run; here setting it is refused (`admin::links`),
/// and one that was made impossible later fails in the run.
#[tokio::test]
async fn drain_to_a_store_that_cannot_take_the_files_is_an_error_and_keeps_them() {
    for closed in [read_only(), write_only(), limit(5), drain()] {
        let (house, files) = with_files(&[10, 20]).await;
        house.link("s", "near", None, drain_into("far")).await;
        house.link("s", "far", None, closed).await;
        let run = house.vacuum().await;
        assert_eq!(
            (run.outcome, counts(&run)),
            (Outcome::Incomplete, [0; 4]),
            "{:?}",
            causes(&run)
        );
        assert_eq!(places(&house, &files), ["near", "near"]);
        house.is_settled(&run).await;
    }
}

/// There a scope without the store is an error of the run as well.
#[tokio::test]
async fn drain_to_a_store_that_the_scope_left_is_an_error() {
    let (house, files) = with_files(&[10]).await;
    house.link("s", "near", None, drain_into("far")).await;
    house.unlink("s", "far").await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, counts(&run)), (Outcome::Incomplete, [0; 4]));
    assert_eq!(house.places(files[0]), "near");
}

// ---- size limits ----

/// There the oldest by creation; here the least recently used, and down to the limit exactly.
#[tokio::test]
async fn a_store_above_its_limit_sheds_until_it_is_at_the_limit() {
    let (house, files) = with_files(&[10, 10, 10, 10]).await;
    house.plant("far", files[1]).await;
    house.clock.advance(HOUR);
    let first = house.file(files[0]).expect("file").id;
    house.catalogue().last_uses().note(first, house.clock.now());
    house.limit_store("near", Some(20), None).await;
    let dry = house.dry().await;
    assert_eq!(house.shelf("near").memory.count(), 4);
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((counts(&run), sorted(&dry)), ([0, 1, 1, 0], sorted(&run)));
    assert_eq!(places(&house, &files), ["near", "far", "far", "near"]);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn a_store_below_its_limit_or_empty_has_nothing_to_do() {
    let (house, _) = with_files(&[10, 10]).await;
    house.limit_store("near", Some(20), Some(20)).await;
    house.limit_store("far", Some(0), None).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(counts(&run), [0; 4]);
}

/// A hard limit that was lowered below what is there sheds like a soft one.
#[tokio::test]
async fn lowering_a_hard_limit_sheds_to_the_lower_of_both() {
    let (house, files) = with_files(&[10, 10, 10]).await;
    house.limit_store("near", Some(10), Some(20)).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(places(&house, &files), ["far", "far", "near"]);
    house.link("s", "far", None, plain()).await;
    house.limit_store("near", None, Some(0)).await;
    is_complete(&house.vacuum().await);
    assert_eq!(places(&house, &files), ["far"; 3]);
}

#[tokio::test]
async fn files_that_are_deleted_while_a_store_sheds_are_no_error() {
    let (house, files) = with_files_and(&[10; 20], |c| c.maintenance.concurrency = 1).await;
    house.limit_store("near", Some(50), Some(1000)).await;
    let slow = Fault::Delay(Duration::from_millis(5));
    house.shelf("far").faulty.inject(Operation::Put, When::Always, slow);
    let id = house.maintenance.start().await.expect("started").id.expect("id");
    for i in 10..20 {
        house.remove("s", &format!("f{i}")).await;
    }
    is_complete(&house.end_of(id).await);
    house.clock.advance(25 * HOUR);
    is_complete(&house.vacuum().await);
    assert!(files[10..].iter().all(|f| house.file(*f).is_none()));
    assert!(files[..10].iter().all(|f| !house.places(*f).is_empty()));
    house.check().await;
}

/// There `drain_to` of a store also says where its overflow goes. Here overflow goes by upload
/// priority; a link with drain set has none of its own.
#[tokio::test]
async fn overflow_goes_by_upload_priority_and_to_no_store_that_is_closed_or_full() {
    let (mut house, files) = with_files(&[10, 10, 10]).await;
    for name in ["closed", "sealed", "full"] {
        house.store(name).await;
    }
    house.limit_store("full", None, Some(5)).await;
    house.link("s", "closed", Some(90), read_only()).await;
    house.link("s", "sealed", Some(80), write_only()).await;
    house.link("s", "full", Some(70), plain()).await;
    house.link("s", "far", Some(-1), plain()).await;
    house.limit_store("near", Some(10), None).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(places(&house, &files), ["far", "far", "near"]);
    house.is_settled(&run).await;
}

#[tokio::test]
async fn overflow_with_no_store_to_go_to_is_an_error_and_stays() {
    let (house, files) = with_files(&[10, 10]).await;
    house.link("s", "far", None, read_only()).await;
    house.limit_store("near", Some(10), None).await;
    let run = house.vacuum().await;
    assert_eq!((run.outcome, counts(&run)), (Outcome::Incomplete, [0; 4]));
    assert_eq!(places(&house, &files), ["near", "near"]);
    house.is_settled(&run).await;
}

/// There a scope's own limit is stored and never applied.
#[tokio::test]
async fn the_limit_of_a_scope_sheds_the_files_of_that_scope_only() {
    let (house, files) = with_files(&[10, 10]).await;
    house.link("other", "near", Some(100), plain()).await;
    let other = house.put("other", "x", 10).await;
    house.link("s", "near", Some(100), limit(10)).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!(
        (places(&house, &files), house.places(other)),
        (vec!["far".into(), "near".into()], "near".into())
    );
    house.is_settled(&run).await;
}

// ---- a store that two scopes use ----

/// There a flag that one scope sets on a shared store counts for all.
#[tokio::test]
async fn a_policy_of_one_scope_on_a_shared_store_binds_no_other() {
    let (house, files) = with_files(&[10]).await;
    for closed in [read_only(), write_only(), drain()] {
        house.link("other", "far", None, closed).await;
        house.link("s", "near", None, drain()).await;
        let run = house.vacuum().await;
        is_complete(&run);
        assert_eq!(house.places(files[0]), "far");
        house.link("s", "near", Some(100), populate()).await;
        is_complete(&house.vacuum().await);
        house.link("s", "near", Some(100), plain()).await;
        house.link("s", "far", None, drain()).await;
        is_complete(&house.vacuum().await);
        assert_eq!(house.places(files[0]), "near");
        house.link("s", "far", None, plain()).await;
    }
}

#[tokio::test]
async fn what_one_scope_drains_stays_while_another_has_it_only_there() {
    let (house, _) = with_files(&[]).await;
    house.link("other", "near", Some(100), plain()).await;
    let shared = house.put("s", "x", 10).await;
    house.put_bytes("other", "y", body("x", 10)).await;
    house.link("s", "near", None, drain()).await;
    let run = house.vacuum().await;
    is_complete(&run);
    assert_eq!((house.places(shared), counts(&run)[3]), ("far near".into(), 1));
    house.remove("other", "y").await;
    house.clock.advance(25 * HOUR);
    is_complete(&house.vacuum().await);
    assert_eq!(house.places(shared), "far");
}

// ---- order of stores ----

/// The suite there asks the model for its lists; here the uploads themselves tell.
#[tokio::test]
async fn uploads_go_down_the_order_as_stores_fill_up_soft_limits_or_not() {
    let mut house = House::new();
    for name in ["third", "second", "first"] {
        house.store(name).await;
    }
    house.limit_store("first", None, Some(10)).await;
    house.limit_store("second", Some(0), None).await;
    house.link("s", "third", None, plain()).await;
    house.link("s", "second", Some(-1), plain()).await;
    house.link("s", "first", Some(0), plain()).await;
    let mut files = Vec::new();
    for i in 0..3 {
        files.push(house.put("s", &format!("f{i}"), 10).await);
    }
    assert_eq!(places(&house, &files), ["first", "second", "second"], "soft limits bind no upload");
    house.link("s", "second", Some(-1), read_only()).await;
    files.push(house.put("s", "f3", 10).await);
    assert_eq!(house.places(files[3]), "third");
}

#[tokio::test]
async fn downloads_prefer_their_own_priority_and_never_a_write_only_store() {
    let (house, files) = with_files(&[10]).await;
    house.plant("far", files[0]).await;
    let read = async |house: &House| {
        let before = house.shelf("far").faulty.calls(Operation::Get);
        let file = house.file(files[0]).expect("file");
        let read = hayloft::transfer::Read::default();
        let opened = house.transfer.open(house.scope("s"), &file, &read).await.expect("opened");
        if let hayloft::transfer::Delivery::Body(download) = opened {
            assert_eq!(support::read_all(download.stream).await.expect("read"), body("f0", 10));
        }
        if house.shelf("far").faulty.calls(Operation::Get) > before { "far" } else { "near" }
    };
    assert_eq!(read(&house).await, "near", "the upload priority breaks the tie");
    house.link("s", "near", None, write_only()).await;
    assert_eq!(read(&house).await, "far");
    house.link("s", "near", None, read_only()).await;
    assert_eq!(read(&house).await, "far", "a tie in both goes by name");
    house.link("s", "far", None, write_only()).await;
    assert_eq!(read(&house).await, "near");
    let both: Arc<_> = Arc::clone(&house.transfer);
    house.link("s", "near", None, write_only()).await;
    let file = house.file(files[0]).expect("file");
    let refused = both.open(house.scope("s"), &file, &hayloft::transfer::Read::default()).await;
    assert!(matches!(refused, Err(hayloft::transfer::ServeError::Archived(s)) if s.len() == 2));
}
