//! What the metrics of an instance show: counters and settings, whatever the number of files.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use super::scope_totals::ScopeTotals;
use crate::api::{Count, Outcome, Run, Safety};
use crate::app::App;
use crate::catalogue::{CatalogueError, Counter, Snapshot};
use crate::domain::{ReplicaState, Scope, Store, Timestamp, Topology};
use crate::transfer::HealthState;

/// The instance at one moment.
#[derive(Debug)]
pub struct InstanceMetrics {
    /// Distinct files with an entry anywhere.
    pub total: Count,
    pub safety: Safety,
    pub stores: Vec<StoreMetrics>,
    pub scopes: Vec<ScopeMetrics>,
    /// The newest run that is over.
    pub last_run: Option<Run>,
    /// When a run last ended complete, of those that the history keeps.
    pub last_success: Option<Timestamp>,
    /// Bytes that the catalogue takes on its disk.
    pub catalogue_bytes: Option<u64>,
}

#[derive(Debug)]
pub struct StoreMetrics {
    pub store: Store,
    pub replicas: BTreeMap<ReplicaState, Count>,
    /// Promised to uploads that are under way.
    pub reserved: u64,
    pub health: HealthState,
    /// Of the disk, for stores on this machine.
    pub free: Option<u64>,
}

#[derive(Debug)]
pub struct ScopeMetrics {
    pub scope: Scope,
    pub live: Count,
    pub tombstones: Count,
    pub links: Vec<LinkMetrics>,
}

/// A scope's files in one of its stores.
#[derive(Debug)]
pub struct LinkMetrics {
    pub store: String,
    /// Live files and tombstones: what the limit counts.
    pub held: Count,
    /// Live files that the store lacks.
    pub missing: Count,
    pub soft_max_size: Option<u64>,
}

/// Reads them; blocks on the disk.
pub fn collect(app: &App) -> Result<InstanceMetrics, CatalogueError> {
    let settings = app.catalogue.settings();
    let topology = &settings.topology;
    let snapshot = app.catalogue.snapshot()?;
    let total = snapshot.count(&Counter::Total)?;
    let mut safety = Safety::default();
    let mut scopes = Vec::new();
    for scope in topology.scopes_by_name() {
        let totals = ScopeTotals::new(topology, scope.id, snapshot.holders(scope.id)?);
        add_safety(&mut safety, &totals);
        scopes.push(of_scope(topology, scope, &totals));
    }
    let held = topology.stores_by_name().into_iter().map(|s| Ok((s, snapshot.store_counts(s.id)?)));
    let held = held.collect::<Result<Vec<_>, CatalogueError>>()?;
    let (last_run, last_success) = runs(&snapshot)?;
    drop(snapshot);
    let stores = held.into_iter().map(|(store, replicas)| of_store(app, store, replicas)).collect();
    let file = std::fs::metadata(app.catalogue.path());
    let catalogue_bytes = file.ok().map(|file| file.blocks() * 512);
    Ok(InstanceMetrics { total, safety, stores, scopes, last_run, last_success, catalogue_bytes })
}

/// Adds a scope's files by the number of stores that it can read them from.
pub(super) fn add_safety(safety: &mut Safety, totals: &ScopeTotals<'_>) {
    safety.readable_0 += totals.with_readable(|n| n == 0).files;
    safety.readable_1 += totals.with_readable(|n| n == 1).files;
    safety.readable_2_or_more += totals.with_readable(|n| n > 1).files;
}

fn of_scope(topology: &Topology, scope: &Scope, totals: &ScopeTotals<'_>) -> ScopeMetrics {
    let links = topology.links_of(scope.id).map(|link| LinkMetrics {
        store: topology.store_name(link.store),
        held: totals.all_in(link.store),
        missing: totals.missing_in(link.store),
        soft_max_size: link.policy.soft_max_size,
    });
    ScopeMetrics {
        scope: scope.clone(),
        live: totals.live(),
        tombstones: totals.tombstones(),
        links: links.collect(),
    }
}

fn of_store(app: &App, store: &Store, replicas: BTreeMap<ReplicaState, Count>) -> StoreMetrics {
    let health = app.transfer.stores.last_seen(store.id);
    let free = app.transfer.stores.free_room(store.id);
    let reserved = app.catalogue.ledger().reserved(store.id);
    StoreMetrics { store: store.clone(), replicas, reserved, health, free }
}

fn runs(snapshot: &Snapshot) -> Result<(Option<Run>, Option<Timestamp>), CatalogueError> {
    let is_over = |run: &Run| !matches!(run.outcome, Outcome::Running | Outcome::Paused);
    let succeeded = |run: &Run| run.outcome == Outcome::Complete;
    let last = snapshot.runs(2)?.into_iter().find(is_over);
    let success = match last.as_ref().filter(|run| succeeded(run)) {
        Some(run) => run.finished_at,
        // The whole history is read only while something is wrong.
        None => {
            snapshot.runs(usize::MAX)?.iter().find(|r| succeeded(r)).and_then(|r| r.finished_at)
        }
    };
    Ok((last, success))
}
