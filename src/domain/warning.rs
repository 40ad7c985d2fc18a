//! What an administrator should know about a configuration that is allowed (SPEC 3), as a value.

use super::{Count, Remedy, ScopeName, StoreName};

/// A finding, and what mends it. With several remedies each does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub concern: Concern,
    pub remedies: Vec<Remedy>,
}

/// What the finding is. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concern {
    /// The vacuum makes no room before the hard limit refuses uploads.
    HardLimitOnly {
        store: StoreName,
    },
    DiskMayFill {
        store: StoreName,
    },
    /// Less than a week of uploads fits beside it.
    SoftLimitTooHigh {
        store: StoreName,
        limit: u64,
        disk: u64,
    },
    DrainedTakesUploads {
        store: StoreName,
    },
    /// A soft limit has no say over populated files.
    PopulatedNeverSheds {
        scope: ScopeName,
        store: StoreName,
        limit: LimitOf,
    },
    /// Objects of the storage class cannot be read at once.
    ArchiveIsRead {
        store: StoreName,
        class: String,
    },
    RemoteFirst {
        scope: ScopeName,
        store: StoreName,
    },
    NoOverflow {
        scope: ScopeName,
        store: StoreName,
    },
    PopulateTooSmall {
        scope: ScopeName,
        store: StoreName,
        limit: LimitOf,
        room: u64,
        need: u64,
    },
    DrainsIntoSoftLimit {
        store: StoreName,
        target: StoreName,
        limit: u64,
    },
    NothingLeftToDrain {
        store: StoreName,
        target: StoreName,
    },
    /// The only replica is in a store that the scope does not read.
    OnlyInArchive {
        scope: ScopeName,
        files: Count,
    },
}

/// Whose limit it is, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOf {
    Link,
    Soft,
    Hard,
}
