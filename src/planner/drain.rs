//! `drain`: the scope's files leave the store, for anywhere or for a named store (SPEC 7).

use super::decide::{Decision, Note};
use super::placement::{is_readable, named_obstacle, source, targets};
use super::plan::{Move, Reason};
use super::populate::no_source;
use super::removal::{CONFIRMED, Pin, keeps_another, removable};
use super::report::{Cause, Obstacle};
use super::usage::Usage;
use super::world::World;
use crate::domain::{Drain, File, Link, ScopeId, StoreId};

/// What the scope's drain of `store` asks for `file`, tombstoned or not.
pub fn drain(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    scope: ScopeId,
    store: StoreId,
) -> Decision {
    let Some(link) = world.link(scope, store) else { return Decision::default() };
    if !link.policy.drain.is_on() || !file.is_present(store) || file.member(scope).is_none() {
        return Decision::default();
    }
    let Err(pins) = removable(world, file, store, CONFIRMED) else {
        return Decision::step(Move::remove(file, store, Some(scope), reason(link)));
    };
    match copy_wanted(world, usage, file, link) {
        Ok(None) => Decision::noted(kept(scope, &pins)),
        Ok(Some(to)) => copy_out(world, file, link, to),
        Err(cause) => Decision::unmet(cause),
    }
}

fn reason(link: &Link) -> Reason {
    if link.policy.drain == Drain::Anywhere { Reason::Drain } else { Reason::DrainNamed }
}

/// The store that must receive the file first; `None` when the scope has it where it should be.
fn copy_wanted(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    link: &Link,
) -> Result<Option<StoreId>, Cause> {
    if link.policy.drain == Drain::Anywhere {
        if keeps_another(world, file, link.scope, link.store, CONFIRMED) {
            return Ok(None);
        }
        return best_target(world, usage, file, link).map(Some);
    }
    let target = world.named_target(link);
    let blocked = |obstacle| Cause::NamedTarget { target, obstacle };
    let to = target.ok_or_else(|| blocked(Obstacle::NotLinked))?;
    if file.is_present(to) {
        let reachable = world.is_available(to);
        return if reachable { Ok(None) } else { Err(blocked(Obstacle::Unavailable)) };
    }
    match named_obstacle(world, usage, link.scope, file, to) {
        None => Ok(Some(to)),
        Some(obstacle) => Err(blocked(obstacle)),
    }
}

/// A file that the scope may not read is reported as such, whatever targets there are.
fn best_target(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    link: &Link,
) -> Result<StoreId, Cause> {
    if !is_readable(world, link.scope, file) {
        return Err(no_source(world, link.scope, file));
    }
    let list = targets(world, usage, link.scope, file, link.store)?;
    let none = Cause::NoTarget { store: link.store, obstacle: Obstacle::NoneAccepts };
    list.first().copied().ok_or(none)
}

/// Copies even when other scopes keep the source: their pins may go one day, the copy is there then.
fn copy_out(world: &World<'_>, file: &File, link: &Link, to: StoreId) -> Decision {
    let Some(from) = source(world, link.scope, file, to) else {
        return Decision::unmet(no_source(world, link.scope, file));
    };
    let copy = Move::copy(file, from, to, link.scope, reason(link));
    match removable(world, &world.with_copy(file, to), link.store, CONFIRMED) {
        Ok(()) => Decision::step(copy.then_remove(link.store)),
        Err(pins) => Decision { moves: vec![copy], note: Some(kept(link.scope, &pins)) },
    }
}

/// Kept for other scopes when any of them pins the replica; else the scope blocks itself.
pub(super) fn kept(scope: ScopeId, pins: &[Pin]) -> Note {
    let mut others: Vec<_> =
        pins.iter().filter_map(|p| p.scope()).filter(|s| *s != scope).collect();
    others.dedup();
    if others.is_empty() {
        let pin = pins.first().copied().unwrap_or(Pin::LastReplica);
        Note::Unmet(Cause::Pinned { pin })
    } else {
        Note::Retained(others)
    }
}
