//! Taking uploads in: choose a store and promise room before the body, stage and hash it, store it,
//! commit (SPEC 4). The ordering rules are in the module's head.

use std::sync::Arc;

use super::choice::{Chosen, Search, no_other_store};
use super::staging::{self, Room, Spool, StagedBody, StagingPlace};
use super::upload::{Committed, UploadError, UploadRequest};
use super::{OpenStore, Transfer};
use crate::catalogue::{Promise, Snapshot, Tx};
use crate::domain::{Digest, Event, File, ReplicaState, StoreId};
use crate::stores::{ByteStream, StoreError};

/// An upload that was let in: room is promised, in the catalogue and for a large body on the disk, and the
/// body may be read.
#[derive(Debug)]
pub struct Admission {
    request: UploadRequest,
    chosen: Chosen,
    place: StagingPlace,
    /// Goes on when the chosen store fails.
    search: Search,
}

/// Why one store did not take the body.
enum Setback {
    /// Another store may.
    Store(StoreError),
    /// The upload as a whole ends.
    Upload(UploadError),
}

impl<E: Into<UploadError>> From<E> for Setback {
    fn from(error: E) -> Self {
        Self::Upload(error.into())
    }
}

impl Transfer {
    /// Decides before the body whether and where an upload may go. Every refusal that can be
    /// known without the body comes from here.
    pub async fn admit(&self, request: UploadRequest) -> Result<Admission, UploadError> {
        let settings = self.catalogue.settings();
        if !settings.topology.scopes.contains_key(&request.scope) {
            return Err(UploadError::NoScope);
        }
        let held = self.declared_file(&request)?;
        let mut search = Search::new(request.scope, request.size, held);
        loop {
            let chosen = self.choose(&mut search).await?;
            match self.place_for(&chosen, request.size).await {
                Ok(place) => return Ok(Admission { request, chosen, place, search }),
                Err(error) => self.skip(&mut search, &error),
            }
        }
    }

    /// Checks the precondition and finds the file that the client declares.
    fn declared_file(&self, request: &UploadRequest) -> Result<Option<File>, UploadError> {
        let snapshot = self.catalogue.snapshot()?;
        if !request.condition.holds(current(&snapshot, request)?.as_ref()) {
            return Err(UploadError::Precondition);
        }
        let Some(digest) = &request.declared.blake3 else { return Ok(None) };
        let file = snapshot.file_by_digest(digest)?;
        Ok(file.filter(|f| request.size.is_none_or(|size| size == f.size)))
    }

    /// Where a body of `size` bytes is staged; an error when the disk has no room for it.
    async fn place_for(
        &self,
        chosen: &Chosen,
        size: Option<u64>,
    ) -> Result<StagingPlace, StoreError> {
        let Chosen::Room { store, .. } = *chosen else { return Ok(StagingPlace::Nowhere) };
        let open = self.stores.get(store)?;
        let spool = match open.backend.staging_dir() {
            Some(dir) => Spool {
                dir: dir.to_owned(),
                lane: open.backend.lane().unwrap_or(&self.spool.lane).clone(),
            },
            None => self.spool.clone(),
        };
        staging::prepare(spool, size).await
    }

    /// Reads the body, stores it and commits the entry. Once the body is complete the upload is
    /// finished whether the client stays or not.
    pub async fn receive(
        self: &Arc<Self>,
        admission: Admission,
        body: ByteStream,
    ) -> Result<Committed, UploadError> {
        let Admission { request, chosen, place, search } = admission;
        let staged = self.stage(&request, &chosen, place, body).await?;
        verify(&request, &staged)?;
        let transfer = Arc::clone(self);
        let task =
            tokio::spawn(async move { transfer.settle(request, staged, chosen, search).await });
        task.await.unwrap_or_else(|e| Err(UploadError::Staging(e.to_string())))
    }

    async fn stage(
        &self,
        request: &UploadRequest,
        chosen: &Chosen,
        place: StagingPlace,
        body: ByteStream,
    ) -> Result<StagedBody, UploadError> {
        let sha256 = request.declared.sha256.is_some();
        let declared = request.size;
        match chosen {
            Chosen::Held { .. } => {
                let room = Room { reservation: None, max: None, declared };
                Box::pin(staging::receive(body, place, room, sha256)).await
            }
            Chosen::Room { store, reservation } => {
                let settings = self.catalogue.settings();
                let max = settings.topology.stores.get(store).and_then(|s| s.max_size);
                let room = Room { reservation: Some(reservation), max, declared };
                Box::pin(staging::receive(body, place, room, sha256)).await
            }
        }
    }

    /// Stores the body in the chosen store, or the next one that takes it, and commits.
    async fn settle(
        &self,
        request: UploadRequest,
        staged: StagedBody,
        mut chosen: Chosen,
        mut search: Search,
    ) -> Result<Committed, UploadError> {
        loop {
            let error = match self.settle_at(&request, &staged, chosen).await {
                Ok(committed) => {
                    let scope = self.scope_name(&request);
                    tracing::debug!(scope, store = %committed.store, digest = %staged.digest,
                        bytes = staged.size, "an upload was stored");
                    return Ok(committed);
                }
                Err(Setback::Upload(error)) => return Err(error),
                Err(Setback::Store(error)) => error,
            };
            let (scope, failed) = (self.scope_name(&request), search.last());
            tracing::warn!(scope, store = failed.map(|id| self.stores.name(id)), digest = %staged.digest,
                %error, "a store failed after the body; the next one is tried");
            search.go_on_with(staged.size);
            let next = self.choose(&mut search).await;
            chosen = next.map_err(|_| no_other_store(&error, staged.size))?;
        }
    }

    async fn settle_at(
        &self,
        request: &UploadRequest,
        staged: &StagedBody,
        chosen: Chosen,
    ) -> Result<Committed, Setback> {
        match chosen {
            Chosen::Held { store, file, pin } => {
                let _key = self.locks.lock(store, staged.digest).await;
                let held = self.catalogue.snapshot()?.file(file)?;
                let Some(held) = held.filter(|f| f.is_present(store)) else {
                    return Err(UploadError::Vanished.into());
                };
                if !self.confirm(&held, store).await {
                    return Err(UploadError::Vanished.into());
                }
                let committed = self.commit(request, staged, store, None, None).await;
                drop(pin);
                Ok(committed?)
            }
            Chosen::Room { store, reservation } => {
                let key = self.locks.lock(store, staged.digest).await;
                let open = self.stores.get(store).map_err(Setback::Store)?;
                let written = self.ensure_bytes(&open, staged).await?;
                let promise = Some(reservation.promise());
                let committed = self.commit(request, staged, store, promise, written).await;
                if committed.is_err() && written.is_some() {
                    self.discard(&open, &staged.digest).await;
                }
                drop(key);
                Ok(committed?)
            }
        }
    }

    /// Makes sure that the store has the bytes. `None` when they were there already; else whether
    /// the write was verified. The caller holds the key.
    async fn ensure_bytes(
        &self,
        open: &OpenStore,
        staged: &StagedBody,
    ) -> Result<Option<bool>, Setback> {
        let row = self.catalogue.snapshot()?.file_by_digest(&staged.digest)?;
        let there = match row.as_ref().and_then(|f| Some((f, f.state(open.id)?))) {
            Some((file, ReplicaState::Present)) => self.confirm(file, open.id).await,
            Some((file, ReplicaState::Deleting)) if self.is_doubtful(open.id, file.id) => {
                self.delete_bytes(open, &staged.digest).await.map_err(Setback::Store)?;
                self.doubt(open.id, file.id, false);
                false
            }
            // Its deletion has not begun, and begins only under the key that we hold.
            Some((file, ReplicaState::Deleting)) => {
                let stat = open.backend.stat(&file.digest).await.map_err(Setback::Store)?;
                stat.is_some_and(|s| s.size == file.size)
            }
            _ => false,
        };
        if there {
            return Ok(None);
        }
        match open.backend.put(&staged.digest, staged.size, staged.body()).await {
            Ok(stored) => Ok(Some(stored.verified)),
            Err(error) => {
                self.stores.report(open.id, &error);
                Err(Setback::Store(error))
            }
        }
    }

    /// Removes bytes whose row was refused, unless a row names them. The caller holds the key.
    async fn discard(&self, open: &OpenStore, digest: &Digest) {
        let row = self.catalogue.snapshot().and_then(|s| s.file_by_digest(digest));
        if !matches!(row, Ok(file) if file.as_ref().is_none_or(|f| f.state(open.id).is_none())) {
            return;
        }
        if let Err(error) = self.delete_bytes(open, digest).await {
            let store = self.stores.name(open.id);
            tracing::warn!(store, %digest, %error,
                "the bytes of a refused upload stay until the next sweep");
        }
    }

    fn scope_name(&self, request: &UploadRequest) -> String {
        self.catalogue.settings().topology.scope_name(request.scope)
    }

    /// One durable transaction: row, entry, and the end of the promise. `written` is `None` when the
    /// store had the bytes: then the row knows better whether they were ever verified.
    async fn commit(
        &self,
        request: &UploadRequest,
        staged: &StagedBody,
        store: StoreId,
        promise: Option<Arc<Promise>>,
        written: Option<bool>,
    ) -> Result<Committed, UploadError> {
        let request = request.clone();
        let (digest, size) = (staged.digest, staged.size);
        self.catalogue
            .write(move |tx| {
                let store_name = precheck(tx, &request, store)?;
                let mut file = tx.file_or_new(digest, size)?;
                let there = written.map_or(Event::Reused, |verified| Event::Uploaded { verified });
                // A replica that is present already stays as it is.
                file.apply(store, there, tx.now());
                if let Some(promise) = &promise {
                    tx.consume(promise);
                }
                tx.disown(store, &digest)?;
                let placed =
                    tx.place_entry(request.scope, &request.path, file, &request.content_type)?;
                let file = tx.file(placed.entry.file)?.ok_or(UploadError::Vanished)?;
                Ok(Committed {
                    entry: placed.entry,
                    file,
                    store: store_name,
                    replaced: placed.replaced,
                })
            })
            .await
    }
}

/// What may have changed since the upload was admitted.
fn precheck(
    tx: &Tx<'_>,
    request: &UploadRequest,
    store: StoreId,
) -> Result<crate::domain::StoreName, UploadError> {
    let topology = tx.topology();
    if !topology.scopes.contains_key(&request.scope) {
        return Err(UploadError::NoScope);
    }
    // A store that was unlinked meanwhile would keep a replica that the scope cannot read.
    let linked = topology.link(request.scope, store).and_then(|l| topology.stores.get(&l.store));
    let name = linked.map(|s| s.name.clone()).ok_or(UploadError::Vanished)?;
    let current = match tx.entry(request.scope, &request.path)? {
        Some(entry) => tx.file(entry.file)?.map(|f| f.digest),
        None => None,
    };
    if request.condition.holds(current.as_ref()) {
        Ok(name)
    } else {
        Err(UploadError::Precondition)
    }
}

fn current(snapshot: &Snapshot, request: &UploadRequest) -> Result<Option<Digest>, UploadError> {
    let Some(entry) = snapshot.entry(request.scope, &request.path)? else { return Ok(None) };
    Ok(snapshot.file(entry.file)?.map(|f| f.digest))
}

fn verify(request: &UploadRequest, staged: &StagedBody) -> Result<(), UploadError> {
    if request.declared.blake3.is_some_and(|declared| declared != staged.digest) {
        return Err(UploadError::DigestMismatch { what: "BLAKE3" });
    }
    if request.declared.sha256.is_some() && request.declared.sha256 != staged.sha256 {
        return Err(UploadError::DigestMismatch { what: "SHA-256" });
    }
    Ok(())
}
