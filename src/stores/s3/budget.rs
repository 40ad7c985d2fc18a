//! Memory for bodies on their way to S3, shared by all stores of the process.
//!
//! A part must be whole before its checksum, which travels ahead of it, is known. Without a common
//! bound, concurrency times part size would decide how much memory a run takes.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// KiB for all bodies together: enough for a few parts, or hundreds of small objects.
const TOTAL: u32 = 24 << 10;
static BUDGET: Semaphore = Semaphore::const_new(TOTAL as usize);

/// A share of the budget; given back when the last clone goes.
pub(super) type Share = Arc<SemaphorePermit<'static>>;

/// Waits until `bytes` fit beside what is on its way. Whoever holds shares must be able to finish
/// without taking another one.
pub(super) async fn take(bytes: u64) -> Option<Share> {
    let share = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(TOTAL).clamp(1, TOTAL);
    // Only a closed semaphore refuses, and this one is never closed.
    BUDGET.acquire_many(share).await.ok().map(Arc::new)
}
