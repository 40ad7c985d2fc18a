//! Random operations with runs between them, whole ones and ones that fail or are cut short: whatever
//! the order, no reader loses a file, no limit is broken, and in the end the runs settle.

use std::collections::BTreeSet;
use std::time::Duration;

use hayloft::domain::{
    Digest, Event, File, FileId, Link, Replica, ReplicaState, ScopeId, StoreId, Timestamp,
};
use hayloft::planner::{Batch, Driver, MoveResult, download_order, upload_order};

use super::instance::{Dice, instance, lines, name_drains, random_link};
use super::mirror::{Mirror, id_of};
use super::model::Model;
use super::property::{BYTES, for_random_bytes, run_once, run_to_the_end};

/// Bytes that are kept for the operations, whatever the instance needs.
const OPERATIONS: usize = 1000;

fn pick<T: Copy>(dice: &mut Dice<'_>, all: &[T]) -> Option<T> {
    let count = u32::try_from(all.len()).expect("few");
    all.get(dice.below(count.max(1)) as usize).copied()
}

fn any_scope(model: &Model, dice: &mut Dice<'_>) -> ScopeId {
    let all: Vec<_> = model.topology.scopes.keys().copied().collect();
    pick(dice, &all).expect("a scope")
}

fn any_store(model: &Model, dice: &mut Dice<'_>) -> StoreId {
    let all: Vec<_> = model.topology.stores.keys().copied().collect();
    pick(dice, &all).expect("a store")
}

fn any_file(model: &Model, dice: &mut Dice<'_>) -> Option<FileId> {
    let all: Vec<_> = model.files.keys().copied().collect();
    pick(dice, &all)
}

/// The store that SPEC 4 sends an upload to.
fn upload_store(model: &Model, scope: ScopeId, size: u64) -> Option<StoreId> {
    let mirror = Mirror::new(model);
    let naive = mirror.naive(model);
    let order: Vec<_> = upload_order(&model.topology, scope).iter().map(|l| l.store).collect();
    let plain: Vec<_> = order.iter().map(|s| mirror.store(*s)).collect();
    assert_eq!(plain, naive.upload_order(mirror.scope(scope)), "the upload order differs");
    order.into_iter().find(|store| {
        let used = naive.hard(mirror.store(*store));
        let max = model.topology.stores[store].max_size;
        !model.unavailable.contains(store) && max.is_none_or(|max| used + size <= max)
    })
}

fn upload(model: &mut Model, dice: &mut Dice<'_>) {
    let (scope, size) = (any_scope(model, dice), u64::from(dice.below(20)));
    let Some(store) = upload_store(model, scope, size) else { return };
    let id = FileId(model.files.keys().last().map_or(1, |last| last.0 + 1));
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&id.0.to_be_bytes());
    let mut file = File {
        id,
        digest: Digest(digest),
        size,
        created_at: model.now,
        last_used: model.now,
        replicas: Vec::new(),
        members: Vec::new(),
        departed: None,
    };
    file.adjust_member(scope, 1, 0);
    file.put_replica(fresh(store, model.now));
    model.files.insert(id, file);
}

/// The same bytes again, from a scope that may have them or not: a dedup hit, or a replica that heals.
fn upload_again(model: &mut Model, dice: &mut Dice<'_>) {
    let scope = any_scope(model, dice);
    let Some(id) = any_file(model, dice) else { return };
    let mut file = model.files[&id].clone();
    let Some(store) = upload_store(model, scope, file.size) else { return };
    if matches!(file.state(store), Some(ReplicaState::Writing | ReplicaState::Deleting)) {
        return;
    }
    if !file.is_present(store) {
        file.put_replica(fresh(store, model.now));
    }
    file.adjust_member(scope, 1, 0);
    file.last_used = model.now;
    model.files.insert(id, file);
}

fn fresh(store: StoreId, now: Timestamp) -> Replica {
    Replica { store, state: ReplicaState::Present, stored_at: now, verified_at: Some(now) }
}

fn delete(model: &mut Model, dice: &mut Dice<'_>) {
    let scope = any_scope(model, dice);
    let Some(id) = any_file(model, dice) else { return };
    let file = model.files.get_mut(&id).expect("a file");
    if file.is_live_in(scope) {
        file.adjust_member(scope, -1, 1);
    }
}

/// The grace of all tombstones ends; what nobody has any more is deleted.
fn expire(model: &mut Model) {
    model.now = model.now.after(Duration::from_hours(24));
    for file in model.files.values_mut() {
        for member in file.members.clone() {
            let tombstones = i32::try_from(member.tombstones).expect("few");
            file.adjust_member(member.scope, 0, -tombstones);
        }
    }
    model.files.retain(|_, file| !file.members.is_empty());
}

fn is_drain_target(model: &Model, scope: ScopeId, store: StoreId) -> bool {
    let name = &model.topology.stores[&store].name;
    model.topology.links_of(scope).any(|l| l.policy.drain.target() == Some(name))
}

/// A new link, or another policy; SPEC 3 refuses to break a standing drain target.
fn relink(model: &mut Model, dice: &mut Dice<'_>) {
    let (scope, store) = (any_scope(model, dice), any_store(model, dice));
    let link: Link = random_link(scope, store, dice);
    let policy = &link.policy;
    if is_drain_target(model, scope, store) && (!policy.accepts_uploads() || policy.drain.is_on()) {
        return;
    }
    model.topology.unlinked.remove(&(scope, store));
    model.topology.links.insert((scope, store), link);
    name_drains(model, scope, dice);
}

/// SPEC 9: refused unless every file of the scope keeps a readable replica in the other stores.
fn unlink(model: &mut Model, dice: &mut Dice<'_>) {
    let (scope, store) = (any_scope(model, dice), any_store(model, dice));
    if is_drain_target(model, scope, store) {
        return;
    }
    let Some(link) = model.topology.links.remove(&(scope, store)) else { return };
    let loses = |f: &File| {
        let reads = download_order(&model.topology, scope, f);
        f.member(scope).is_some() && f.is_present(store) && reads.is_empty()
    };
    if model.files.values().any(loses) {
        model.topology.links.insert((scope, store), link);
    } else {
        model.topology.unlinked.insert((scope, store), model.now);
    }
}

fn read(model: &mut Model, dice: &mut Dice<'_>) {
    let scope = any_scope(model, dice);
    let Some(id) = any_file(model, dice) else { return };
    let mirror = Mirror::new(model);
    let naive = mirror.naive(model);
    let file = model.files.get_mut(&id).expect("a file");
    let order: Vec<_> = download_order(&model.topology, scope, file);
    let plain: Vec<_> = order.into_iter().map(|s| mirror.store(s)).collect();
    let expected = naive.download_order(mirror.scope(scope), &naive.files[&id_of(file)]);
    assert_eq!(plain, expected, "the download order differs");
    file.last_used = model.now;
}

fn damage(model: &mut Model, dice: &mut Dice<'_>) {
    let store = any_store(model, dice);
    let Some(id) = any_file(model, dice) else { return };
    let found = if dice.chance(50) { Event::FoundMissing } else { Event::FoundCorrupt };
    model.files.get_mut(&id).expect("a file").apply(store, found, model.now);
}

fn limit(model: &mut Model, dice: &mut Dice<'_>) {
    let id = any_store(model, dice);
    let store = model.topology.stores.get_mut(&id).expect("a store");
    store.soft_max_size = dice.maybe(40, |d| u64::from(d.below(100)));
    store.max_size = dice.maybe(30, |d| u64::from(d.below(200)));
}

fn toggle(model: &mut Model, dice: &mut Dice<'_>) {
    let store = any_store(model, dice);
    if !model.unavailable.remove(&store) {
        model.unavailable.insert(store);
    }
}

/// The scopes that can read a file in a store that is there.
fn readers(model: &Model) -> BTreeSet<(FileId, ScopeId)> {
    let mut all = BTreeSet::new();
    for file in model.files.values() {
        let reads = |scope: &ScopeId| {
            let order = download_order(&model.topology, *scope, file);
            order.iter().any(|store| !model.unavailable.contains(store))
        };
        all.extend(file.scopes().filter(reads).map(|scope| (file.id, scope)));
    }
    all
}

/// Executes some moves of the batch, each of which the naive model allows at that moment; the others
/// fail or are skipped.
fn execute_some(model: &mut Model, batch: &Batch, dice: &mut Dice<'_>) -> Vec<MoveResult> {
    let mut results = Vec::new();
    for step in &batch.moves {
        let result = match dice.below(8) {
            6 => MoveResult::Failed { store: step.to, cause: "refused".into() },
            7 => MoveResult::Skipped,
            _ => {
                let mirror = Mirror::new(model);
                let allowed = mirror.naive(model).allows(mirror.step(step));
                let first =
                    !batch.moves.iter().take_while(|m| *m != step).any(|m| m.file == step.file);
                // The copies of one file come first; without them its removal is not allowed.
                if !allowed && !first {
                    MoveResult::Skipped
                } else {
                    assert!(allowed, "not allowed: {step:?}");
                    let one = Batch { moves: vec![step.clone()], ..batch.clone() };
                    model.execute(&one).remove(0)
                }
            }
        };
        results.push(result);
    }
    results
}

/// A run that is stopped after some batches, in which moves fail and stores break down.
fn troubled_run(model: &mut Model, dice: &mut Dice<'_>) {
    let before = readers(model);
    let mut driver = Driver::new();
    for _ in 0..dice.below(8) {
        let Ok(Some(batch)) = driver.next(model, &model.world()) else { break };
        let results = execute_some(model, &batch, dice);
        driver.executed(&results);
        let after = readers(model);
        assert!(before.is_subset(&after), "a reader lost a file in {batch:#?}");
        if dice.chance(10) {
            let store = any_store(model, dice);
            model.unavailable.insert(store);
            break;
        }
    }
    driver.finish(&model.topology);
    model.settle();
}

/// Something that happens to an instance.
type Act = fn(&mut Model, &mut Dice<'_>);

fn undisturbed_run(model: &mut Model, _: &mut Dice<'_>) {
    let before = readers(model);
    run_once(model);
    assert!(before.is_subset(&readers(model)), "a reader lost a file");
}

fn operation(model: &mut Model, dice: &mut Dice<'_>) {
    let (name, act): (&str, Act) = match dice.below(20) {
        0..=3 => ("an upload", upload),
        4 => ("the same bytes again", upload_again),
        5..=6 => ("a deletion", delete),
        7 => ("all tombstones expire", |model, _| expire(model)),
        8..=9 => ("another policy", relink),
        10 => ("a link is removed", unlink),
        11 => ("a read", read),
        12 => ("damage", damage),
        13 => ("limits of a store", limit),
        14 => ("a store goes or comes back", toggle),
        15 => ("time passes", |model, dice| {
            model.now = model.now.after(Duration::from_hours(u64::from(dice.below(30))));
        }),
        16..=17 => ("a troubled run", troubled_run),
        _ => ("a run", undisturbed_run),
    };
    dice.tell(|| format!("--- {name}"));
    act(model, dice);
    dice.tell(|| lines(model));
}

/// What an administrator and a start-up put right: stores are back, writes begun are given up.
fn heal(model: &mut Model) {
    model.unavailable.clear();
    for file in model.files.values_mut() {
        file.replicas.retain(|r| r.state != ReplicaState::Writing);
    }
}

#[test]
fn any_sequence_of_operations_and_runs_keeps_the_rules_and_settles() {
    for_random_bytes(OPERATIONS + BYTES, |dice| {
        let mut operations = dice.split(OPERATIONS);
        let mut model = instance(dice);
        for _ in 0..4 + operations.below(20) {
            operation(&mut model, &mut operations);
        }
        heal(&mut model);
        run_to_the_end(&mut model);
    });
}
