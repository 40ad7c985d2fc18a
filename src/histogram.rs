//! How long things take, counted without locks: in metrics of the server and of stores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations by size. An observation costs two atomic additions.
#[derive(Debug)]
pub struct Histogram {
    /// Upper ends of the buckets in microseconds, ascending.
    bounds: &'static [u64],
    /// One for each bound, and one for what is longer than all of them.
    counts: Box<[AtomicU64]>,
    micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// Upper end in seconds, and how many were no longer than that.
    pub buckets: Vec<(f64, u64)>,
    pub count: u64,
    /// Seconds of all together.
    pub sum: f64,
}

impl Histogram {
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, micros: AtomicU64::new(0) }
    }

    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.bounds.iter().take_while(|bound| **bound < micros).count();
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn read(&self) -> Durations {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (i, one) in self.counts.iter().enumerate() {
            count += one.load(Ordering::Relaxed);
            if let Some(bound) = self.bounds.get(i) {
                buckets.push((Duration::from_micros(*bound).as_secs_f64(), count));
            }
        }
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        Durations { buckets, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_every_bucket_that_it_fits_into() {
        let histogram = Histogram::new(&[1000, 10_000]);
        for micros in [999, 1000, 1001, 2_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!(read.buckets, [(0.001, 2), (0.01, 3)]);
        assert_eq!((read.count, read.sum), (4, 2.003));
    }
}
