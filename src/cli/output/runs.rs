//! Runs, status and verification, for people.

use super::scopes::moves;
use super::table::{Table, bytes, count, or_dash, time, warnings};
use crate::api::{Count, Run, VerifyFinding, VerifyReport};

/// How many findings of one kind are listed; `--json` has them all.
const LISTED: usize = 20;

fn counted(n: Count) -> String {
    if n.is_zero() { "-".to_owned() } else { format!("{} ({})", n.files, bytes(n.bytes)) }
}

/// `Run 7: complete; copied -, moved 3 (2.0 MB), …`
pub fn one_line(run: &Run) -> String {
    let name = run.id.map_or_else(|| "Dry run".to_owned(), |id| format!("Run {id}"));
    format!(
        "{name}: {}; copied {}, moved {}, removed {}, retained {}",
        run.outcome.as_str(),
        counted(run.copied),
        counted(run.moved),
        counted(run.removed),
        counted(run.retained)
    )
}

pub fn run(run: &Run) -> String {
    let mut text = String::new();
    if let Some(list) = &run.moves {
        text += &format!("{}\n\n", moves(list));
    }
    text += &one_line(run);
    for error in &run.errors {
        let place: Vec<&str> =
            [&error.scope, &error.store].into_iter().flatten().map(|s| &**s).collect();
        let place = if place.is_empty() { String::new() } else { format!(" {}", place.join("/")) };
        let files = match error.files {
            0 => String::new(),
            files => format!(" ({}, {})", count(files, "file"), bytes(error.bytes)),
        };
        text += &format!("\nerror: {}{place}{files}: {}", error.phase, error.cause);
    }
    text + &warnings("", &run.warnings)
}

pub fn history(list: &Vec<Run>) -> String {
    let mut table = Table::new(&[
        ">RUN",
        "STARTED",
        ">TOOK",
        "OUTCOME",
        ">COPIED",
        ">MOVED",
        ">REMOVED",
        ">RETAINED",
        ">ERRORS",
    ]);
    for run in list {
        let took = run.finished_at.map(|end| format!("{}s", end.since(run.started_at).as_secs()));
        table.row([
            or_dash(run.id),
            time(run.started_at),
            or_dash(took),
            run.outcome.as_str().to_owned(),
            counted(run.copied),
            counted(run.moved),
            counted(run.removed),
            counted(run.retained),
            run.errors.len().to_string(),
        ]);
    }
    table.show_or("No run yet.")
}

pub fn verify(report: &VerifyReport) -> String {
    let mut text = format!(
        "{}, {} checked, {} read",
        count(report.checked_files, "file"),
        count(report.checked_replicas, "replica"),
        bytes(report.read_bytes)
    );
    text += &findings("lost", &report.lost, report.totals.lost);
    text += &findings("missing", &report.missing, report.totals.missing);
    text += &findings("corrupt", &report.corrupt, report.totals.corrupt);
    for wrong in &report.counters {
        text += &format!(
            "\ncounter {}: recorded {}, counted {}",
            wrong.counter, wrong.recorded, wrong.counted
        );
    }
    text += &findings("note: orphan", &report.orphans, report.totals.orphans);
    if report.pending_deletes > 0 {
        text += &format!("\nnote: {} pending", count(report.pending_deletes, "delete"));
    }
    for store in &report.unavailable {
        text += &format!("\nnote: store {store} is unavailable and was not checked");
    }
    if report.repaired > 0 {
        text += &format!("\nrepaired: {}", report.repaired);
    }
    if !report.ok {
        return text + "\n\nNOT all is well.";
    }
    if report.unavailable.is_empty() && report.unchecked_replicas == 0 {
        return text + "\n\nAll is well.";
    }
    let unchecked = count(report.unchecked_replicas, "replica");
    text + &format!("\n\nWhat could be checked is well, but {unchecked} could NOT be checked.")
}

fn findings(kind: &str, list: &[VerifyFinding], total: u64) -> String {
    let mut text = String::new();
    for finding in list.iter().take(LISTED) {
        let store = finding.store.as_deref().map(|s| format!(" in {s}")).unwrap_or_default();
        text +=
            &format!("\n{kind}: {}{store}{}: {}", finding.digest, named(finding), finding.detail);
    }
    let shown = list.len().min(LISTED) as u64;
    if total > shown {
        let up_to = if total > list.len() as u64 { "more of them" } else { "all" };
        text += &format!("\n{kind}: {} more (--json lists {up_to})", total - shown);
    }
    text
}

/// ` (SCOPE/PATH)` or ` (SCOPE/PATH and others)`; nothing for a file without a name.
fn named(finding: &VerifyFinding) -> String {
    let Some(first) = finding.entries.first() else { return String::new() };
    let others = if finding.entries.len() > 1 { " and others" } else { "" };
    format!(" ({}/{}{others})", first.scope, first.path)
}
