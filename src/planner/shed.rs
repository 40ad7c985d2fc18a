//! Soft limits: the least recently used files leave a store, if they can (SPEC 7).

use super::decide::{Decision, Note};
use super::drain::kept;
use super::placement::{source, targets};
use super::plan::{Move, Reason};
use super::populate::no_source;
use super::removal::{CONFIRMED, Pin, keeps_another, removable};
use super::report::{Cause, Obstacle};
use super::usage::Usage;
use super::world::World;
use crate::domain::{File, ScopeId, StoreId};

/// How `file` can leave `store` when the scope holds too much there: at once, with one copy to a
/// store of the scope, or not.
pub fn shed_scope(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    scope: ScopeId,
    store: StoreId,
) -> Decision {
    if !file.is_present(store) || file.member(scope).is_none() {
        return Decision::default();
    }
    let Err(pins) = removable(world, file, store, CONFIRMED) else {
        return Decision::step(Move::remove(file, store, Some(scope), Reason::ScopeLimit));
    };
    let fixed: Vec<_> = pins.iter().copied().filter(|p| !p.wants_a_copy()).collect();
    if let Some(own) = fixed.iter().find(|p| p.scope() == Some(scope)) {
        return Decision::unmet(Cause::Pinned { pin: *own });
    }
    if !fixed.is_empty() {
        return Decision::noted(kept(scope, &fixed));
    }
    let found = targets(world, usage, scope, file, store);
    let list = found.as_deref().unwrap_or_default();
    let leftover = |to: StoreId| removable(world, &world.with_copy(file, to), store, CONFIRMED);
    if let Some(to) = list.iter().copied().find(|to| leftover(*to).is_ok()) {
        return match source(world, scope, file, to) {
            Some(from) => Decision::step(
                Move::copy(file, from, to, scope, Reason::ScopeLimit).then_remove(store),
            ),
            None => Decision::unmet(no_source(world, scope, file)),
        };
    }
    let needed = pins.contains(&Pin::OnlyReplica { scope });
    let note = match (found, needed) {
        (Err(cause), true) => return Decision::unmet(cause),
        (Err(_), false) => kept(scope, &pins),
        (Ok(list), _) => {
            let still = list.first().and_then(|to| leftover(*to).err()).unwrap_or(pins);
            kept(scope, &still)
        }
    };
    Decision::noted(note)
}

/// How `file` can leave `store` when the store as a whole holds too much: every scope that reads it
/// there gets it elsewhere first.
pub fn shed_store(world: &World<'_>, usage: &Usage, file: &File, store: StoreId) -> Decision {
    if !file.is_present(store) {
        return Decision::default();
    }
    let mut links = file.scopes().filter_map(|s| world.link(s, store)).peekable();
    if links.peek().is_some() && links.all(|l| l.policy.drain.is_on()) {
        return Decision::noted(Note::LeftToDrain);
    }
    let Err(pins) = removable(world, file, store, CONFIRMED) else {
        return Decision::step(Move::remove(file, store, None, Reason::StoreLimit));
    };
    if let Some(fixed) = pins.iter().find(|p| !p.wants_a_copy()) {
        return Decision::unmet(Cause::Pinned { pin: *fixed });
    }
    let copies = match copies_for_all(world, usage, file, store) {
        Ok(copies) => copies,
        Err(cause) => return Decision::unmet(cause),
    };
    let mut after = file.clone();
    for step in &copies {
        after = world.after(&after, step);
    }
    if let Err(pins) = removable(world, &after, store, CONFIRMED) {
        return Decision::unmet(Cause::Pinned { pin: pins[0] });
    }
    let mut moves = copies;
    if let Some(last) = moves.pop() {
        moves.push(last.then_remove(store));
    }
    Decision { moves, note: None }
}

/// One copy that serves every reader of the replica, or else one for each that still lacks one.
fn copies_for_all(
    world: &World<'_>,
    usage: &Usage,
    file: &File,
    store: StoreId,
) -> Result<Vec<Move>, Cause> {
    let readers = readers(world, file, store);
    for via in &readers {
        let list = targets(world, usage, *via, file, store).unwrap_or_default();
        let frees = |to: &StoreId| removable(world, &world.with_copy(file, *to), store, CONFIRMED);
        if let Some(to) = list.into_iter().find(|to| frees(to).is_ok()) {
            return Ok(vec![copy(world, file, *via, to)?]);
        }
    }
    let (mut usage, mut file) = (usage.clone(), file.clone());
    let mut copies = Vec::new();
    for via in &readers {
        if keeps_another(world, &file, *via, store, CONFIRMED) {
            continue;
        }
        let list = targets(world, &usage, *via, &file, store)?;
        let none = Cause::NoTarget { store, obstacle: Obstacle::NoneAccepts };
        let step = copy(world, &file, *via, *list.first().ok_or(none)?)?;
        let after = world.after(&file, &step);
        usage.replace(&file, &after);
        file = after;
        copies.push(step);
    }
    Ok(copies)
}

/// Scopes that read the file in `store` and keep no other replica that counts, by name.
fn readers(world: &World<'_>, file: &File, store: StoreId) -> Vec<ScopeId> {
    let mut readers: Vec<_> = file
        .scopes()
        .filter(|s| reads(world, *s, store))
        .filter(|s| !keeps_another(world, file, *s, store, CONFIRMED))
        .collect();
    readers.sort_by_key(|s| world.topology.scopes.get(s).map(|s| &s.name));
    readers
}

fn reads(world: &World<'_>, scope: ScopeId, store: StoreId) -> bool {
    world.link(scope, store).is_some_and(|l| !l.policy.write_only)
}

fn copy(world: &World<'_>, file: &File, via: ScopeId, to: StoreId) -> Result<Move, Cause> {
    let from = source(world, via, file, to).ok_or_else(|| no_source(world, via, file))?;
    Ok(Move { scope: None, ..Move::copy(file, from, to, via, Reason::StoreLimit) })
}
