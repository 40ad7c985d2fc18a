//! The body of a download: the store's chunks as frames, not copied.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::domain::{Digest, ScopeId, StoreId};
use crate::server::metrics::UnderWay;
use crate::server::site::Site;
use crate::stores::{ByteStream, StoreError};

/// Exactly `remaining` bytes, or an error that ends the connection: a client must never take a
/// part for the whole.
pub struct FileBody {
    stream: ByteStream,
    remaining: u64,
    site: Arc<Site>,
    about: LoggedDownload,
    _under_way: UnderWay,
}

/// What is sent, for the log.
#[derive(Debug, Clone, Copy)]
pub struct LoggedDownload {
    pub scope: ScopeId,
    pub store: StoreId,
    pub digest: Digest,
}

impl FileBody {
    pub fn new(stream: ByteStream, length: u64, site: Arc<Site>, about: LoggedDownload) -> Self {
        let under_way = site.metrics.download();
        Self { stream, remaining: length, site, about, _under_way: under_way }
    }

    fn log(&self, error: &StoreError) {
        let settings = self.site.app.catalogue.settings();
        let LoggedDownload { scope, store, digest } = self.about;
        let (scope, store) =
            (settings.topology.scope_name(scope), settings.topology.store_name(store));
        tracing::warn!(scope, store, %digest, %error, "a download was cut off");
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        let wrong = |what: &str| Some(Err(StoreError::failed(format!("the body is too {what}"))));
        Poll::Ready(match std::task::ready!(self.stream.as_mut().poll_next(cx)) {
            Some(Ok(chunk)) => match self.remaining.checked_sub(chunk.len() as u64) {
                Some(remaining) => {
                    self.remaining = remaining;
                    self.site.metrics.sent(chunk.len());
                    Some(Ok(Frame::data(chunk)))
                }
                None => wrong("long"),
            },
            Some(Err(error)) => {
                self.log(&error);
                Some(Err(error))
            }
            None if self.remaining > 0 => wrong("short"),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
