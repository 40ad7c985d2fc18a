//! Which stores serve, take and receive files: the orders of SPEC 4 and 5 and the targets of
//! SPEC 7. Requests and the planner use the same functions.

use std::cmp::Reverse;

use super::report::{Cause, Limit, Obstacle};
use super::usage::Usage;
use super::world::World;
use crate::domain::{File, Link, ReplicaState, ScopeId, StoreId, StoreName, Topology};

/// The scope's links that accept uploads, best first: upload priority descending, null lowest, then
/// store name. Whether a store is available and has room is the caller's question.
pub fn upload_order(topology: &Topology, scope: ScopeId) -> Vec<&Link> {
    let mut links: Vec<_> =
        topology.links_of(scope).filter(|l| l.policy.accepts_uploads()).collect();
    links.sort_by_key(|l| (Reverse(l.upload_priority), name(topology, l.store)));
    links
}

/// The stores that can serve `file` to the scope, best first: links that are not `write_only`, with a
/// present replica; download priority descending, then upload priority descending, null lowest in
/// both, then store name.
pub fn download_order(topology: &Topology, scope: ScopeId, file: &File) -> Vec<StoreId> {
    let mut links: Vec<_> = file
        .present()
        .filter_map(|store| topology.link(scope, store))
        .filter(|l| !l.policy.write_only)
        .collect();
    links.sort_by_key(|l| {
        (Reverse(l.download_priority), Reverse(l.upload_priority), name(topology, l.store))
    });
    links.into_iter().map(|l| l.store).collect()
}

fn name(topology: &Topology, store: StoreId) -> Option<&StoreName> {
    topology.stores.get(&store).map(|s| &s.name)
}

/// Whether `size` more bytes fit under a limit. Equal fits.
pub fn fits(used: u64, size: u64, limit: Option<u64>) -> bool {
    limit.is_none_or(|limit| used.checked_add(size).is_some_and(|total| total <= limit))
}

/// The limit that forbids a replica of `file` in `store`; `None` when it fits under all of them.
/// Of several the tightest, so that one store reports one cause.
pub fn blocking_limit(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    store: StoreId,
) -> Option<Limit> {
    let config = world.store(store)?;
    // A corrupt row's bytes are replaced, not added to.
    let counted = file.state(store) == Some(ReplicaState::Corrupt);
    let hard = usage.hard(store).saturating_sub(if counted { file.size } else { 0 });
    let incoming = usage.incoming(store);
    let present = usage.present(store).saturating_add(incoming);
    let scopes = file.scopes().filter_map(|scope| {
        let limit = world.link(scope, store)?.policy.soft_max_size?;
        Some((usage.scope(scope, store), limit, Limit::Scope { scope }))
    });
    let own = [
        config.max_size.map(|limit| (hard, limit, Limit::Max)),
        config.soft_max_size.map(|limit| (present, limit, Limit::Soft)),
    ];
    own.into_iter()
        .flatten()
        .chain(scopes)
        .filter(|(used, limit, _)| !fits(*used, file.size, Some(*limit)))
        .min_by_key(|(used, limit, _)| limit.saturating_sub(*used))
        .map(|(_, _, kind)| kind)
}

/// The source of a copy to `target`: the first store in the scope's download order that can be used
/// now. `write_only` stores are never read.
pub fn source(world: &World<'_>, scope: ScopeId, file: &File, target: StoreId) -> Option<StoreId> {
    download_order(world.topology, scope, file)
        .into_iter()
        .find(|store| *store != target && world.is_available(*store))
}

/// Whether any source serves the scope now.
pub fn is_readable(world: &World<'_>, scope: ScopeId, file: &File) -> bool {
    download_order(world.topology, scope, file).into_iter().any(|s| world.is_available(s))
}

/// Stores of the scope that may receive `file` when it leaves `leaving`, best first (SPEC 7,
/// targets for `drain: true` and for shedding). `Err` is the `NoTarget` that names what stands in the
/// way of the one that came closest.
pub fn targets(
    world: &World<'_>,
    usage: &Usage,
    scope: ScopeId,
    file: &File,
    leaving: StoreId,
) -> Result<Vec<StoreId>, Cause> {
    let mut found = Vec::new();
    let mut nearest = (Obstacle::NoneAccepts, leaving);
    for link in upload_order(world.topology, scope) {
        if link.store == leaving {
            continue;
        }
        match obstacle(world, usage, file, link.store) {
            None => found.push(link.store),
            Some(o) if o > nearest.0 => nearest = (o, link.store),
            Some(_) => {}
        }
    }
    let (obstacle, store) = nearest;
    if found.is_empty() { Err(Cause::NoTarget { store, obstacle }) } else { Ok(found) }
}

fn obstacle(world: &World<'_>, usage: &Usage, file: &File, store: StoreId) -> Option<Obstacle> {
    let drainer = file.scopes().find(|scope| world.drains(*scope, store));
    if let Some(scope) = drainer {
        return Some(Obstacle::Draining { scope });
    }
    if !world.proves_writes(store) {
        return Some(Obstacle::Unproven);
    }
    cannot_receive(world, usage, file, store)
}

/// What bars any copy of `file` into `store`, whoever asks for it.
pub fn cannot_receive(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    store: StoreId,
) -> Option<Obstacle> {
    match file.state(store) {
        Some(ReplicaState::Present) => return Some(Obstacle::Holds),
        Some(ReplicaState::Writing | ReplicaState::Deleting) => return Some(Obstacle::Unsettled),
        Some(ReplicaState::Missing | ReplicaState::Corrupt) | None => {}
    }
    if !world.is_available(store) {
        return Some(Obstacle::Unavailable);
    }
    if file.departed_in(world.run, store) {
        return Some(Obstacle::Departed);
    }
    blocking_limit(world, usage, file, store).map(|limit| Obstacle::NoRoom { limit })
}

/// What bars the scope's named drain from putting `file` into `target`.
pub fn named_obstacle(
    world: &World<'_>,
    usage: &Usage,
    scope: ScopeId,
    file: &File,
    target: StoreId,
) -> Option<Obstacle> {
    let Some(link) = world.link(scope, target) else { return Some(Obstacle::NotLinked) };
    if link.policy.read_only {
        return Some(Obstacle::ReadOnly);
    }
    if link.policy.write_only {
        return Some(Obstacle::WriteOnly);
    }
    if link.policy.drain.is_on() {
        return Some(Obstacle::Draining { scope });
    }
    cannot_receive(world, usage, file, target)
}
