//! Hard limits where they bind: what counts against `max_size`, and that no store ever holds more,
//! not even for a moment (SPEC 2, 4).

use std::time::Duration;

use hayloft::catalogue::{Catalogue, CatalogueError, Options};
use hayloft::domain::{
    BackendConfig, Digest, Event, FilePath, LocalConfig, Policy, Replica, ReplicaState, Store,
    StoreName,
};
use hayloft::transfer::{Condition, Declared, UploadError, UploadRequest};

use crate::house::{House, body, drain, is_complete, limit, populate};
use crate::support;

/// What hard usage has of a file of 60 bytes in each state.
const COUNTED: [(ReplicaState, u64); 5] = [
    (ReplicaState::Writing, 60),
    (ReplicaState::Present, 60),
    (ReplicaState::Deleting, 60),
    (ReplicaState::Corrupt, 60),
    (ReplicaState::Missing, 0),
];

#[tokio::test]
async fn hard_usage_counts_what_is_reserved_and_every_state_but_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hayloft.redb");
    let catalogue = Catalogue::open(&path, &Options::default()).expect("open");
    let mut expected = Vec::new();
    for (n, (state, bytes)) in (1u8..).zip(COUNTED) {
        let store = catalogue
            .write(move |tx| {
                let store = Store {
                    id: tx.new_store_id()?,
                    name: StoreName::new(format!("s{n}")).expect("a name"),
                    uid: format!("s{n}"),
                    backend: BackendConfig::Local(LocalConfig { root: format!("/{n}").into() }),
                    instance_wide: true,
                    soft_max_size: None,
                    max_size: Some(100),
                    generation: 0,
                    created_at: tx.now(),
                };
                tx.put_store(store.clone())?;
                let mut file = tx.file_or_new(Digest([n; 32]), 60)?;
                let (stored_at, verified_at) = (tx.now(), Some(tx.now()));
                file.put_replica(Replica { store: store.id, state, stored_at, verified_at });
                tx.put_file(&file)?;
                Ok::<_, CatalogueError>(store.id)
            })
            .await
            .expect("a store with a file");
        let ledger = catalogue.ledger();
        assert_eq!(ledger.hard_usage(store), bytes, "{state:?}");
        let rest = 100 - bytes;
        assert!(ledger.reserve(store, rest + 1, Some(100)).is_none(), "{state:?}: one byte over");
        let promise = ledger.reserve(store, rest, Some(100)).expect("equal fits");
        assert_eq!(ledger.hard_usage(store), 100, "{state:?} and what is reserved");
        assert!(ledger.reserve(store, 1, Some(100)).is_none(), "{state:?}: full");
        drop(promise);
        expected.push((store, bytes));
    }
    catalogue.close().await.expect("close");
    drop(catalogue);
    let again = Catalogue::open(&path, &Options::default()).expect("open");
    for (store, bytes) in expected {
        assert_eq!(again.ledger().hard_usage(store), bytes, "{store:?} after a restart");
    }
}

/// An upload of `len` bytes, declared or not, that may be refused.
async fn offer(
    house: &House,
    path: &str,
    len: usize,
    is_declared: bool,
) -> Result<(), UploadError> {
    let request = UploadRequest {
        scope: house.scope("s"),
        path: FilePath::new(path).expect("a path"),
        size: is_declared.then_some(len as u64),
        content_type: "text/plain".to_owned(),
        declared: Declared::default(),
        condition: Condition::None,
    };
    let admission = house.transfer.admit(request).await?;
    let bytes = support::stream_of(body(path, len));
    house.transfer.receive(admission, bytes).await.map(drop)
}

/// One more byte than the room in `local` is refused, and as many as there is are taken.
async fn assert_room(house: &House, room: usize) {
    for is_declared in [true, false] {
        let refused = offer(house, "over", room + 1, is_declared).await;
        let is_refused = match refused {
            Err(UploadError::TooLarge { .. }) => is_declared && room == 100,
            Err(UploadError::Insufficient { .. }) => true,
            _ => false,
        };
        assert!(is_refused, "{} bytes: {refused:?}", room + 1);
    }
    offer(house, "equal", room, true).await.expect("equal fits");
    let held = house.catalogue().ledger().hard_usage(house.shelf("local").id);
    assert_eq!(held, 100, "full to the last byte");
    house.remove("s", "equal").await;
}

/// `local` may hold 100 bytes and has a file of 60, which `far` has too; nothing is uploaded to `far`.
async fn nearly_full() -> (House, Digest) {
    let mut house = House::new();
    house.limited_store("local", None, Some(100)).await;
    house.store("far").await;
    house.link("s", "local", Some(100), Policy::default()).await;
    house.link("s", "far", None, Policy { read_only: true, ..Policy::default() }).await;
    let file = house.put("s", "a", 60).await;
    house.plant("far", file).await;
    (house, file)
}

#[tokio::test]
async fn the_bytes_of_a_deferred_delete_leave_no_room_for_an_upload_until_they_are_gone() {
    let (house, file) = nearly_full().await;
    let local = house.shelf("local").id;
    let id = house.file(file).expect("the file").id;
    let minute = Duration::from_mins(1);
    house.transfer.urls.issue(local, id, house.clock.now(), minute);
    house.link("s", "local", Some(100), limit(0)).await;
    is_complete(&house.vacuum().await);
    assert_eq!(house.state(file, "local"), Some(ReplicaState::Deleting));
    assert_room(&house, 40).await;
    house.clock.advance(2 * minute);
    house.transfer.reap_store(local).await.expect("the deletion");
    assert_eq!(house.state(file, "local"), None);
    // The 40 bytes of the file that was let in are still there, as a tombstone's.
    offer(&house, "more", 60, true).await.expect("room again");
    house.check().await;
}

#[tokio::test]
async fn the_bytes_of_a_corrupt_replica_leave_no_room_for_an_upload() {
    let (house, file) = nearly_full().await;
    let id = house.file(file).expect("the file").id;
    let marked = house.transfer.mark(id, house.shelf("local").id, Event::FoundCorrupt).await;
    assert!(marked.expect("marked"));
    assert_room(&house, 40).await;
}

#[tokio::test]
async fn a_missing_replica_takes_no_room() {
    let (house, file) = nearly_full().await;
    let id = house.file(file).expect("the file").id;
    let local = house.shelf("local");
    let marked = house.transfer.mark(id, local.id, Event::FoundMissing).await;
    assert!(marked.expect("marked"));
    hayloft::stores::Backend::delete(&local.memory, &file).await.expect("deleted");
    assert_room(&house, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_store_holds_more_than_its_limit_for_a_moment_while_runs_and_uploads_fill_it() {
    let mut house = House::with(|config| config.maintenance.concurrency = 4);
    house.store("old").await;
    house.limited_store("near", None, Some(1000)).await;
    house.limited_store("far", None, Some(700)).await;
    house.link("s", "old", Some(200), Policy::default()).await;
    for i in 0..60 {
        house.put("s", &format!("f{i}"), 20 + i % 30).await;
    }
    house.link("s", "near", Some(100), Policy::default()).await;
    house.link("s", "far", Some(50), populate()).await;
    house.link("s", "old", None, drain()).await;
    for round in 0..3 {
        let id = house.maintenance.start().await.expect("started").id.expect("id");
        for i in 0..40 {
            // Some find no room: that is what the limit is for.
            drop(offer(&house, &format!("u{round}-{i}"), 5 + i, i % 2 == 0).await);
        }
        house.end_of(id).await;
        for i in 0..40 {
            house.remove("s", &format!("u{round}-{i}")).await;
        }
        house.clock.advance(Duration::from_hours(25));
    }
    for (name, max) in [("near", 1000), ("far", 700)] {
        let most = house.shelf(name).memory.take_peak();
        assert!(most <= max, "{name} held {most} of {max} bytes");
        assert!(most > max * 8 / 10, "{name} never came near its limit: {most}");
    }
    house.check().await;
}
