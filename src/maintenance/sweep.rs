//! Deleting orphans: bytes of our shape that no row names (SPEC 7).
//!
//! The listing is compared with the catalogue page by page, so that memory does not grow with the
//! store. Nothing is deleted from the listing's word alone: each orphan is looked up again in a
//! write transaction, under the lock of its key, while the marker is ours.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::api::SweepReport;
use crate::catalogue::CatalogueError;
use crate::domain::{StoreId, StoreProblem, Timestamp, plural};
use crate::stores::{Backend, Listed, StoreError};
use crate::transfer::HealthState;

use super::live::Live;
use super::view::blocking;
use super::{Maintenance, SweepError};

/// Objects asked for at once.
const PAGE: usize = 1000;
/// Orphans remembered between the listing and their deletion; with more, the store is listed again.
const REMEMBERED: usize = 10_000;
/// Orphans deleted at once.
const AT_ONCE: usize = 16;
/// A sweep of more than so many objects, and of more than 5% of a store's, asks first [27].
const BRAKE: u64 = 100;

/// What a listing says.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub objects: u64,
    pub orphans: u64,
    pub orphan_bytes: u64,
    /// The first of them.
    pub first: Vec<Listed>,
    /// False when the run was to end before the listing did.
    pub whole: bool,
}

impl Survey {
    fn asks_first(&self) -> bool {
        self.orphans > BRAKE && self.orphans.saturating_mul(20) > self.objects
    }
}

impl Maintenance {
    /// Deletes the store's orphans; `confirm` goes on where a sweep had stopped to ask.
    pub async fn sweep(&self, store: StoreId, confirm: bool) -> Result<SweepReport, SweepError> {
        self.sweep_store(store, confirm, None).await
    }

    pub(super) async fn sweep_store(
        &self,
        store: StoreId,
        confirm: bool,
        live: Option<&Live>,
    ) -> Result<SweepReport, SweepError> {
        let settings = self.catalogue().settings();
        let config = settings.topology.stores.get(&store).ok_or(SweepError::NoSuchStore)?;
        let mut report = SweepReport { store: config.name.to_string(), ..SweepReport::default() };
        self.require_ours(store).await?;
        let open = self.transfer.stores.get(store).map_err(unavailable)?;
        let age = self.config.maintenance.orphan_age;
        open.backend.clean_unfinished(age).await.map_err(unavailable)?;
        let until = self.now().before(age);
        for round in 0.. {
            let survey = self.survey(store, &open.backend, until, live).await?;
            if round == 0 {
                report.objects = survey.objects;
                report.orphans = survey.orphans;
                report.orphan_bytes = survey.orphan_bytes;
                if survey.asks_first() && !confirm {
                    report.stopped = Some(format!(
                        "{} of {} are orphans, more than a sweep deletes unasked: look at \
                         them, then say `hayloft store sweep {} --confirm`",
                        survey.orphans,
                        plural(survey.objects, "object"),
                        config.name
                    ));
                    return Ok(report);
                }
            }
            let more = survey.orphans > survey.first.len() as u64;
            let deleted = self.delete_orphans(store, &open.backend, survey.first, live).await?;
            report.deleted += deleted;
            if !survey.whole || !more || deleted == 0 {
                return Ok(report);
            }
        }
        Ok(report)
    }

    /// The answer of a store, or an error when there is none for too long.
    pub(super) async fn answer<T>(
        &self,
        ask: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(self.patience, ask).await.unwrap_or_else(|_| {
            let seconds = self.patience.as_secs();
            Err(StoreError::unavailable(StoreProblem::NoAnswer { seconds }))
        })
    }

    /// An error unless the marker is ours and at our generation, as read now.
    async fn require_ours(&self, store: StoreId) -> Result<(), SweepError> {
        match self.transfer.stores.check(store).await {
            HealthState::Ok => Ok(()),
            HealthState::Foreign(why) => Err(SweepError::NotOurs(why)),
            state @ (HealthState::Unavailable(_) | HealthState::Unknown) => {
                Err(SweepError::Unavailable(state.obstacle()))
            }
        }
    }

    /// Lists the store and finds objects last changed up to `until` that no row and no adoption names.
    pub(super) async fn survey(
        &self,
        store: StoreId,
        backend: &Arc<dyn Backend>,
        until: Timestamp,
        live: Option<&Live>,
    ) -> Result<Survey, SweepError> {
        let mut survey = Survey::default();
        let mut after = None;
        loop {
            if let Some(live) = live
                && !live.gate().await
            {
                return Ok(survey);
            }
            let listed = self.answer(backend.list(after.as_ref(), PAGE)).await;
            let page = listed.map_err(unavailable)?;
            survey.objects += page.objects.len() as u64;
            let catalogue = Arc::clone(self.catalogue());
            let listed = page.objects;
            let orphans = blocking(move || {
                let snapshot = catalogue.snapshot()?;
                let mut orphans = Vec::new();
                let is_old = |o: &Listed| o.modified.is_some_and(|at| at <= until);
                for object in listed.into_iter().filter(is_old) {
                    let row = snapshot.file_by_digest(&object.digest)?;
                    let named = row.is_some_and(|f| f.replica(store).is_some());
                    if !named && snapshot.adopted(store, &object.digest)?.is_none() {
                        orphans.push(object);
                    }
                }
                Ok(orphans)
            })
            .await?;
            survey.orphans += orphans.len() as u64;
            survey.orphan_bytes += orphans.iter().map(|o| o.size).sum::<u64>();
            let room = REMEMBERED.saturating_sub(survey.first.len());
            survey.first.extend(orphans.into_iter().take(room));
            after = page.next;
            if after.is_none() {
                survey.whole = true;
                return Ok(survey);
            }
        }
    }

    async fn delete_orphans(
        &self,
        store: StoreId,
        backend: &Arc<dyn Backend>,
        mut orphans: Vec<Listed>,
        live: Option<&Live>,
    ) -> Result<u64, SweepError> {
        let mut deleted = 0;
        while !orphans.is_empty() {
            if let Some(live) = live
                && !live.gate().await
            {
                break;
            }
            let chunk: Vec<Listed> = orphans.drain(..orphans.len().min(PAGE)).collect();
            let jobs = chunk.into_iter().map(|o| self.delete_orphan(store, backend, o));
            let mut jobs = stream::iter(jobs).buffer_unordered(AT_ONCE);
            while let Some(gone) = jobs.next().await {
                deleted += u64::from(gone?);
            }
        }
        Ok(deleted)
    }

    async fn delete_orphan(
        &self,
        store: StoreId,
        backend: &Arc<dyn Backend>,
        orphan: Listed,
    ) -> Result<bool, SweepError> {
        let digest = orphan.digest;
        // Uploads and copies hold the key from before their bytes until after their row.
        let _key = self.transfer.locks.lock(store, digest).await;
        self.require_ours(store).await?;
        let named = self.catalogue().write(move |tx| {
            let row = tx.file_by_digest(&digest)?.and_then(|f| f.state(store));
            Ok::<_, CatalogueError>(row.is_some() || tx.adopted(store, &digest)?.is_some())
        });
        if named.await? {
            return Ok(false);
        }
        let name = || self.transfer.stores.name(store);
        match self.answer(backend.delete(&digest)).await {
            Ok(()) => {
                let bytes = orphan.size;
                tracing::info!(store = name(), %digest, bytes, "an orphan was deleted");
                Ok(true)
            }
            Err(error) if error.is_store_wide() => Err(unavailable(error)),
            Err(error) => {
                tracing::warn!(store = name(), %digest, %error, "an orphan could not be deleted");
                Ok(false)
            }
        }
    }
}

pub(super) fn unavailable(error: StoreError) -> SweepError {
    SweepError::Unavailable(error.into())
}
