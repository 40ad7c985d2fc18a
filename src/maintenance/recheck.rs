//! Replicas marked missing are looked for again in each run: one that is there, with the right
//! size and the right bytes, is present again (SPEC 2).

use futures_util::{StreamExt, stream};

use crate::catalogue::CatalogueError;
use crate::domain::{Event, File, FileId, ReplicaState, StoreId, Topology};
use crate::stores::{Backend, StoreError};

use super::Maintenance;

/// Rows looked at at once.
const PAGE: usize = 256;
/// Questions to one store at once.
const AT_ONCE: usize = 16;

/// How closely a replica that is there again is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its bytes are read and hashed.
    Hash,
    /// Its size has to do, and its bytes are taken for good: for a plan that changes nothing.
    Size,
}

/// What a page of missing rows came to.
#[derive(Debug)]
pub(super) struct Found {
    /// The last row of the page.
    pub last: FileId,
    pub back: Vec<Back>,
    /// The store itself failed: the rows that follow were not asked for.
    pub failed: Option<StoreError>,
}

/// What a recheck came to.
#[derive(Debug, Default)]
pub(super) struct Rechecked {
    pub back: u64,
    /// Why it did not come to its end.
    pub failed: Option<StoreError>,
}

/// A replica that was missing and is back.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub file: File,
    pub store: StoreId,
    /// False when the store is never read: only the size was seen.
    pub verified: bool,
}

impl Back {
    /// What happened to the missing replica.
    pub fn event(&self) -> Event {
        Event::FoundAgain { verified: self.verified }
    }
}

impl Maintenance {
    /// Looks for one page of the store's missing replicas after `after`. Changes nothing.
    pub(super) async fn find_missing(
        &self,
        topology: &Topology,
        store: StoreId,
        after: Option<FileId>,
        proof: Proof,
    ) -> Result<Option<Found>, CatalogueError> {
        let snapshot = self.catalogue().snapshot()?;
        let page = snapshot.marked(ReplicaState::Missing, store, after, PAGE)?;
        drop(snapshot);
        let Some(last) = page.last().map(|f| f.id) else { return Ok(None) };
        // A store that every scope writes to only is never read (SPEC 7).
        let mut links = topology.links_to(store).peekable();
        let readable = links.peek().is_none() || links.any(|l| !l.policy.write_only);
        let mut found = Found { last, back: Vec::new(), failed: None };
        let open = match self.transfer.stores.get(store) {
            Ok(open) => open,
            Err(error) => return Ok(Some(Found { failed: Some(error), ..found })),
        };
        let backend = open.backend.as_ref();
        let looks = page.into_iter().map(|file| async move {
            let there = self.is_there(backend, &file, readable, proof).await;
            (file, there)
        });
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some((file, there)) = looks.next().await {
            match there {
                Ok(Some(verified)) => found.back.push(Back { file, store, verified }),
                Ok(None) => {}
                Err(error) if error.is_store_wide() => {
                    self.transfer.stores.report(store, &error);
                    found.failed = Some(error);
                    break;
                }
                Err(error) => {
                    let store = topology.store_name(store);
                    tracing::warn!(store, digest = %file.digest, %error,
                        "a missing replica could not be looked for");
                }
            }
        }
        Ok(Some(found))
    }

    /// Makes replicas present that are back. Returns how many.
    pub(super) async fn bring_back(&self, found: Vec<Back>) -> Result<u64, CatalogueError> {
        if found.is_empty() {
            return Ok(0);
        }
        self.catalogue()
            .write(move |tx| {
                let mut count = 0;
                for back in &found {
                    let brought = tx.apply(back.file.id, back.store, back.event())?;
                    count += u64::from(brought.is_some());
                }
                Ok(count)
            })
            .await
    }

    /// Looks for all missing replicas of a store and brings back what is there, until the store fails.
    pub(super) async fn recheck(&self, store: StoreId) -> Result<Rechecked, CatalogueError> {
        let (mut after, mut sum) = (None, Rechecked::default());
        let settings = self.catalogue().settings();
        let topology = &settings.topology;
        while let Some(found) = self.find_missing(topology, store, after, Proof::Hash).await? {
            after = Some(found.last);
            sum.back += self.bring_back(found.back).await?;
            if found.failed.is_some() {
                sum.failed = found.failed;
                break;
            }
        }
        Ok(sum)
    }

    /// Whether the object is there with the right size, and whether its bytes were seen to be right.
    async fn is_there(
        &self,
        backend: &dyn Backend,
        file: &File,
        readable: bool,
        proof: Proof,
    ) -> Result<Option<bool>, StoreError> {
        let stat = self.answer(backend.stat(&file.digest)).await?;
        if stat.is_none_or(|s| s.size != file.size) {
            return Ok(None);
        }
        if !readable || proof == Proof::Size {
            return Ok(Some(readable));
        }
        match is_sound(backend, file).await {
            Ok(sound) => Ok(sound.then_some(true)),
            Err(StoreError::Archived) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }
}

/// Reads the object and compares its hash and size.
pub(super) async fn is_sound(backend: &dyn Backend, file: &File) -> Result<bool, StoreError> {
    let mut body = backend.get(&file.digest, Some(0..file.size)).await?;
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = body.next().await {
        hasher.update(&chunk?);
    }
    Ok(hasher.count() == file.size && hasher.finalize().as_bytes() == &file.digest.0)
}
