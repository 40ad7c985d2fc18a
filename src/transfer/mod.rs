//! The only code that changes bytes and catalogue rows together.
//!
//! # Ordering rules
//!
//! 1. **Bytes before rows.** A row says `present` only after the bytes are durable: an upload or a copy
//!    first ends `Backend::put`, then commits. A crash in between leaves bytes that no row names: an
//!    orphan for the sweep, never a row without bytes.
//! 2. **Intent before a copy's bytes.** Maintenance commits `writing` first, so that the bytes count
//!    against the hard limit and a crash is cleaned up: at the next start `writing` becomes
//!    `deleting`.
//! 3. **Rows before deletion.** `deleting` is durable before the first byte goes; the row is dropped
//!    after the bytes are gone. A crash in between repeats the deletion, which is idempotent.
//! 4. **One writer of bytes per (store, digest).** `put` and `delete` run under the key's lock
//!    (`locks`), and whoever gets the lock looks at the row again before it touches bytes.
//! 5. **Room is promised before bytes are read** (`catalogue::Reservation`), and becomes the row's
//!    bytes in the commit that writes the row.
//! 6. **The write transaction decides.** Whether a replica may go is asked in the transaction that
//!    commits `deleting`; uploads add scopes to a file in the same kind of transaction, so one of the two
//!    sees the other. An upload that holds the key's lock and has seen the bytes may turn `deleting` back to
//!    `present`: the deletion begins under the same lock and would find the row changed.
//! 7. **A lost answer is settled before the key is written again**: after a failed delete the key is
//!    `doubtful`; it is written only after a delete that succeeded.
//! 8. **URLs outlive rows.** An S3 object is deleted only after every URL issued for it has expired
//!    and open proxied reads are done (`urls`). A reader registers before it looks at the row the
//!    last time; the deleter looks at the register after the row says `deleting`.

mod choice;
mod copy;
mod download;
mod health;
mod ingest;
mod locks;
mod reap;
mod remove;
mod staging;
mod upload;
mod urls;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

pub use copy::{CopyError, Granted, Intent, IntentError, Wrap};
pub use download::{Delivery, Download, Read, ServeError};
pub use health::{HealthState, OpenStore, OpenStores, marker_of};
pub use ingest::Admission;
pub use locks::{KeyGuard, KeyLocks, Pins, ReplicaPin};
pub use reap::{ReapSummary, Reaped};
pub use remove::{Confirmed, Kept, Removal};
pub use staging::StagedBody;
pub use upload::{Committed, Condition, Declared, UploadError, UploadRequest};
pub use urls::{IssuedUrls, ProxiedRead};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::domain::{FileId, StoreId};
use crate::stores::{Lane, SILENCE};

/// Writes into the spool directory at once, as many as into a local store.
const SPOOLING: usize = 64;

/// Everything that moving bytes needs.
#[derive(Debug)]
pub struct Transfer {
    pub catalogue: Arc<Catalogue>,
    pub stores: OpenStores,
    pub locks: KeyLocks,
    pub pins: Pins,
    pub urls: IssuedUrls,
    /// Where uploads for remote stores are spooled.
    spool: staging::Spool,
    /// Keys whose deletion was tried and whose outcome is unknown.
    doubtful: std::sync::Mutex<BTreeSet<(StoreId, FileId)>>,
}

impl Transfer {
    /// `spool` must exist and be private to the server.
    pub fn new(catalogue: Arc<Catalogue>, spool: PathBuf) -> Arc<Self> {
        let stores = OpenStores::new(Arc::clone(&catalogue));
        let lane = Lane::new(SPOOLING, SILENCE);
        let spool = staging::Spool { dir: spool, lane };
        Arc::new(Self {
            catalogue,
            stores,
            locks: KeyLocks::default(),
            pins: Pins::default(),
            urls: IssuedUrls::default(),
            spool,
            doubtful: std::sync::Mutex::default(),
        })
    }

    fn doubt(&self, store: StoreId, file: FileId, doubtful: bool) {
        let mut set = self.doubtful.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if doubtful {
            set.insert((store, file));
        } else {
            set.remove(&(store, file));
        }
    }

    fn is_doubtful(&self, store: StoreId, file: FileId) -> bool {
        let set = self.doubtful.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        set.contains(&(store, file))
    }

    /// Marks a replica that a reader found damaged or gone, if its row still says `present` (SPEC 5).
    pub async fn mark(
        &self,
        file: FileId,
        store: StoreId,
        found: crate::domain::Event,
    ) -> Result<bool, CatalogueError> {
        let marked = self.catalogue.write(move |tx| tx.apply(file, store, found)).await?;
        if let Some(file) = &marked {
            let (state, store) = (file.state(store), self.stores.name(store));
            tracing::warn!(store, digest = %file.digest, ?state, "a replica was marked");
        }
        Ok(marked.is_some())
    }
}
