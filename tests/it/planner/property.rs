//! Random small instances, run until nothing is left to do: the naive model plans the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use hayloft::domain::{File, FileId, Link, ReplicaState, ScopeId, ScopeName, StoreId};
use hayloft::planner::{Cause, Count, ErrorClass, FileSet, Move, Overlay, Phase, Report, Snapshot};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, TestError, TestRunner};

use super::instance::{Dice, instance};
use super::mirror::Mirror;
use super::model::Model;

/// Enough for an instance of 200 files.
pub const BYTES: usize = 6000;

/// Runs until the fixed point, at most; none of these instances needs more than a few.
const RUNS: usize = 30;

/// Which replicas there are.
fn placement(model: &Model) -> BTreeSet<(FileId, StoreId, ReplicaState)> {
    let rows = |f: &File| f.replicas.iter().map(|r| (f.id, r.store, r.state)).collect::<Vec<_>>();
    model.files.values().flat_map(rows).collect()
}

/// What a report says about a link.
#[derive(Debug, Default)]
struct Told {
    errors: Count,
    retained: Count,
}

fn told(model: &Model, report: &Report, phases: &[Phase], link: &Link) -> Told {
    let scope = Some(model.topology.scopes[&link.scope].name.clone());
    let store = &model.topology.stores[&link.store].name;
    let mut told = Told::default();
    for e in report.errors.iter().filter(|e| phases.contains(&e.phase)) {
        if e.scope == scope && e.store.as_ref() == Some(store) {
            told.errors.add_all(e.count);
        }
    }
    for r in report.retained_for.iter().filter(|r| phases.contains(&r.phase)) {
        if r.scope == scope && r.store == *store {
            told.retained.add_all(r.count);
        }
    }
    told
}

fn count<'a>(files: impl Iterator<Item = &'a File>) -> Count {
    let mut count = Count::default();
    files.for_each(|f| count.add(f.size));
    count
}

/// At the fixed point every policy is met, or each file that is in its way is reported.
fn assert_policies_are_met_or_reported(model: &Model, report: &Report) {
    let Ok(usage) = model.usage();
    for link in model.topology.links.values() {
        let told = |phases: &[Phase]| told(model, report, phases, link);
        let policy = &link.policy;
        if policy.populate {
            // What an upload is writing there will be there, unless the store went away meanwhile.
            let is_up = !model.unavailable.contains(&link.store);
            let lacks = |f: &&File| match f.state(link.store) {
                Some(ReplicaState::Present) => false,
                Some(ReplicaState::Writing) => !is_up,
                _ => true,
            };
            let live = model.files.values().filter(|f| f.is_live_in(link.scope));
            let (missing, told) = (count(live.filter(lacks)), told(&[Phase::Populate]));
            assert_eq!(told.errors, missing, "not populated: {link:?}");
        }
        if policy.drain.is_on() {
            let Ok(left) = model.link_count(link.scope, link.store);
            let told = told(&[Phase::Drain, Phase::DrainNamed]);
            // Retained is counted for each scope that a file is kept for.
            let files = told.errors.files <= left.files
                && left.files <= told.errors.files + told.retained.files;
            let bytes = left.bytes <= told.errors.bytes + told.retained.bytes;
            assert!(files && bytes, "not drained: {left:?} of {link:?}, {told:?}");
        } else if let Some(limit) = policy.soft_max_size {
            let excess = usage.scope(link.scope, link.store).saturating_sub(limit);
            let scope = Some(&model.topology.scopes[&link.scope].name);
            assert_excess_is_told(model, report, (Phase::ScopeLimit, scope, link.store), excess);
        }
    }
    for store in model.topology.stores.values() {
        let limit = store.shed_limit().unwrap_or(u64::MAX);
        let excess = usage.present(store.id).saturating_sub(limit);
        assert_excess_is_told(model, report, (Phase::StoreLimit, None, store.id), excess);
    }
}

/// A limit is kept, or the bytes beyond it are reported, or that its store cannot be used.
fn assert_excess_is_told(
    model: &Model,
    report: &Report,
    (phase, scope, store): (Phase, Option<&ScopeName>, StoreId),
    excess: u64,
) {
    let name = &model.topology.stores[&store].name;
    let here = |e: &&ErrorClass| {
        (e.phase, e.scope.as_ref(), e.store.as_ref()) == (phase, scope, Some(name))
    };
    let told: Vec<_> = report.errors.iter().filter(here).map(|e| &e.cause).collect();
    let is_told = match told[..] {
        [] => excess == 0,
        [Cause::StillOver(over)] => excess > 0 && over.excess == excess,
        [Cause::Unavailable] => model.unavailable.contains(&store),
        _ => false,
    };
    assert!(is_told, "{scope:?} {store:?} is {excess} over its limit, and told is {told:?}");
}

/// The overlay with all moves applied answers as the model that has executed them.
fn assert_overlay_agrees(before: &Model, moves: &[Move], after: &Model) {
    let Ok(mut overlay) = Overlay::new(before, before.world());
    for step in moves {
        let Ok(()) = overlay.apply(step);
    }
    assert_same_answers(before, &overlay, after);
}

/// A scope's live files by the stores that have them.
fn held(model: &Model, scope: ScopeId) -> BTreeMap<Vec<StoreId>, Count> {
    let mut held = BTreeMap::<_, Count>::new();
    for file in model.files.values().filter(|file| file.is_live_in(scope)) {
        held.entry(file.present().collect()).or_default().add(file.size);
    }
    held
}

/// `overlay` stands on `base`.
fn assert_same_answers(base: &Model, overlay: &Overlay<'_, Model>, model: &Model) {
    assert_eq!(overlay.usage(), model.usage());
    assert_eq!(overlay.newest(), model.newest());
    for id in model.files.keys() {
        assert_eq!(overlay.file(*id), model.file(*id));
    }
    for store in model.topology.stores.keys() {
        for state in [ReplicaState::Missing, ReplicaState::Corrupt] {
            assert_eq!(overlay.marked_count(state, *store), model.marked_count(state, *store));
            assert_eq!(
                pages(|last| overlay.files(
                    FileSet::Marked(state, *store),
                    last.map(|f: &File| f.id),
                    3
                )),
                pages(|last| model.files(
                    FileSet::Marked(state, *store),
                    last.map(|f: &File| f.id),
                    3
                )),
            );
        }
        assert_eq!(
            pages(|last| overlay.files(FileSet::InStore(*store), last.map(|f: &File| f.id), 3)),
            pages(|last| model.files(FileSet::InStore(*store), last.map(|f: &File| f.id), 3)),
        );
        let by_use = |f: &File| (f.last_used, f.id);
        assert_eq!(
            pages(|last| overlay.least_used(*store, last.map(by_use), 3)),
            pages(|last| model.least_used(*store, last.map(by_use), 3)),
        );
        for scope in model.topology.scopes.keys() {
            assert_eq!(overlay.link_count(*scope, *store), model.link_count(*scope, *store));
            assert_eq!(overlay.missing_count(*scope, *store), model.missing_count(*scope, *store));
            let after = |last: Option<&File>| last.map(|f| f.id);
            assert_eq!(
                pages(|last| overlay.files(FileSet::Missing(*scope, *store), after(last), 3)),
                pages(|last| model.files(FileSet::Missing(*scope, *store), after(last), 3)),
            );
        }
    }
    for scope in model.topology.scopes.keys() {
        let mut foreseen = overlay.held(*scope, held(base, *scope));
        foreseen.retain(|_, count| !count.is_zero());
        assert_eq!(foreseen, held(model, *scope));
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

/// Plays a failure again: the bytes that its test printed, in hexadecimal digits.
const REPLAY: &str = "HAYLOFT_TEST_REPLAY";

/// Draws up to `most` bytes for `play`, all of them in every other case, as many cases as
/// `PROPTEST_CASES` says. A failure is made small, played again and told step by step.
pub fn for_random_bytes(most: usize, play: impl Fn(&mut Dice<'_>)) {
    if let Ok(hex) = std::env::var(REPLAY) {
        return play(&mut Dice::new(&from_hex(&hex), true));
    }
    let config = Config { failure_persistence: None, ..Config::default() };
    // Shrinking tries the length first: halves of thousands of bytes rather than one after the other.
    let bytes = (0..=2 * most, vec(any::<u8>(), most)).prop_map(|(length, mut bytes)| {
        bytes.truncate(length);
        bytes
    });
    let drawn = TestRunner::new(config).run(&bytes, |bytes| {
        play(&mut Dice::new(&bytes, false));
        Ok(())
    });
    match drawn {
        Ok(()) => {}
        Err(TestError::Fail(why, bytes)) => {
            println!("Again: {REPLAY}={} cargo test --test it {}", to_hex(&bytes), name());
            play(&mut Dice::new(&bytes, true));
            panic!("{why}, and not when it was played again");
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// The test of this thread.
fn name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits for each byte")
    };
    text.trim().as_bytes().chunks(2).map(byte).collect()
}

#[test]
fn runs_end_break_no_rule_and_meet_or_report_every_policy() {
    for_random_bytes(BYTES, |dice| run_to_the_end(&mut instance(dice)));
}

/// What a run does before it plans: uses are later, tombstones expire, files that nobody has go.
#[test]
fn an_overlay_of_changed_files_answers_like_a_catalogue_that_has_them() {
    for_random_bytes(BYTES / 2, |dice| {
        let model = instance(dice);
        let mut changed = model.clone();
        let Ok(mut overlay) = Overlay::new(&model, model.world());
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
        assert_same_answers(&model, &overlay, &changed);
    });
}
