//! `status`: the instance at a glance.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attention::{self, Facts, NearLimit};
use super::metrics::add_safety;
use super::scope_totals::ScopeTotals;
use super::{Actor, OpError, blocking, stores, warnings};
use crate::api::{Outcome, Run, Safety, Status, StoreView};
use crate::app::App;
use crate::catalogue::{Counter, Snapshot};
use crate::domain::{LimitKind, Link, Store, StoreName, Topology, Warning};
use crate::maintenance::StoreForecast;
use crate::words::Phrase;

pub async fn status(app: &Arc<App>, actor: &Actor) -> Result<Status, OpError> {
    let stores = stores::list(app, actor).await?;
    blocking(app, move |app| gather(app, stores)).await
}

/// The instance with its stores as they were last seen: it waits for none.
pub async fn glance(app: &Arc<App>, actor: &Actor) -> Result<Status, OpError> {
    let stores = stores::glance(app, actor).await?;
    blocking(app, move |app| gather(app, stores)).await
}

/// How every store has grown, and where that leads.
pub async fn forecasts(
    app: &Arc<App>,
    actor: &Actor,
) -> Result<BTreeMap<StoreName, StoreForecast>, OpError> {
    actor.require_instance_admin()?;
    blocking(app, |app| {
        let settings = app.catalogue.settings();
        let stores = settings.topology.stores.values();
        let forecasts =
            stores.map(|store| Ok((store.name.clone(), app.maintenance.foresee(store)?)));
        forecasts.collect()
    })
    .await
}

fn gather(app: &App, stores: Vec<StoreView>) -> Result<Status, OpError> {
    let settings = app.catalogue.settings();
    let limits = near_or_reached(app, &settings.topology);
    let snapshot = app.catalogue.snapshot()?;
    let total = snapshot.count(&Counter::Total)?;
    let last_run = last_run(&snapshot)?;
    let (safety, of_links) = scopes(&snapshot, &settings.topology)?;
    let mut found = of_stores(app, &settings.topology)?;
    let mut warnings = warnings::phrases(&of_links);
    found.extend(of_links);
    let current = app.maintenance.current();
    let attention = attention::of(&Facts {
        stores: &stores,
        safety: &safety,
        last_run: last_run.as_ref(),
        current: current.as_ref(),
        limits: &limits,
        warnings: &found,
    });
    for store in &stores {
        warnings.extend(store.warnings.iter().cloned());
        let problem = store.health.problem.iter();
        warnings.extend(problem.map(|p| Phrase::new(format!("{}: {p}", store.name))));
    }
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: app.started_at,
        files: total.files,
        bytes: total.bytes,
        stores,
        last_run,
        next_run: app.maintenance.next_run(),
        running: current.and_then(|run| run.id),
        safety,
        attention,
        warnings,
    })
}

/// What was foreseen when it was last computed: a command without a server foresees nothing.
fn near_limits(app: &App, topology: &Topology) -> Vec<NearLimit> {
    let today = app.catalogue.clock().now().day();
    let ahead = app.config.maintenance.limit_forecast.as_secs() / 86_400;
    let expected = app.maintenance.expected_limits().into_iter();
    let near = expected.map(|o| (o, o.day.saturating_sub(today)));
    near.filter(|(_, days)| u64::from(*days) <= ahead)
        .filter_map(|(o, days)| {
            let store = topology.stores.get(&o.store)?.name.clone();
            Some(NearLimit { store, limit: o.limit, days })
        })
        .collect()
}

/// Hard limits and disks that are full now, and what was foreseen of others.
fn near_or_reached(app: &App, topology: &Topology) -> Vec<NearLimit> {
    let mut all = Vec::new();
    for store in topology.stores_by_name().into_iter().filter(|s| takes_files(topology, s)) {
        let used = app.catalogue.ledger().hard_usage(store.id);
        let free = app.transfer.stores.free_room(store.id);
        let hard = is_full(store, used).then_some(LimitKind::Hard);
        let disk = free.is_some_and(|free| disk_is_full(free, used)).then_some(LimitKind::Disk);
        let store = &store.name;
        let reached = hard.into_iter().chain(disk);
        all.extend(reached.map(|limit| NearLimit { store: store.clone(), limit, days: 0 }));
    }
    let told = all.clone();
    let known =
        |near: &NearLimit| told.iter().any(|t| (&t.store, t.limit) == (&near.store, near.limit));
    all.extend(near_limits(app, topology).into_iter().filter(|near| !known(near)));
    all
}

/// Whether a store is meant to take files.
fn takes_files(topology: &Topology, store: &Store) -> bool {
    let open = |link: &Link| !link.policy.read_only && !link.policy.drain.is_on();
    topology.links_to(store.id).any(open)
}

/// Whether next to nothing fits any more under the hard limit. A store without a byte in it is closed
/// on purpose.
fn is_full(store: &Store, used: u64) -> bool {
    store.max_size.is_some_and(|max| used > 0 && used >= max - max / 100)
}

/// Whether next to nothing fits on the disk any more, whoever filled it: with this little left, many uploads fail.
fn disk_is_full(free: u64, used: u64) -> bool {
    const LITTLE: u64 = 8 << 20;
    const ENOUGH: u64 = 1 << 30;
    free < (free.saturating_add(used) / 100).clamp(LITTLE, ENOUGH)
}

/// The newest run that is over; at most one is not.
fn last_run(snapshot: &Snapshot) -> Result<Option<Run>, OpError> {
    let over = |run: &Run| !matches!(run.outcome, Outcome::Running | Outcome::Paused);
    Ok(snapshot.runs(2)?.into_iter().find(over))
}

fn of_stores(app: &App, topology: &Topology) -> Result<Vec<Warning>, OpError> {
    let mut all = Vec::new();
    for store in topology.stores_by_name() {
        all.extend(stores::own_warnings(app, store)?);
    }
    Ok(all)
}

fn scopes(snapshot: &Snapshot, topology: &Topology) -> Result<(Safety, Vec<Warning>), OpError> {
    let mut safety = Safety::default();
    let mut all = Vec::new();
    for scope in topology.scopes_by_name() {
        let totals = ScopeTotals::new(topology, scope.id, snapshot.holders(scope.id)?);
        add_safety(&mut safety, &totals);
        for link in topology.links_of(scope.id) {
            all.extend(warnings::of_link(topology, link, &totals));
        }
    }
    Ok((safety, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_next_to_nothing_fits_on_it_whoever_filled_it() {
        const GB: u64 = 1_000_000_000;
        for (free, used, full) in [
            (0, 0, true),
            (356_352, 33_000_000, true),
            (5_000_000, 0, true),
            (GB, 60 * GB, false),
            (GB / 2, 99 * GB, true),
            (2 * GB, 9998 * GB, false),
            (30_000_000, 0, false),
        ] {
            assert_eq!(disk_is_full(free, used), full, "{free} free, {used} used");
        }
    }
}
