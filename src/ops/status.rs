//! `status`: the instance at a glance.

use std::sync::Arc;

use super::attention::{self, Facts};
use super::tally::Tally;
use super::{Actor, OpError, blocking, stores, warnings};
use crate::api::{Outcome, Run, Safety, Status, StoreView};
use crate::app::App;
use crate::catalogue::{Counter, Snapshot};
use crate::domain::Topology;

pub async fn status(app: &Arc<App>, actor: &Actor) -> Result<Status, OpError> {
    actor.require_instance_admin()?;
    let stores = stores::all(app).await?;
    blocking(app, move |app| gather(app, stores)).await
}

fn gather(app: &App, stores: Vec<StoreView>) -> Result<Status, OpError> {
    let settings = app.catalogue.settings();
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
        safety.readable_0 += tally.with_readable(|n| n == 0).files;
        safety.readable_1 += tally.with_readable(|n| n == 1).files;
        safety.readable_2_or_more += tally.with_readable(|n| n > 1).files;
        for link in topology.links_of(scope.id) {
            all.extend(warnings::of_link(topology, link, &tally));
        }
    }
    Ok((safety, all))
}
