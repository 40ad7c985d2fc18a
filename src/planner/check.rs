//! A second opinion on a batch, written without the planner's own rules: what no move may do.

use serde::Serialize;

use super::plan::{Action, Batch, Move, MoveResult};
use super::report::Cause;
use super::snapshot::Snapshot;
use super::usage::Usage;
use super::world::World;
use crate::domain::{File, FileId, ReplicaState, ScopeId, StoreId};

/// A rule that a move breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    #[error("the file is gone")]
    NoFile,
    #[error("the move lacks its source, its target or the scope that carries it")]
    Incomplete,
    #[error("the source has no replica that the scope may read")]
    Unreadable,
    #[error("the target holds the file already")]
    Held,
    #[error("the target is not linked to the scope, or takes no files from it")]
    Closed,
    #[error("the target is drained by a scope that has the file")]
    Drained,
    #[error("the store is unavailable")]
    Unavailable,
    #[error("the file was removed from the target in this run")]
    Returned,
    #[error("the target would be over a limit")]
    OverLimit,
    #[error("no replica to remove")]
    NothingToRemove,
    #[error("the scope populates the store")]
    Populated,
    #[error("a scope would lose its last readable replica")]
    LostReader,
    #[error("the last readable replica would go")]
    LostFile,
    #[error("a copy goes into a store that the batch empties")]
    EntersEmptied,
}

/// A batch in which no move breaks a rule: the only one that may be executed.
#[derive(Debug)]
pub struct Checked(Batch);

impl Checked {
    pub fn batch(&self) -> &Batch {
        &self.0
    }
}

/// A batch of which nothing may be done, since some of its moves break rules: the planner has a
/// defect, and its other moves deserve no trust either.
#[derive(Debug)]
pub struct Refused {
    pub batch: Batch,
    /// Never empty.
    pub broken: Vec<(Move, Violation)>,
}

impl Refused {
    /// What became of the moves: each failed, by the first rule that was broken.
    pub fn results(&self) -> Vec<MoveResult> {
        let refused = |(_, violation): &(Move, Violation)| MoveResult::Failed {
            store: None,
            cause: Cause::Refused { violation: *violation },
        };
        let result = self.broken.first().map_or(MoveResult::Skipped, refused);
        vec![result; self.batch.moves.len()]
    }
}

/// What stands before the executor. `snapshot` and `world` are those that the batch was planned with.
pub fn admit<S: Snapshot>(
    batch: Batch,
    snapshot: &S,
    world: &World<'_>,
) -> Result<Result<Checked, Refused>, S::Error> {
    let broken = check(&batch, snapshot, world)?;
    Ok(if broken.is_empty() { Ok(Checked(batch)) } else { Err(Refused { batch, broken }) })
}

/// Simulates the batch from `snapshot` and returns every move that breaks a rule.
pub fn check<S: Snapshot>(
    batch: &Batch,
    snapshot: &S,
    world: &World<'_>,
) -> Result<Vec<(Move, Violation)>, S::Error> {
    let mut usage = snapshot.usage()?;
    let mut files = std::collections::BTreeMap::<FileId, File>::new();
    let mut found = Vec::new();
    for step in &batch.moves {
        let known = match files.remove(&step.file) {
            Some(file) => Some(file),
            None => snapshot.file(step.file)?,
        };
        let Some(file) = known else {
            found.push((step.clone(), Violation::NoFile));
            continue;
        };
        let after = world.after(&file, step);
        usage.replace(&file, &after);
        let broken = broken_rules(world, &usage, batch, step, &file, &after);
        found.extend(broken.into_iter().map(|v| (step.clone(), v)));
        files.insert(after.id, after);
    }
    Ok(found)
}

fn broken_rules(
    world: &World<'_>,
    usage: &Usage,
    batch: &Batch,
    step: &Move,
    before: &File,
    after: &File,
) -> Vec<Violation> {
    let mut broken = Vec::new();
    if step.action != Action::Remove {
        let emptied = batch.moves.iter().any(|m| m.leaves().is_some() && m.leaves() == step.to);
        broken.extend(emptied.then_some(Violation::EntersEmptied));
        match (step.from, step.to, step.via) {
            (Some(_), Some(to), Some(via)) => {
                broken.extend(arrival(world, usage, step, before, to, via));
            }
            _ => broken.push(Violation::Incomplete),
        }
    }
    if let Some(from) = step.leaves() {
        broken.extend(departure(world, before, after, from));
    } else if step.action != Action::Copy {
        broken.push(Violation::Incomplete);
    }
    broken
}

fn arrival(
    world: &World<'_>,
    usage: &Usage,
    step: &Move,
    before: &File,
    to: StoreId,
    via: ScopeId,
) -> Vec<Violation> {
    let populates = world.link(via, to).is_some_and(|l| l.policy.populate);
    let open = world
        .link(via, to)
        .is_some_and(|l| !l.policy.read_only && (populates || !l.policy.write_only));
    let readable = before
        .present()
        .any(|s| s != to && !world.unavailable.contains(&s) && reads(world, via, s));
    // A populate policy or a named drain may fill a store that another scope empties.
    let deliberate = populates || world.drained_into(via, to).is_some();
    let drained = world.drains(via, to)
        || (!deliberate && before.scopes().any(|scope| world.drains(scope, to)));
    let read_from_closed =
        step.action == Action::Copy && !step.from.is_some_and(|s| reads(world, via, s));
    let rules = [
        (!readable || read_from_closed, Violation::Unreadable),
        (before.is_present(to), Violation::Held),
        (!open, Violation::Closed),
        (drained, Violation::Drained),
        (world.unavailable.contains(&to), Violation::Unavailable),
        (before.departed_in(world.run, to), Violation::Returned),
        (over_limit(world, usage, before, to), Violation::OverLimit),
    ];
    rules.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, v)| v).collect()
}

fn over_limit(world: &World<'_>, usage: &Usage, file: &File, store: StoreId) -> bool {
    let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
    let Some(config) = world.store(store) else { return true };
    over(usage.hard(store), config.max_size)
        || over(usage.present(store), config.soft_max_size)
        || file.scopes().any(|scope| {
            let limit = world.link(scope, store).and_then(|l| l.policy.soft_max_size);
            over(usage.scope(scope, store), limit)
        })
}

fn departure(world: &World<'_>, before: &File, after: &File, from: StoreId) -> Vec<Violation> {
    let mut broken = Vec::new();
    let corrupt = before.state(from) == Some(ReplicaState::Corrupt);
    if !before.is_present(from) && !corrupt {
        broken.push(Violation::NothingToRemove);
    }
    let populated = |s: ScopeId| world.link(s, from).is_some_and(|l| l.policy.populate);
    if !corrupt && before.scopes().any(populated) {
        broken.push(Violation::Populated);
    }
    let can_read = |file: &File, scope: ScopeId| {
        file.present().any(|s| !world.unavailable.contains(&s) && reads(world, scope, s))
    };
    if before.scopes().any(|s| can_read(before, s) && !can_read(after, s)) {
        broken.push(Violation::LostReader);
    }
    if !after.scopes().any(|s| can_read(after, s)) {
        broken.push(Violation::LostFile);
    }
    if world.unavailable.contains(&from) {
        broken.push(Violation::Unavailable);
    }
    broken
}

fn reads(world: &World<'_>, scope: ScopeId, store: StoreId) -> bool {
    world.link(scope, store).is_some_and(|l| !l.policy.write_only)
}
