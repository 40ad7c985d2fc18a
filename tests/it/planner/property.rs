//! Random small instances, run until nothing is left to do. Bytes are drawn one by one, so that
//! shrinking them shrinks the instance.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use hayloft::domain::{
    Digest, Drain, File, FileId, Link, Policy, Replica, ReplicaState, Scope, ScopeId, ScopeName,
    Store, StoreId, StoreName,
};
use hayloft::planner::{Move, Overlay, Phase, Report, Snapshot};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::model::Model;
use super::reference::assert_nothing_is_left_to_do;
use super::scenario::{hour, local, s3};

/// Runs until the fixed point, at most; none of these instances needs more than a few.
const RUNS: usize = 12;

struct Dice<'a>(std::slice::Iter<'a, u8>);

impl Dice<'_> {
    /// A number below `n`; 0 when the bytes are used up.
    fn below(&mut self, n: u32) -> u32 {
        self.0.next().map_or(0, |b| u32::from(*b) * n / 256)
    }

    /// True in `percent` of all cases; false when the bytes are used up.
    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) >= 100 - percent
    }

    fn maybe<T>(&mut self, percent: u32, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| value(self))
    }
}

fn instance(bytes: &[u8]) -> Model {
    let mut dice = Dice(bytes.iter());
    let mut model = Model { run: 1, now: hour(1000), ..Model::default() };
    model.grace = Duration::from_hours(24);
    for id in 1..=2 + dice.below(4) {
        add_store(&mut model, StoreId(id), &mut dice);
    }
    for id in 1..=1 + dice.below(3) {
        let name = ScopeName::new(["", "c", "a", "b"][id as usize]).expect("a scope name");
        let scope = Scope { id: ScopeId(id), name, public_read: false, created_at: hour(0) };
        model.topology.scopes.insert(scope.id, scope);
        add_links(&mut model, ScopeId(id), &mut dice);
    }
    for n in 1..=u64::from(dice.below(30)) {
        let file = random_file(&model, n, &mut dice);
        model.files.insert(file.id, file);
    }
    if dice.chance(10) {
        model.unavailable.insert(StoreId(1));
    }
    model
}

fn add_store(model: &mut Model, id: StoreId, dice: &mut Dice<'_>) {
    let name = ["", "m", "z", "k", "a", "t"][id.0 as usize];
    let unproven = dice.chance(10);
    if dice.chance(20) {
        model.deferred.insert(id);
    }
    let store = Store {
        id,
        name: StoreName::new(name).expect("a store name"),
        uid: String::new(),
        backend: if unproven { s3(true) } else { local(name) },
        instance_wide: true,
        soft_max_size: dice.maybe(35, |d| u64::from(d.below(100))),
        max_size: dice.maybe(25, |d| u64::from(d.below(200))),
        generation: 1,
        created_at: hour(0),
    };
    model.topology.stores.insert(id, store);
}

/// Links and policies that SPEC 3 does not refuse.
fn add_links(model: &mut Model, scope: ScopeId, dice: &mut Dice<'_>) {
    let stores: Vec<_> = model.topology.stores.keys().copied().collect();
    for store in stores {
        if dice.chance(20) {
            model.topology.unlinked.insert((scope, store), hour(u64::from(dice.below(1000))));
            continue;
        }
        let populate = dice.chance(20);
        let policy = Policy {
            populate,
            drain: if !populate && dice.chance(30) { Drain::Anywhere } else { Drain::No },
            read_only: !populate && dice.chance(20),
            write_only: dice.chance(15),
            soft_max_size: dice.maybe(30, |d| u64::from(d.below(60))),
        };
        let link = Link {
            scope,
            store,
            upload_priority: dice.maybe(60, |d| d.below(5).cast_signed() - 2),
            download_priority: dice.maybe(40, |d| d.below(5).cast_signed() - 2),
            policy,
            created_at: hour(0),
        };
        model.topology.links.insert((scope, store), link);
    }
    name_drains(model, scope, dice);
}

fn name_drains(model: &mut Model, scope: ScopeId, dice: &mut Dice<'_>) {
    let accepts = |l: &&Link| l.policy.accepts_uploads() && !l.policy.drain.is_on();
    let targets: Vec<_> = model.topology.links_of(scope).filter(accepts).map(|l| l.store).collect();
    let names: Vec<_> = targets.iter().map(|s| model.topology.stores[s].name.clone()).collect();
    for link in model.topology.links.values_mut().filter(|l| l.scope == scope) {
        if link.policy.drain.is_on() && !names.is_empty() && dice.chance(50) {
            let count = u32::try_from(names.len()).expect("few");
            link.policy.drain = Drain::Into(names[dice.below(count) as usize].clone());
        }
    }
}

fn random_file(model: &Model, n: u64, dice: &mut Dice<'_>) -> File {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    let mut file = File {
        id: FileId(n),
        digest: Digest(digest),
        size: u64::from(dice.below(20)),
        created_at: hour(n),
        last_used: hour(n + u64::from(dice.below(40))),
        replicas: Vec::new(),
        members: Vec::new(),
        departed: None,
    };
    for scope in model.topology.scopes.keys() {
        if dice.chance(60) {
            let live = i32::from(dice.chance(85));
            file.adjust_member(*scope, live, 1 - live);
        }
    }
    if file.members.is_empty() {
        file.adjust_member(ScopeId(1), 1, 0);
    }
    for store in model.topology.stores.keys() {
        if dice.chance(35) {
            file.put_replica(random_replica(*store, dice));
        }
    }
    file
}

fn random_replica(store: StoreId, dice: &mut Dice<'_>) -> Replica {
    let state = match dice.below(20) {
        17 => ReplicaState::Missing,
        18 => ReplicaState::Corrupt,
        _ => ReplicaState::Present,
    };
    let verified_at = (!dice.chance(10)).then(|| hour(1));
    Replica { store, state, stored_at: hour(1), verified_at }
}

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
            let Ok(missing) = model.missing_count(link.scope, link.store);
            assert!(missing.is_zero() || told(&[Phase::Populate]), "not populated: {link:?}");
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
    assert_eq!(overlay.usage(), after.usage());
    for store in after.topology.stores.keys() {
        assert_eq!(overlay.marked_count(*store), after.marked_count(*store));
        assert_eq!(
            pages(|last| overlay.files_of_store(*store, last.map(|f: &File| f.id), 3)),
            pages(|last| after.files_of_store(*store, last.map(|f: &File| f.id), 3)),
        );
        let by_use = |f: &File| (f.last_used, f.id);
        assert_eq!(
            pages(|last| overlay.least_used(*store, last.map(by_use), 3)),
            pages(|last| after.least_used(*store, last.map(by_use), 3)),
        );
        for scope in after.topology.scopes.keys() {
            assert_eq!(overlay.link_count(*scope, *store), after.link_count(*scope, *store));
            assert_eq!(overlay.missing_count(*scope, *store), after.missing_count(*scope, *store));
        }
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

/// The instance in the line format of scenarios, to make one of it.
fn lines(model: &Model) -> String {
    let topology = &model.topology;
    let mut out = String::new();
    for store in topology.stores.values() {
        let limits = (store.soft_max_size, store.max_size);
        let kind = (store.is_remote(), model.deferred.contains(&store.id));
        let gone = model.unavailable.contains(&store.id);
        writeln!(
            out,
            "store {} soft, max {limits:?} unproven, redirect {kind:?} gone {gone}",
            store.name
        )
        .expect("text");
    }
    for link in topology.links.values() {
        let names = (topology.scope_name(link.scope), topology.store_name(link.store));
        let policy = serde_json::to_string(&link.policy).expect("a policy");
        let priorities = (link.upload_priority, link.download_priority);
        writeln!(out, "link {} {} {priorities:?} {policy}", names.0, names.1).expect("text");
    }
    for file in model.files.values() {
        let at: Vec<_> = file
            .replicas
            .iter()
            .map(|r| {
                let doubt = if r.verified_at.is_none() { ":unverified" } else { "" };
                format!("{}:{:?}{doubt}", topology.store_name(r.store), r.state)
            })
            .collect();
        let members: Vec<_> = file
            .members
            .iter()
            .map(|m| format!("{}:{}", topology.scope_name(m.scope), m.live))
            .collect();
        let (name, size, used) = (file.id.0, file.size, file.last_used.seconds() / 3600);
        writeln!(
            out,
            "file f{name} {size} used={used} in={} at={}",
            members.join(","),
            at.join(",")
        )
        .expect("text");
    }
    out
}

fn run_to_the_end(mut model: Model) {
    let mut seen = BTreeSet::from([placement(&model)]);
    for run in 0.. {
        assert!(run < RUNS, "no fixed point");
        let before = model.clone();
        let dry = model.dry_run();
        assert_eq!(model.dry_run(), dry, "planning twice differs");
        let (moves, report) = model.run_unsettled();
        assert_eq!(dry.moves, moves, "the dry run differs");
        assert_eq!(dry.report, report, "the dry run reports something else");
        assert_overlay_agrees(&before, &moves, &model);
        model.settle();
        if moves.is_empty() {
            assert_policies_are_met_or_reported(&model, &report);
            return assert_nothing_is_left_to_do(&model);
        }
        assert!(
            seen.insert(placement(&model)),
            "run {run} brings back an earlier state: {moves:#?}"
        );
    }
}

#[test]
fn runs_end_break_no_rule_and_meet_or_report_every_policy() {
    let config = Config { failure_persistence: None, ..Config::default() };
    let drawn = TestRunner::new(config).run(&vec(any::<u8>(), 0..1200), |bytes| {
        run_to_the_end(instance(&bytes));
        Ok(())
    });
    match drawn {
        Ok(()) => {}
        Err(TestError::Fail(why, bytes)) => panic!("{why}\n{}", lines(&instance(&bytes))),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
