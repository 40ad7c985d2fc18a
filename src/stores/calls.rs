//! What the calls to a provider came to: counted where they are made, read by whoever shows them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::histogram::{Durations, Histogram};

/// Upper ends of the buckets for the time until an answer, in microseconds: from a server next door
/// to an upload over a slow line.
const BOUNDS: [u64; 9] =
    [3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000];

/// A call of the S3 interface, named as on the providers' bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum S3Operation {
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    ListObjectsV2,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListMultipartUploads,
    Other,
}

impl S3Operation {
    pub const ALL: [Self; 11] = [
        Self::PutObject,
        Self::GetObject,
        Self::HeadObject,
        Self::DeleteObject,
        Self::ListObjectsV2,
        Self::CreateMultipartUpload,
        Self::UploadPart,
        Self::CompleteMultipartUpload,
        Self::AbortMultipartUpload,
        Self::ListMultipartUploads,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PutObject => "PutObject",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::DeleteObject => "DeleteObject",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::Other => "Other",
        }
    }
}

/// Calls that came to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCount {
    pub operation: S3Operation,
    /// HTTP status; `None` when no answer came.
    pub status: Option<u16>,
    pub calls: u64,
}

/// The calls of one opened store; they begin at zero when its configuration changes.
#[derive(Debug)]
pub struct Calls {
    /// A call takes a thousand times longer than this lock.
    counts: Mutex<BTreeMap<(S3Operation, Option<u16>), u64>>,
    durations: [Histogram; S3Operation::ALL.len()],
    sent: AtomicU64,
    received: AtomicU64,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            durations: std::array::from_fn(|_| Histogram::new(&BOUNDS)),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }
}

impl Calls {
    /// One attempt of a call has ended: `took` is the time until the header of the answer.
    pub(super) fn ended(&self, operation: S3Operation, status: Option<u16>, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((operation, status)).or_default() += 1;
        drop(counts);
        self.durations[operation as usize].observe(took);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Every attempt counts, as it does on the bill.
    pub fn counts(&self) -> Vec<CallCount> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count =
            |(&(operation, status), &calls): (&_, &_)| CallCount { operation, status, calls };
        counts.iter().map(count).collect()
    }

    /// The operations that were called, with the time until the header of the answer.
    pub fn durations(&self) -> Vec<(S3Operation, Durations)> {
        let all = S3Operation::ALL.iter().map(|op| (*op, self.durations[*op as usize].read()));
        all.filter(|(_, durations)| durations.count > 0).collect()
    }

    /// Bytes of bodies sent and received.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_stands_at_its_own_place() {
        for (place, operation) in S3Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place, "{operation:?}");
        }
    }
}
