//! The books of a run: classes of errors, what is retained for whom, what was done.

use std::collections::BTreeMap;

use super::plan::{Action, Batch, Move, MoveResult, Phase};
use super::report::{Cause, ErrorClass, Limit, Obstacle, Over, Report, Retained};
use crate::domain::Count;
use crate::domain::{Digest, File, ScopeId, StoreId, Topology};

/// Digests shown per class of errors.
pub(super) const SHOWN_DIGESTS: usize = 10;

/// Classes of execution failures kept apart; later ones share a class. Their texts come from file
/// systems and providers, so their number is not ours to bound.
const FAILURE_CLASSES: usize = 100;

/// What a class of errors is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub phase: Phase,
    pub scope: Option<ScopeId>,
    pub store: StoreId,
}

#[derive(Debug, Clone)]
struct Class {
    cause: Cause,
    count: Count,
    digests: Vec<Digest>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    done: Report,
    /// As of this pass.
    unmet: BTreeMap<(Place, Cause), Class>,
    retained: BTreeMap<(Place, ScopeId), Count>,
    retained_total: Count,
    /// Of the whole run.
    failed: BTreeMap<(Place, Cause), Class>,
}

impl Ledger {
    /// A new pass looks at everything again: what is unmet is found anew.
    pub fn begin_pass(&mut self) {
        self.done.passes += 1;
        self.unmet.clear();
        self.retained.clear();
        self.retained_total = Count::default();
    }

    pub fn passes(&self) -> u32 {
        self.done.passes
    }

    pub fn unmet(&mut self, place: Place, cause: Cause, file: &File) {
        enter(&mut self.unmet, place, cause, Count::new(1, file.size), &[file.digest]);
    }

    /// A whole class at once, with digests the caller has collected.
    pub fn unmet_all(&mut self, place: Place, cause: Cause, count: Count, digests: &[Digest]) {
        enter(&mut self.unmet, place, cause, count, digests);
    }

    pub fn retained(&mut self, place: Place, kept_for: &[ScopeId], file: &File) {
        self.retained_total.add(file.size);
        for scope in kept_for {
            self.retained.entry((place, *scope)).or_default().add(file.size);
        }
    }

    /// Books the outcome of `step`. A copy that a later move of the same file completes is part of
    /// that move, which counts once.
    pub fn result(&mut self, batch: &Batch, step: &Move, result: &MoveResult, completes: bool) {
        let counter = match (result, step.action) {
            (MoveResult::Done, Action::Copy) if completes => return,
            (MoveResult::Done | MoveResult::Copied, Action::Copy)
            | (MoveResult::Copied, Action::Move) => &mut self.done.copied,
            (MoveResult::Done, Action::Move) => &mut self.done.moved,
            (MoveResult::Done, Action::Remove) => &mut self.done.removed,
            (MoveResult::Copied, Action::Remove) | (MoveResult::Skipped, _) => return,
            (MoveResult::Failed { store, cause }, _) => {
                let place = Place {
                    phase: batch.phase,
                    scope: batch.scope,
                    store: store.unwrap_or(batch.store),
                };
                return self.failure(place, cause, step);
            }
        };
        counter.add(step.size);
    }

    fn failure(&mut self, place: Place, cause: &Cause, step: &Move) {
        let mut cause = cause.clone();
        if self.failed.len() >= FAILURE_CLASSES
            && !self.failed.contains_key(&(place, cause.clone()))
        {
            cause = Cause::from("other failures, see the log");
        }
        enter(&mut self.failed, place, cause, Count::new(1, step.size), &[step.digest]);
    }

    pub fn report(self, topology: &Topology) -> Report {
        let class = |((place, _), class): ((Place, Cause), Class)| {
            let scope = place.scope.and_then(|s| topology.scopes.get(&s)).map(|s| s.name.clone());
            let store = topology.stores.get(&place.store).map(|s| s.name.clone());
            ErrorClass {
                phase: place.phase,
                message: class.cause.text(topology),
                remedy: class.cause.remedy(scope.as_ref(), store.as_ref(), topology),
                scope,
                store,
                cause: class.cause,
                count: class.count,
                digests: class.digests,
            }
        };
        let kept = |((place, kept_for), count): ((Place, ScopeId), Count)| {
            Some(Retained {
                phase: place.phase,
                scope: place.scope.and_then(|s| topology.scopes.get(&s)).map(|s| s.name.clone()),
                store: topology.stores.get(&place.store)?.name.clone(),
                kept_for: topology.scopes.get(&kept_for)?.name.clone(),
                count,
            })
        };
        Report {
            retained: self.retained_total,
            retained_for: self.retained.into_iter().filter_map(kept).collect(),
            errors: self.unmet.into_iter().chain(self.failed).map(class).collect(),
            ..self.done
        }
    }
}

fn enter(
    classes: &mut BTreeMap<(Place, Cause), Class>,
    place: Place,
    cause: Cause,
    count: Count,
    digests: &[Digest],
) {
    let class = classes.entry((place, class_of(&cause))).or_insert_with(|| Class {
        cause,
        count: Count::default(),
        digests: Vec::new(),
    });
    class.count.files += count.files;
    class.count.bytes = class.count.bytes.saturating_add(count.bytes);
    let room = SHOWN_DIGESTS.saturating_sub(class.digests.len());
    class.digests.extend(digests.iter().take(room));
}

/// Files of one class may meet different limits; "no room" is one cause all the same, shown with
/// the first limit met (SPEC 7: one summary error).
fn class_of(cause: &Cause) -> Cause {
    let merged = |obstacle: &Obstacle| match obstacle {
        Obstacle::NoRoom { .. } => Obstacle::NoRoom { limit: Limit::Max },
        other => *other,
    };
    match cause {
        Cause::NoRoom { .. } => Cause::NoRoom { limit: Limit::Max },
        Cause::NoTarget { obstacle, .. } => {
            Cause::NoTarget { store: StoreId::default(), obstacle: merged(obstacle) }
        }
        Cause::NamedTarget { target, obstacle } => {
            Cause::NamedTarget { target: *target, obstacle: merged(obstacle) }
        }
        Cause::StillOver(_) => Cause::StillOver(Over::default()),
        other => other.clone(),
    }
}
