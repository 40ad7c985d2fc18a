//! Serving files: the one place that picks a store for a reader (SPEC 5).

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{OpenStore, ProxiedRead, Transfer};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::domain::{Digest, Event, File, FileId, ScopeId, ServeMode, StoreId, StoreName};
use crate::planner;
use crate::stores::{ByteStream, PresignOptions, StoreError};

/// How a client wants a file.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// Within the file's size and not empty; `None` is the whole file.
    pub range: Option<Range<u64>>,
    /// Stream through this server even where a redirect would do.
    pub proxy: bool,
    pub content_type: String,
    pub content_disposition: Option<String>,
}

/// How a client gets a file.
pub enum Delivery {
    /// 302 to this URL.
    Redirect(String),
    Body(Download),
}

/// An open body.
pub struct Download {
    pub store: StoreId,
    /// Exactly the bytes of the range, or an error item.
    pub stream: ByteStream,
}

/// Why a file cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Only archives hold it (SPEC 5, 409).
    #[error("the file is archived in {}: upload it again to make it readable, or unset write_only there", list(.0))]
    Archived(Vec<StoreName>),
    /// No replica works now (503).
    #[error("no replica of the file can be read now")]
    Unavailable,
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

fn list(names: &[StoreName]) -> String {
    names.iter().map(StoreName::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether a replica serves, or the next one is to be tried.
enum Attempt {
    Serves(Delivery),
    Next,
}

impl Transfer {
    /// The stores that would serve the file now, best first, by the catalogue and the last look at
    /// each store. The error tells why there is none; GET and HEAD agree on it.
    pub fn serving_order(&self, scope: ScopeId, file: &File) -> Result<Vec<StoreId>, ServeError> {
        let settings = self.catalogue.settings();
        let topology = &settings.topology;
        let order = planner::download_order(topology, scope, file);
        if !order.is_empty() {
            return Ok(order);
        }
        let archived: Vec<StoreName> = file
            .present()
            .filter(|store| topology.link(scope, *store).is_some_and(|l| l.policy.write_only))
            .filter_map(|store| topology.stores.get(&store).map(|s| s.name.clone()))
            .collect();
        if archived.is_empty() {
            Err(ServeError::Unavailable)
        } else {
            Err(ServeError::Archived(archived))
        }
    }

    /// How GET would be answered for HEAD's sake: by the catalogue and the last look, no I/O.
    pub fn servable(&self, scope: ScopeId, file: &File) -> Result<(), ServeError> {
        let order = self.serving_order(scope, file)?;
        let usable = order.iter().any(|store| {
            self.stores.last_seen(*store).problem().is_none()
                || self.stores.last_seen(*store).is_available()
        });
        if usable { Ok(()) } else { Err(ServeError::Unavailable) }
    }

    /// Opens the file for a client of `scope`: the first replica in download order that works. What
    /// is damaged or gone is marked and passed over. Counts as a use of the file (SPEC 6).
    pub async fn open(
        &self,
        scope: ScopeId,
        file: &File,
        read: &Read,
    ) -> Result<Delivery, ServeError> {
        for store in self.serving_order(scope, file)? {
            if let Attempt::Serves(delivery) = self.try_store(store, file, read).await? {
                self.catalogue.last_uses().note(file.id, self.catalogue.clock().now());
                return Ok(delivery);
            }
        }
        // What was marked on the way may have turned this into another answer.
        let again = self.catalogue.snapshot()?.file(file.id)?;
        match again.map(|f| self.serving_order(scope, &f)) {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Err(ServeError::Unavailable),
        }
    }

    async fn try_store(
        &self,
        store: StoreId,
        file: &File,
        read: &Read,
    ) -> Result<Attempt, ServeError> {
        let Ok(open) = self.stores.get(store) else { return Ok(Attempt::Next) };
        let settings = self.catalogue.settings();
        let s3 = settings.topology.stores.get(&store).and_then(|s| s.s3());
        match s3 {
            Some(s3) if s3.serve == ServeMode::Redirect && !read.proxy => {
                let ttl = Duration::from_secs(u64::from(s3.presign_ttl));
                self.redirect(&open, file, read, ttl).await
            }
            Some(_) => {
                if !self.is_usable(&open).await {
                    return Ok(Attempt::Next);
                }
                let guard = self.urls.proxied(store, file.id);
                // Registered, then looked at: the deleter does it the other way round.
                if !self.still_present(store, file.id)? {
                    return Ok(Attempt::Next);
                }
                self.body(&open, file, read, Some(guard)).await
            }
            // A disk without a marker may be read; one that says nothing would hold the reader.
            None if open.is_silent() && !self.stores.check(store).await.is_available() => {
                Ok(Attempt::Next)
            }
            None => self.body(&open, file, read, None).await,
        }
    }

    async fn is_usable(&self, open: &OpenStore) -> bool {
        match open.state() {
            super::HealthState::Unknown => self.stores.check(open.id).await.is_available(),
            state => state.is_available(),
        }
    }

    fn still_present(&self, store: StoreId, file: FileId) -> Result<bool, CatalogueError> {
        Ok(self.catalogue.snapshot()?.file(file)?.is_some_and(|f| f.is_present(store)))
    }

    async fn redirect(
        &self,
        open: &OpenStore,
        file: &File,
        read: &Read,
        ttl: Duration,
    ) -> Result<Attempt, ServeError> {
        if !self.is_usable(open).await {
            return Ok(Attempt::Next);
        }
        self.urls.issue(open.id, file.id, self.catalogue.clock().now(), ttl);
        if !self.still_present(open.id, file.id)? {
            return Ok(Attempt::Next);
        }
        let options = PresignOptions {
            content_type: Some(read.content_type.clone()),
            content_disposition: read.content_disposition.clone(),
            ttl: Some(ttl),
        };
        match open.backend.presign_get(&file.digest, options).await {
            Ok(Some(url)) => Ok(Attempt::Serves(Delivery::Redirect(url))),
            Ok(None) => self.body(open, file, read, None).await,
            Err(error) => {
                let store = self.stores.name(open.id);
                tracing::warn!(store, digest = %file.digest, %error, "a URL could not be signed");
                Ok(Attempt::Next)
            }
        }
    }

    async fn body(
        &self,
        open: &OpenStore,
        file: &File,
        read: &Read,
        guard: Option<ProxiedRead>,
    ) -> Result<Attempt, ServeError> {
        let range = read.range.clone().unwrap_or(0..file.size);
        let whole = range == (0..file.size);
        let first = match open.backend.get(&file.digest, Some(range)).await {
            // The first chunk proves that the replica works before the client hears "200".
            Ok(mut stream) => match stream.next().await {
                Some(Ok(first)) => Ok((Some(first), stream)),
                Some(Err(error)) => Err(error),
                None => Ok((None, stream)),
            },
            Err(error) => Err(error),
        };
        match first {
            Ok((first, rest)) => {
                let chunks = futures_util::stream::iter(first.map(Ok)).chain(rest);
                let stream: ByteStream = match guard {
                    Some(guard) if whole => {
                        Box::pin(VerifiedBody::new(chunks, self, file, open.id, guard))
                    }
                    guard => Box::pin(GuardedBody { chunks, _guard: guard }),
                };
                Ok(Attempt::Serves(Delivery::Body(Download { store: open.id, stream })))
            }
            Err(error) => {
                self.pass_over(open, file, &error).await?;
                Ok(Attempt::Next)
            }
        }
    }

    /// Logs why a replica did not serve and marks it when the store says that it is gone or damaged.
    async fn pass_over(
        &self,
        open: &OpenStore,
        file: &File,
        error: &StoreError,
    ) -> Result<(), CatalogueError> {
        let store = self.stores.name(open.id);
        tracing::warn!(store, digest = %file.digest, %error, "a replica did not serve");
        self.stores.report(open.id, error);
        let Some(found) = finding(error) else { return Ok(()) };
        // Absence counts only while the marker can be read (SPEC 2).
        if self.stores.look(open.id).await.is_available() {
            self.mark(file.id, open.id, found).await?;
        }
        Ok(())
    }

    /// Whether the replica is in the store with the right size, asked now. What is proved to be gone
    /// or of another size is marked. Used before anything relies on another replica.
    pub async fn confirm(&self, file: &File, store: StoreId) -> bool {
        self.ask_for(file, store).await.is_ok()
    }

    /// As [`Transfer::confirm`], with the reason why the replica cannot be relied on.
    pub(super) async fn ask_for(&self, file: &File, store: StoreId) -> Result<(), StoreError> {
        let open = self.stores.get(store)?;
        let verdict = match open.backend.stat(&file.digest).await {
            Ok(Some(stat)) if stat.size == file.size => return Ok(()),
            Ok(Some(stat)) => {
                StoreError::Mismatch(format!("{} bytes instead of {}", stat.size, file.size))
            }
            Ok(None) => StoreError::NotFound,
            Err(error) => error,
        };
        if let Err(error) = self.pass_over(&open, file, &verdict).await {
            let store = self.stores.name(store);
            tracing::error!(store, digest = %file.digest, %error, "a replica could not be marked");
        }
        Err(verdict)
    }
}

/// What an error of a read proves about the replica.
pub(super) fn finding(error: &StoreError) -> Option<Event> {
    match error {
        StoreError::NotFound => Some(Event::FoundMissing),
        StoreError::Mismatch(_) => Some(Event::FoundCorrupt),
        StoreError::Failed(_)
        | StoreError::Full(_)
        | StoreError::Source(_)
        | StoreError::Archived
        | StoreError::Unavailable(_) => None,
    }
}

/// A body with the guard that it needs while it is open.
struct GuardedBody<S> {
    chunks: S,
    _guard: Option<ProxiedRead>,
}

impl<S: Stream<Item = Result<Bytes, StoreError>> + Unpin> Stream for GuardedBody<S> {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(cx)
    }
}

/// A whole proxied body, hashed on its way. The last chunk is held back until the hash is known, so
/// that a damaged body never ends well.
struct VerifiedBody<S> {
    chunks: S,
    hasher: blake3::Hasher,
    held: Option<Bytes>,
    ended: bool,
    digest: Digest,
    file: FileId,
    store: StoreId,
    catalogue: std::sync::Arc<Catalogue>,
    _guard: ProxiedRead,
}

impl<S> VerifiedBody<S> {
    fn new(chunks: S, t: &Transfer, file: &File, store: StoreId, guard: ProxiedRead) -> Self {
        Self {
            chunks,
            hasher: blake3::Hasher::new(),
            held: None,
            ended: false,
            digest: file.digest,
            file: file.id,
            store,
            catalogue: std::sync::Arc::clone(&t.catalogue),
            _guard: guard,
        }
    }

    fn mark_corrupt(&self) {
        let (file, store) = (self.file, self.store);
        let catalogue = std::sync::Arc::clone(&self.catalogue);
        let (digest, name) = (self.digest, catalogue.settings().topology.store_name(store));
        tracing::error!(store = name, %digest, "a proxied body has another digest");
        tokio::spawn(async move {
            let marked =
                catalogue.write(move |tx| tx.apply(file, store, Event::FoundCorrupt)).await;
            if let Err(error) = marked {
                tracing::error!(store = name, %digest, %error, "a corrupt replica could not be marked");
            }
        });
    }
}

impl<S: Stream<Item = Result<Bytes, StoreError>> + Unpin> Stream for VerifiedBody<S> {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.ended {
            match std::task::ready!(this.chunks.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => {
                    this.hasher.update(&chunk);
                    if let Some(before) = this.held.replace(chunk) {
                        return Poll::Ready(Some(Ok(before)));
                    }
                }
                Some(Err(error)) => {
                    this.ended = true;
                    this.held = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    if this.hasher.finalize().as_bytes() != &this.digest.0 {
                        this.held = None;
                        this.mark_corrupt();
                        let why = "the body has another digest".to_owned();
                        return Poll::Ready(Some(Err(StoreError::Mismatch(why))));
                    }
                }
            }
        }
        Poll::Ready(this.held.take().map(Ok))
    }
}
