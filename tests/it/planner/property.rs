//! Random small instances, run until nothing is left to do: the naive model plans the same.

use std::collections::BTreeSet;
use std::time::Duration;

use hayloft::domain::{File, FileId, Link, ReplicaState, StoreId};
use hayloft::planner::{Move, Overlay, Phase, Report, Snapshot};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::instance::{Dice, instance, lines};
use super::mirror::Mirror;
use super::model::Model;

/// Runs until the fixed point, at most; none of these instances needs more than a few.
const RUNS: usize = 30;

/// Which replicas there are.
fn placement(model: &Model) -> BTreeSet<(FileId, StoreId, ReplicaState)> {
    let rows = |f: &File| f.replicas.iter().map(|r| (f.id, r.store, r.state)).collect::<Vec<_>>();
    model.files.values().flat_map(rows).collect()
}

fn is_reported(model: &Model, report: &Report, phases: &[Phase], link: &Link) -> bool {
    let scope = model.topology.scope_name(link.scope);
    let store = model.topology.store_name(link.store);
    let names = |s: Option<String>, t: Option<String>| {
        s.is_some_and(|s| s == scope) && t.is_some_and(|t| t == store)
    };
    report.errors.iter().any(|e| {
        phases.contains(&e.phase)
            && names(
                e.scope.as_ref().map(ToString::to_string),
                e.store.as_ref().map(ToString::to_string),
            )
    }) || report.retained_for.iter().any(|r| {
        phases.contains(&r.phase)
            && names(r.scope.as_ref().map(ToString::to_string), Some(r.store.to_string()))
    })
}

/// At the fixed point every policy is met or reported.
fn assert_policies_are_met_or_reported(model: &Model, report: &Report) {
    let Ok(usage) = model.usage();
    for link in model.topology.links.values() {
        let told = |phases: &[Phase]| is_reported(model, report, phases, link);
        let policy = &link.policy;
        if policy.populate {
            // What an upload is writing there will be there.
            let lacks = |f: &File| {
                let state = f.state(link.store);
                !matches!(state, Some(ReplicaState::Present | ReplicaState::Writing))
            };
            let missing = model.files.values().any(|f| f.is_live_in(link.scope) && lacks(f));
            assert!(!missing || told(&[Phase::Populate]), "not populated: {link:?}");
        }
        if policy.drain.is_on() {
            let Ok(left) = model.link_count(link.scope, link.store);
            let drains = [Phase::Drain, Phase::DrainNamed];
            assert!(left.is_zero() || told(&drains), "not drained: {link:?}");
        } else if let Some(limit) = policy.soft_max_size {
            let fits = usage.scope(link.scope, link.store) <= limit;
            assert!(fits || told(&[Phase::ScopeLimit]), "over its soft limit: {link:?}");
        }
    }
    for store in model.topology.stores.values() {
        let fits = store.shed_limit().is_none_or(|limit| usage.present(store.id) <= limit);
        let told = report
            .errors
            .iter()
            .any(|e| e.phase == Phase::StoreLimit && e.store.as_ref() == Some(&store.name));
        assert!(fits || told, "over its limit: {store:?}");
    }
}

/// The overlay with all moves applied answers as the model that has executed them.
fn assert_overlay_agrees(before: &Model, moves: &[Move], after: &Model) {
    let Ok(mut overlay) = Overlay::new(before);
    for step in moves {
        let Ok(()) = overlay.apply(&before.world(), step);
    }
    assert_same_answers(&overlay, after);
}

fn assert_same_answers(overlay: &Overlay<&Model>, model: &Model) {
    assert_eq!(overlay.usage(), model.usage());
    assert_eq!(overlay.newest(), model.newest());
    for id in model.files.keys() {
        assert_eq!(overlay.file(*id), model.file(*id));
    }
    for store in model.topology.stores.keys() {
        assert_eq!(overlay.marked_count(*store), model.marked_count(*store));
        assert_eq!(
            pages(|last| overlay.files_of_store(*store, last.map(|f: &File| f.id), 3)),
            pages(|last| model.files_of_store(*store, last.map(|f: &File| f.id), 3)),
        );
        let by_use = |f: &File| (f.last_used, f.id);
        assert_eq!(
            pages(|last| overlay.least_used(*store, last.map(by_use), 3)),
            pages(|last| model.least_used(*store, last.map(by_use), 3)),
        );
        for scope in model.topology.scopes.keys() {
            assert_eq!(overlay.link_count(*scope, *store), model.link_count(*scope, *store));
            assert_eq!(overlay.missing_count(*scope, *store), model.missing_count(*scope, *store));
        }
    }
    for scope in model.topology.scopes.keys() {
        assert_eq!(
            pages(|last| overlay.live_files_of_scope(*scope, last.map(|f: &File| f.id), 3)),
            pages(|last| model.live_files_of_scope(*scope, last.map(|f: &File| f.id), 3)),
        );
    }
}

fn pages<E: std::fmt::Debug>(page: impl Fn(Option<&File>) -> Result<Vec<File>, E>) -> Vec<File> {
    let mut all: Vec<File> = Vec::new();
    loop {
        let next = page(all.last()).expect("a page");
        if next.is_empty() {
            return all;
        }
        all.extend(next);
    }
}

/// One undisturbed run. The naive model plans the same moves in the same order, and so did the dry run.
pub fn run_once(model: &mut Model) -> (Vec<Move>, Report) {
    let before = model.clone();
    let mirror = Mirror::new(model);
    let mut naive = mirror.naive(model);
    let full: Vec<_> = model.topology.stores.keys().map(|s| naive.hard(mirror.store(*s))).collect();
    let dry = model.dry_run();
    assert_eq!(model.dry_run(), dry, "planning twice differs");
    let (moves, report) = model.run_unsettled();
    let steps: Vec<_> = moves.iter().map(|step| mirror.step(step)).collect();
    assert_eq!(steps, naive.run(), "the naive model plans something else");
    assert_eq!(dry.moves, moves, "the dry run differs");
    assert_eq!(dry.report, report, "the dry run reports something else");
    assert_overlay_agrees(&before, &moves, model);
    for (store, before) in model.topology.stores.values().zip(full) {
        let hard = naive.hard(mirror.store(store.id));
        assert!(store.max_size.is_none_or(|max| hard <= max.max(before)), "over its hard limit");
    }
    model.settle();
    (moves, report)
}

pub fn run_to_the_end(model: &mut Model) {
    let mut seen = BTreeSet::from([placement(model)]);
    for run in 0.. {
        assert!(run < RUNS, "no fixed point");
        let (moves, report) = run_once(model);
        if moves.is_empty() {
            return assert_policies_are_met_or_reported(model, &report);
        }
        assert!(
            seen.insert(placement(model)),
            "run {run} brings back an earlier state: {moves:#?}"
        );
    }
}

/// Draws bytes for `play`, as many cases as `PROPTEST_CASES` says, and shows the instance that fails.
pub fn for_random_bytes(most: usize, play: impl Fn(&mut Dice<'_>)) {
    let config = Config { failure_persistence: None, ..Config::default() };
    let drawn = TestRunner::new(config).run(&vec(any::<u8>(), 0..most), |bytes| {
        play(&mut Dice(bytes.iter()));
        Ok(())
    });
    match drawn {
        Ok(()) => {}
        Err(TestError::Fail(why, bytes)) => {
            panic!("{why}\n{}", lines(&instance(&mut Dice(bytes.iter()))))
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn runs_end_break_no_rule_and_meet_or_report_every_policy() {
    for_random_bytes(1600, |dice| run_to_the_end(&mut instance(dice)));
}

/// What a run does before it plans: uses are later, tombstones expire, files that nobody has go.
#[test]
fn an_overlay_of_changed_files_answers_like_a_catalogue_that_has_them() {
    for_random_bytes(600, |dice| {
        let model = instance(dice);
        let mut changed = model.clone();
        let Ok(mut overlay) = Overlay::new(&model);
        for file in changed.files.values_mut() {
            match dice.below(5) {
                0 => file.last_used = file.last_used.after(Duration::from_hours(30)),
                1 => file.members.retain(|m| m.live > 0),
                2 => {
                    file.members.clear();
                    file.replicas.clear();
                }
                _ => continue,
            }
            let Ok(()) = overlay.put(file.clone());
        }
        assert_same_answers(&overlay, &changed);
    });
}
