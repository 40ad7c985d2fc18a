//! Time limits on a connection (SPEC 10): slow clients can pin neither memory nor connections.
//!
//! Between requests the idle limit counts, from the first byte of a request to the end of its
//! header the header limit, and while a body moves the body limit, anew with every byte.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The limits of one connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    pub header: Duration,
    pub idle: Duration,
    pub body: Duration,
}

/// No byte moved for too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no byte moved for too long")]
pub struct Stalled;

/// Where a connection is: shared by the stream below the protocol and the bodies above it.
#[derive(Debug)]
pub struct ConnectionPhase {
    opened: Instant,
    /// Requests begun.
    requests: AtomicUsize,
    /// Bodies alive, of requests and answers.
    bodies: AtomicUsize,
    /// When the last body ended, in milliseconds since the connection was opened.
    idle_since: AtomicU64,
}

impl Default for ConnectionPhase {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
        }
    }
}

/// Held by a body: the connection is not waiting for a request while it lives.
#[derive(Debug)]
pub struct Busy(Arc<ConnectionPhase>);

impl ConnectionPhase {
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.busy()
    }

    pub fn busy(self: &Arc<Self>) -> Busy {
        self.bodies.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    fn is_busy(&self) -> bool {
        self.bodies.load(Ordering::Relaxed) > 0
    }

    fn idle_since(&self) -> Instant {
        self.opened + Duration::from_millis(self.idle_since.load(Ordering::Relaxed))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.bodies.fetch_sub(1, Ordering::Relaxed) == 1 {
            let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.idle_since.store(since, Ordering::Relaxed);
        }
    }
}

/// A timer that is set far more often than it rings: a later deadline only counts when it rings.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// True when `due` has passed; otherwise the task is woken then.
    fn rings(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return true;
            }
            sleep.as_mut().reset(due);
        }
        false
    }
}

/// A stream of bytes with the limits of a connection.
#[derive(Debug)]
pub struct PacedStream<S> {
    inner: S,
    phase: Arc<ConnectionPhase>,
    limits: ConnectionLimits,
    /// The request that `header_due` belongs to.
    request: usize,
    header_due: Option<Instant>,
    header_begun: bool,
    write_due: Option<Instant>,
    read_alarm: Alarm,
    write_alarm: Alarm,
}

impl<S> PacedStream<S> {
    pub fn new(inner: S, phase: Arc<ConnectionPhase>, limits: ConnectionLimits) -> Self {
        Self {
            inner,
            phase,
            limits,
            request: 0,
            header_due: None,
            header_begun: false,
            write_due: None,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
        }
    }

    /// Forgets the deadlines of the last header when a new one is waited for.
    fn turn_to(&mut self, request: usize) {
        if self.request != request {
            self.request = request;
            self.header_due = None;
            self.header_begun = false;
        }
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.write_due = None;
            return polled;
        }
        let due = *self.write_due.get_or_insert_with(|| Instant::now() + self.limits.body);
        if self.write_alarm.rings(due, cx) { Poll::Ready(Err(timed_out())) } else { polled }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, Stalled)
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.turn_to(this.phase.requests.load(Ordering::Relaxed));
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if this.phase.is_busy() {
            if polled.is_pending() {
                // The last body may end without another look here: the alarm brings one.
                let soon = this.limits.idle.min(this.limits.header);
                this.read_alarm.rings(Instant::now() + soon, cx);
            }
            return polled;
        }
        if polled.is_ready() {
            if !this.header_begun {
                this.header_begun = true;
                this.header_due = Some(Instant::now() + this.limits.header);
            }
            return polled;
        }
        // A client that connects has something to say.
        let patience = match this.request {
            0 => this.limits.header,
            _ => this.limits.idle,
        };
        let due = *this.header_due.get_or_insert_with(|| this.phase.idle_since() + patience);
        if this.read_alarm.rings(due, cx) { Poll::Ready(Err(timed_out())) } else { polled }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx).map_ok(|()| 0);
        self.written(cx, polled).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx).map_ok(|()| 0);
        self.written(cx, polled).map_ok(|_| ())
    }
}

/// The body of a request, with the limit on how long it may stand still.
#[derive(Debug)]
pub struct Paced {
    incoming: Incoming,
    limit: Duration,
    due: Option<Instant>,
    alarm: Alarm,
    _busy: Busy,
}

impl Paced {
    pub fn new(incoming: Incoming, limit: Duration, busy: Busy) -> Self {
        Self { incoming, limit, due: None, alarm: Alarm::default(), _busy: busy }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.due = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let due = *this.due.get_or_insert_with(|| Instant::now() + this.limit);
        if this.alarm.rings(due, cx) {
            return Poll::Ready(Some(Err(Stalled.into())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of an answer: while it lives the connection is busy.
#[derive(Debug)]
pub struct Answer<B> {
    body: B,
    _busy: Busy,
}

impl<B> Answer<B> {
    pub fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
