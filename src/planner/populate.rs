//! `populate`: the store has every live file of the scope (SPEC 7).

use super::decide::Decision;
use super::placement::{cannot_receive, source};
use super::plan::{Move, Reason};
use super::report::{Cause, Obstacle};
use super::usage::Usage;
use super::world::World;
use crate::domain::{File, ReplicaState, ScopeId, StoreId};

/// What the scope's populate policy on `store` asks for `file`.
pub fn populate(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    scope: ScopeId,
    store: StoreId,
) -> Decision {
    let settled = !matches!(file.state(store), Some(ReplicaState::Present | ReplicaState::Writing));
    if !file.is_live_in(scope) || !settled {
        return Decision::default();
    }
    let Some(from) = source(world, scope, file, store) else {
        return Decision::unmet(no_source(world, scope, file));
    };
    match cannot_receive(world, usage, file, store) {
        None => Decision::step(Move::copy(file, from, store, scope, Reason::Populate)),
        Some(Obstacle::NoRoom { limit }) => Decision::unmet(Cause::NoRoom { limit }),
        Some(Obstacle::Unavailable) => Decision::unmet(Cause::Unavailable),
        Some(_) => Decision::unmet(Cause::Unsettled),
    }
}

/// Why the scope cannot read the file: archived only, or no replica that can be used.
pub(super) fn no_source(world: &World<'_>, scope: ScopeId, file: &File) -> Cause {
    let archived =
        file.present().any(|s| world.link(scope, s).is_some_and(|l| l.policy.write_only));
    let readable =
        file.present().any(|s| world.link(scope, s).is_some_and(|l| !l.policy.write_only));
    if archived && !readable { Cause::OnlyWriteOnly } else { Cause::NoSource }
}
