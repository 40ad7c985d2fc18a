//! Raising the generation of stores: the proof that no older catalogue and no older copy of a
//! store is at work (SPEC 2).
//!
//! The catalogue says the new generation first, and notes in the same commit that the marker may
//! still carry the old one; then the marker is written; then the note goes. A crash in between, or
//! an answer that was lost, leaves a marker that is accepted, and the next run writes it again. The
//! other way round, a crash would leave a marker newer than the catalogue, which is what a restored
//! backup looks like.

use std::collections::BTreeMap;

use crate::catalogue::{CatalogueError, values};
use crate::domain::{Store, StoreId};
use crate::stores::StoreError;
use crate::transfer::marker_of;

use super::Maintenance;

impl Maintenance {
    /// Raises the generation of these stores, whose markers were read and are ours. Returns those
    /// whose marker could not be written, with the reason.
    pub(super) async fn raise_generations(
        &self,
        stores: &[StoreId],
    ) -> Result<BTreeMap<StoreId, String>, CatalogueError> {
        let _one_at_a_time = self.raising.lock().await;
        let settings = self.catalogue().settings();
        let known = stores.iter().filter_map(|id| settings.topology.stores.get(id));
        for store in known {
            // Before the commit: whoever reads the marker meanwhile must accept it.
            if !self.transfer.stores.is_tolerating(store.id) {
                self.transfer.stores.tolerate(store.id, Some(store.generation));
            }
        }
        self.write_markers(self.commit_generations(stores.to_vec(), 0).await?).await
    }

    /// Gives one store our marker, whatever marker it has, above any generation seen there.
    pub(super) async fn take_over(
        &self,
        store: StoreId,
        seen: u64,
    ) -> Result<BTreeMap<StoreId, String>, CatalogueError> {
        let _one_at_a_time = self.raising.lock().await;
        self.write_markers(self.commit_generations(vec![store], seen).await?).await
    }

    async fn commit_generations(
        &self,
        stores: Vec<StoreId>,
        seen: u64,
    ) -> Result<Vec<Store>, CatalogueError> {
        self.catalogue()
            .write(move |tx| {
                let mut raising = tx.value(&values::RAISING_GENERATION)?.unwrap_or_default();
                let mut raised = Vec::new();
                for id in &stores {
                    let Some(mut store) = tx.topology().stores.get(id).cloned() else { continue };
                    // One that was raised before a crash still waits for its marker.
                    if !raising.contains_key(&id.0) || seen >= store.generation {
                        raising.insert(id.0, store.generation);
                        store.generation = store.generation.max(seen) + 1;
                        tx.put_store(store.clone())?;
                    }
                    raised.push(store);
                }
                tx.set_value(&values::RAISING_GENERATION, &raising)?;
                Ok(raised)
            })
            .await
    }

    async fn write_markers(
        &self,
        raised: Vec<Store>,
    ) -> Result<BTreeMap<StoreId, String>, CatalogueError> {
        let mut failed = BTreeMap::new();
        let mut written = Vec::new();
        let jobs = raised.into_iter().map(|store| async move {
            let marker = marker_of(self.catalogue().instance(), &store);
            let result = match self.transfer.stores.get(store.id) {
                Ok(open) => open.backend.write_marker(&marker).await,
                Err(error) => Err(error),
            };
            (store.id, result)
        });
        for (id, result) in futures_util::future::join_all(jobs).await {
            match result {
                Ok(()) => written.push(id),
                // A full disk is what the run is there to relieve: the old marker is still ours and
                // accepted, and the next run writes the new one.
                Err(StoreError::Full(why)) => {
                    let store = self.transfer.stores.name(id);
                    tracing::warn!(store, %why, "no room for a marker of this generation");
                }
                Err(error) => {
                    failed.insert(id, format!("its marker could not be written: {error}"));
                }
            }
        }
        let done = written.clone();
        self.catalogue()
            .write(move |tx| {
                let mut raising = tx.value(&values::RAISING_GENERATION)?.unwrap_or_default();
                raising.retain(|id, _| !done.contains(&StoreId(*id)));
                tx.set_value(&values::RAISING_GENERATION, &raising)
            })
            .await?;
        for id in written {
            self.transfer.stores.tolerate(id, None);
        }
        Ok(failed)
    }
}
