//! Stores, scopes, providers and runs as they are now.

use super::exposition::{Exposition, MetricKind};
use crate::api::{Count, Outcome, Run};
use crate::app::App;
use crate::domain::{ReplicaState, Timestamp};
use crate::ops::metrics::{InstanceMetrics, ScopeMetrics, StoreMetrics};
use crate::transfer::HealthState;

const STATES: [ReplicaState; 5] = [
    ReplicaState::Present,
    ReplicaState::Writing,
    ReplicaState::Deleting,
    ReplicaState::Missing,
    ReplicaState::Corrupt,
];

const OUTCOMES: [Outcome; 4] =
    [Outcome::Complete, Outcome::Incomplete, Outcome::Failed, Outcome::Cancelled];

pub fn write(page: &mut Exposition, app: &App, figures: &InstanceMetrics) {
    instance(page, figures);
    stores(page, &figures.stores);
    scopes(page, &figures.scopes);
    providers(page, app, &figures.stores);
    runs(page, app);
    last_run(page, figures);
    promises(page, app);
}

fn instance(page: &mut Exposition, figures: &InstanceMetrics) {
    let InstanceMetrics { total, safety, .. } = figures;
    page.gauge("hayloft_files", "Distinct files with an entry.", total.files);
    page.gauge("hayloft_files_bytes", "Bytes of distinct files with an entry.", total.bytes);
    let mut metric = page.metric(
        MetricKind::Gauge,
        "hayloft_files_by_readable_replicas",
        "Files by the number of replicas that their scope can read, summed over the scopes.",
    );
    for (replicas, files) in [
        ("0", safety.readable_0),
        ("1", safety.readable_1),
        ("2_or_more", safety.readable_2_or_more),
    ] {
        metric.sample(&[("replicas", replicas)], files);
    }
    if let Some(bytes) = figures.catalogue_bytes {
        page.gauge("hayloft_catalogue_bytes", "Bytes of the catalogue on its disk.", bytes);
    }
}

fn each_store(
    page: &mut Exposition,
    name: &'static str,
    help: &'static str,
    stores: &[StoreMetrics],
    value: impl Fn(&StoreMetrics) -> Option<u64>,
) {
    let mut metric = page.metric(MetricKind::Gauge, name, help);
    for of_store in stores {
        if let Some(value) = value(of_store) {
            metric.sample(&[("store", of_store.store.name.as_str())], value);
        }
    }
}

fn stores(page: &mut Exposition, all: &[StoreMetrics]) {
    let mut by_state = |name, help, of: fn(Count) -> u64| {
        let mut metric = page.metric(MetricKind::Gauge, name, help);
        for of_store in all {
            for state in STATES {
                let count = of_store.replicas.get(&state).copied().unwrap_or_default();
                let labels = [("store", of_store.store.name.as_str()), ("state", state.as_str())];
                metric.sample(&labels, of(count));
            }
        }
    };
    by_state("hayloft_store_replicas", "Replicas in a store, by state.", |count| count.files);
    by_state(
        "hayloft_store_bytes",
        "Bytes of replicas in a store, by state; missing ones have none.",
        |count| count.bytes,
    );
    let mut each = |name, help, value: fn(&StoreMetrics) -> Option<u64>| {
        each_store(page, name, help, all, value);
    };
    each("hayloft_store_reserved_bytes", "Bytes promised to uploads under way.", |s| {
        Some(s.reserved)
    });
    each("hayloft_store_soft_max_bytes", "The soft limit of a store that has one.", |s| {
        s.store.soft_max_size
    });
    each("hayloft_store_max_bytes", "The hard limit of a store that has one.", |s| {
        s.store.max_size
    });
    each("hayloft_store_free_bytes", "Bytes free on the disk of a local store.", |s| s.free);
    each("hayloft_store_available", "1 unless the store could not be used when last seen.", |s| {
        Some(u64::from(!matches!(s.health, HealthState::Unavailable(_))))
    });
    each(
        "hayloft_store_foreign",
        "1 when the marker in the store is another's: nothing is deleted there.",
        |s| Some(u64::from(matches!(s.health, HealthState::Foreign(_)))),
    );
}

fn scopes(page: &mut Exposition, all: &[ScopeMetrics]) {
    let mut each = |name, help, value: fn(&ScopeMetrics) -> u64| {
        let mut metric = page.metric(MetricKind::Gauge, name, help);
        for of_scope in all {
            metric.sample(&[("scope", of_scope.scope.name.as_str())], value(of_scope));
        }
    };
    each("hayloft_scope_files", "Distinct files of a scope.", |s| s.live.files);
    each("hayloft_scope_bytes", "Bytes of the distinct files of a scope.", |s| s.live.bytes);
    each("hayloft_scope_tombstone_bytes", "Bytes of deleted files in their grace period.", |s| {
        s.tombstones.bytes
    });
    let mut linked = |name, help, value: fn(&crate::ops::metrics::LinkMetrics) -> Option<u64>| {
        let mut metric = page.metric(MetricKind::Gauge, name, help);
        for of_scope in all {
            for link in &of_scope.links {
                if let Some(value) = value(link) {
                    let scope = of_scope.scope.name.as_str();
                    metric.sample(&[("scope", scope), ("store", &link.store)], value);
                }
            }
        }
    };
    linked(
        "hayloft_scope_store_files",
        "Files of a scope present in a store, deleted ones in their grace period included.",
        |link| Some(link.held.files),
    );
    linked(
        "hayloft_scope_store_bytes",
        "Bytes of a scope present in a store, what its limit there counts.",
        |link| Some(link.held.bytes),
    );
    linked("hayloft_scope_store_missing_files", "Files of a scope that the store lacks.", |link| {
        Some(link.missing.files)
    });
    linked(
        "hayloft_scope_store_soft_max_bytes",
        "The soft limit of a scope in a store, where it has one.",
        |link| link.soft_max_size,
    );
}

/// The calls to providers; they begin at zero when a store's configuration changes.
fn providers(page: &mut Exposition, app: &App, all: &[StoreMetrics]) {
    let open = |of_store: &StoreMetrics| app.transfer.stores.get(of_store.store.id).ok();
    let open: Vec<_> = all.iter().filter_map(|s| Some((s.store.name.as_str(), open(s)?))).collect();
    let calls = || open.iter().filter_map(|(name, open)| Some((*name, open.backend.calls()?)));
    let mut metric = page.metric(
        MetricKind::Counter,
        "hayloft_s3_calls_total",
        "Calls to the provider of a store by operation and status, every attempt counted.",
    );
    for (store, calls) in calls() {
        for count in calls.counts() {
            let status = count.status.map_or_else(|| "no_answer".to_owned(), |s| s.to_string());
            let operation = count.operation.as_str();
            let labels = [("store", store), ("operation", operation), ("status", &status)];
            metric.sample(&labels, count.calls);
        }
    }
    let mut metric = page.metric(
        MetricKind::Histogram,
        "hayloft_s3_call_duration_seconds",
        "Time until the header of a provider's answer, the body of the call included.",
    );
    for (store, calls) in calls() {
        for (operation, durations) in calls.durations() {
            metric.durations(&[("store", store), ("operation", operation.as_str())], &durations);
        }
    }
    for (name, help, of) in [
        ("hayloft_s3_sent_bytes_total", "Bytes of bodies sent to the provider.", 0),
        ("hayloft_s3_received_bytes_total", "Bytes of bodies received from the provider.", 1),
    ] {
        let mut metric = page.metric(MetricKind::Counter, name, help);
        for (store, calls) in calls() {
            let (sent, received) = calls.bytes();
            metric.sample(&[("store", store)], [sent, received][of]);
        }
    }
}

fn by_action(
    page: &mut Exposition,
    kind: MetricKind,
    (name, help): (&'static str, &'static str),
    [copied, moved, removed]: [u64; 3],
) {
    let mut metric = page.metric(kind, name, help);
    for (action, value) in [("copied", copied), ("moved", moved), ("removed", removed)] {
        metric.sample(&[("action", action)], value);
    }
}

/// Runs since the start, and the one under way.
fn runs(page: &mut Exposition, app: &App) {
    let totals = app.maintenance.totals();
    let mut metric = page.metric(
        MetricKind::Counter,
        "hayloft_runs_total",
        "Runs of the vacuum that have ended.",
    );
    let ended = [totals.complete, totals.incomplete, totals.failed, totals.cancelled];
    for (outcome, runs) in OUTCOMES.iter().zip(ended) {
        metric.sample(&[("outcome", outcome.as_str())], runs);
    }
    let work = [totals.copied, totals.moved, totals.removed];
    let moves = ("hayloft_moves_total", "Files that runs copied, moved and removed.");
    by_action(page, MetricKind::Counter, moves, work.map(|count| count.files));
    let bytes = ("hayloft_moved_bytes_total", "Bytes that runs copied, moved and removed.");
    by_action(page, MetricKind::Counter, bytes, work.map(|count| count.bytes));
    page.counter("hayloft_run_errors_total", "Kinds of errors that runs reported.", totals.errors);
    let current = app.maintenance.current();
    let progress = current.as_ref().and_then(|run| run.progress.clone()).unwrap_or_default();
    let under_way = u64::from(current.is_some());
    page.gauge("hayloft_run_under_way", "1 while a run is under way or paused.", under_way);
    page.gauge(
        "hayloft_run_done_bytes",
        "Bytes that the run under way has dealt with.",
        progress.done.bytes,
    );
    page.gauge(
        "hayloft_run_expected_bytes",
        "Bytes that the run under way knows it has to deal with, done ones included.",
        progress.total.bytes,
    );
    if let Some(next) = app.maintenance.next_run() {
        page.gauge(
            "hayloft_next_run_timestamp_seconds",
            "When the timer starts the next run, Unix time.",
            next.seconds(),
        );
    }
}

/// The newest run that is over, from the history.
fn last_run(page: &mut Exposition, figures: &InstanceMetrics) {
    if let Some(at) = figures.last_success {
        page.gauge(
            "hayloft_last_success_timestamp_seconds",
            "When a run last ended complete, Unix time.",
            at.seconds(),
        );
    }
    let Some(run) = &figures.last_run else { return };
    let mut metric = page.metric(
        MetricKind::Gauge,
        "hayloft_last_run_outcome",
        "1 for the outcome of the last run, 0 for the others.",
    );
    for outcome in OUTCOMES {
        metric.sample(&[("outcome", outcome.as_str())], u64::from(run.outcome == outcome));
    }
    if let Some(finished) = run.finished_at {
        ended(page, run, finished);
    }
    let work = [run.copied, run.moved, run.removed];
    let files = ("hayloft_last_run_files", "Files copied, moved and removed by the last run.");
    by_action(page, MetricKind::Gauge, files, work.map(|count| count.files));
    let bytes = ("hayloft_last_run_bytes", "Bytes copied, moved and removed by the last run.");
    by_action(page, MetricKind::Gauge, bytes, work.map(|count| count.bytes));
    page.gauge("hayloft_last_run_errors", "Kinds of errors in the last run.", run.errors.len());
}

fn ended(page: &mut Exposition, run: &Run, finished: Timestamp) {
    page.gauge(
        "hayloft_last_run_finished_timestamp_seconds",
        "When the last run ended, Unix time.",
        finished.seconds(),
    );
    page.gauge(
        "hayloft_last_run_duration_seconds",
        "How long the last run took.",
        finished.since(run.started_at).as_secs_f64(),
    );
}

/// What maintenance foresees, and whether anyone hears of it.
fn promises(page: &mut Exposition, app: &App) {
    let settings = app.catalogue.settings();
    let mut metric = page.metric(
        MetricKind::Gauge,
        "hayloft_store_limit_expected_timestamp_seconds",
        "The day on which a store will reach a limit if it grows as in the last weeks, Unix time.",
    );
    for expected in app.maintenance.expected_limits() {
        let store = settings.topology.store_name(expected.store);
        let labels = [("store", store.as_str()), ("limit", expected.limit.as_str())];
        metric.sample(&labels, i64::from(expected.day) * 86_400);
    }
    let (delivered, failed) = app.maintenance.notified();
    let mut metric = page.metric(
        MetricKind::Counter,
        "hayloft_notifications_total",
        "Notifications that were delivered, and that were given up.",
    );
    for (result, count) in [("delivered", delivered), ("failed", failed)] {
        metric.sample(&[("result", result)], count);
    }
}
