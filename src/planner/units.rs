//! The pairs of scope and store that a phase goes through, and whether there is anything to do.

use super::plan::Phase;
use super::snapshot::Snapshot;
use super::usage::{Count, Usage};
use super::world::World;
use crate::domain::{Drain, Link, ScopeId, StoreId};

/// One policy of one link, or one store's limit or clean-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub phase: Phase,
    pub scope: Option<ScopeId>,
    pub store: StoreId,
}

impl Unit {
    /// The units of a phase: scopes by name, stores by name.
    pub fn all(phase: Phase, world: &World<'_>) -> Vec<Self> {
        let stores = world.topology.stores_by_name();
        if matches!(phase, Phase::CleanUp | Phase::StoreLimit) {
            return stores.iter().map(|s| Self { phase, scope: None, store: s.id }).collect();
        }
        let mut units = Vec::new();
        for scope in world.topology.scopes_by_name() {
            let links = stores.iter().filter_map(|s| world.link(scope.id, s.id));
            let concerned = links.filter(|l| concerns(phase, l));
            units.extend(concerned.map(|l| Self { phase, scope: Some(scope.id), store: l.store }));
        }
        units
    }
}

fn concerns(phase: Phase, link: &Link) -> bool {
    let policy = &link.policy;
    match phase {
        Phase::Populate => policy.populate && !policy.read_only && !policy.drain.is_on(),
        Phase::DrainNamed => matches!(policy.drain, Drain::Into(_)),
        Phase::Drain => policy.drain == Drain::Anywhere,
        Phase::ScopeLimit => policy.soft_max_size.is_some() && !policy.drain.is_on(),
        Phase::CleanUp | Phase::StoreLimit => false,
    }
}

/// True when counters alone show that the unit has nothing to do.
pub(super) fn is_idle<S: Snapshot>(
    unit: Unit,
    snapshot: &S,
    world: &World<'_>,
    usage: &Usage,
) -> Result<bool, S::Error> {
    if unit.phase != Phase::CleanUp {
        return Ok(waiting(unit, snapshot, world, usage)?.is_zero());
    }
    if !snapshot.marked_count(unit.store)?.is_zero() {
        return Ok(false);
    }
    // A residual replica belongs to a scope that does not link the store; most stores have none.
    for scope in world.topology.scopes.keys() {
        if world.link(*scope, unit.store).is_none()
            && !snapshot.link_count(*scope, unit.store)?.is_zero()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the unit has before it at most; for a limit, the excess in bytes.
pub(super) fn waiting<S: Snapshot>(
    unit: Unit,
    snapshot: &S,
    world: &World<'_>,
    usage: &Usage,
) -> Result<Count, S::Error> {
    match (unit.phase, unit.scope) {
        (Phase::Populate, Some(scope)) => snapshot.missing_count(scope, unit.store),
        (Phase::DrainNamed | Phase::Drain, Some(scope)) => snapshot.link_count(scope, unit.store),
        (Phase::ScopeLimit | Phase::StoreLimit, _) => {
            let limit = limit_of(unit, world).unwrap_or(u64::MAX);
            Ok(Count::new(0, used(unit, usage).saturating_sub(limit)))
        }
        _ => Ok(Count::default()),
    }
}

/// The limit that the unit sheds to, bytes.
pub(super) fn limit_of(unit: Unit, world: &World<'_>) -> Option<u64> {
    match (unit.phase, unit.scope) {
        (Phase::ScopeLimit, Some(scope)) => world.link(scope, unit.store)?.policy.soft_max_size,
        (Phase::StoreLimit, _) => world.store(unit.store)?.shed_limit(),
        _ => None,
    }
}

/// The bytes that the limit is compared with.
pub(super) fn used(unit: Unit, usage: &Usage) -> u64 {
    match unit.scope {
        Some(scope) => usage.scope(scope, unit.store),
        None => usage.present(unit.store),
    }
}
