//! Stores and what is asked about them, for people.

use super::scopes::yes;
use super::table::{Table, bytes, count, files_and_bytes, of_limit, or_dash, time, warnings};
use crate::api::{
    Evacuation, EvacuationScope, ReconcileReport, S3View, StoreCheck, StoreDeleted, StoreView,
    SweepReport,
};
use crate::words::Phrase;

pub fn stores(list: &Vec<StoreView>) -> String {
    let mut table = Table::new(&[
        "STORE",
        "BACKEND",
        "LOCATION",
        ">FILES",
        ">BYTES",
        ">MAX SIZE",
        "SCOPES",
        "HEALTH",
    ]);
    for store in list {
        let scopes: Vec<_> =
            store.scopes.iter().filter(|s| s.linked).map(|s| s.scope.as_str()).collect();
        table.row([
            store.name.to_string(),
            store.backend.clone(),
            store.location.clone(),
            store.files.to_string(),
            of_limit(store.bytes, store.soft_max_size),
            or_dash(store.max_size.map(bytes)),
            if scopes.is_empty() { "-".to_owned() } else { scopes.join(", ") },
            store.health.state.to_string(),
        ]);
    }
    table.show_or("No stores.")
}

pub fn store(store: &StoreView) -> String {
    let mut facts = vec![
        ("store", store.name.to_string()),
        ("backend", store.backend.clone()),
        ("location", store.location.clone()),
        ("health", health(store)),
        ("instance-wide", yes(store.instance_wide).to_owned()),
        ("files", store.files.to_string()),
        ("bytes", bytes(store.bytes)),
        ("soft limit", or_dash(store.soft_max_size.map(bytes))),
        ("hard limit", or_dash(store.max_size.map(bytes))),
    ];
    let others = [
        ("reserved", store.reserved_bytes),
        ("being written", store.writing_bytes),
        ("being deleted", store.deleting_bytes),
    ];
    facts.extend(others.iter().filter(|(_, n)| *n > 0).map(|(name, n)| (*name, bytes(*n))));
    let marks = [
        ("missing", store.missing_files),
        ("corrupt", store.corrupt_files),
        ("adopted", store.adopted_objects),
    ];
    facts.extend(marks.iter().filter(|(_, n)| *n > 0).map(|(name, n)| (*name, n.to_string())));
    if let Some(s3) = &store.s3 {
        facts.extend(s3_facts(s3));
    }
    let mut text = String::new();
    for (name, value) in facts {
        text += &format!("{name:<16}{value}\n");
    }
    format!("{text}\n{}{}", store_scopes(store), warnings("", &store.warnings))
}

fn health(store: &StoreView) -> String {
    let mut text = store.health.state.to_string();
    if let Some(problem) = &store.health.problem {
        text += &format!(": {problem}");
    }
    if let Some(since) = store.health.since {
        text += &format!(" (since {})", time(since));
    }
    text
}

fn s3_facts(s3: &S3View) -> Vec<(&'static str, String)> {
    vec![
        ("region", s3.region.clone()),
        ("endpoint", or_dash(s3.endpoint.as_ref())),
        ("public endpoint", or_dash(s3.public_endpoint.as_ref())),
        ("path style", yes(s3.path_style).to_owned()),
        ("storage class", or_dash(s3.storage_class.as_ref())),
        ("serve", format!("{:?}", s3.serve).to_lowercase()),
        ("presign TTL", format!("{}s", s3.presign_ttl)),
        ("checksum", format!("{:?}", s3.checksum).to_lowercase()),
        ("credentials", s3.credentials.clone()),
    ]
}

fn store_scopes(store: &StoreView) -> String {
    let mut table = Table::new(&["SCOPE", "LINKED", ">FILES", ">BYTES", ">MISSING"]);
    for scope in &store.scopes {
        table.row([
            scope.scope.clone(),
            yes(scope.linked).to_owned(),
            scope.files.to_string(),
            bytes(scope.bytes),
            files_and_bytes(scope.missing_files, scope.missing_bytes),
        ]);
    }
    table.show_or("No scope uses it.")
}

pub fn check(check: &StoreCheck) -> String {
    let mut table = Table::new(&["STEP", "OK", ">MS", "PROBLEM"]);
    for step in &check.steps {
        table.row([
            step.step.clone(),
            if step.ok { "ok" } else { "FAILED" }.to_owned(),
            step.milliseconds.to_string(),
            step.problem.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    let mut text = table.show();
    let mut told: Vec<&Phrase> = Vec::new();
    for remedy in check.steps.iter().filter_map(|step| step.remedy.as_ref()) {
        // Steps that fail alike are mended alike.
        if !told.contains(&remedy) {
            told.push(remedy);
            text += &format!("\n{remedy}");
        }
    }
    let verdict = if check.ok { "works" } else { "does NOT work" };
    format!("{text}\n\n{} {verdict}.", check.store)
}

pub fn evacuation(report: &Evacuation) -> String {
    let mut table = Table::new(&["SCOPE", ">UNREADABLE", ">LOST", ">DELETED, IN GRACE", "FITS"]);
    for scope in &report.scopes {
        table.row([
            scope.scope.clone(),
            files_and_bytes(scope.unreadable_files, scope.unreadable_bytes),
            files_and_bytes(scope.lost_files, scope.lost_bytes),
            scope.tombstones.to_string(),
            yes(scope.fits).to_owned(),
        ]);
    }
    let mut text = if report.can_be_given_up {
        format!("{} can be given up: every file is readable without it.", report.store)
    } else {
        format!("{} can NOT be given up yet.", report.store)
    };
    if !table.is_empty() {
        text += &format!("\n\n{}", table.show());
    }
    for scope in &report.scopes {
        text += &evacuation_files(scope);
    }
    for advice in &report.advice {
        text += &format!("\n- {advice}");
    }
    text
}

fn evacuation_files(scope: &EvacuationScope) -> String {
    let mut text = String::new();
    for file in &scope.files {
        let path = file.path.as_deref().unwrap_or("(deleted)");
        let digest = &file.digest.to_hex()[..12];
        text += &format!("\n{}: {path}  {digest}  {}", scope.scope, bytes(file.size));
    }
    text
}

pub fn deleted(answer: &StoreDeleted) -> String {
    if answer.lost_files == 0 {
        return format!("Deleted store {}.", answer.store);
    }
    let files = count(answer.lost_files, "file");
    let size = bytes(answer.lost_bytes);
    format!("Deleted store {}; {files} ({size}) lost their last readable replica.", answer.store)
}

pub fn swept(report: &SweepReport) -> String {
    let found = format!(
        "{}: {} looked at, {} without a row ({}), {} deleted.",
        report.store,
        count(report.objects, "object"),
        report.orphans,
        bytes(report.orphan_bytes),
        report.deleted
    );
    match &report.stopped {
        Some(why) => format!("{found}\nStopped: {why}"),
        None => found,
    }
}

pub fn reconciled(report: &ReconcileReport) -> String {
    format!("{}: {}", report.store, report.findings())
}
