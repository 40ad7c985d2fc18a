//! The speed of copies: a bandwidth limit, a pulse that tells a slow store from a dead one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::live::Live;
use crate::stores::ByteStream;

/// A long wait for bandwidth is cut into slices, so that it is not taken for a dead store.
const SLICE: Duration = Duration::from_millis(100);

/// Bytes per second over all copies of a run.
#[derive(Debug)]
pub struct Throttle {
    rate: Option<u64>,
    /// When the bytes granted so far are paid for.
    free_at: Mutex<Instant>,
}

impl Throttle {
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.filter(|r| *r > 0), free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` more may flow.
    async fn take(&self, bytes: u64, pulse: &Pulse) {
        let Some(rate) = self.rate else { return };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(Instant::now()) + cost;
            *free_at
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            pulse.beat();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

/// When a copy last got on, and who is being waited for.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// Milliseconds after `start`.
    last: AtomicU64,
    asks_source: AtomicBool,
}

impl Pulse {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            asks_source: AtomicBool::new(true),
        })
    }

    fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    pub fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    /// True while the source is asked for bytes, false while the target takes them.
    pub fn waits_for_source(&self) -> bool {
        self.asks_source.load(Ordering::Relaxed)
    }
}

/// Lays meter, limit and pulse over the bytes of a source.
pub fn metered(
    source: ByteStream,
    live: &Arc<Live>,
    throttle: &Arc<Throttle>,
    pulse: &Arc<Pulse>,
) -> ByteStream {
    let (live, throttle, pulse) = (Arc::clone(live), Arc::clone(throttle), Arc::clone(pulse));
    // The source has answered: it is the target's turn to ask for bytes.
    pulse.asks_source.store(false, Ordering::Relaxed);
    pulse.beat();
    let state = (source, live, throttle, pulse);
    Box::pin(stream::unfold(state, |(mut source, live, throttle, pulse)| async move {
        pulse.asks_source.store(true, Ordering::Relaxed);
        pulse.beat();
        let item = source.next().await;
        pulse.asks_source.store(false, Ordering::Relaxed);
        pulse.beat();
        if let Some(Ok(chunk)) = &item {
            let bytes = chunk.len() as u64;
            live.transferred(bytes);
            throttle.take(bytes, &pulse).await;
        }
        item.map(|item| (item, (source, live, throttle, pulse)))
    }))
}
