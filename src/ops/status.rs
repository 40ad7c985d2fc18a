//! `status`: the instance at a glance.

use std::sync::Arc;

use super::attention::{self, Facts, NearLimit};
use super::figures::add_safety;
use super::tally::Tally;
use super::{Actor, OpError, blocking, stores, warnings};
use crate::api::{Outcome, Run, Safety, Status, StoreView};
use crate::app::App;
use crate::catalogue::{Counter, Snapshot};
use crate::domain::{Link, ReplicaState, Store, StoreName, Topology, daily_growth, day_of_limit};
use crate::maintenance::LimitKind;

/// How a store has grown, and where that leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    pub store: StoreName,
    /// (day since the epoch, bytes) of the last weeks and of today, oldest first.
    pub days: Vec<(u32, u64)>,
    /// Bytes added per day, negative when the store shrinks.
    pub per_day: Option<i64>,
    /// The limit that will be reached first, and the day.
    pub limit_day: Option<(&'static str, u32)>,
    /// What a local store's disk has room for, when no limit says it.
    pub capacity: Option<u64>,
}

/// Weeks of growth shown.
const SHOWN_DAYS: u32 = 8 * 7;

pub async fn status(app: &Arc<App>, actor: &Actor) -> Result<Status, OpError> {
    actor.require_instance_admin()?;
    let stores = stores::all(app).await?;
    blocking(app, move |app| gather(app, stores)).await
}

/// The same with stores as they were last seen: it waits for none.
pub async fn glance(app: &Arc<App>, actor: &Actor) -> Result<Status, OpError> {
    actor.require_instance_admin()?;
    let stores = stores::all_as_known(app).await?;
    blocking(app, move |app| gather(app, stores)).await
}

/// The growth of every store, in name order.
pub async fn growth(app: &Arc<App>, actor: &Actor) -> Result<Vec<Growth>, OpError> {
    actor.require_instance_admin()?;
    blocking(app, |app| {
        let settings = app.catalogue.settings();
        let stores = settings.topology.stores_by_name();
        stores.into_iter().map(|store| growth_of(app, store)).collect()
    })
    .await
}

fn growth_of(app: &App, store: &Store) -> Result<Growth, OpError> {
    let snapshot = app.catalogue.snapshot()?;
    let today = u32::try_from(app.catalogue.clock().now().seconds() / 86_400).unwrap_or(0);
    let held = snapshot.store_counts(store.id)?;
    let held = held.get(&ReplicaState::Present).map_or(0, |count| count.bytes);
    let samples = snapshot.samples(store.id)?.into_iter();
    let mut days: Vec<(u32, u64)> = samples.map(|(day, count)| (day, count.bytes)).collect();
    days.retain(|(day, _)| *day < today);
    days.push((today, held));
    drop(snapshot);
    let capacity = stores::disk_facts(app, store)?.capacity;
    let limits = [
        ("soft limit", store.soft_max_size),
        ("hard limit", store.max_size),
        ("disk's end", capacity),
    ];
    let reached = limits
        .into_iter()
        .filter_map(|(what, limit)| Some((what, day_of_limit(&days, limit?)?)))
        .min_by_key(|(_, day)| *day);
    let per_day = daily_growth(&days);
    let first = days.partition_point(|(day, _)| day.saturating_add(SHOWN_DAYS) < today);
    days.drain(..first);
    Ok(Growth { store: store.name.clone(), days, per_day, limit_day: reached, capacity })
}

fn gather(app: &App, stores: Vec<StoreView>) -> Result<Status, OpError> {
    let settings = app.catalogue.settings();
    let limits = near_or_reached(app, &settings.topology);
    let snapshot = app.catalogue.snapshot()?;
    let total = snapshot.count(&Counter::Total)?;
    let last_run = last_run(&snapshot)?;
    let (safety, mut warnings) = scopes(&snapshot, &settings.topology)?;
    let current = app.maintenance.current();
    let attention = attention::of(&Facts {
        stores: &stores,
        safety: &safety,
        last_run: last_run.as_ref(),
        current: current.as_ref(),
        limits: &limits,
        warnings: &warnings,
    });
    for store in &stores {
        warnings.extend(store.warnings.iter().cloned());
        warnings.extend(store.health.problem.iter().map(|p| format!("{}: {p}", store.name)));
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
    let today = u32::try_from(app.catalogue.clock().now().seconds() / 86_400).unwrap_or(0);
    let ahead = app.config.maintenance.limit_forecast.as_secs() / 86_400;
    let outlook = app.maintenance.outlook().into_iter();
    let near = outlook.map(|o| (o, o.day.saturating_sub(today)));
    near.filter(|(_, days)| u64::from(*days) <= ahead)
        .map(|(o, days)| NearLimit { store: topology.store_name(o.store), limit: o.limit, days })
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
        let store = store.name.to_string();
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

/// The same of the disk, whoever filled it: with this little left, many uploads fail.
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

fn scopes(snapshot: &Snapshot, topology: &Topology) -> Result<(Safety, Vec<String>), OpError> {
    let mut safety = Safety::default();
    let mut all = Vec::new();
    for scope in topology.scopes_by_name() {
        let tally = Tally::new(topology, scope.id, snapshot.holders(scope.id)?);
        add_safety(&mut safety, &tally);
        for link in topology.links_of(scope.id) {
            all.extend(warnings::of_link(topology, link, &tally));
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
