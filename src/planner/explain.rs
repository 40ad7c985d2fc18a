//! What a run would do with one file, and why: the answer of `file explain` (SPEC 9).

use super::decide::Decision;
use super::plan::Phase;
use super::units::{Unit, decide, limit_of, used};
use super::usage::Usage;
use super::world::World;
use crate::domain::{File, ScopeId, StoreId};

/// One policy's decision about the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub phase: Phase,
    pub scope: Option<ScopeId>,
    pub store: StoreId,
    pub decision: Decision,
}

/// The decisions of one pass that concern `file`, in the order of the phases, each seeing what the
/// ones before it did. A limit that is exceeded now is taken to reach this file, whatever files are
/// older; other files are taken to stay where they are.
pub fn explain(world: &World<'_>, usage: &Usage, file: &File) -> Vec<Verdict> {
    let (mut usage, mut file) = (usage.clone(), file.clone());
    let mut verdicts = Vec::new();
    for unit in Phase::ALL.into_iter().flat_map(|phase| Unit::all(phase, world)) {
        let is_met = limit_of(unit, world).is_none_or(|limit| used(unit, &usage) <= limit);
        if !world.is_available(unit.store) || (unit.phase.is_limit() && is_met) {
            continue;
        }
        let decision = decide(world, &usage, &file, unit);
        if decision == Decision::default() {
            continue;
        }
        for step in &decision.moves {
            let after = world.after(&file, step);
            usage.replace(&file, &after);
            file = after;
        }
        let Unit { phase, scope, store } = unit;
        verdicts.push(Verdict { phase, scope, store, decision });
    }
    verdicts
}
