//! Stores as shown.

use std::sync::Arc;
use std::time::Duration;

use super::super::s3_settings;
use super::super::scope_totals::ScopeTotals;
use super::super::warnings::{self, DiskFacts};
use super::super::{Actor, OpError, blocking, find_store};
use crate::api::{Health, HealthWord, StoreScope, StoreView};
use crate::app::App;
use crate::catalogue::{self, Snapshot};
use crate::domain::{ReplicaState, Store, StoreId, StoreName, Topology, Warning};
use crate::maintenance::StoreForecast;
use crate::transfer::HealthState;
use crate::words;

/// How long showing a store waits for its marker: until it is said to be silent. One that was seen ill
/// is waited for less (`OpenStores::glimpse`).
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a page waits for stores.
const GLANCE: Duration = Duration::from_millis(10);
const DAYS: u32 = 7;

/// Every store, in name order, looked at now.
pub async fn list(app: &Arc<App>, actor: &Actor) -> Result<Vec<StoreView>, OpError> {
    actor.require_instance_admin()?;
    look(app, PATIENCE).await;
    views(app).await
}

/// Every store, in name order, as it was last seen: for a page that waits for none. A look begins that
/// the next call profits from.
pub async fn glance(app: &Arc<App>, actor: &Actor) -> Result<Vec<StoreView>, OpError> {
    actor.require_instance_admin()?;
    // A disk answers at once, a bucket does not.
    look(app, GLANCE).await;
    views(app).await
}

async fn views(app: &Arc<App>) -> Result<Vec<StoreView>, OpError> {
    blocking(app, |app| {
        let settings = app.catalogue.settings();
        let stores = settings.topology.stores_by_name();
        stores.into_iter().map(|store| view(app, &settings.topology, store)).collect()
    })
    .await
}

pub async fn show(app: &Arc<App>, actor: &Actor, name: &StoreName) -> Result<StoreView, OpError> {
    actor.require_instance_admin()?;
    shown(app, name).await
}

pub(super) async fn shown(app: &Arc<App>, name: &StoreName) -> Result<StoreView, OpError> {
    let id = find_store(&app.catalogue.settings().topology, name)?.id;
    app.transfer.stores.glimpse(id, PATIENCE).await;
    let name = name.clone();
    blocking(app, move |app| {
        let settings = app.catalogue.settings();
        view(app, &settings.topology, find_store(&settings.topology, &name)?)
    })
    .await
}

/// Looks at all stores at once.
async fn look(app: &App, patience: Duration) {
    let settings = app.catalogue.settings();
    let ids = settings.topology.stores.keys();
    let looks = ids.map(|id| app.transfer.stores.glimpse(*id, patience));
    futures_util::future::join_all(looks).await;
}

/// A look at all stores before something is asked of them.
pub(in crate::ops) async fn look_at_all(app: &App) {
    look(app, PATIENCE).await;
}

fn view(app: &App, topology: &Topology, store: &Store) -> Result<StoreView, OpError> {
    let snapshot = app.catalogue.snapshot()?;
    let counts = snapshot.store_counts(store.id)?;
    let count = |state| counts.get(&state).copied().unwrap_or_default();
    let (present, deleting) = (count(ReplicaState::Present), count(ReplicaState::Deleting));
    Ok(StoreView {
        name: store.name.clone(),
        backend: store.backend.kind().to_owned(),
        location: store.backend.location(),
        instance_wide: store.instance_wide,
        soft_max_size: store.soft_max_size,
        max_size: store.max_size,
        files: present.files,
        bytes: present.bytes,
        // The account that limits are held against, less what this snapshot shows: a promise that is
        // being kept is never shown twice.
        reserved_bytes: app
            .catalogue
            .ledger()
            .hard_usage(store.id)
            .saturating_sub(catalogue::hard_bytes(&counts)),
        writing_bytes: count(ReplicaState::Writing).bytes,
        deleting_files: deleting.files,
        deleting_bytes: deleting.bytes,
        missing_files: count(ReplicaState::Missing).files,
        corrupt_files: count(ReplicaState::Corrupt).files,
        adopted_objects: snapshot.adopted_count(store.id)?,
        scopes: scopes(&snapshot, topology, store.id)?,
        health: health(app, store),
        s3: store.s3().map(s3_settings::view),
        warnings: warnings::phrases(&own_warnings(app, store)?),
    })
}

/// The scopes that link the store or have files in it.
fn scopes(
    snapshot: &Snapshot,
    topology: &Topology,
    store: StoreId,
) -> Result<Vec<StoreScope>, OpError> {
    let mut all = Vec::new();
    for scope in topology.scopes_by_name() {
        let linked = topology.link(scope.id, store).is_some();
        let totals = ScopeTotals::new(topology, scope.id, snapshot.holders(scope.id)?);
        if !linked && totals.all_in(store).is_zero() {
            continue;
        }
        let held = totals.live_in(store);
        // Only a link makes anything missing.
        let missing = if linked { totals.missing_in(store) } else { crate::api::Count::default() };
        all.push(StoreScope {
            scope: scope.name.to_string(),
            linked,
            files: held.files,
            bytes: held.bytes,
            missing_files: missing.files,
            missing_bytes: missing.bytes,
        });
    }
    Ok(all)
}

pub(in crate::ops) fn health(app: &App, store: &Store) -> Health {
    let (state, since) = match app.transfer.stores.get(store.id) {
        Ok(open) => open.health(),
        Err(error) => (HealthState::Unavailable(error.into()), None),
    };
    let word = match state {
        HealthState::Unknown => HealthWord::Unknown,
        HealthState::Ok => HealthWord::Ok,
        HealthState::Unavailable(_) => HealthWord::Unavailable,
        HealthState::Foreign(_) => HealthWord::Foreign,
    };
    let problem = state.problem().map(|found| words::diagnosis(found, &store.name));
    Health { state: word, problem, since }
}

/// Warnings about the store itself.
pub(in crate::ops) fn own_warnings(app: &App, store: &Store) -> Result<Vec<Warning>, OpError> {
    Ok(warnings::of_store(store, disk_facts(app, store)?))
}

/// What they need to know about a local store's disk.
fn disk_facts(app: &App, store: &Store) -> Result<DiskFacts, OpError> {
    if store.is_remote() {
        return Ok(DiskFacts::default());
    }
    // A disk that does not answer is a matter of health.
    let StoreForecast { growth, capacity, .. } = app.maintenance.foresee(store)?;
    Ok(DiskFacts { capacity, week: growth.added_in(DAYS) })
}
