//! Who may still be reading an object without a row: issued URLs and proxied reads (SPEC 7).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::catalogue::UrlHorizon;
use crate::domain::{FileId, StoreId, Timestamp};

#[derive(Debug, Default)]
struct Readers {
    /// When the last URL issued for an object expires.
    urls: HashMap<(StoreId, FileId), Timestamp>,
    proxied: HashMap<(StoreId, FileId), usize>,
    /// When the last URL issued for a store expires.
    stores: HashMap<StoreId, Timestamp>,
    /// URLs of an earlier process may be read until then, in the stores that hand out any.
    horizon: Timestamp,
    remote: HashSet<StoreId>,
    /// Objects that were still being written when the earlier process ended: it issued no URL.
    unread: HashSet<(StoreId, FileId)>,
    /// The latest expiry of any URL issued by this process.
    latest: Timestamp,
    /// Expired rows are cleared when the map has doubled.
    clear_at: usize,
}

/// Register of readers that hold no row.
#[derive(Debug, Default)]
pub struct IssuedUrls {
    readers: Arc<Mutex<Readers>>,
}

/// An open proxied read; dropping it ends it.
#[derive(Debug)]
pub struct ProxiedRead {
    key: (StoreId, FileId),
    readers: Arc<Mutex<Readers>>,
}

fn locked(mutex: &Mutex<Readers>) -> MutexGuard<'_, Readers> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IssuedUrls {
    /// Objects that an earlier process may have issued URLs for are kept until `until`: those in
    /// the `remote` stores.
    pub fn set_horizon(&self, until: Timestamp, remote: HashSet<StoreId>) {
        let mut readers = locked(&self.readers);
        readers.horizon = until;
        readers.remote = remote;
    }

    /// No earlier process can have issued a URL for this object.
    pub fn never_issued(&self, store: StoreId, file: FileId) {
        locked(&self.readers).unread.insert((store, file));
    }

    /// Registers a URL that is about to be issued at `now` and is valid for `ttl`.
    pub fn issue(&self, store: StoreId, file: FileId, now: Timestamp, ttl: Duration) {
        // Providers check whole seconds and their clocks differ a little from ours.
        let expires = now.after(ttl + Duration::from_secs(2));
        let mut readers = locked(&self.readers);
        readers.latest = readers.latest.max(expires);
        let last = readers.stores.entry(store).or_insert(expires);
        *last = expires.max(*last);
        let slot = readers.urls.entry((store, file)).or_insert(expires);
        *slot = expires.max(*slot);
        if readers.urls.len() > readers.clear_at.max(1024) {
            readers.urls.retain(|_, expires| *expires > now);
            readers.clear_at = readers.urls.len() * 2;
        }
    }

    /// Registers a proxied read for as long as the guard lives.
    pub fn proxied(&self, store: StoreId, file: FileId) -> ProxiedRead {
        *locked(&self.readers).proxied.entry((store, file)).or_default() += 1;
        ProxiedRead { key: (store, file), readers: Arc::clone(&self.readers) }
    }

    /// When the object may be deleted; `None` while a proxied read is open.
    pub fn due(&self, store: StoreId, file: FileId) -> Option<Timestamp> {
        let readers = locked(&self.readers);
        if readers.proxied.contains_key(&(store, file)) {
            return None;
        }
        let issued = readers.urls.get(&(store, file)).copied().unwrap_or_default();
        let waits = readers.remote.contains(&store) && !readers.unread.contains(&(store, file));
        Some(if waits { issued.max(readers.horizon) } else { issued })
    }

    /// True when deletions in the store may have to wait at `now`: some reader holds no row.
    pub fn any_waiting(&self, store: StoreId, now: Timestamp) -> bool {
        let readers = locked(&self.readers);
        (readers.remote.contains(&store) && readers.horizon > now)
            || readers.proxied.keys().any(|(s, _)| *s == store)
            || readers.stores.get(&store).is_some_and(|expires| *expires > now)
    }

    /// What the next process has to respect when this one ends in order.
    pub fn horizon_at_exit(&self) -> UrlHorizon {
        let readers = locked(&self.readers);
        UrlHorizon { serving: false, until: readers.latest.max(readers.horizon) }
    }
}

impl Drop for ProxiedRead {
    fn drop(&mut self) {
        let mut readers = locked(&self.readers);
        if let Some(count) = readers.proxied.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                readers.proxied.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_due_when_its_last_url_has_expired_and_no_proxied_read_is_open() {
        let urls = IssuedUrls::default();
        let (store, file) = (StoreId(1), FileId(1));
        assert_eq!(urls.due(store, file), Some(Timestamp(0)));
        urls.issue(store, file, Timestamp(1_000_000), Duration::from_mins(1));
        assert_eq!(urls.due(store, file), Some(Timestamp(63_000_000)));
        assert_eq!(urls.due(store, FileId(2)), Some(Timestamp(0)), "no other object waits");
        let read = urls.proxied(store, file);
        assert_eq!(urls.due(store, file), None);
        drop(read);
        urls.set_horizon(Timestamp(90_000_000), HashSet::from([store]));
        assert_eq!(urls.due(store, file), Some(Timestamp(90_000_000)));
        assert_eq!(urls.due(StoreId(2), file), Some(Timestamp(0)), "a local store has no URLs");
        urls.never_issued(store, FileId(3));
        assert_eq!(urls.due(store, FileId(3)), Some(Timestamp(0)));
    }
}
