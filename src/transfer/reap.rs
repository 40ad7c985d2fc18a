//! Removing the bytes of rows that say `deleting`, when they are due; and recovery at start.

use std::time::Duration;

use super::Transfer;
use crate::catalogue::{CatalogueError, UrlHorizon, values};
use crate::domain::{Diagnosis, Event, FileId, ReplicaState, StoreId, Timestamp};
use crate::stores::StoreError;

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaped {
    /// Bytes and row are gone.
    Gone,
    /// The row was no longer `deleting`.
    Revived,
    /// Somebody may still read the object; due then, or when open reads end (`None`).
    Later(Option<Timestamp>),
    /// The store did not delete it; the reaper tries again.
    Failed(Diagnosis),
}

const PAGE: usize = 256;
/// How long one deletion may take before the reaper goes on with others; its outcome is unknown then.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the start waits for local stores.
const START_PATIENCE: Duration = Duration::from_secs(5);

impl Transfer {
    /// Deletes the bytes of one `deleting` replica if it is due, then drops its row.
    pub async fn reap_one(&self, store: StoreId, file: FileId) -> Result<Reaped, CatalogueError> {
        match self.urls.due(store, file) {
            Some(due) if due <= self.catalogue.clock().now() => {}
            later => return Ok(Reaped::Later(later)),
        }
        let Some(row) = self.catalogue.snapshot()?.file(file)? else { return Ok(Reaped::Gone) };
        let open = match self.stores.get(store) {
            Ok(open) => open,
            Err(error) => return Ok(Reaped::Failed(error.into())),
        };
        // Nothing is deleted in a store that is not provably ours (SPEC 2).
        let state = self.stores.check(store).await;
        if !state.allows_deletion() {
            return Ok(Reaped::Failed(state.obstacle()));
        }
        let key = self.locks.lock(store, row.digest).await;
        let row = self.catalogue.snapshot()?.file(file)?;
        if row.as_ref().and_then(|f| f.state(store)) != Some(ReplicaState::Deleting) {
            return Ok(Reaped::Revived);
        }
        // Under the key, with the row seen: from here on an upload finds the key doubtful.
        self.doubt(store, file, true);
        let Some(row) = row else { return Ok(Reaped::Gone) };
        let deleted = tokio::time::timeout(PATIENCE, self.delete_bytes(&open, &row.digest)).await;
        let silent = |_| Err(StoreError::unavailable("no answer to a deletion"));
        if let Err(error) = deleted.unwrap_or_else(silent) {
            self.stores.report(store, &error);
            return Ok(Reaped::Failed(error.into()));
        }
        self.catalogue.write(move |tx| tx.apply(file, store, Event::Erased)).await?;
        self.doubt(store, file, false);
        drop(key);
        Ok(Reaped::Gone)
    }

    /// Deletes an object, unless it was there before us and never became a replica: adopted objects
    /// are not ours to delete, also when a copy onto them failed (SPEC 2). The caller holds the key.
    pub(super) async fn delete_bytes(
        &self,
        open: &super::OpenStore,
        digest: &crate::domain::Digest,
    ) -> Result<(), StoreError> {
        match self.catalogue.snapshot().and_then(|s| s.adopted(open.id, digest)) {
            Ok(None) => open.backend.delete(digest).await,
            Ok(Some(_)) => Ok(()),
            Err(error) => Err(StoreError::failed(error.to_string())),
        }
    }

    /// Tries every due deletion of a store whose marker is ours. Returns how many went, and the time
    /// when the last of the others is due (`None` when an open read holds one or a delete failed).
    pub async fn reap_store(&self, store: StoreId) -> Result<ReapSummary, CatalogueError> {
        let mut summary = ReapSummary::default();
        let first = self.catalogue.snapshot()?.marked(ReplicaState::Deleting, store, None, 1)?;
        if first.is_empty() {
            return Ok(summary);
        }
        let state = self.stores.check(store).await;
        if !state.allows_deletion() {
            summary.problem = Some(state.obstacle());
            return Ok(summary);
        }
        let mut after = None;
        loop {
            let snapshot = self.catalogue.snapshot()?;
            let page = snapshot.marked(ReplicaState::Deleting, store, after, PAGE)?;
            drop(snapshot);
            let Some(last) = page.last() else { return Ok(summary) };
            after = Some(last.id);
            // Concurrent deletions share round trips and commits.
            let ids: Vec<FileId> = page.iter().map(|file| file.id).collect();
            let jobs = ids.into_iter().map(|id| self.reap_one(store, id));
            let mut done = futures_util::stream::StreamExt::buffer_unordered(
                futures_util::stream::iter(jobs),
                16,
            );
            while let Some(reaped) = futures_util::StreamExt::next(&mut done).await {
                summary.add(reaped?);
            }
        }
    }

    /// What a crash left: copies that were under way are to be deleted, and every pending deletion
    /// may have been tried (ordering rules 2 and 7). Leftovers of writes are removed. Runs before
    /// anything else touches the stores.
    pub async fn recover(&self) -> Result<(), CatalogueError> {
        let stores: Vec<_> = self.catalogue.settings().topology.stores.keys().copied().collect();
        for store in stores {
            self.recover_writing(store).await?;
            let mut after = None;
            loop {
                let snapshot = self.catalogue.snapshot()?;
                let page = snapshot.marked(ReplicaState::Deleting, store, after, PAGE)?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                for file in &page {
                    self.doubt(store, file.id, true);
                }
            }
        }
        clean_dir(&self.spool.dir);
        self.clean_staging().await;
        let horizon = self.horizon_at_start().await?;
        let settings = self.catalogue.settings();
        let remote = settings.topology.stores.values().filter(|s| s.is_remote());
        self.urls.set_horizon(horizon, remote.map(|s| s.id).collect());
        Ok(())
    }

    /// Bodies that were staged beside their local store when the process ended. A disk that hangs does
    /// not hold up the start: its leftovers stay until a sweep.
    async fn clean_staging(&self) {
        let settings = self.catalogue.settings();
        let local = settings.topology.stores.values().filter(|s| !s.is_remote());
        let jobs = local.map(|store| async move {
            let Ok(open) = self.stores.get(store.id) else { return };
            // Nothing is staged yet: whatever is there is left over.
            let cleaning = open.backend.clean_unfinished(Duration::ZERO);
            let problem = match tokio::time::timeout(START_PATIENCE, cleaning).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer for {} s", START_PATIENCE.as_secs()),
            };
            tracing::warn!(store = %store.name, problem, "leftovers of uploads stay in a store");
        });
        futures_util::future::join_all(jobs).await;
    }

    async fn recover_writing(&self, store: StoreId) -> Result<(), CatalogueError> {
        loop {
            let page =
                self.catalogue.snapshot()?.marked(ReplicaState::Writing, store, None, PAGE)?;
            if page.is_empty() {
                return Ok(());
            }
            for file in &page {
                self.urls.never_issued(store, file.id);
            }
            self.catalogue
                .write(move |tx| {
                    for file in &page {
                        tx.apply(file.id, store, Event::Interrupted)?;
                    }
                    Ok::<_, CatalogueError>(())
                })
                .await?;
        }
    }

    /// Until when URLs of earlier processes may be read: known after an orderly end, else from now
    /// on for the longest TTL ever set.
    async fn horizon_at_start(&self) -> Result<Timestamp, CatalogueError> {
        let settings = self.catalogue.settings();
        let longest = settings.topology.stores.values().filter_map(|s| s.s3());
        let longest = longest.map(|s3| u64::from(s3.longest_ttl)).max().unwrap_or(0);
        let horizon = self.catalogue.snapshot()?.value(&values::URL_HORIZON)?.unwrap_or_default();
        if !horizon.serving {
            return Ok(horizon.until);
        }
        let until = self.catalogue.clock().now().after(Duration::from_secs(longest + 2));
        let settled = UrlHorizon { serving: false, until: until.max(horizon.until) };
        self.catalogue.write(move |tx| tx.set_value(&values::URL_HORIZON, &settled)).await?;
        Ok(settled.until)
    }

    /// Before the first URL is issued: if this process dies, the next one waits.
    pub async fn begin_serving(&self) -> Result<(), CatalogueError> {
        let horizon = UrlHorizon { serving: true, ..self.urls.horizon_at_exit() };
        self.catalogue.write(move |tx| tx.set_value(&values::URL_HORIZON, &horizon)).await
    }

    /// After the last URL was issued.
    pub async fn end_serving(&self) -> Result<(), CatalogueError> {
        let horizon = self.urls.horizon_at_exit();
        self.catalogue.write(move |tx| tx.set_value(&values::URL_HORIZON, &horizon)).await
    }
}

/// What a pass over a store's pending deletions did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReapSummary {
    pub gone: u64,
    pub waiting: u64,
    /// When the last of those that wait for issued URLs is due.
    pub due: Option<Timestamp>,
    pub failed: u64,
    pub problem: Option<Diagnosis>,
}

impl ReapSummary {
    fn add(&mut self, reaped: Reaped) {
        match reaped {
            Reaped::Gone => self.gone += 1,
            Reaped::Revived => {}
            Reaped::Later(due) => {
                self.waiting += 1;
                self.due = self.due.max(due);
            }
            Reaped::Failed(problem) => {
                self.failed += 1;
                self.problem = Some(problem);
            }
        }
    }
}

/// Removes spooled bodies of uploads that ended with the process.
fn clean_dir(dir: &std::path::Path) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, dir = %dir.display(), "the spool cannot be read");
            return;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(%error, dir = %dir.display(), "the spool cannot be read to its end");
                return;
            }
        };
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "a leftover stays");
        }
    }
}
