//! The speed of copies: a bandwidth limit, a pulse that tells a slow store from a dead one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::live::{Live, Wish};
use crate::stores::{ByteStream, StoreError};

/// A long wait for bandwidth is cut into slices, so that it is not taken for a dead store, shows as
/// the flow that it is, and ends with the process.
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

    /// Waits until `bytes` more may flow, and counts them in `live` as they become due. `Source` when
    /// the process is to end first: the rest may take hours.
    async fn take(&self, bytes: u64, live: &Live, pulse: &Pulse) -> Result<(), StoreError> {
        let Some(rate) = self.rate else {
            live.transferred(bytes);
            return Ok(());
        };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(Instant::now()) + cost;
            *free_at
        };
        let mut counted = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            pulse.beat();
            // What others wait for before us is no part of our cost.
            let owed = bytes_in(left.min(cost), rate).min(bytes);
            let flowed = bytes - owed;
            live.transferred(flowed.saturating_sub(counted));
            counted = flowed.max(counted);
            if left.is_zero() {
                return Ok(());
            }
            if live.wish() == Wish::Stop {
                return Err(StoreError::Source("the server is about to end".to_owned()));
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

/// Bytes that flow at `rate` per second in `time`.
fn bytes_in(time: Duration, rate: u64) -> u64 {
    let bytes = time.as_micros() * u128::from(rate) / 1_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
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
        let item = match item {
            Some(Ok(chunk)) => {
                let due = throttle.take(chunk.len() as u64, &live, &pulse).await;
                Some(due.map(|()| chunk))
            }
            other => other,
        };
        item.map(|item| (item, (source, live, throttle, pulse)))
    }))
}
