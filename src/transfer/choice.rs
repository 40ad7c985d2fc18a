//! Which store takes an upload: the first in upload order that is available and has room, or that has
//! the file already (SPEC 4).

use std::time::Duration;

use super::upload::UploadError;
use super::{ReplicaPin, Transfer};
use crate::catalogue::Reservation;
use crate::domain::{File, FileId, ScopeId, Store, StoreId, Topology};
use crate::planner;
use crate::stores::StoreError;

/// A store tells clients to come back after this long when it is failing.
const RETRY_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub enum Chosen {
    /// Room is promised in the catalogue.
    Room { store: StoreId, reservation: Reservation },
    /// The store has the declared file: the body is only hashed. The pin keeps it there.
    Held { store: StoreId, file: FileId, pin: ReplicaPin },
}

/// The search of a store for one upload. It may be continued when a chosen store fails, and collects why
/// no store took the upload, for the one answer that fits best.
#[derive(Debug)]
pub struct Search {
    scope: ScopeId,
    /// Bytes to find room for: none yet of a body whose size is not known.
    size: u64,
    /// The file that the client declares.
    held: Option<File>,
    /// Stores looked at: none is chosen twice.
    tried: Vec<StoreId>,
    no_links: bool,
    /// The highest limit below the size; `None` when some store could hold it when empty.
    too_small: Option<u64>,
    some_fit: bool,
    failing: Option<String>,
}

impl Search {
    pub fn new(scope: ScopeId, size: Option<u64>, held: Option<File>) -> Self {
        Self {
            scope,
            size: size.unwrap_or(0),
            held,
            tried: Vec::new(),
            no_links: false,
            too_small: None,
            some_fit: false,
            failing: None,
        }
    }

    /// Goes on for a body that was received: its size is known, and it needs room wherever it goes.
    pub fn go_on_with(&mut self, size: u64) {
        self.size = size;
        self.held = None;
    }

    /// The store looked at last.
    pub fn last(&self) -> Option<StoreId> {
        self.tried.last().copied()
    }

    fn next<'a>(&mut self, topology: &'a Topology) -> Option<&'a Store> {
        let links = planner::upload_order(topology, self.scope);
        self.no_links = links.is_empty();
        let mut stores = links.iter().filter_map(|link| topology.stores.get(&link.store));
        let next = stores.find(|store| !self.tried.contains(&store.id))?;
        self.tried.push(next.id);
        Some(next)
    }

    fn could_ever_fit(&mut self, max: Option<u64>) -> bool {
        match max {
            Some(max) if max < self.size => {
                self.too_small = self.too_small.max(Some(max));
                false
            }
            _ => {
                self.some_fit = true;
                true
            }
        }
    }

    fn see(&mut self, error: &StoreError) {
        if !matches!(error, StoreError::Full(_)) {
            self.failing.get_or_insert(error.to_string());
        }
    }

    fn refusal(&self) -> UploadError {
        if self.no_links {
            return UploadError::NoWritableStore;
        }
        match (self.some_fit, self.too_small, &self.failing) {
            (false, Some(largest), _) => UploadError::TooLarge { size: self.size, largest },
            (_, _, Some(problem)) => {
                UploadError::StoreFailing { problem: problem.clone(), retry_after: RETRY_AFTER }
            }
            _ => UploadError::Insufficient { size: self.size },
        }
    }
}

impl Transfer {
    /// The next store that takes the upload. It promises room and prepares none: a body that is staged
    /// already needs no second place.
    pub(super) async fn choose(&self, search: &mut Search) -> Result<Chosen, UploadError> {
        let settings = self.catalogue.settings();
        while let Some(store) = search.next(&settings.topology) {
            if let Some(chosen) = self.hold(store.id, search.held.as_ref()).await {
                return Ok(chosen);
            }
            if !search.could_ever_fit(store.max_size) {
                continue;
            }
            // Promised before the look at the store: a full store needs no look.
            let ledger = self.catalogue.ledger();
            let Some(reservation) = ledger.reserve(store.id, search.size, store.max_size) else {
                continue;
            };
            match self.available(store.id).await {
                Ok(()) => return Ok(Chosen::Room { store: store.id, reservation }),
                Err(error) => self.skip(search, &error),
            }
        }
        Err(search.refusal())
    }

    /// Notes why the store looked at last cannot take the upload.
    pub(super) fn skip(&self, search: &mut Search, error: &StoreError) {
        let scope = self.catalogue.settings().topology.scope_name(search.scope);
        let store = search.last().map(|id| self.stores.name(id));
        tracing::warn!(scope, store, %error, "an upload passes over a store");
        search.see(error);
    }

    /// The declared file, if `store` has it: proved by stat, pinned until the upload commits.
    async fn hold(&self, store: StoreId, file: Option<&File>) -> Option<Chosen> {
        let file = file.filter(|f| f.is_present(store))?;
        let pin = self.pins.pin(store, file.id);
        self.confirm(file, store).await.then(|| Chosen::Held { store, file: file.id, pin })
    }

    async fn available(&self, store: StoreId) -> Result<(), StoreError> {
        let state = self.stores.check(store).await;
        if state.is_available() {
            return Ok(());
        }
        Err(StoreError::unavailable(state.obstacle()))
    }
}

/// Why an upload ends when its store failed after the body and no other one takes it.
pub fn no_other_store(error: &StoreError, size: u64) -> UploadError {
    match error {
        StoreError::Full(_) => UploadError::Insufficient { size },
        other => UploadError::StoreFailing { problem: other.to_string(), retry_after: RETRY_AFTER },
    }
}
