//! Copying a replica into another store: intent, bytes, proof, row (SPEC 7).

use std::sync::Arc;

use super::download::finding;
use super::{KeyGuard, OpenStore, Transfer};
use crate::catalogue::{CatalogueError, Promise, Reservation, Tx};
use crate::domain::{Digest, Event, File, FileId, Replica, ReplicaState, ScopeId, StoreId};
use crate::planner;
use crate::stores::{Body, ByteStream, StoreError};

/// A copy that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    pub file: FileId,
    pub digest: Digest,
    pub size: u64,
    pub to: StoreId,
    /// The scope whose links carry the bytes: its download order names the sources, and its link
    /// to `to` allows the write.
    pub via: ScopeId,
}

/// Why an intent was not recorded: something changed since it was planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    #[error("there is no room under the store's max_size any more")]
    NoRoom,
    #[error("the file has left the scope")]
    NotInScope,
    #[error("the scope no longer links the store, or made it read_only")]
    LinkChanged,
    #[error("the store has a replica already, or an earlier one is not finished")]
    Occupied,
}

/// A recorded intent: the row says `writing` and its bytes count.
#[derive(Debug)]
pub struct Granted {
    pub intent: Intent,
    /// The mark that the row had before.
    previous: Option<Replica>,
}

/// Why a copy failed. The row is as it was before the intent, or `deleting` when bytes may be left.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// No store that the scope may read has good bytes.
    #[error("no readable source{}", .last.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    NoSource { store: Option<StoreId>, last: Option<String> },
    /// The target failed.
    #[error("{error}")]
    Target { store: StoreId, error: StoreError },
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Lays something (a bandwidth limit, progress) over the bytes of a source.
pub type Wrap<'a> = &'a (dyn Fn(ByteStream) -> ByteStream + Send + Sync);

impl Transfer {
    /// Records intents in one durable transaction, in their order; room is granted in that order.
    pub async fn intend(
        &self,
        intents: Vec<Intent>,
    ) -> Result<Vec<Result<Granted, IntentError>>, CatalogueError> {
        let settings = self.catalogue.settings();
        let snapshot = self.catalogue.snapshot()?;
        let mut promised: Vec<(Intent, Option<Reservation>)> = Vec::with_capacity(intents.len());
        for intent in intents {
            let max = settings.topology.stores.get(&intent.to).and_then(|s| s.max_size);
            // The bytes of a corrupt replica count already, and are replaced.
            let row = snapshot.file(intent.file)?.and_then(|f| f.state(intent.to));
            let size = if row == Some(ReplicaState::Corrupt) { 0 } else { intent.size };
            promised.push((intent, self.catalogue.ledger().reserve(intent.to, size, max)));
        }
        drop(snapshot);
        let job: Vec<(Intent, Option<Arc<Promise>>)> =
            promised.iter().map(|(i, r)| (*i, r.as_ref().map(Reservation::promise))).collect();
        // The reservations live until the commit has turned them into the rows' bytes.
        let recorded = self
            .catalogue
            .write(move |tx| {
                job.iter()
                    .map(|(intent, promise)| record(tx, *intent, promise.as_ref()))
                    .collect::<Result<Vec<_>, CatalogueError>>()
            })
            .await;
        drop(promised);
        recorded
    }

    /// Moves the bytes of a recorded intent and commits `present`. The sources are tried in the
    /// scope's download order; a damaged one is marked and never copied. `arrived` is called when
    /// the bytes are in place, before the commit. Not to be dropped half way: cancel between files.
    pub async fn fulfil(
        &self,
        granted: &Granted,
        arrived: impl FnOnce() + Send,
        wrap: Wrap<'_>,
    ) -> Result<(), CopyError> {
        let intent = &granted.intent;
        let key = self.locks.lock(intent.to, intent.digest).await;
        let copied = self.copy_bytes(intent, wrap).await;
        if copied.is_ok() {
            arrived();
        }
        match copied {
            Ok(Some(verified)) => {
                let done = self.commit_copy(intent, verified).await;
                drop(key);
                Ok(done?)
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.abandon(granted, &error, &key).await?;
                Err(error)
            }
        }
    }

    /// Takes intents back that nobody began to fulfil, in one durable transaction.
    pub async fn withdraw(&self, granted: Vec<Granted>) -> Result<(), CatalogueError> {
        let granted: Vec<_> = granted.into_iter().map(|g| (g.intent, g.previous)).collect();
        self.catalogue
            .write(move |tx| {
                for (intent, previous) in &granted {
                    let withdrawn = Event::Withdrawn { replaced: *previous };
                    tx.apply(intent.file, intent.to, withdrawn)?;
                }
                Ok(())
            })
            .await
    }

    /// `None` when the row is no longer `writing`: an upload brought the bytes, or the file went.
    async fn copy_bytes(&self, intent: &Intent, wrap: Wrap<'_>) -> Result<Option<bool>, CopyError> {
        let target = self
            .stores
            .get(intent.to)
            .map_err(|error| CopyError::Target { store: intent.to, error })?;
        let (mut store, mut last) = (None, None);
        let mut tried = Vec::new();
        loop {
            let Some(file) = self.catalogue.snapshot()?.file(intent.file)? else { return Ok(None) };
            if file.state(intent.to) != Some(ReplicaState::Writing) {
                return Ok(None);
            }
            let settings = self.catalogue.settings();
            let next = planner::download_order(&settings.topology, intent.via, &file)
                .into_iter()
                .find(|s| *s != intent.to && !tried.contains(s));
            let Some(source) = next else { return Err(CopyError::NoSource { store, last }) };
            tried.push(source);
            match self.copy_from(&target, source, &file, wrap).await {
                Ok(verified) => return Ok(Some(verified)),
                Err(SourceOrTarget::Target(error)) => {
                    self.stores.report(intent.to, &error);
                    return Err(CopyError::Target { store: intent.to, error });
                }
                Err(SourceOrTarget::Source(error)) => {
                    last = Some(error.to_string());
                    store = Some(source);
                }
                Err(SourceOrTarget::Catalogue(error)) => return Err(error.into()),
            }
        }
    }

    async fn copy_from(
        &self,
        target: &OpenStore,
        source: StoreId,
        file: &File,
        wrap: Wrap<'_>,
    ) -> Result<bool, SourceOrTarget> {
        let open = self.stores.get(source).map_err(SourceOrTarget::Source)?;
        let _reading = self.urls.proxied(source, file.id);
        let stream = match open.backend.get(&file.digest, Some(0..file.size)).await {
            Ok(stream) => wrap(as_source(stream)),
            Err(error) => return self.source_failed(source, file, error).await,
        };
        let body = match open.backend.local_path(&file.digest) {
            Some(path) => Body::Local { path, stream },
            None => Body::Stream(stream),
        };
        match target.backend.put(&file.digest, file.size, body).await {
            Ok(stored) => Ok(stored.verified),
            Err(error @ (StoreError::Mismatch(_) | StoreError::Source(_))) => {
                self.source_failed(source, file, error).await
            }
            Err(error) => Err(SourceOrTarget::Target(error)),
        }
    }

    /// A source failed: mark what is proved, and go on to the next one.
    async fn source_failed(
        &self,
        source: StoreId,
        file: &File,
        error: StoreError,
    ) -> Result<bool, SourceOrTarget> {
        let store = self.stores.name(source);
        tracing::warn!(store, digest = %file.digest, %error, "a source of a copy failed");
        self.stores.report(source, &error);
        if let Some(found) = finding(&error)
            && self.stores.look(source).await.is_available()
        {
            self.mark(file.id, source, found).await.map_err(SourceOrTarget::Catalogue)?;
        }
        Err(SourceOrTarget::Source(error))
    }

    async fn commit_copy(&self, intent: &Intent, verified: bool) -> Result<(), CatalogueError> {
        let intent = *intent;
        self.catalogue
            .write(move |tx| {
                // Under the key nobody else changes a `writing` row.
                if tx.apply(intent.file, intent.to, Event::Copied { verified })?.is_some() {
                    tx.disown(intent.to, &intent.digest)?;
                }
                Ok(())
            })
            .await
    }

    /// Takes an intent back. Bytes may have arrived although the store said otherwise: without a
    /// clean delete the row goes to `deleting`, and the reaper settles it.
    async fn abandon(
        &self,
        granted: &Granted,
        error: &CopyError,
        _key: &KeyGuard,
    ) -> Result<(), CatalogueError> {
        let intent = granted.intent;
        let doubtful = match error {
            CopyError::Target { error, .. } if error.is_store_wide() => true,
            CopyError::Target { .. } => match self.stores.get(intent.to) {
                Ok(open) => self.delete_bytes(&open, &intent.digest).await.is_err(),
                Err(_) => true,
            },
            CopyError::NoSource { .. } | CopyError::Catalogue(_) => false,
        };
        self.doubt(intent.to, intent.file, doubtful);
        let ended = match granted.previous {
            _ if doubtful => Event::Interrupted,
            replaced => Event::Withdrawn { replaced },
        };
        self.catalogue.write(move |tx| tx.apply(intent.file, intent.to, ended).map(drop)).await
    }
}

/// Whose fault a failed copy is.
enum SourceOrTarget {
    Source(StoreError),
    Target(StoreError),
    Catalogue(CatalogueError),
}

/// Errors of a source's stream, told apart from those of the target that reads it.
fn as_source(stream: ByteStream) -> ByteStream {
    use futures_util::StreamExt;
    Box::pin(stream.map(|item| {
        item.map_err(|error| match error {
            mismatch @ StoreError::Mismatch(_) => mismatch,
            other => StoreError::Source(other.to_string()),
        })
    }))
}

fn record(
    tx: &mut Tx<'_>,
    intent: Intent,
    promise: Option<&Arc<Promise>>,
) -> Result<Result<Granted, IntentError>, CatalogueError> {
    let Some(promise) = promise else { return Ok(Err(IntentError::NoRoom)) };
    let link = tx.topology().link(intent.via, intent.to);
    if link.is_none_or(|l| l.policy.read_only) {
        return Ok(Err(IntentError::LinkChanged));
    }
    let Some(file) = tx.file(intent.file)?.filter(|f| f.member(intent.via).is_some()) else {
        return Ok(Err(IntentError::NotInScope));
    };
    let previous = file.replica(intent.to).copied();
    if tx.apply(intent.file, intent.to, Event::Announced)?.is_none() {
        return Ok(Err(IntentError::Occupied));
    }
    tx.consume(promise);
    Ok(Ok(Granted { intent, previous }))
}
