//! Files of a drained link that other scopes keep there (SPEC 7, retained).

use std::collections::{BTreeMap, BTreeSet};

use super::OpError;
use crate::api::{Count, Retained};
use crate::app::App;
use crate::domain::{Link, ScopeId, Topology};
use crate::planner::{self, CONFIRMED, World};

/// At most so many files of a scope are looked at for all its draining links, so that `scope show` stays
/// quick: the counts are exact up to here and said to be a lower bound beyond.
const LOOKED_AT: usize = 5000;
const PAGE: usize = 500;

/// For each other scope the files that it alone keeps in the store that `link` drains. Files that the
/// drain itself has still to copy are not retained yet. The scope has `draining` draining links.
pub(super) fn retained(
    app: &App,
    topology: &Topology,
    link: &Link,
    draining: usize,
) -> Result<Vec<Retained>, OpError> {
    if !link.policy.drain.is_on() {
        return Ok(Vec::new());
    }
    let unavailable = unavailable(app, topology);
    let world = world_now(app, topology, &unavailable)?;
    let mut kept: BTreeMap<ScopeId, Count> = BTreeMap::new();
    let mut after = None;
    let mut at_least = true;
    for _ in 0..(LOOKED_AT / PAGE / draining.max(1)).max(1) {
        let page = app.catalogue.snapshot()?.live_files_of_scope(link.scope, after, PAGE)?;
        let Some(last) = page.last() else {
            at_least = false;
            break;
        };
        after = Some(last.id);
        for file in page.iter().filter(|f| f.is_present(link.store)) {
            let Err(pins) = planner::removable(&world, file, link.store, CONFIRMED) else {
                continue;
            };
            let scopes: BTreeSet<_> = pins.iter().map(|p| p.scope()).collect();
            if scopes.contains(&Some(link.scope)) || scopes.contains(&None) {
                continue;
            }
            for scope in scopes.into_iter().flatten() {
                kept.entry(scope).or_default().add(file.size);
            }
        }
    }
    let mut all: Vec<Retained> = kept
        .into_iter()
        .map(|(scope, Count { files, bytes })| Retained {
            scope: topology.scope_name(scope),
            files,
            bytes,
            at_least,
        })
        .collect();
    all.sort_by(|a, b| a.scope.cmp(&b.scope));
    Ok(all)
}

/// Stores that were last seen unavailable.
pub(super) fn unavailable(app: &App, topology: &Topology) -> BTreeSet<crate::domain::StoreId> {
    let seen = |id| app.transfer.stores.last_seen(id);
    topology
        .stores
        .keys()
        .copied()
        .filter(|id| seen(*id).problem().is_some() && !seen(*id).is_available())
        .collect()
}

static NONE_DEFERRED: BTreeSet<crate::domain::StoreId> = BTreeSet::new();

/// What a run that starts now would look at.
pub(super) fn world_now<'a>(
    app: &App,
    topology: &'a Topology,
    unavailable: &'a BTreeSet<crate::domain::StoreId>,
) -> Result<World<'a>, OpError> {
    Ok(World {
        topology,
        unavailable,
        deferred: &NONE_DEFERRED,
        run: app.catalogue.snapshot()?.next_run_id()?,
        now: app.catalogue.clock().now(),
        grace: app.config.maintenance.grace,
    })
}
