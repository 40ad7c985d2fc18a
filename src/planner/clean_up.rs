//! Residual replicas, and corrupt ones whose file has a good one elsewhere (SPEC 7).

use super::decide::{Decision, Note};
use super::plan::{Move, Reason};
use super::removal::{CONFIRMED, removable};
use super::report::Cause;
use super::world::World;
use crate::domain::{File, ReplicaState, StoreId};

/// What becomes of a replica that no policy covers. Files that no scope has are not its business,
/// nor those held by tombstones of deleted scopes only: they are deleted as unreferenced.
pub fn clean_up(world: &World<'_>, file: &File, store: StoreId) -> Decision {
    if !file.scopes().any(|scope| world.topology.scopes.contains_key(&scope)) {
        return Decision::default();
    }
    match file.state(store) {
        Some(ReplicaState::Corrupt) => match removable(world, file, store, CONFIRMED) {
            Ok(()) => Decision::step(Move::remove(file, store, None, Reason::Corrupt)),
            // Marked replicas are reported as such at the end of the run.
            Err(_) => Decision::default(),
        },
        Some(ReplicaState::Present) if is_residual(world, file, store) => {
            residual(world, file, store)
        }
        _ => Decision::default(),
    }
}

/// True when no scope that has the file links the store.
pub fn is_residual(world: &World<'_>, file: &File, store: StoreId) -> bool {
    file.scopes().all(|scope| world.link(scope, store).is_none())
}

fn residual(world: &World<'_>, file: &File, store: StoreId) -> Decision {
    if removable(world, file, store, CONFIRMED).is_err() {
        return Decision::unmet(Cause::Stranded);
    }
    let unlinked = file.scopes().filter_map(|s| world.topology.unlinked.get(&(s, store))).max();
    if unlinked.is_some_and(|at| world.now.since(*at) < world.grace) {
        return Decision::noted(Note::InGrace);
    }
    Decision::step(Move::remove(file, store, None, Reason::Residual))
}
