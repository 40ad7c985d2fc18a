//! Taking uploads in: choose a store and promise room before the body, stage and hash it, store it,
//! commit (SPEC 4). The ordering rules are in the module's head.

use std::sync::Arc;
use std::time::Duration;

use super::staging::{self, Place, Room, Spool, StagedBody};
use super::upload::{Committed, UploadError, UploadRequest};
use super::{OpenStore, Pin, Transfer};
use crate::catalogue::{Promise, Reservation, Snapshot, Tx};
use crate::domain::{
    Digest, File, FileId, Replica, ReplicaState, ScopeId, StoreId, Timestamp, Topology,
};
use crate::planner;
use crate::stores::{ByteStream, StoreError};

/// A store tells clients to come back after this long when it is failing.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// An upload that was let in: room is promised, the body may be read.
#[derive(Debug)]
pub struct Admission {
    request: UploadRequest,
    chosen: Chosen,
    place: Place,
    /// Stores looked at so far; the others may follow if this one fails.
    tried: Vec<StoreId>,
}

#[derive(Debug)]
enum Chosen {
    /// Room is promised, in the catalogue and for a large body on the disk.
    Room { store: StoreId, reservation: Reservation },
    /// The store has the declared file: the body is only hashed. The pin keeps it there.
    Held { store: StoreId, file: FileId, pin: Pin },
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
        let mut tried = Vec::new();
        let (chosen, place) = self
            .choose(&settings.topology, request.scope, request.size, held.as_ref(), &mut tried)
            .await?;
        Ok(Admission { request, chosen, place, tried })
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

    /// The first store in upload order that is available and has room, or has the file already.
    async fn choose(
        &self,
        topology: &Topology,
        scope: ScopeId,
        size: Option<u64>,
        held: Option<&File>,
        tried: &mut Vec<StoreId>,
    ) -> Result<(Chosen, Place), UploadError> {
        let links = planner::upload_order(topology, scope);
        let mut refusal = Refusal::new(size.unwrap_or(0), links.is_empty());
        for link in links {
            let Some(store) = topology.stores.get(&link.store) else { continue };
            if tried.contains(&store.id) {
                continue;
            }
            tried.push(store.id);
            if let Some(chosen) = self.hold(store.id, held).await {
                return Ok((chosen, Place::Nowhere));
            }
            if !refusal.could_ever_fit(store.max_size) {
                continue;
            }
            // Promised before the look at the store: a full store needs no look.
            let ledger = self.catalogue.ledger();
            let Some(reservation) = ledger.reserve(store.id, refusal.size, store.max_size) else {
                continue;
            };
            match self.staging_for(store.id, size).await {
                Ok(place) => return Ok((Chosen::Room { store: store.id, reservation }, place)),
                Err(error) => {
                    let scope = topology.scope_name(scope);
                    tracing::warn!(scope, store = %store.name, %error, "an upload passes over a store");
                    refusal.see(&error);
                }
            }
        }
        Err(refusal.into_error())
    }

    /// The declared file, if `store` has it: proved by stat, pinned until the upload commits.
    async fn hold(&self, store: StoreId, file: Option<&File>) -> Option<Chosen> {
        let file = file.filter(|f| f.is_present(store))?;
        let pin = self.pins.pin(store, file.id);
        self.confirm(file, store).await.then(|| Chosen::Held { store, file: file.id, pin })
    }

    /// Where a body for `store` is staged; an error when the store cannot take it.
    async fn staging_for(&self, store: StoreId, size: Option<u64>) -> Result<Place, StoreError> {
        let state = self.stores.check(store).await;
        if !state.is_available() {
            let problem = state.problem().unwrap_or("it was not looked at yet");
            return Err(StoreError::Unavailable(problem.to_owned()));
        }
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
        let Admission { request, chosen, place, tried } = admission;
        let staged = self.stage(&request, &chosen, place, body).await?;
        verify(&request, &staged)?;
        let transfer = Arc::clone(self);
        let task =
            tokio::spawn(async move { transfer.settle(request, staged, chosen, tried).await });
        task.await.unwrap_or_else(|e| Err(UploadError::Staging(e.to_string())))
    }

    async fn stage(
        &self,
        request: &UploadRequest,
        chosen: &Chosen,
        place: Place,
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
        mut tried: Vec<StoreId>,
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
            let (scope, failed) = (self.scope_name(&request), tried.last().copied());
            tracing::warn!(scope, store = failed.map(|id| self.stores.name(id)), digest = %staged.digest,
                %error, "a store failed after the body; the next one is tried");
            let settings = self.catalogue.settings();
            let next = self
                .choose(&settings.topology, request.scope, Some(staged.size), None, &mut tried)
                .await;
            // The staged bytes serve again; the new place stays unused.
            (chosen, _) = next.map_err(|_| no_other_store(&error, staged.size))?;
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
                let now = tx.now();
                match written {
                    _ if file.is_present(store) => {}
                    None if file.replica(store).is_some() => {
                        file.set_state(store, ReplicaState::Present);
                    }
                    verified => file.put_replica(present(store, now, verified == Some(true))),
                }
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

/// Why an upload ends when its store failed after the body and no other one takes it.
fn no_other_store(error: &StoreError, size: u64) -> UploadError {
    match error {
        StoreError::Full(_) => UploadError::Insufficient { size },
        other => UploadError::StoreFailing { problem: other.to_string(), retry_after: RETRY_AFTER },
    }
}

fn present(store: StoreId, now: Timestamp, verified: bool) -> Replica {
    Replica {
        store,
        state: ReplicaState::Present,
        stored_at: now,
        verified_at: verified.then_some(now),
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

/// Collects why no store took an upload, for the one answer that fits best (SPEC 4).
struct Refusal {
    size: u64,
    no_links: bool,
    /// The highest limit below the size; `None` when some store could hold it when empty.
    too_small: Option<u64>,
    some_fit: bool,
    failing: Option<String>,
}

impl Refusal {
    fn new(size: u64, no_links: bool) -> Self {
        Self { size, no_links, too_small: None, some_fit: false, failing: None }
    }

    fn could_ever_fit(&mut self, max: Option<u64>) -> bool {
        match max {
            Some(max) if max < self.size => {
                self.too_small = self.too_small.max(Some(max));
                false
            }
            _ => {
                self.some_fit = true;
                true
            }
        }
    }

    fn see(&mut self, error: &StoreError) {
        if !matches!(error, StoreError::Full(_)) {
            self.failing.get_or_insert(error.to_string());
        }
    }

    fn into_error(self) -> UploadError {
        if self.no_links {
            return UploadError::NoWritableStore;
        }
        match (self.some_fit, self.too_small, self.failing) {
            (false, Some(largest), _) => UploadError::TooLarge { size: self.size, largest },
            (_, _, Some(problem)) => {
                UploadError::StoreFailing { problem, retry_after: RETRY_AFTER }
            }
            _ => UploadError::Insufficient { size: self.size },
        }
    }
}
