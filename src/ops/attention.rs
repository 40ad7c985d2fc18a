//! What `status` puts first: trouble, then advice, each with the command that mends it. Pure.

use super::plural;
use crate::api::{Attention, HealthWord, Outcome, Run, Safety, Severity, StoreView};
use crate::domain::{LimitKind, Remedy, StoreName, StoreSetting, Target, Warning};
use crate::words::{self, Phrase};

/// What is known about an instance when somebody asks how it is.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub stores: &'a [StoreView],
    pub safety: &'a Safety,
    pub last_run: Option<&'a Run>,
    /// The run at work, which may be paused.
    pub current: Option<&'a Run>,
    /// Limits that are reached within the time that the configuration looks ahead.
    pub limits: &'a [NearLimit],
    /// Warnings about stores and links.
    pub warnings: &'a [Warning],
}

/// A limit of a store that is near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearLimit {
    pub store: StoreName,
    pub limit: LimitKind,
    /// 0 when it is reached.
    pub days: u32,
}

/// The list, errors first.
pub fn of(facts: &Facts<'_>) -> Vec<Attention> {
    let mut all: Vec<Attention> = facts.stores.iter().filter_map(health).collect();
    all.extend(unreadable(facts.safety));
    all.extend(facts.stores.iter().flat_map(marks).flatten());
    all.extend(facts.last_run.and_then(|run| unwell(run, facts.stores)));
    all.extend(facts.current.and_then(paused));
    all.extend(facts.limits.iter().filter_map(near));
    all.extend(facts.warnings.iter().map(advice));
    all
}

fn attention(severity: Severity, what: impl Into<Phrase>, remedy: Option<Remedy>) -> Attention {
    Attention { severity, what: what.into(), command: remedy.as_ref().map(words::command), remedy }
}

fn error(what: impl Into<Phrase>, remedy: Remedy) -> Attention {
    attention(Severity::Error, what, Some(remedy))
}

fn health(view: &StoreView) -> Option<Attention> {
    let (store, problem) = (view.name.clone(), view.health.problem.as_ref()?);
    let since =
        view.health.since.map(|since| format!(" since {}", since.to_minute())).unwrap_or_default();
    Some(if view.health.state == HealthWord::Foreign {
        let what = format!("nothing is deleted in store {store}{since}: {problem}");
        error(what, Remedy::ReconcileStore { store })
    } else {
        let what = format!("store {store} is unavailable{since}: {problem}");
        error(what, Remedy::CheckStore { store })
    })
}

fn unreadable(safety: &Safety) -> Option<Attention> {
    let n = safety.readable_0;
    (n > 0).then(|| {
        let are = if n == 1 { "is" } else { "are" };
        let what = format!("{} {are} not readable from any store", plural(n, "file"));
        error(what, Remedy::Verify)
    })
}

/// Replicas that were found missing or damaged.
fn marks(store: &StoreView) -> [Option<Attention>; 2] {
    let mark = |n: u64, is: &str| {
        (n > 0).then(|| {
            let what = format!("{} in store {} {is}", plural(n, "replica"), store.name);
            error(what, Remedy::Repair)
        })
    };
    [mark(store.missing_files, "are missing"), mark(store.corrupt_files, "are damaged")]
}

fn unwell(run: &Run, stores: &[StoreView]) -> Option<Attention> {
    let all = Remedy::ShowRun { run: run.id? };
    let how = match run.outcome {
        Outcome::Incomplete => "left something undone",
        Outcome::Failed => "failed",
        Outcome::Running | Outcome::Paused | Outcome::Complete | Outcome::Cancelled => return None,
    };
    let Some((first, rest)) = run.errors.split_first() else {
        return Some(error(format!("the last run {how}"), all));
    };
    let place: Vec<&str> =
        [&first.scope, &first.store].into_iter().flatten().map(|s| &**s).collect();
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join("/")) };
    let remedy = first.remedy.clone().map(|remedy| as_of_now(remedy, stores));
    let what = Phrase::new(format!("the last run {how}: {place}{}", first.cause));
    let what = match (rest.len(), &remedy) {
        (0, _) => what,
        (n, None) => what.text(format!(" (and {n} more)")),
        (n, Some(_)) => what.text(format!(" (and {n} more: ")).command(all.clone()).text(")"),
    };
    Some(error(what, remedy.unwrap_or(all)))
}

/// When a store that was unavailable is back, a run is all that is missing.
fn as_of_now(remedy: Remedy, stores: &[StoreView]) -> Remedy {
    let is_well = |name: &StoreName| {
        stores.iter().any(|store| store.name == *name && store.health.state == HealthWord::Ok)
    };
    match remedy {
        Remedy::CheckStore { store } if is_well(&store) => Remedy::StartRun,
        other => other,
    }
}

/// The vacuum sees to soft limits.
fn near(near: &NearLimit) -> Option<Attention> {
    let store = &near.store;
    let (what, setting) = match near.limit {
        LimitKind::Soft => return None,
        LimitKind::Hard => ("its hard limit", StoreSetting::MaxSize),
        LimitKind::Disk => ("the end of its disk", StoreSetting::SoftMaxSize),
    };
    let when = match near.days {
        0 => format!("store {store} has reached {what}: uploads go elsewhere or fail"),
        days => format!("store {store} will reach {what} in {}", plural(u64::from(days), "day")),
    };
    let what = Phrase::new(when)
        .text("; make room, or let something take what does not fit: ")
        .command(Remedy::LinkStore { scope: None, store: None });
    Some(error(what, Remedy::set_store(store.clone(), setting, Target::Chosen)))
}

fn paused(run: &Run) -> Option<Attention> {
    let what = "the run is paused, and no other will start before it ends";
    (run.outcome == Outcome::Paused).then(|| error(what, Remedy::ResumeRun))
}

/// A warning, apart from its remedy if it has exactly one.
fn advice(warning: &Warning) -> Attention {
    match warning.remedies.as_slice() {
        [only] => attention(Severity::Advice, words::concern(&warning.concern), Some(only.clone())),
        _ => attention(Severity::Advice, words::warning(warning), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Health, RunError};
    use crate::domain::{Concern, Timestamp};

    fn cold() -> StoreName {
        StoreName::new("cold").expect("a name")
    }

    fn store(state: HealthWord, problem: Option<&str>) -> StoreView {
        StoreView {
            name: cold(),
            backend: "s3".to_owned(),
            location: String::new(),
            instance_wide: true,
            soft_max_size: None,
            max_size: None,
            files: 0,
            bytes: 0,
            reserved_bytes: 0,
            writing_bytes: 0,
            deleting_files: 0,
            deleting_bytes: 0,
            missing_files: 0,
            corrupt_files: 0,
            adopted_objects: 0,
            scopes: vec![],
            health: Health { state, problem: problem.map(Into::into), since: None },
            s3: None,
            warnings: vec![],
        }
    }

    fn run(outcome: Outcome) -> Run {
        let cause = |text: &str| RunError {
            phase: "drain".to_owned(),
            scope: None,
            store: None,
            cause: text.to_owned(),
            remedy: None,
            files: 0,
            bytes: 0,
            digests: vec![],
        };
        Run {
            id: Some(7),
            dry_run: false,
            outcome,
            started_at: Timestamp::default(),
            finished_at: None,
            copied: crate::api::Count::default(),
            moved: crate::api::Count::default(),
            removed: crate::api::Count::default(),
            retained: crate::api::Count::default(),
            errors: vec![cause("no target"), cause("other")],
            warnings: vec![],
            moves: None,
            progress: None,
        }
    }

    fn told(facts: &Facts<'_>) -> Vec<(String, Option<String>)> {
        of(facts).into_iter().map(|a| (a.what.to_string(), a.command)).collect()
    }

    const WELL: Facts<'static> = Facts {
        stores: &[],
        safety: &Safety { readable_0: 0, readable_1: 0, readable_2_or_more: 0 },
        last_run: None,
        current: None,
        limits: &[],
        warnings: &[],
    };

    #[test]
    fn each_trouble_has_its_command() {
        let ill = [
            store(HealthWord::Unavailable, Some("gone")),
            store(HealthWord::Foreign, Some("not ours")),
        ];
        let damaged =
            [StoreView { missing_files: 1, corrupt_files: 2, ..store(HealthWord::Ok, None) }];
        let lost = Safety { readable_0: 1, ..Safety::default() };
        let (bad, held) = (run(Outcome::Incomplete), run(Outcome::Paused));
        let limit = |limit| NearLimit { store: cold(), limit, days: 3 };
        let limits = [LimitKind::Soft, LimitKind::Hard, LimitKind::Disk].map(limit);
        let cases: [(Facts<'_>, &[&str]); 7] = [
            (WELL, &[]),
            (
                Facts { stores: &ill, ..WELL },
                &["hayloft store check cold", "hayloft store reconcile cold"],
            ),
            (
                Facts { stores: &damaged, ..WELL },
                &["hayloft verify --repair", "hayloft verify --repair"],
            ),
            (Facts { safety: &lost, ..WELL }, &["hayloft verify"]),
            (Facts { last_run: Some(&bad), ..WELL }, &["hayloft vacuum show 7"]),
            (Facts { current: Some(&held), ..WELL }, &["hayloft vacuum resume"]),
            (
                Facts { limits: &limits, ..WELL },
                &[
                    "hayloft store manage cold --max-size SIZE",
                    "hayloft store manage cold --soft-max-size SIZE",
                ],
            ),
        ];
        for (facts, commands) in cases {
            let got: Vec<_> = told(&facts).into_iter().filter_map(|(_, c)| c).collect();
            assert_eq!(got, commands);
        }
        let (what, _) = told(&Facts { last_run: Some(&bad), ..WELL }).remove(0);
        assert_eq!(what, "the last run left something undone: no target (and 1 more)");
    }

    /// A run that left something undone in `cold`, which is mended by that.
    fn undone(remedy: Option<Remedy>) -> Run {
        let mut run = run(Outcome::Incomplete);
        run.errors.truncate(1);
        run.errors[0].store = Some("cold".to_owned());
        run.errors[0].remedy = remedy;
        run
    }

    #[test]
    fn what_a_run_left_undone_is_told_with_its_place_and_what_mends_it() {
        for (remedy, command) in [
            (Some(Remedy::Repair), "hayloft verify --repair"),
            (Some(Remedy::CheckStore { store: cold() }), "hayloft store check cold"),
            (None, "hayloft vacuum show 7"),
        ] {
            let run = undone(remedy.clone());
            let all = of(&Facts { last_run: Some(&run), ..WELL });
            assert_eq!(
                all[0].what.to_string(),
                "the last run left something undone: cold: no target"
            );
            assert_eq!(all[0].command.as_deref(), Some(command));
            assert_eq!(all[0].remedy, remedy.or(Some(Remedy::ShowRun { run: 7 })));
        }
    }

    #[test]
    fn a_store_that_is_back_needs_a_run_and_no_check() {
        let run = undone(Some(Remedy::CheckStore { store: cold() }));
        for (state, command) in [
            (HealthWord::Ok, "hayloft vacuum"),
            (HealthWord::Unavailable, "hayloft store check cold"),
        ] {
            let stores = [store(state, None)];
            let facts = Facts { stores: &stores, last_run: Some(&run), ..WELL };
            assert_eq!(told(&facts)[0].1.as_deref(), Some(command), "{state}");
        }
    }

    #[test]
    fn a_warning_stands_apart_from_its_only_command() {
        let store = StoreName::new("local").expect("a name");
        let check = || Remedy::CheckStore { store: store.clone() };
        let concern = || Concern::DiskMayFill { store: store.clone() };
        let one = advice(&Warning { concern: concern(), remedies: vec![check()] });
        assert_eq!(one.what, words::concern(&concern()).into());
        assert_eq!(one.remedy, Some(check()));
        assert_eq!(one.command.as_deref(), Some("hayloft store check local"));
        let two = advice(&Warning { concern: concern(), remedies: vec![check(), check()] });
        assert_eq!((two.command, two.remedy), (None, None));
        let both = Warning { concern: concern(), remedies: vec![check(), check()] };
        assert_eq!(two.what, words::warning(&both));
    }
}
