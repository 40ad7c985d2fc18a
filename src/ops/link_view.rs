//! Links as shown.

use std::cmp::Reverse;

use super::scope_totals::ScopeTotals;
use super::{OpError, retained, stores, warnings};
use crate::api::{LinkState, LinkView};
use crate::app::App;
use crate::domain::{Link, ScopeId, Topology};

/// What `scope show` takes the time to look at, and a table of all scopes does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Counters and settings.
    Sums,
    /// Also the files that other scopes keep, and the disks.
    Whole,
}

/// The links of a scope in upload order.
pub(super) fn of_scope(
    app: &App,
    topology: &Topology,
    scope: ScopeId,
    totals: &ScopeTotals<'_>,
    depth: Depth,
) -> Result<Vec<LinkView>, OpError> {
    let mut links: Vec<&Link> = topology.links_of(scope).collect();
    links.sort_by_key(|l| (Reverse(l.upload_priority), topology.store_name(l.store)));
    let views = links.into_iter().map(|link| match depth {
        Depth::Sums => sums(topology, link, totals),
        Depth::Whole => of_link(app, topology, link, totals),
    });
    views.collect()
}

/// A link as shown, from its scope's totals.
pub(super) fn of_link(
    app: &App,
    topology: &Topology,
    link: &Link,
    totals: &ScopeTotals<'_>,
) -> Result<LinkView, OpError> {
    let mut view = sums(topology, link, totals)?;
    if let Some(store) = topology.stores.get(&link.store) {
        view.warnings.extend(warnings::phrases(&stores::own_warnings(app, store)?));
    }
    let draining = topology.links_of(link.scope).filter(|l| l.policy.drain.is_on()).count();
    view.retained = retained::retained(app, topology, link, draining)?;
    Ok(view)
}

/// The same without what only a look at files and disks can tell.
fn sums(topology: &Topology, link: &Link, totals: &ScopeTotals<'_>) -> Result<LinkView, OpError> {
    let store = topology.stores.get(&link.store);
    let store = store.ok_or_else(|| OpError::Internal("a link names no store".to_owned()))?;
    let (held, missing) = (totals.live_in(link.store), totals.missing_in(link.store));
    Ok(LinkView {
        store: store.name.clone(),
        backend: store.backend.kind().to_owned(),
        upload_priority: link.upload_priority,
        download_priority: link.download_priority,
        policy: link.policy.clone(),
        files: held.files,
        bytes: held.bytes,
        missing_files: missing.files,
        missing_bytes: missing.bytes,
        only_here_files: totals.only_in(link.store).files,
        tombstone_bytes: totals.tombstones_in(link.store).bytes,
        state: state(link, totals),
        retained: Vec::new(),
        warnings: warnings::phrases(&warnings::of_link(topology, link, totals)),
    })
}

fn state(link: &Link, totals: &ScopeTotals<'_>) -> LinkState {
    let left = !totals.all_in(link.store).is_zero();
    match (link.policy.drain.is_on(), left) {
        (true, true) => LinkState::Draining,
        (true, false) => LinkState::Drained,
        (false, true) => LinkState::Active,
        (false, false) => LinkState::Empty,
    }
}
