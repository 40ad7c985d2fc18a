//! The driver seen from its executor: batches, failures, ends.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::convert::Infallible;

use hayloft::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp};
use hayloft::planner::{
    Action, Batch, Cause, Count, Driver, FileSet, MoveResult, Phase, Report, Snapshot, Usage, ahead,
};

use super::model::Model;
use super::scenario::{Scenario, hour};

const ONE_TO_POPULATE: &str = "
    store local
    store cold
    scope a
    link a local up=100
    link a cold populate";

/// `text` and `n` files of 10 bytes in scope a and store local.
fn with_files(text: &str, n: usize) -> Model {
    let lines: Vec<_> = (1..=n).map(|i| format!("file f{i} 10 in=a at=local")).collect();
    Scenario::parse(&format!("{text}\n{}", lines.join("\n"))).model
}

fn next(driver: &mut Driver, model: &Model) -> Option<Batch> {
    let Ok(batch) = driver.next(model, &model.world());
    batch
}

/// Runs to the end with results that `outcome` makes of each batch.
fn drive(
    model: &mut Model,
    mut outcome: impl FnMut(&mut Model, &Batch) -> Vec<MoveResult>,
) -> Report {
    let mut driver = Driver::new();
    let mut batches = 0;
    while let Some(batch) = next(&mut driver, model) {
        driver.executed(&outcome(model, &batch));
        batches += 1;
        assert!(batches < 500, "the run does not end");
    }
    driver.finish(&model.topology)
}

#[test]
fn a_thousand_files_go_in_batches_oldest_first() {
    let mut model = with_files(ONE_TO_POPULATE, 1000);
    let mut order = Vec::new();
    let report = drive(&mut model, |model, batch| {
        assert!(batch.moves.len() <= 256);
        assert_eq!((batch.phase, batch.store), (Phase::Populate, StoreId(2)));
        order.extend(batch.moves.iter().map(|m| m.file.0));
        model.execute(batch)
    });
    assert_eq!(order, (1..=1000).collect::<Vec<_>>());
    assert_eq!(report.copied, Count::new(1000, 10_000));
    assert!(report.is_complete());
}

#[test]
fn a_failed_move_is_not_tried_again_in_its_run_and_counts_as_one_class() {
    let mut model = with_files(ONE_TO_POPULATE, 30);
    let mut tried = Vec::new();
    let report = drive(&mut model, |model, batch| {
        tried.extend(batch.moves.iter().map(|m| m.file));
        let mut results = model.execute(batch);
        for (result, step) in results.iter_mut().zip(&batch.moves) {
            // The first file is done, so that there is a second pass.
            if step.file.0 > 1 {
                model
                    .files
                    .get_mut(&step.file)
                    .expect("a file")
                    .replicas
                    .retain(|r| r.store != StoreId(2));
                *result = MoveResult::Failed { store: None, cause: "refused".into() };
            }
        }
        results
    });
    assert_eq!(tried.len(), 30, "each file was tried once");
    let [error] = &report.errors[..] else { panic!("one class: {:?}", report.errors) };
    assert_eq!(error.count, Count::new(29, 290));
    assert_eq!(error.digests.len(), 10, "the first ten are shown");
    assert_eq!(error.message, "refused");
    assert_eq!(report.copied, Count::new(1, 10));
    assert!(!report.is_complete());
}

#[test]
fn the_number_of_failure_texts_is_bounded() {
    let mut model = with_files(ONE_TO_POPULATE, 300);
    let report = drive(&mut model, |_, batch| {
        let fail = |id: FileId| MoveResult::Failed {
            store: None,
            cause: format!("request {id:?}").into(),
        };
        batch.moves.iter().map(|m| fail(m.file)).collect()
    });
    assert_eq!(report.errors.len(), 101);
    assert_eq!(report.errors.iter().map(|e| e.count.files).sum::<u64>(), 300);
}

#[test]
fn a_run_in_which_everything_is_skipped_ends() {
    let mut model = with_files(ONE_TO_POPULATE, 300);
    let report = drive(&mut model, |_, batch| vec![MoveResult::Skipped; batch.moves.len()]);
    assert_eq!((report.copied, report.passes), (Count::default(), 1));
}

#[test]
fn a_batch_without_results_counts_as_skipped() {
    let mut model = with_files(ONE_TO_POPULATE, 3);
    let report = drive(&mut model, |_, _| Vec::new());
    assert_eq!((report.copied, report.passes), (Count::default(), 1));
}

#[test]
fn uploads_during_a_run_do_not_keep_it_going() {
    let mut model = with_files(ONE_TO_POPULATE, 3);
    let report = drive(&mut model, |model, batch| {
        let results = model.execute(batch);
        let mut file: File = model.files.values().next().expect("a file").clone();
        file.id = FileId(model.files.len() as u64 + 1);
        file.replicas.retain(|r| r.store != StoreId(2));
        model.files.insert(file.id, file);
        results
    });
    assert_eq!((report.copied.files, report.passes), (3, 2));
}

#[test]
fn an_excess_uploaded_during_the_run_is_told_as_such() {
    let mut model =
        with_files("store local soft=0\nstore cold\nscope a\nlink a local up=1\nlink a cold", 2);
    let report = drive(&mut model, |model, batch| {
        let mut file = model.files[&FileId(1)].clone();
        let results = model.execute(batch);
        file.id = FileId(model.files.len() as u64 + 1);
        model.files.insert(file.id, file);
        results
    });
    assert_eq!(report.moved, Count::new(2, 20));
    let [error] = &report.errors[..] else { panic!("one class: {:?}", report.errors) };
    assert_eq!(
        error.message,
        "still 10 B over the limit of 0 B: 1 file uploaded during the run, left to the next"
    );
}

#[test]
fn a_store_that_fails_in_mid_run_is_no_target_from_then_on() {
    let mut model = with_files(
        "store local
        store best
        store next
        scope a
        link a local drain
        link a best up=2
        link a next up=1",
        600,
    );
    let report = drive(&mut model, |model, batch| {
        let fine = batch.moves.iter().all(|m| m.to == Some(StoreId(3)));
        if fine {
            return model.execute(batch);
        }
        model.unavailable = BTreeSet::from([StoreId(2)]);
        let failed = MoveResult::Failed { store: Some(StoreId(2)), cause: "gone".into() };
        vec![failed; batch.moves.len()]
    });
    // The files of the first batch are moved by the second pass, to the other store.
    assert_eq!(report.moved.files, 600);
    let [error] = &report.errors[..] else { panic!("one class: {:?}", report.errors) };
    assert_eq!(error.store.as_ref().map(ToString::to_string).as_deref(), Some("best"));
}

#[test]
fn a_copy_whose_source_stays_counts_as_copied() {
    let mut model =
        with_files("store local\nstore cold\nscope a\nlink a local drain\nlink a cold", 2);
    let report = drive(&mut model, |model, batch| {
        for step in &batch.moves {
            let mut file = model.files[&step.file].clone();
            if step.action == Action::Remove {
                continue;
            }
            let mut copy = *file.replica(StoreId(1)).expect("the source");
            copy.store = StoreId(2);
            file.put_replica(copy);
            model.files.insert(file.id, file);
        }
        vec![MoveResult::Copied; batch.moves.len()]
    });
    assert_eq!(report.copied, Count::new(2, 20));
    assert_eq!((report.moved, report.removed), (Count::default(), Count::default()));
    assert_eq!(report.passes, 2, "it changed something, so everything is looked at again");
}

#[test]
fn files_whose_move_failed_are_a_reason_of_an_excess() {
    let mut model =
        with_files("store local soft=0\nstore cold\nscope a\nlink a local up=1\nlink a cold", 3);
    let report = drive(&mut model, |model, batch| {
        let mut results = model.execute(batch);
        for (result, step) in results.iter_mut().zip(&batch.moves).filter(|(_, m)| m.file.0 > 1) {
            let mut file = model.files[&step.file].clone();
            let copy = *file.replica(StoreId(2)).expect("the copy");
            file.replicas.retain(|r| r.store != copy.store);
            file.put_replica(hayloft::domain::Replica { store: StoreId(1), ..copy });
            file.departed = None;
            model.files.insert(file.id, file);
            *result = MoveResult::Failed { store: None, cause: "refused".into() };
        }
        results
    });
    let messages: Vec<_> = report.errors.iter().map(|e| e.message.as_str()).collect();
    let excess = "still 20 B over the limit of 0 B: 2 files whose move failed";
    assert_eq!(messages, [excess, "refused"]);
    assert_eq!(report.errors[0].count, Count::new(2, 20));
    assert_eq!(report.errors[0].digests.len(), 2);
    assert_eq!((report.moved, report.passes), (Count::new(1, 10), 2));
}

#[test]
fn failures_of_the_last_pass_are_a_reason_of_an_excess_too() {
    let mut model =
        with_files("store local soft=0\nstore cold\nscope a\nlink a local up=1\nlink a cold", 3);
    let report = drive(&mut model, |_, batch| {
        let failed = MoveResult::Failed { store: None, cause: "refused".into() };
        vec![failed; batch.moves.len()]
    });
    let excess = "still 30 B over the limit of 0 B: 3 files whose move failed";
    assert_eq!(report.errors[0].message, excess);
    assert_eq!((report.moved, report.passes), (Count::default(), 1));
}

#[test]
fn a_run_ends_although_something_undoes_every_move() {
    let mut model = with_files(ONE_TO_POPULATE, 1);
    let report = drive(&mut model, |_, batch| vec![MoveResult::Done; batch.moves.len()]);
    assert_eq!((report.copied.files, report.passes), (100, 100));
}

#[test]
fn a_run_with_thousands_of_failures_ends_with_its_pass() {
    let mut model = with_files(ONE_TO_POPULATE, 10_001);
    let report = drive(&mut model, |model, batch| {
        let fail = || MoveResult::Failed { store: None, cause: "refused".into() };
        let mut results: Vec<_> = batch.moves.iter().map(|_| fail()).collect();
        if batch.moves[0].file.0 == 1 {
            let first = Batch { moves: vec![batch.moves[0].clone()], ..batch.clone() };
            results[0] = model.execute(&first).remove(0);
        }
        results
    });
    assert_eq!((report.copied.files, report.passes), (1, 1));
}

#[test]
fn what_is_ahead_is_told_by_counters() {
    let model = with_files(ONE_TO_POPULATE, 30);
    let Ok(count) = ahead(&model, &model.world());
    assert_eq!(count, Count::new(30, 300));
}

#[test]
fn a_policy_that_is_changed_in_mid_run_counts_at_once() {
    let mut model = with_files(ONE_TO_POPULATE, 600);
    let report = drive(&mut model, |model, batch| {
        let results = model.execute(batch);
        let link = model.topology.links.get_mut(&(ScopeId(1), StoreId(2))).expect("a link");
        link.policy.populate = false;
        results
    });
    assert_eq!(report.copied, Count::new(256, 2560));
    assert!(report.is_complete());
}

/// A snapshot that counts the pages it was asked for.
struct Paged<'a> {
    model: &'a Model,
    pages: Cell<u32>,
}

impl Paged<'_> {
    fn count<T>(&self, page: T) -> T {
        self.pages.set(self.pages.get() + 1);
        page
    }
}

impl Snapshot for Paged<'_> {
    type Error = Infallible;

    fn usage(&self) -> Result<Usage, Infallible> {
        self.model.usage()
    }

    fn newest(&self) -> Result<FileId, Infallible> {
        self.model.newest()
    }

    fn file(&self, id: FileId) -> Result<Option<File>, Infallible> {
        self.model.file(id)
    }

    fn files(
        &self,
        set: FileSet,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, Infallible> {
        self.count(self.model.files(set, after, limit))
    }

    fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, Infallible> {
        self.count(self.model.least_used(store, after, limit))
    }

    fn link_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, Infallible> {
        self.model.link_count(scope, store)
    }

    fn missing_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, Infallible> {
        self.model.missing_count(scope, store)
    }

    fn marked_count(&self, state: ReplicaState, store: StoreId) -> Result<Count, Infallible> {
        self.model.marked_count(state, store)
    }
}

#[test]
fn a_run_with_nothing_to_do_reads_no_file() {
    let text = "
        store local soft=10000
        store cold
        store old
        scope a
        link a local up=100 soft=10000
        link a cold populate
        link a old drain";
    let mut model = with_files(text, 50);
    model.run();
    let paged = Paged { model: &model, pages: Cell::new(0) };
    let mut driver = Driver::new();
    assert_eq!(driver.next(&paged, &model.world()), Ok(None));
    assert_eq!(paged.pages.get(), 0);
}

#[test]
fn a_drained_store_that_cannot_be_used_is_an_error_with_what_waits_there() {
    let mut model = with_files(
        "store local\nstore cold\nscope a\nlink a local drain\nlink a cold\nunavailable local",
        7,
    );
    model.now = hour(2000);
    let (moves, report) = model.run();
    assert!(moves.is_empty());
    let [error] = &report.errors[..] else { panic!("one class: {:?}", report.errors) };
    assert_eq!((&error.cause, error.count), (&Cause::Unavailable, Count::new(7, 70)));
    let scope = model.topology.scopes.get(&ScopeId(1)).map(|s| s.name.clone());
    assert_eq!(error.scope, scope);
}

#[test]
fn a_corrupt_replica_is_found_without_reading_its_neighbours() {
    let text = "
        store local
        store cold
        scope a
        link a local up=100
        link a cold
        file bad 10 in=a at=local:corrupt,cold";
    let model = with_files(text, 1000);
    let paged = Paged { model: &model, pages: Cell::new(0) };
    let Ok(Some(batch)) = Driver::new().next(&paged, &model.world()) else { panic!("a batch") };
    assert_eq!((batch.phase, batch.moves.len()), (Phase::CleanUp, 1));
    assert_eq!(paged.pages.get(), 2, "its page, and the empty one at the end");
}
