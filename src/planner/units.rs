//! The pairs of scope and store that a phase goes through, and whether there is anything to do.

use super::clean_up::clean_up;
use super::decide::Decision;
use super::drain::drain;
use super::plan::Phase;
use super::populate::populate;
use super::shed::{shed_scope, shed_store};
use super::snapshot::Snapshot;
use super::usage::Usage;
use super::world::World;
use crate::domain::Count;
use crate::domain::{Drain, File, Link, ReplicaState, ScopeId, StoreId};

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
            let all = stores.iter().map(|s| Self { phase, scope: Some(scope.id), store: s.id });
            units.extend(all.filter(|unit| unit.is_asked_for(world)));
        }
        units
    }

    /// False once the store, the link or its policy was changed away.
    pub fn is_asked_for(self, world: &World<'_>) -> bool {
        match self.scope {
            Some(scope) => world.link(scope, self.store).is_some_and(|l| concerns(self.phase, l)),
            None => world.store(self.store).is_some(),
        }
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

/// What the unit's policy asks for one file.
pub(super) fn decide(world: &World<'_>, usage: &Usage, file: &File, unit: Unit) -> Decision {
    match (unit.phase, unit.scope) {
        (Phase::Populate, Some(scope)) => populate(world, usage, file, scope, unit.store),
        (Phase::DrainNamed | Phase::Drain, Some(scope)) => {
            drain(world, usage, file, scope, unit.store)
        }
        (Phase::ScopeLimit, Some(scope)) => shed_scope(world, usage, file, scope, unit.store),
        (Phase::StoreLimit, _) => shed_store(world, usage, file, unit.store),
        (_, _) => clean_up(world, file, unit.store),
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
    let corrupt = snapshot.marked_count(ReplicaState::Corrupt, unit.store)?;
    Ok(corrupt.is_zero() && !has_residual(snapshot, world, unit.store)?)
}

/// Whether some scope has files in the store and does not link it: only such a scope has residual
/// replicas, and most stores have none.
pub(super) fn has_residual<S: Snapshot>(
    snapshot: &S,
    world: &World<'_>,
    store: StoreId,
) -> Result<bool, S::Error> {
    for scope in world.topology.scopes.keys().filter(|s| world.link(**s, store).is_none()) {
        if !snapshot.link_count(*scope, store)?.is_zero() {
            return Ok(true);
        }
    }
    Ok(false)
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

/// What counters show to be ahead: an estimate for progress, never less than populate and drain have
/// to look at. Bytes above limits count without files.
pub fn ahead<S: Snapshot>(snapshot: &S, world: &World<'_>) -> Result<Count, S::Error> {
    let usage = snapshot.usage()?;
    let mut total = Count::default();
    for phase in Phase::ALL {
        for unit in Unit::all(phase, world) {
            let count = waiting(unit, snapshot, world, &usage)?;
            total.files = total.files.saturating_add(count.files);
            total.bytes = total.bytes.saturating_add(count.bytes);
        }
    }
    Ok(total)
}
