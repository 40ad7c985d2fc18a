//! The body of an upload on its way in, and what is left of it after a refusal.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::BodyExt;

use super::declared::NOT_IN_TRAILERS;
use crate::server::errors::{Failure, too_large};
use crate::server::metrics::Metrics;
use crate::server::pace::Stalled;
use crate::stores::StoreError;

/// What is read of a refused body, so that a client that only writes gets to see the answer.
const DRAIN_BYTES: usize = 8 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A body for `Transfer::receive`. When it is dropped the rest of the body goes to its `Remainder`.
pub struct UploadBody {
    body: Option<Body>,
    remainder: Remainder,
    received: u64,
    /// `limits.max_upload`.
    max: Option<u64>,
    metrics: Arc<Metrics>,
}

/// What a refused upload leaves: the unread body, and why its reading ended when that has an
/// answer of its own.
#[derive(Clone, Default)]
pub struct Remainder(Arc<Mutex<Left>>);

#[derive(Default)]
struct Left {
    body: Option<Body>,
    failure: Option<Failure>,
}

impl Remainder {
    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }

    pub fn take_body(&self) -> Option<Body> {
        self.lock().body.take()
    }
}

impl UploadBody {
    pub fn new(body: Body, max: Option<u64>, metrics: Arc<Metrics>) -> (Self, Remainder) {
        let remainder = Remainder::default();
        let kept = remainder.clone();
        (Self { body: Some(body), remainder, received: 0, max, metrics }, kept)
    }

    /// Ends the reading with an answer of its own.
    fn refuse(&mut self, failure: Failure) -> Poll<Option<Result<Bytes, StoreError>>> {
        self.remainder.lock().failure = Some(failure);
        Poll::Ready(Some(Err(StoreError::Source("the body was refused".to_owned()))))
    }

    fn broken(&mut self, error: axum::Error) -> Poll<Option<Result<Bytes, StoreError>>> {
        // Nothing more can come of this body.
        self.body = None;
        let error = error.into_inner();
        if error.downcast_ref::<Stalled>().is_some() {
            let detail = "no byte of the body arrived for too long";
            return self.refuse(Failure::new(StatusCode::REQUEST_TIMEOUT, "body-stalled", detail));
        }
        Poll::Ready(Some(Err(StoreError::Source(error.to_string()))))
    }

    fn data(&mut self, data: Bytes) -> Poll<Option<Result<Bytes, StoreError>>> {
        self.received += data.len() as u64;
        self.metrics.received(data.len());
        match self.max {
            Some(max) if self.received > max => self.refuse(over_limit(max)),
            _ => Poll::Ready(Some(Ok(data))),
        }
    }
}

/// The refusal of a body above `limits.max_upload`.
pub fn over_limit(max: u64) -> Failure {
    too_large(format!("uploads are limited to {max} bytes (limits.max_upload)")).with("limit", max)
}

impl Stream for UploadBody {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.body = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => return self.broken(error),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return self.data(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    if NOT_IN_TRAILERS.iter().any(|name| trailers.contains_key(name)) {
                        let detail = "digests are verified when they are in the header, not after \
                                      the body";
                        return self.refuse(Failure::invalid("digest-in-trailer", detail));
                    }
                }
            }
        }
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        self.remainder.lock().body = self.body.take();
    }
}

/// Reads on for a while beside the answer, then lets go.
pub fn drain(body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
        let mut body = body;
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read >= DRAIN_BYTES {
                break;
            }
        }
    }));
}
