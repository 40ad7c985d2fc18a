//! The one rule for removal (SPEC 7): drain, shedding and clean-up ask it while they plan, and the
//! executor asks it again in the write transaction that gives the replica up.

use serde::Serialize;

use super::world::World;
use crate::domain::{File, ReplicaState, ScopeId, StoreId, Topology};

/// Why a replica has to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// The scope populates the store.
    Populate { scope: ScopeId },
    /// The scope drains `from` into the store by name.
    DrainTarget { scope: ScopeId, from: StoreId },
    /// The scope drains the store into `target`, which lacks the file (or does not exist).
    NotInTarget { scope: ScopeId, target: Option<StoreId> },
    /// The scope keeps no other replica that counts.
    OnlyReplica { scope: ScopeId },
    /// No scope at all keeps another replica that counts.
    LastReplica,
}

impl Pin {
    /// The scope that holds the replica; `None` when it is nobody's in particular.
    pub fn scope(self) -> Option<ScopeId> {
        match self {
            Self::Populate { scope }
            | Self::DrainTarget { scope, .. }
            | Self::NotInTarget { scope, .. }
            | Self::OnlyReplica { scope } => Some(scope),
            Self::LastReplica => None,
        }
    }

    /// True when a copy elsewhere could loosen the pin.
    pub fn wants_a_copy(self) -> bool {
        match self {
            Self::OnlyReplica { .. } | Self::LastReplica | Self::NotInTarget { .. } => true,
            Self::Populate { .. } | Self::DrainTarget { .. } => false,
        }
    }

    /// The reason in words.
    pub fn text(self, topology: &Topology) -> String {
        match self {
            Self::Populate { scope } => {
                format!("scope {} populates the store", topology.scope_name(scope))
            }
            Self::DrainTarget { scope, from } => format!(
                "scope {} drains {} into the store",
                topology.scope_name(scope),
                topology.store_name(from)
            ),
            Self::NotInTarget { scope, target } => format!(
                "scope {} drains the store into {}, which does not have the file yet",
                topology.scope_name(scope),
                target.map_or_else(|| "?".to_owned(), |t| topology.store_name(t))
            ),
            Self::OnlyReplica { scope } => format!(
                "scope {} keeps no other readable replica that counts: one that is verified, in an \
                 available store, and in none that the scope drains",
                topology.scope_name(scope)
            ),
            Self::LastReplica => "no scope keeps another readable replica".to_owned(),
        }
    }
}

/// Planning takes a present row at its word; the executor asks the stores.
pub const CONFIRMED: &dyn Fn(StoreId) -> bool = &|_| true;

/// Whether `file`'s replica in `store` may go. `confirmed` tells whether the replica in a store was
/// seen there with the right size in this run. `Err` holds every reason to keep it, by scope id.
///
/// A corrupt replica serves nobody: it goes as soon as the file has a good one, unless populate is
/// going to rewrite it.
pub fn removable(
    world: &World<'_>,
    file: &File,
    store: StoreId,
    confirmed: &dyn Fn(StoreId) -> bool,
) -> Result<(), Vec<Pin>> {
    let corrupt = file.state(store) == Some(ReplicaState::Corrupt);
    let mut pins = Vec::new();
    let mut kept = false;
    for scope in file.scopes() {
        let keeps = keeps_another(world, file, scope, store, confirmed);
        kept |= keeps;
        if corrupt {
            pins.extend(rewritten_by(world, file, scope, store));
        } else {
            pins.extend(pins_of(world, file, scope, store, keeps, confirmed));
        }
    }
    if !kept {
        pins.push(Pin::LastReplica);
    }
    if pins.is_empty() { Ok(()) } else { Err(pins) }
}

fn rewritten_by(world: &World<'_>, file: &File, scope: ScopeId, store: StoreId) -> Option<Pin> {
    let link = world.link(scope, store)?;
    (link.policy.populate && file.is_live_in(scope)).then_some(Pin::Populate { scope })
}

fn pins_of(
    world: &World<'_>,
    file: &File,
    scope: ScopeId,
    store: StoreId,
    keeps_another: bool,
    confirmed: &dyn Fn(StoreId) -> bool,
) -> Vec<Pin> {
    let Some(link) = world.link(scope, store) else { return Vec::new() };
    let mut pins = Vec::new();
    if link.policy.populate {
        pins.push(Pin::Populate { scope });
    }
    if let Some(from) = world.drained_into(scope, store) {
        pins.push(Pin::DrainTarget { scope, from });
    }
    if link.policy.drain.target().is_some() {
        let target = world.named_target(link);
        let arrived = |t: StoreId| file.is_present(t) && world.is_available(t) && confirmed(t);
        if !target.is_some_and(arrived) {
            pins.push(Pin::NotInTarget { scope, target });
        }
    }
    if !keeps_another {
        pins.push(Pin::OnlyReplica { scope });
    }
    pins
}

/// Whether the scope keeps a readable replica that counts, besides the one in `store`.
pub fn keeps_another(
    world: &World<'_>,
    file: &File,
    scope: ScopeId,
    store: StoreId,
    confirmed: &dyn Fn(StoreId) -> bool,
) -> bool {
    file.replicas.iter().any(|r| {
        r.store != store
            && r.state == ReplicaState::Present
            && r.verified_at.is_some()
            && world.is_available(r.store)
            && world
                .link(scope, r.store)
                .is_some_and(|l| !l.policy.write_only && !l.policy.drain.is_on())
            && confirmed(r.store)
    })
}
