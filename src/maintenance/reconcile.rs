//! `store reconcile`: the administrator says that a location is this store's after all, whatever
//! its marker says. Catalogue and store are brought together without deleting anything (SPEC 2).

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::api::ReconcileReport;
use crate::catalogue::CatalogueError;
use crate::domain::{Event, StoreId};
use crate::stores::{Backend, Listed, StoreError};

use super::sweep::unavailable;
use super::{Maintenance, SweepError};

const PAGE: usize = 1000;
/// Questions to the store at once.
const AT_ONCE: usize = 32;

impl Maintenance {
    /// Adopts objects without a row, marks rows without an object missing, and writes our marker: above
    /// any generation that this instance left there, while one of another instance is just replaced.
    pub async fn reconcile(&self, store: StoreId) -> Result<ReconcileReport, SweepError> {
        let settings = self.catalogue().settings();
        let config = settings.topology.stores.get(&store).ok_or(SweepError::NoSuchStore)?;
        let open = self.transfer.stores.get(store).map_err(unavailable)?;
        let found = open.backend.read_marker().await.map_err(unavailable)?;
        let mut report =
            ReconcileReport { store: config.name.to_string(), ..ReconcileReport::default() };
        self.adopt_strangers(store, &open.backend, &mut report).await?;
        // A local store without a marker says of no object that it is absent: there the marker comes first. A
        // crash between the two leaves rows without objects, which no removal relies on (each is asked
        // for first), and reads and `verify` mark them; reconciling again finds them as well.
        let bare = found.is_none();
        let ours = found.filter(|m| m.instance == self.catalogue().instance());
        let seen = ours.map_or(config.generation, |m| m.generation.max(config.generation));
        if bare {
            self.claim(store, seen).await?;
        }
        self.mark_absent(store, &open.backend, &mut report).await?;
        if !bare {
            self.claim(store, seen).await?;
        }
        self.transfer.stores.look(store).await;
        if let Some(error) = self.recheck(store).await?.failed {
            return Err(unavailable(error));
        }
        tracing::info!(store = %config.name, adopted = report.adopted, missing = report.missing,
            "a store was reconciled");
        Ok(report)
    }

    /// Writes our marker, above the generation that was seen.
    async fn claim(&self, store: StoreId, seen: u64) -> Result<(), SweepError> {
        let failed = self.take_over(store, seen).await?;
        failed.into_values().next().map_or(Ok(()), |why| Err(SweepError::Unavailable(why.into())))
    }

    async fn adopt_strangers(
        &self,
        store: StoreId,
        backend: &Arc<dyn Backend>,
        report: &mut ReconcileReport,
    ) -> Result<(), SweepError> {
        let mut after = None;
        loop {
            let page = backend.list(after.as_ref(), PAGE).await.map_err(unavailable)?;
            let objects: Vec<Listed> = page.objects;
            report.objects += objects.len() as u64;
            let (known, adopted) = self
                .catalogue()
                .write(move |tx| {
                    let (mut known, mut adopted) = (0, 0);
                    for object in &objects {
                        let row = tx.file_by_digest(&object.digest)?;
                        if row.is_some_and(|f| f.replica(store).is_some()) {
                            known += 1;
                        } else if tx.adopted(store, &object.digest)?.is_none() {
                            tx.adopt(store, &object.digest, object.size)?;
                            adopted += 1;
                        }
                    }
                    Ok::<_, CatalogueError>((known, adopted))
                })
                .await?;
            report.known += known;
            report.adopted += adopted;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn mark_absent(
        &self,
        store: StoreId,
        backend: &Arc<dyn Backend>,
        report: &mut ReconcileReport,
    ) -> Result<(), SweepError> {
        let mut after = None;
        loop {
            let page = self.catalogue().snapshot()?.files_of_store(store, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            let present = page.into_iter().filter(|f| f.is_present(store));
            let looks = present.map(|file| async move {
                let stat = backend.stat(&file.digest).await?;
                Ok::<_, StoreError>((file.id, stat.is_none()))
            });
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some(look) = looks.next().await {
                let (file, absent) = look.map_err(unavailable)?;
                if absent && self.transfer.mark(file, store, Event::FoundMissing).await? {
                    report.missing += 1;
                }
            }
        }
    }
}
