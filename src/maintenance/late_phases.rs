//! Phases 7 and 8 of a run: sweep orphans, report what is missing, corrupt or lost (SPEC 7).

use crate::api::Count;
use crate::catalogue::CatalogueError;
use crate::domain::{ByteSize, Digest, Remedy, ReplicaState, ScopeId, StoreId, Topology, plural};
use crate::planner::{FileSet, Snapshot, check_store};

use super::executor::Executor;
use super::live::{Live, Trouble};
use super::run::Looked;
use super::view::{LiveHolders, View, blocking};
use super::{Maintenance, SweepError, said};

const SHOWN_DIGESTS: usize = 10;

/// Something wrong that no policy asked about.
#[derive(Debug)]
pub(super) struct Finding {
    pub scope: Option<String>,
    pub store: Option<String>,
    pub cause: &'static str,
    pub remedy: Option<Remedy>,
    pub count: Count,
    pub digests: Vec<Digest>,
}

impl Maintenance {
    /// False when the run is to end.
    pub(super) async fn last_phases(
        &self,
        live: &Live,
        looked: &Looked,
        executor: &Executor,
    ) -> Result<bool, CatalogueError> {
        for store in looked.usable.iter().filter(|s| !executor.skip_list.is_skipped(**s)) {
            if !live.gate().await {
                return Ok(false);
            }
            let name = self.catalogue().settings().topology.store_name(*store);
            live.enter("sweep", None, Some(name.clone()));
            self.finish_deletions(live, *store, &name).await?;
            let problem = match self.sweep_store(*store, false, Some(live)).await {
                Ok(report) => {
                    if report.deleted > 0 {
                        let orphans = plural(report.deleted, "orphan");
                        live.warn(format!("deleted {orphans} in {name}"));
                    }
                    let settings = self.catalogue().settings();
                    let stopped_in = settings.topology.stores.get(store).map(|s| s.name.clone());
                    let confirm = stopped_in.map(|store| Remedy::ConfirmSweep { store });
                    report.stopped.map(|why| (why, confirm))
                }
                Err(SweepError::Catalogue(error)) => return Err(error),
                // Deleted meanwhile: nothing to sweep.
                Err(SweepError::NoSuchStore) => None,
                Err(SweepError::Unavailable(why) | SweepError::NotOurs(why)) => {
                    let settings = self.catalogue().settings();
                    let topology = &settings.topology;
                    Some((said(&why, *store, topology), check_store(*store, topology)))
                }
            };
            if let Some((cause, remedy)) = problem {
                let store = Some(name.as_str());
                let trouble = Trouble { phase: "sweep", scope: None, store, cause: &cause, remedy };
                live.error(trouble, Count::default(), &[]);
            }
        }
        live.enter("report", None, None);
        let catalogue = std::sync::Arc::clone(self.catalogue());
        let found = blocking(move || {
            let view = View::take(&catalogue)?;
            let settings = catalogue.settings();
            let mut found = marked(&view, &settings.topology)?;
            let live = view.live_holders()?;
            found.extend(lost(&live, &settings.topology));
            Ok((found, archived(&live, &settings.topology)))
        });
        let (found, warnings) = found.await?;
        for finding in found {
            let trouble = Trouble {
                phase: "report",
                scope: finding.scope.as_deref(),
                store: finding.store.as_deref(),
                cause: finding.cause,
                remedy: finding.remedy,
            };
            live.error(trouble, finding.count, &finding.digests);
        }
        for text in warnings {
            live.warn(text);
        }
        Ok(true)
    }
}

/// Replicas that are missing or corrupt, by store.
pub(super) fn marked<S: Snapshot>(
    snapshot: &S,
    topology: &Topology,
) -> Result<Vec<Finding>, S::Error> {
    const MISSING: &str = "replicas are missing: the store answers and does not have them. \
                           `hayloft verify --repair` copies them again where the file has another replica";
    const CORRUPT: &str = "replicas are corrupt: their bytes are not those of the file. \
                           `hayloft verify --repair` rewrites them where the file has another replica";
    let mut found = Vec::new();
    for store in topology.stores_by_name() {
        for (state, cause) in [(ReplicaState::Missing, MISSING), (ReplicaState::Corrupt, CORRUPT)] {
            let count = snapshot.marked_count(state, store.id)?;
            if count.files > 0 {
                let files =
                    snapshot.files(FileSet::Marked(state, store.id), None, SHOWN_DIGESTS)?;
                let digests = files.into_iter().map(|f| f.digest).collect();
                let store = Some(store.name.to_string());
                let remedy = Some(Remedy::Repair);
                found.push(Finding { scope: None, store, cause, remedy, count, digests });
            }
        }
    }
    Ok(found)
}

/// Files of a scope that no store has.
pub(super) fn lost(live: &LiveHolders, topology: &Topology) -> Vec<Finding> {
    let mut found = Vec::new();
    for scope in topology.scopes_by_name() {
        let count = sum(live, scope.id, <[StoreId]>::is_empty);
        if !count.is_zero() {
            let cause = "files have no replica left: upload them again";
            let scope = Some(scope.name.to_string());
            let (remedy, digests) = (None, Vec::new());
            found.push(Finding { scope, store: None, cause, remedy, count, digests });
        }
    }
    found
}

/// Files of a scope whose only replicas are in stores that it may not read: no error, since that is
/// how archives are used, but a download says 409.
pub(super) fn archived(live: &LiveHolders, topology: &Topology) -> Vec<String> {
    let mut warnings = Vec::new();
    for scope in topology.scopes_by_name() {
        let reads = |s: &StoreId| topology.link(scope.id, *s).is_some_and(|l| !l.policy.write_only);
        let count = sum(live, scope.id, |stores| !stores.is_empty() && !stores.iter().any(reads));
        if !count.is_zero() {
            let (files, bytes) = (plural(count.files, "file"), ByteSize(count.bytes));
            let are = if count.files == 1 { "is" } else { "are" };
            warnings.push(format!(
                "{files} ({bytes}) of scope {} {are} only in stores that it cannot read (write_only \
                 or not linked)",
                scope.name
            ));
        }
    }
    warnings
}

fn sum(live: &LiveHolders, scope: ScopeId, wanted: impl Fn(&[StoreId]) -> bool) -> Count {
    let mut sum = Count::default();
    let held = live.get(&scope).into_iter().flatten();
    held.filter(|(stores, _)| wanted(stores)).for_each(|(_, count)| sum.add_all(*count));
    sum
}
