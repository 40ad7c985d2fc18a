//! The body of a download: the store's chunks as frames, not copied.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::server::metrics::{Metrics, UnderWay};
use crate::stores::{ByteStream, StoreError};

/// Exactly `remaining` bytes, or an error that ends the connection: a client must never take a
/// part for the whole.
pub struct FileBody {
    stream: ByteStream,
    remaining: u64,
    metrics: Arc<Metrics>,
    _under_way: UnderWay,
}

impl FileBody {
    pub fn new(stream: ByteStream, length: u64, metrics: Arc<Metrics>) -> Self {
        let under_way = metrics.download();
        Self { stream, remaining: length, metrics, _under_way: under_way }
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        let wrong = |what: &str| Some(Err(StoreError::Failed(format!("the body is too {what}"))));
        Poll::Ready(match std::task::ready!(self.stream.as_mut().poll_next(cx)) {
            Some(Ok(chunk)) => match self.remaining.checked_sub(chunk.len() as u64) {
                Some(remaining) => {
                    self.remaining = remaining;
                    self.metrics.sent(chunk.len());
                    Some(Ok(Frame::data(chunk)))
                }
                None => wrong("long"),
            },
            Some(Err(error)) => {
                tracing::warn!(%error, "a download was cut off");
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
