//! The catalogue: all metadata in one redb file.
//!
//! - One writer thread with group commit: concurrent callers share one durable commit
//!   (`writer`). Commits are two-phase with quick repair, so that a crash costs no rescan.
//! - Reads never wait for the writer. A `Snapshot` is short-lived: none is held across I/O, since
//!   pages freed by later commits stay allocated while it lives.
//! - The configuration (scopes, stores, links, tokens) is small and also kept in memory, replaced
//!   whole after each commit that changes it.

mod admin;
mod browse;
mod changes;
mod codec;
mod counters;
mod last_use;
mod ledger;
mod open;
mod records;
mod rehearsal;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod tx;
mod tx_files;
mod upgrade;
pub mod values;
mod writer;

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

pub use admin::{AuditRecord, Session, SessionKind, Token, UrlHorizon};
pub use browse::{Items, Listed};
pub use changes::{Changes, Mark};
pub use counters::{Counter, contributions, hard_bytes};
pub use last_use::LastUses;
pub use ledger::{Ledger, Promise, Reservation};
pub use open::Options;
pub use rehearsal::Rehearsal;
pub use snapshot::{EntryPage, Holders, Snapshot};
pub use tx::Tx;
pub use tx_files::{DeleteOutcome, Placed};

use crate::clock::Clock;
use crate::domain::Topology;

/// What can go wrong with the catalogue file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogueError {
    #[error("the catalogue {0} is in use by another process")]
    Locked(PathBuf),
    #[error(
        "{0} is not a Hayloft catalogue, or is damaged: {1}. Move it away, restore a backup, or point data_dir elsewhere; \
         nothing was changed"
    )]
    Unreadable(PathBuf, String),
    #[error(
        "the catalogue {path} has format {found}, and this version of Hayloft reads up to {known}: install the version that \
         wrote it (or a newer one), or put back the copy of the catalogue from before the upgrade; nothing was changed"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("the catalogue is damaged: {0}. Restore a backup of it")]
    Corrupt(String),
    #[error(
        "the disk of the catalogue is full: free some space in data_dir (deleting files through Hayloft needs room as well)"
    )]
    DiskFull,
    #[error("the catalogue cannot be read or written: {0}")]
    Storage(String),
    #[error("the catalogue is closed: the server is shutting down")]
    Closed,
}

macro_rules! storage_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for CatalogueError {
            fn from(e: $error) -> Self {
                Self::from_redb(redb::Error::from(e))
            }
        })*
    };
}

storage_errors!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError
);

impl CatalogueError {
    fn from_redb(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => Self::DiskFull,
            redb::Error::Corrupted(why) => Self::Corrupt(why),
            other => Self::Storage(other.to_string()),
        }
    }

    /// True when redb refuses all further writes until the file is opened again.
    fn needs_reopen(&self) -> bool {
        matches!(self, Self::DiskFull | Self::Storage(_))
    }
}

/// The configuration that is kept in memory.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub topology: Topology,
    pub tokens: std::collections::BTreeMap<String, Token>,
}

/// Handle to the catalogue; cheap to clone behind its `Arc`.
#[derive(Debug)]
pub struct Catalogue {
    path: PathBuf,
    clock: Clock,
    database: Arc<writer::SharedDatabase>,
    settings: Arc<RwLock<Arc<Settings>>>,
    ledger: Arc<Ledger>,
    last_uses: LastUses,
    changes: Arc<Changes>,
    writer: writer::Writer,
    instance: String,
}

impl Catalogue {
    /// Where the file lies.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The random id of this instance; markers carry it.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The configuration as of the last commit.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub fn last_uses(&self) -> &LastUses {
        &self.last_uses
    }

    /// Which files were changed of late.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// A consistent view as of the last commit. Drop it before any I/O.
    pub fn snapshot(&self) -> Result<Snapshot, CatalogueError> {
        Ok(Snapshot::new(self.database.begin_read()?))
    }

    /// Runs `job` in a write transaction and returns once its effects are durable.
    ///
    /// Jobs of concurrent callers share a commit. When `job` returns an error, nothing that it did
    /// is kept. It may run more than once (when another job of the same commit is undone), so it
    /// must only change things through the transaction. It runs even when the returned future is dropped.
    pub fn write<T, E, F>(
        &self,
        job: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<'_, T, E, F>
    where
        T: Send + 'static,
        E: From<CatalogueError> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.write(job)
    }

    /// Writes pending last uses whose stored value is older than `granularity` (SPEC 6).
    pub async fn flush_last_uses(
        &self,
        granularity: std::time::Duration,
    ) -> Result<usize, CatalogueError> {
        let pending = self.last_uses.pending();
        let rows: Vec<_> = pending.iter().map(|(file, at)| (*file, *at)).collect();
        drop(pending);
        let mut written = 0;
        for chunk in rows.chunks(1000) {
            let chunk = chunk.to_vec();
            let done = self.write(move |tx| tx.touch_files(&chunk, granularity)).await?;
            written += done.len();
            self.last_uses.written(&done);
        }
        Ok(written)
    }

    /// Ends the writer and closes the file; later calls fail with `Closed`. Without this the next
    /// start has to repair.
    pub async fn close(&self) -> Result<(), CatalogueError> {
        self.writer.close().await;
        self.database.close()
    }
}
