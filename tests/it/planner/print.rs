//! A scenario as a story: run after run until one plans nothing, then what is where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use hayloft::domain::{FileId, ReplicaState, StoreId, Topology};
use hayloft::planner::{Count, Move, Report};

use super::scenario::Scenario;

/// More runs than any scenario needs before one plans nothing.
const RUNS: usize = 6;

pub fn story(scenario: &mut Scenario) -> String {
    let mut out = String::new();
    scenario.title.iter().for_each(|line| writeln!(out, "# {line}").expect("text"));
    runs(scenario, &mut out);
    let later = std::mem::take(&mut scenario.later);
    if !later.is_empty() {
        for link in later {
            let (scope, store) = (link.scope, link.store);
            let topology = &mut scenario.model.topology;
            let policy = serde_json::to_string(&link.policy).expect("a policy");
            let names = (topology.scope_name(scope), topology.store_name(store));
            writeln!(out, "\nthen {} {}: {policy}", names.0, names.1).expect("text");
            topology.links.insert((scope, store), link);
        }
        runs(scenario, &mut out);
    }
    out.push('\n');
    shelves(scenario, &mut out);
    out
}

fn runs(scenario: &mut Scenario, out: &mut String) {
    for _ in 0..RUNS {
        let number = scenario.model.run;
        let dry = scenario.model.dry_run();
        // What fails does so in the first run only.
        scenario.model.failing = std::mem::take(&mut scenario.failing);
        let (moves, report) = scenario.model.run();
        if scenario.model.failing.is_empty() {
            let sets: [BTreeSet<&Move>; 2] = [dry.moves.iter().collect(), moves.iter().collect()];
            assert_eq!(sets[0], sets[1], "the dry run is not the next real run");
            assert_eq!(dry.report, report, "the dry run reports something else");
        }
        writeln!(out, "\nrun {number}").expect("text");
        for step in &moves {
            line(out, scenario, step);
        }
        totals(out, &report);
        if moves.is_empty() {
            return;
        }
    }
    panic!("run {RUNS} still plans something:\n{out}");
}

fn line(out: &mut String, scenario: &Scenario, step: &Move) {
    let topology = &scenario.model.topology;
    let store = |id: Option<StoreId>| id.map_or_else(|| "-".to_owned(), |s| topology.store_name(s));
    let name = &scenario.names[&step.file];
    let path = match step.to {
        Some(to) => format!("{} -> {}", store(step.from), store(Some(to))),
        None => format!("from {}", store(step.from)),
    };
    let scope = step.scope.map_or_else(|| "-".to_owned(), |s| topology.scope_name(s));
    let reason = serde_json::to_string(&step.reason).expect("a reason");
    let reason = reason.trim_matches('"');
    writeln!(out, "  {} {name} ({}) {path} [{scope}: {reason}]", step.action, step.size)
        .expect("text");
}

fn totals(out: &mut String, report: &Report) {
    let text = |c: Count| format!("{} ({} B)", c.files, c.bytes);
    writeln!(
        out,
        "  copied {}, moved {}, removed {}, retained {}, passes {}",
        text(report.copied),
        text(report.moved),
        text(report.removed),
        text(report.retained),
        report.passes
    )
    .expect("text");
    for kept in &report.retained_for {
        let scope = kept.scope.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let (phase, store) = (kept.phase, &kept.store);
        let (by, count) = (&kept.kept_for, text(kept.count));
        writeln!(out, "  retained {phase} {scope}/{store} for {by}: {count}").expect("text");
    }
    for error in &report.errors {
        let scope = error.scope.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let store = error.store.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let (phase, count) = (error.phase, text(error.count));
        writeln!(out, "  error {phase} {scope}/{store}: {count} {}", error.message).expect("text");
    }
}

fn shelves(scenario: &Scenario, out: &mut String) {
    let topology: &Topology = &scenario.model.topology;
    for store in topology.stores_by_name() {
        let mut held: BTreeMap<FileId, String> = BTreeMap::new();
        let mut bytes = 0;
        for file in scenario.model.files.values() {
            let Some(replica) = file.replica(store.id) else { continue };
            let name = &scenario.names[&file.id];
            let text = match replica.state {
                ReplicaState::Present => name.clone(),
                state => format!("{name}:{}", format!("{state:?}").to_lowercase()),
            };
            bytes += if replica.state == ReplicaState::Present { file.size } else { 0 };
            held.insert(file.id, text);
        }
        let names: Vec<_> = held.into_values().collect();
        writeln!(out, "{}: {} ({bytes} B)", store.name, names.join(" ")).expect("text");
    }
}
