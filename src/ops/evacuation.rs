//! Whether a store can be given up (SPEC 8): from the holder sets, so that the answer is as quick for
//! ten million files as for ten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::impact::{self, Impact};
use super::scope_totals::ScopeTotals;
use super::{Actor, OpError, blocking, find_store, stores};
use crate::api::{Count, Evacuation, EvacuationFile, EvacuationScope};
use crate::app::App;
use crate::catalogue::Snapshot;
use crate::domain::{
    ByteSize, Change, File, Link, LinkSetting, Remedy, ReplicaState, Scope, ScopeId, Store,
    StoreId, StoreName, StoreSetting, Target, Topology,
};
use crate::planner::upload_order;
use crate::words::Phrase;

/// Files named when not all are asked for.
const FIRST: u64 = 10;
const PAGE: usize = 1000;
/// Files looked at to name the first ones: the counts are exact without.
const LOOKED_AT: usize = 1_000_000;

/// Which of the files concerned to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    First,
    All,
}

/// What giving `name` up would cost each scope, whether what has to move fits elsewhere, and what to do
/// next. The numbers hold whether the scopes link the store or not.
pub async fn evacuation(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
    naming: Naming,
) -> Result<Evacuation, OpError> {
    actor.require_instance_admin()?;
    find_store(&app.catalogue.settings().topology, name)?;
    stores::look_at_all(app).await;
    let name = name.clone();
    blocking(app, move |app| report(app, &name, naming)).await
}

fn report(app: &App, name: &StoreName, naming: Naming) -> Result<Evacuation, OpError> {
    let settings = app.catalogue.settings();
    let topology = &settings.topology;
    let store = find_store(topology, name)?;
    let marked = marked(app, topology, store.id)?;
    let mut room = Rooms::new(app, topology, store.id)?;
    let snapshot = app.catalogue.snapshot()?;
    let mut needs = Vec::new();
    for scope in topology.scopes_by_name() {
        let totals = ScopeTotals::new(topology, scope.id, snapshot.holders(scope.id)?);
        let extra = marked.get(&scope.id).copied().unwrap_or_default();
        let concerned = topology.link(scope.id, store.id).is_some()
            || !totals.all_in(store.id).is_zero()
            || !extra.unreadable.is_zero();
        if concerned {
            let need = Need::new(&totals, store.id, extra);
            let short = room.place(topology, scope.id, &totals, need.unreadable.bytes);
            needs.push((scope, need, short));
        }
    }
    drop(snapshot);
    let files = name_files(app, topology, store.id, &needs, naming)?;
    let advice = advice(topology, store, &needs, &room.absent);
    let can_be_given_up = needs.iter().all(|(_, n, _)| n.unreadable.is_zero() && n.lost.is_zero());
    let scopes = needs.iter().map(|(scope, need, short)| {
        let files = files.get(&scope.id).cloned().unwrap_or_default();
        scope_view(scope, need, short.is_none(), files)
    });
    Ok(Evacuation { store: name.clone(), can_be_given_up, scopes: scopes.collect(), advice })
}

fn scope_view(
    scope: &Scope,
    need: &Need,
    fits: bool,
    files: Vec<EvacuationFile>,
) -> EvacuationScope {
    EvacuationScope {
        scope: scope.name.to_string(),
        unreadable_files: need.unreadable.files,
        unreadable_bytes: need.unreadable.bytes,
        lost_files: need.lost.files,
        lost_bytes: need.lost.bytes,
        tombstones: need.tombstones,
        fits,
        files,
    }
}

/// What a scope would be left without.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    /// Files with no readable replica, those that are lost included.
    unreadable: Count,
    lost: Count,
    tombstones: u64,
}

impl Need {
    fn new(totals: &ScopeTotals<'_>, store: StoreId, extra: Need) -> Self {
        let (unreadable, lost) =
            (totals.live_unreadable_without(store), totals.live_lost_without(store));
        Self {
            unreadable: sum(unreadable, extra.unreadable),
            lost: sum(lost, extra.lost),
            tombstones: totals.tombstones_lost_without(store).files,
        }
    }
}

fn sum(a: Count, b: Count) -> Count {
    Count { files: a.files + b.files, bytes: a.bytes + b.bytes }
}

/// Replicas that are marked missing or corrupt may turn out well; the counters do not hold them.
fn marked(
    app: &App,
    topology: &Topology,
    store: StoreId,
) -> Result<BTreeMap<ScopeId, Need>, OpError> {
    let mut needs: BTreeMap<ScopeId, Need> = BTreeMap::new();
    for state in [ReplicaState::Missing, ReplicaState::Corrupt] {
        let mut after = None;
        loop {
            let page = app.catalogue.snapshot()?.marked(state, store, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for (file, scope) in page.iter().flat_map(|f| f.scopes().map(move |s| (f, s))) {
                let need = needs.entry(scope).or_default();
                match impact::without(topology, file, scope, store) {
                    Impact::Safe => {}
                    Impact::Unreadable => need.unreadable.add(file.size),
                    Impact::Lost => {
                        need.unreadable.add(file.size);
                        need.lost.add(file.size);
                    }
                }
            }
        }
    }
    Ok(needs)
}

/// Bytes that stores can still take, used up scope by scope.
struct Rooms {
    leaving: StoreId,
    /// Under the store's own limits and on its disk; absent is without limit.
    left: BTreeMap<StoreId, u64>,
    /// Stores that cannot be used now, so that they have no room.
    absent: BTreeSet<StoreId>,
}

impl Rooms {
    fn new(app: &App, topology: &Topology, leaving: StoreId) -> Result<Self, OpError> {
        let (mut left, mut absent) = (BTreeMap::new(), BTreeSet::new());
        for store in topology.stores.values().filter(|s| s.id != leaving) {
            if !app.transfer.stores.last_seen(store.id).is_available() {
                absent.insert(store.id);
                left.insert(store.id, 0);
                continue;
            }
            let counts = app.catalogue.snapshot()?.store_counts(store.id)?;
            let present = counts.get(&ReplicaState::Present).map_or(0, |c| c.bytes);
            let hard = app.catalogue.ledger().hard_usage(store.id);
            let disk = app.transfer.stores.free_room(store.id);
            let under = |limit: Option<u64>, used: u64| limit.map(|l| l.saturating_sub(used));
            let bounds = [under(store.max_size, hard), under(store.soft_max_size, present), disk];
            if let Some(room) = bounds.into_iter().flatten().min() {
                left.insert(store.id, room);
            }
        }
        Ok(Self { leaving, left, absent })
    }

    /// Takes room for `bytes` in the scope's stores, best first; `Some` is what does not fit.
    fn place(
        &mut self,
        topology: &Topology,
        scope: ScopeId,
        totals: &ScopeTotals<'_>,
        bytes: u64,
    ) -> Option<u64> {
        let mut rest = bytes;
        for link in destinations(topology, scope, self.leaving) {
            let own = link.policy.soft_max_size;
            let own = own.map_or(u64::MAX, |l| l.saturating_sub(totals.all_in(link.store).bytes));
            let room = self.left.get(&link.store).copied().unwrap_or(u64::MAX);
            let taken = rest.min(own).min(room);
            if let Some(left) = self.left.get_mut(&link.store) {
                *left -= taken;
            }
            rest -= taken;
        }
        (rest > 0).then_some(rest)
    }
}

/// Stores that the scope's files can move to.
fn destinations(topology: &Topology, scope: ScopeId, leaving: StoreId) -> Vec<&Link> {
    let links = upload_order(topology, scope).into_iter();
    links.filter(|l| l.store != leaving && !l.policy.drain.is_on()).collect()
}

/// The files concerned, page by page, until each scope has enough of them.
fn name_files(
    app: &App,
    topology: &Topology,
    store: StoreId,
    needs: &[(&Scope, Need, Option<u64>)],
    naming: Naming,
) -> Result<BTreeMap<ScopeId, Vec<EvacuationFile>>, OpError> {
    let at_most = match naming {
        Naming::All => u64::MAX,
        Naming::First => FIRST,
    };
    let mut open: BTreeMap<ScopeId, u64> = needs
        .iter()
        .map(|(scope, need, _)| (scope.id, need.unreadable.files.min(at_most)))
        .filter(|(_, wanted)| *wanted > 0)
        .collect();
    let mut found: BTreeMap<ScopeId, Vec<EvacuationFile>> = BTreeMap::new();
    let mut after = None;
    let mut looked_at = 0;
    while !open.is_empty() && (naming == Naming::All || looked_at < LOOKED_AT) {
        let snapshot = app.catalogue.snapshot()?;
        let page = snapshot.files_of_store(store, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        looked_at += page.len();
        for (file, scope) in page.iter().flat_map(|f| f.scopes().map(move |s| (f, s))) {
            let Some(wanted) = open.get_mut(&scope) else { continue };
            if impact::without(topology, file, scope, store) == Impact::Safe {
                continue;
            }
            found.entry(scope).or_default().push(named(&snapshot, scope, file)?);
            *wanted -= 1;
            if *wanted == 0 {
                open.remove(&scope);
            }
        }
    }
    Ok(found)
}

fn named(snapshot: &Snapshot, scope: ScopeId, file: &File) -> Result<EvacuationFile, OpError> {
    let path = snapshot.paths_of(scope, file.id, 1)?.into_iter().next().map(|p| p.to_string());
    Ok(EvacuationFile { path, digest: file.digest, size: file.size })
}

/// The next steps of leaving a cloud account (SPEC 8, recipe 4).
fn advice(
    topology: &Topology,
    store: &Store,
    needs: &[(&Scope, Need, Option<u64>)],
    absent: &BTreeSet<StoreId>,
) -> Vec<Phrase> {
    let mut all: Vec<Phrase> = Vec::new();
    for (scope, need, short) in needs {
        let leave = Leave { topology, store, scope, link: topology.link(scope.id, store.id) };
        all.extend(leave.steps(need, *short, absent));
    }
    let run = step(Remedy::StartRun);
    if needs.iter().any(|(_, n, _)| !n.unreadable.is_zero()) {
        all.push(run.text(", then ask again"));
        return all;
    }
    let unlink = topology.links_to(store.id).filter_map(|link| {
        let scope = topology.scopes.get(&link.scope)?.name.clone();
        Some(Remedy::UnlinkStore { scope, store: store.name.clone() })
    });
    let delete = Remedy::DeleteStore { store: store.name.clone() };
    let all_steps = unlink.chain([delete]);
    all.push(all_steps.fold(run, |steps, next| steps.text(", then ").command(next)));
    all
}

fn step(remedy: Remedy) -> Phrase {
    Phrase::default().command(remedy)
}

/// A scope whose files leave a store.
struct Leave<'a> {
    topology: &'a Topology,
    store: &'a Store,
    scope: &'a Scope,
    link: Option<&'a Link>,
}

impl Leave<'_> {
    fn steps(&self, need: &Need, short: Option<u64>, absent: &BTreeSet<StoreId>) -> Vec<Phrase> {
        let mut all = Vec::new();
        if self.link.is_some_and(|l| !l.policy.read_only) {
            all.push(self.set(&self.store.name, LinkSetting::ReadOnly, Target::On));
        }
        let targets = destinations(self.topology, self.scope.id, self.store.id);
        let (away, there): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|l| absent.contains(&l.store));
        if short.is_some() && !away.is_empty() {
            let stores = away.iter().filter_map(|l| self.topology.stores.get(&l.store));
            all.extend(stores.map(|store| look_at(&store.name)));
            if there.is_empty() {
                return all;
            }
        }
        let best = there.first().or(away.first());
        let best = best.and_then(|l| Some((*l, self.topology.stores.get(&l.store)?)));
        match (best, need.unreadable.is_zero(), short) {
            (None, false, _) => all.push(self.link_another()),
            (Some((_, to)), false, Some(short)) => all.push(self.make_room(&to.name, short)),
            (Some((link, to)), false, None) if !link.policy.populate => {
                all.push(self.set(&to.name, LinkSetting::Populate, Target::On));
            }
            (Some((_, to)), true, _) => all.extend(self.drain_into(to)),
            (Some(_), false, None) | (None, true, _) => {}
        }
        all
    }

    fn set(&self, store: &StoreName, setting: LinkSetting, to: Target) -> Phrase {
        step(Remedy::set_link(self.scope.name.clone(), store.clone(), setting, to))
    }

    fn link_another(&self) -> Phrase {
        let scope = &self.scope.name;
        step(Remedy::LinkStore { scope: Some(scope.clone()), store: None })
            .text(format!(": scope {scope} has no other store that takes files"))
    }

    fn make_room(&self, to: &StoreName, short: u64) -> Phrase {
        let limits = [StoreSetting::MaxSize, StoreSetting::SoftMaxSize];
        let changes = limits.map(|limit| Change::new(limit, Target::Chosen)).to_vec();
        Phrase::new(format!(
            "make room for {} more in {to}: raise its limits with ",
            ByteSize(short)
        ))
        .command(Remedy::SetStore { store: to.clone(), changes })
        .text(", or the scope's with ")
        .then(self.set(to, LinkSetting::SoftMaxSize, Target::Chosen))
        .text(", or free the disk")
    }

    /// Everything is there already: what is left here may go.
    fn drain_into(&self, to: &Store) -> Vec<Phrase> {
        // What is populated elsewhere, such as an archive, has nothing to do with it.
        let concerned = |l: &&Link| l.policy.populate && [self.store.id, to.id].contains(&l.store);
        let populated = self.topology.links_of(self.scope.id).filter(concerned);
        let stores = populated.filter_map(|l| self.topology.stores.get(&l.store));
        let mut all: Vec<Phrase> =
            stores.map(|store| self.set(&store.name, LinkSetting::Populate, Target::Off)).collect();
        if self.link.is_some_and(|l| !l.policy.drain.is_on()) {
            let target = Target::Value(to.name.to_string());
            all.push(self.set(&self.store.name, LinkSetting::Drain, target));
        }
        all
    }
}

fn look_at(store: &StoreName) -> Phrase {
    step(Remedy::CheckStore { store: store.clone() })
        .text(format!(": {store} is unavailable, so nothing fits there now"))
}
