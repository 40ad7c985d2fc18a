//! Random small instances. Bytes are drawn one by one, so that shrinking them shrinks the instance.

use std::fmt::Write;
use std::time::Duration;

use hayloft::domain::{
    Digest, Drain, File, FileId, Link, Policy, Replica, ReplicaState, Scope, ScopeId, ScopeName,
    Store, StoreId, StoreName,
};

use super::model::Model;
use super::scenario::{hour, local, s3};

pub struct Dice<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Whether what is made of them is printed.
    tells: bool,
}

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8], tells: bool) -> Self {
        Self { bytes: bytes.iter(), tells }
    }

    /// Prints what was drawn when a failure is played again.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{}", what());
        }
    }

    /// The next `n` bytes, for what must not depend on how much else is drawn before.
    pub fn split(&mut self, n: usize) -> Self {
        let (head, tail) = self.bytes.as_slice().split_at(n.min(self.bytes.len()));
        self.bytes = tail.iter();
        Self::new(head, self.tells)
    }

    /// A number below `n`; 0 when the bytes are used up.
    pub fn below(&mut self, n: u32) -> u32 {
        self.bytes.next().map_or(0, |b| u32::from(*b) * n / 256)
    }

    /// True in `percent` of all cases; false when the bytes are used up.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) >= 100 - percent
    }

    pub fn maybe<T>(&mut self, percent: u32, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| value(self))
    }
}

/// Two to six stores, one to four scopes, up to 200 files: 3 of 100 have 100 and more, 36 have 20.
pub fn instance(dice: &mut Dice<'_>) -> Model {
    let mut model = Model { run: 1, now: hour(1000), ..Model::default() };
    model.grace = Duration::from_hours(24);
    for id in 1..=2 + dice.below(5) {
        add_store(&mut model, StoreId(id), dice);
    }
    for id in 1..=1 + dice.below(4) {
        let name = ScopeName::new(["", "c", "a", "b", "d"][id as usize]).expect("a scope name");
        let scope = Scope { id: ScopeId(id), name, public_read: false, created_at: hour(0) };
        model.topology.scopes.insert(scope.id, scope);
        add_links(&mut model, ScopeId(id), dice);
    }
    let most = if dice.chance(5) { 201 } else { 31 };
    for n in 1..=u64::from(dice.below(most)) {
        let file = random_file(&model, n, dice);
        model.files.insert(file.id, file);
    }
    for id in 1..=2 {
        if dice.chance(8) {
            model.unavailable.insert(StoreId(id));
        }
        if dice.chance(10) {
            model.reserved.insert(StoreId(id), 1 + u64::from(dice.below(40)));
        }
    }
    dice.tell(|| lines(&model));
    model
}

fn add_store(model: &mut Model, id: StoreId, dice: &mut Dice<'_>) {
    let name = ["", "m", "z", "k", "a", "t", "f"][id.0 as usize];
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
        model.topology.links.insert((scope, store), random_link(scope, store, dice));
    }
    name_drains(model, scope, dice);
}

pub fn random_link(scope: ScopeId, store: StoreId, dice: &mut Dice<'_>) -> Link {
    let populate = dice.chance(20);
    let policy = Policy {
        populate,
        drain: if !populate && dice.chance(30) { Drain::Anywhere } else { Drain::No },
        read_only: !populate && dice.chance(20),
        write_only: dice.chance(15),
        soft_max_size: dice.maybe(30, |d| u64::from(d.below(60))),
    };
    Link {
        scope,
        store,
        upload_priority: dice.maybe(60, |d| d.below(5).cast_signed() - 2),
        download_priority: dice.maybe(40, |d| d.below(5).cast_signed() - 2),
        policy,
        created_at: hour(0),
    }
}

/// Gives some drains of the scope the name of a store that SPEC 3 lets them have.
pub fn name_drains(model: &mut Model, scope: ScopeId, dice: &mut Dice<'_>) {
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

pub fn random_file(model: &Model, n: u64, dice: &mut Dice<'_>) -> File {
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
        16 => ReplicaState::Missing,
        17 => ReplicaState::Corrupt,
        18 => ReplicaState::Writing,
        _ => ReplicaState::Present,
    };
    let verified_at = (!dice.chance(10)).then(|| hour(1));
    Replica { store, state, stored_at: hour(1), verified_at }
}

/// The instance in the line format of scenarios, to make one of it.
pub fn lines(model: &Model) -> String {
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
