//! Locks and pins on (store, digest).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Digest, FileId, StoreId};

type StoredKey = (StoreId, Digest);

/// Serialises writes and deletes of one digest in one store (SPEC 2).
#[derive(Debug, Default)]
pub struct KeyLocks {
    locks: Arc<Mutex<HashMap<StoredKey, Arc<tokio::sync::Mutex<()>>>>>,
}

/// Holds a key; dropping it lets the next one in.
#[derive(Debug)]
pub struct KeyGuard {
    key: StoredKey,
    locks: Arc<Mutex<HashMap<StoredKey, Arc<tokio::sync::Mutex<()>>>>>,
    /// Taken on drop, before the map is cleaned.
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl KeyLocks {
    pub async fn lock(&self, store: StoreId, digest: Digest) -> KeyGuard {
        let key = (store, digest);
        let lock = Arc::clone(locked(&self.locks).entry(key).or_default());
        let held = lock.lock_owned().await;
        KeyGuard { key, locks: Arc::clone(&self.locks), held: Some(held) }
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        let mut locks = locked(&self.locks);
        self.held = None;
        // Whoever waits holds a clone: the entry goes with the last of them.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replicas that an upload under way relies on: they are not removed until it has committed.
#[derive(Debug, Default)]
pub struct Pins {
    pins: Arc<Mutex<HashMap<(StoreId, FileId), usize>>>,
}

/// Keeps one replica from removal while it lives.
#[derive(Debug)]
pub struct ReplicaPin {
    key: (StoreId, FileId),
    pins: Arc<Mutex<HashMap<(StoreId, FileId), usize>>>,
}

impl Pins {
    pub fn pin(&self, store: StoreId, file: FileId) -> ReplicaPin {
        *locked(&self.pins).entry((store, file)).or_default() += 1;
        ReplicaPin { key: (store, file), pins: Arc::clone(&self.pins) }
    }

    /// For questions asked within a write transaction.
    pub fn checker(&self) -> impl Fn(StoreId, FileId) -> bool + Send + 'static {
        let pins = Arc::clone(&self.pins);
        move |store, file| locked(&pins).contains_key(&(store, file))
    }
}

impl Drop for ReplicaPin {
    fn drop(&mut self) {
        let mut pins = locked(&self.pins);
        if let Some(count) = pins.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.key);
            }
        }
    }
}
