//! Phases 0 and 1 of a run: finish what was left, bring back what is there again, expire tombstones,
//! delete files that no scope has (SPEC 7).

use futures_util::{StreamExt, stream};

use crate::api::{Count, MoveAction, MoveView};
use crate::catalogue::CatalogueError;
use crate::domain::{File, ReplicaState, StoreId, Timestamp, Topology};

use super::Maintenance;
use super::live::{Live, Trouble};
use super::recheck::Rechecked;
use super::run::Looked;

/// Tombstones that share a commit, and files in one page.
const PAGE: usize = 256;
/// Files deleted at once. Deleting slows the disk for uploads beside it, so not too many.
const AT_ONCE: usize = 16;

/// Why a file's replicas go although no policy asks for it.
pub(super) const UNREFERENCED: &str = "no scope has the file any more";

impl Maintenance {
    /// False when the run is to end.
    pub(super) async fn first_phases(
        &self,
        live: &Live,
        looked: &Looked,
        now: Timestamp,
    ) -> Result<bool, CatalogueError> {
        for store in &looked.usable {
            if !live.gate().await {
                return Ok(false);
            }
            let name = self.catalogue().settings().topology.store_name(*store);
            live.enter("finish", None, Some(name.clone()));
            self.finish_deletions(live, *store, &name).await?;
            let Rechecked { back, failed } = self.recheck(*store).await?;
            if back > 0 {
                live.warn(format!("{back} missing replicas are back in {name}"));
            }
            if let Some(error) = failed {
                let cause = format!("missing replicas were not all looked for: {error}");
                let trouble = Trouble {
                    phase: "finish",
                    scope: None,
                    store: Some(&name),
                    cause: &cause,
                    remedy: None,
                };
                live.error(trouble, Count::default(), &[]);
            }
        }
        live.enter("expire", None, None);
        Ok(self.expire_tombstones(live, now).await? && self.delete_unreferenced(live).await?)
    }

    /// Deletes what was given up before and is due: at the beginning what earlier runs left, at the
    /// end what this one deferred.
    pub(super) async fn finish_deletions(
        &self,
        live: &Live,
        store: StoreId,
        name: &str,
    ) -> Result<(), CatalogueError> {
        let summary = self.transfer.reap_store(store).await?;
        if summary.failed > 0 {
            let problem = summary.problem.map(|p| p.to_string()).unwrap_or_default();
            let cause = format!("deletions have to be repeated: {problem}");
            let trouble = Trouble {
                phase: "finish",
                scope: None,
                store: Some(name),
                cause: &cause,
                remedy: None,
            };
            live.error(trouble, Count { files: summary.failed, bytes: 0 }, &[]);
        }
        Ok(())
    }

    async fn expire_tombstones(&self, live: &Live, now: Timestamp) -> Result<bool, CatalogueError> {
        let until = now.before(self.config.maintenance.grace);
        loop {
            if !live.gate().await {
                return Ok(false);
            }
            let expired: Vec<u64> = self
                .catalogue()
                .snapshot()?
                .tombstones(0, until, PAGE)?
                .into_iter()
                .map(|(id, _)| id)
                .collect();
            if expired.is_empty() {
                return Ok(true);
            }
            let job = move |tx: &mut crate::catalogue::Tx<'_>| {
                expired.iter().try_for_each(|id| tx.expire_tombstone(*id))
            };
            self.catalogue().write(job).await?;
        }
    }

    async fn delete_unreferenced(&self, live: &Live) -> Result<bool, CatalogueError> {
        let mut after = None;
        loop {
            if !live.gate().await {
                return Ok(false);
            }
            let page = self.catalogue().snapshot()?.unreferenced(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(true) };
            after = Some(last.id);
            let settings = self.catalogue().settings();
            let topology = &settings.topology;
            let jobs = page.into_iter().map(|file| async move {
                let deleted = self.transfer.delete_unreferenced(file.id).await;
                deleted.map(|deleted| deleted.then(|| farewell(&file, topology)))
            });
            let mut jobs = stream::iter(jobs).buffer_unordered(AT_ONCE);
            while let Some(moves) = jobs.next().await {
                let moves = moves?.unwrap_or_default();
                for step in &moves {
                    live.step_done(step.size);
                }
                live.removed(moves);
            }
        }
    }
}

/// The removals that the deletion of an unreferenced file consists of.
fn farewell(file: &File, topology: &Topology) -> Vec<MoveView> {
    bidding_farewell(file).map(|store| farewell_from(file, store, topology)).collect()
}

pub(super) fn farewell_from(file: &File, store: StoreId, topology: &Topology) -> MoveView {
    MoveView {
        action: MoveAction::Remove,
        scope: None,
        digest: file.digest,
        size: file.size,
        from: Some(topology.store_name(store)),
        to: None,
        reason: UNREFERENCED.to_owned(),
    }
}

/// The stores that such a deletion removes something from.
pub(super) fn bidding_farewell(file: &File) -> impl Iterator<Item = StoreId> {
    let kept = |state| matches!(state, ReplicaState::Present | ReplicaState::Corrupt);
    file.replicas.iter().filter(move |r| kept(r.state)).map(|r| r.store)
}
