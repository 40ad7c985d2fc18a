//! What `status` puts first: trouble, then advice, each with the command that mends it. Pure.

use super::plural;
use crate::api::{Attention, HealthWord, Outcome, Run, RunError, Safety, Severity, StoreView};
use crate::domain::{LimitKind, Warning};
use crate::words;

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
    pub store: String,
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

fn error(what: String, command: String) -> Attention {
    Attention { severity: Severity::Error, what, command: Some(command) }
}

fn health(store: &StoreView) -> Option<Attention> {
    let name = &store.name;
    let problem = store.health.problem.as_ref()?;
    let since =
        store.health.since.map(|since| format!(" since {}", since.to_minute())).unwrap_or_default();
    Some(if store.health.state == HealthWord::Foreign {
        let command = format!("hayloft store reconcile {name}");
        error(format!("nothing is deleted in store {name}{since}: {problem}"), command)
    } else {
        let command = format!("hayloft store check {name}");
        error(format!("store {name} is unavailable{since}: {problem}"), command)
    })
}

fn unreadable(safety: &Safety) -> Option<Attention> {
    let n = safety.readable_0;
    (n > 0).then(|| {
        let are = if n == 1 { "is" } else { "are" };
        error(
            format!("{} {are} not readable from any store", plural(n, "file")),
            "hayloft verify".to_owned(),
        )
    })
}

/// Replicas that were found missing or damaged.
fn marks(store: &StoreView) -> [Option<Attention>; 2] {
    let mark = |n: u64, is: &str| {
        (n > 0).then(|| {
            let what = format!("{} in store {} {is}", plural(n, "replica"), store.name);
            error(what, "hayloft verify --repair".to_owned())
        })
    };
    [mark(store.missing_files, "are missing"), mark(store.corrupt_files, "are damaged")]
}

fn unwell(run: &Run, stores: &[StoreView]) -> Option<Attention> {
    let id = run.id?;
    let how = match run.outcome {
        Outcome::Incomplete => "left something undone",
        Outcome::Failed => "failed",
        Outcome::Running | Outcome::Paused | Outcome::Complete | Outcome::Cancelled => return None,
    };
    let all = format!("hayloft vacuum show {id}");
    let Some((first, rest)) = run.errors.split_first() else {
        return Some(error(format!("the last run {how}"), all));
    };
    let place: Vec<&str> =
        [&first.scope, &first.store].into_iter().flatten().map(|s| &**s).collect();
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join("/")) };
    let remedy = remedy(first).map(|command| match command.strip_prefix(CHECK) {
        // It is back: a run is all that is missing.
        Some(name) if is_well(stores, name) => "hayloft vacuum".to_owned(),
        _ => command,
    });
    let more = match (rest.len(), &remedy) {
        (0, _) => String::new(),
        (n, None) => format!(" (and {n} more)"),
        (n, Some(_)) => format!(" (and {n} more: `{all}`)"),
    };
    let what = format!("the last run {how}: {place}{}{more}", first.cause);
    Some(error(what, remedy.unwrap_or(all)))
}

const CHECK: &str = "hayloft store check ";

fn is_well(stores: &[StoreView], name: &str) -> bool {
    stores.iter().any(|store| store.name.as_str() == name && store.health.state == HealthWord::Ok)
}

/// The command that mends what a run could not do, as far as its cause tells.
pub fn remedy(trouble: &RunError) -> Option<String> {
    let cause = trouble.cause.as_str();
    if let Some(command) = cause.split('`').nth(1) {
        return Some(command.to_owned());
    }
    let (scope, store) = (trouble.scope.as_deref(), trouble.store.as_deref());
    // Some causes name another store than the one that was worked on.
    let named = |what: &str| {
        let name = cause.split_once(what)?.0.rsplit(' ').next()?;
        if name == "store" { store } else { Some(name) }
    };
    if let Some(name) = named(" is unavailable") {
        return Some(format!("{CHECK}{name}"));
    }
    if cause.starts_with("no store can take it") || cause.contains("with no store to move to") {
        return Some(format!("hayloft scope manage {} add-store STORE", scope.unwrap_or("SCOPE")));
    }
    let limit = if cause.contains("max_size") && !cause.contains("soft_max_size") {
        "max-size SIZE"
    } else if cause.starts_with("still ") || cause.contains("soft_max_size") {
        "soft-max-size SIZE"
    } else {
        return None;
    };
    // The limit of a scope in a store is told with both, a store's own with the store alone.
    let of_scope = scope.filter(|_| cause.starts_with("still ") || cause.contains("of scope"));
    let store = named(" has no room").or(store)?;
    Some(match of_scope {
        Some(scope) => format!("hayloft scope manage {scope} edit-store {store} --{limit}"),
        None => format!("hayloft store manage {store} --{limit}"),
    })
}

/// The vacuum sees to soft limits.
fn near(limit: &NearLimit) -> Option<Attention> {
    let (store, days) = (&limit.store, limit.days);
    let what = match limit.limit {
        LimitKind::Soft => return None,
        LimitKind::Hard => "its hard limit",
        LimitKind::Disk => "the end of its disk",
    };
    let when = match days {
        0 => format!("store {store} has reached {what}: uploads go elsewhere or fail"),
        _ => format!("store {store} will reach {what} in {}", plural(u64::from(days), "day")),
    };
    let command = match limit.limit {
        LimitKind::Hard => format!("hayloft store manage {store} --max-size SIZE"),
        LimitKind::Soft | LimitKind::Disk => {
            format!("hayloft store manage {store} --soft-max-size SIZE")
        }
    };
    let link =
        "or let something take what does not fit: `hayloft scope manage SCOPE add-store STORE`";
    Some(error(format!("{when}; make room, {link}"), command))
}

fn paused(run: &Run) -> Option<Attention> {
    let what = "the run is paused, and no other will start before it ends".to_owned();
    (run.outcome == Outcome::Paused).then(|| error(what, "hayloft vacuum resume".to_owned()))
}

/// A warning, apart from its command if it has exactly one.
fn advice(warning: &Warning) -> Attention {
    let (what, command) = match warning.remedies.as_slice() {
        [only] => (words::concern(&warning.concern), Some(words::command(only))),
        _ => (words::warning(warning).to_string(), None),
    };
    Attention { severity: Severity::Advice, what, command }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Health;
    use crate::domain::{Concern, Remedy, StoreName, Timestamp};

    fn store(state: HealthWord, problem: Option<&str>) -> StoreView {
        StoreView {
            name: StoreName::new("cold").expect("a name"),
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
        of(facts).into_iter().map(|a| (a.what, a.command)).collect()
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
        let limit = |limit| NearLimit { store: "cold".to_owned(), limit, days: 3 };
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

    #[test]
    fn what_a_run_left_undone_is_told_with_its_place_and_what_mends_it() {
        let told_of = |scope: Option<&str>, cause: &str| {
            let mut run = run(Outcome::Incomplete);
            let (scope, store) = (scope.map(str::to_owned), Some("cold".to_owned()));
            run.errors =
                vec![RunError { scope, store, cause: cause.to_owned(), ..run.errors[0].clone() }];
            let (what, command) = told(&Facts { last_run: Some(&run), ..WELL }).remove(0);
            assert!(what.contains("cold: "), "{what}");
            command.expect("a command")
        };
        let media = Some("media");
        for (scope, cause, command) in [
            (
                None,
                "the store is unavailable: run store check; the next run goes on",
                "hayloft store check cold",
            ),
            (
                None,
                "still 1.2 kB over the limit of 1 kB: 2 files pinned",
                "hayloft store manage cold --soft-max-size SIZE",
            ),
            (
                media,
                "still 1.2 kB over the limit of 1 kB: 2 files pinned",
                "hayloft scope manage media edit-store cold --soft-max-size SIZE",
            ),
            (
                media,
                "still 1.2 kB over the limit of 1 kB: 2 files with no store to move to",
                "hayloft scope manage media add-store STORE",
            ),
            (
                media,
                "no room for it under its max_size: raise the limit or free room",
                "hayloft store manage cold --max-size SIZE",
            ),
            (
                media,
                "replicas are missing. `hayloft verify --repair` copies them",
                "hayloft verify --repair",
            ),
            (
                media,
                "the drain's target cannot take it: big has no room for it under its max_size",
                "hayloft store manage big --max-size SIZE",
            ),
            (
                media,
                "no store can take it: big is unavailable: run store check",
                "hayloft store check big",
            ),
            (media, "something new", "hayloft vacuum show 7"),
        ] {
            assert_eq!(told_of(scope, cause), command, "{cause}");
        }
    }

    #[test]
    fn a_store_that_is_back_needs_a_run_and_no_check() {
        let mut run = run(Outcome::Incomplete);
        run.errors[0].cause = "the store is unavailable: run store check".to_owned();
        run.errors[0].store = Some("cold".to_owned());
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
        assert_eq!(one.what, words::concern(&concern()));
        assert_eq!(one.command.as_deref(), Some("hayloft store check local"));
        let two = advice(&Warning { concern: concern(), remedies: vec![check(), check()] });
        assert!(two.command.is_none() && two.what.contains(": run `hayloft"), "{two:?}");
    }
}
