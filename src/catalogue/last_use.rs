//! Last uses: exact in memory, written in batches (SPEC 6), so that a download costs no commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{FileId, Timestamp};

/// Reads not yet written to the catalogue.
#[derive(Debug, Default)]
pub struct LastUses {
    pending: Mutex<Arc<BTreeMap<FileId, Timestamp>>>,
}

impl LastUses {
    fn lock(&self) -> MutexGuard<'_, Arc<BTreeMap<FileId, Timestamp>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client read `file` at `at`.
    pub fn note(&self, file: FileId, at: Timestamp) {
        let mut pending = self.lock();
        let seen = Arc::make_mut(&mut pending).entry(file).or_insert(at);
        *seen = at.max(*seen);
    }

    /// What is pending now. Cheap; the next `note` copies the map when this is still held.
    pub fn pending(&self) -> Arc<BTreeMap<FileId, Timestamp>> {
        Arc::clone(&self.lock())
    }

    pub fn get(&self, file: FileId) -> Option<Timestamp> {
        self.lock().get(&file).copied()
    }

    /// Forgets what was written; later reads of the same file stay pending.
    pub(super) fn written(&self, rows: &[(FileId, Timestamp)]) {
        let mut pending = self.lock();
        let map = Arc::make_mut(&mut pending);
        for (file, at) in rows {
            if map.get(file).is_some_and(|seen| seen <= at) {
                map.remove(file);
            }
        }
    }
}
