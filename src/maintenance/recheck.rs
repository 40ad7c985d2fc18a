//! Replicas marked missing are looked for again in each run: one that is there, with the right
//! size and the right bytes, is present again (SPEC 2).

use futures_util::{StreamExt, stream};

use crate::catalogue::CatalogueError;
use crate::domain::{File, FileId, Replica, ReplicaState, StoreId, Timestamp, Topology};
use crate::stores::{Backend, StoreError};

use super::Maintenance;

/// Rows looked at at once.
const PAGE: usize = 256;
/// Questions to one store at once.
const AT_ONCE: usize = 16;

/// A replica that was missing and is back.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub file: File,
    pub store: StoreId,
    /// False when the store is never read: only the size was seen.
    pub verified: bool,
}

impl Back {
    /// The file with its replica present again.
    pub fn apply(&self, file: &mut File, now: Timestamp) {
        let verified_at = self.verified.then_some(now);
        let stored_at = file.replica(self.store).map_or(now, |r| r.stored_at);
        let state = ReplicaState::Present;
        file.put_replica(Replica { store: self.store, state, stored_at, verified_at });
    }
}

impl Maintenance {
    /// Looks for one page of the store's missing replicas after `after`; the last row of the page
    /// and what was found. Changes nothing.
    pub(super) async fn find_missing(
        &self,
        topology: &Topology,
        store: StoreId,
        after: Option<FileId>,
    ) -> Result<Option<(FileId, Vec<Back>)>, CatalogueError> {
        let snapshot = self.catalogue().snapshot()?;
        let page = snapshot.marked(ReplicaState::Missing, store, after, PAGE)?;
        drop(snapshot);
        let Some(last) = page.last().map(|f| f.id) else { return Ok(None) };
        // A store that every scope writes to only is never read (SPEC 7).
        let mut links = topology.links_to(store).peekable();
        let readable = links.peek().is_none() || links.any(|l| !l.policy.write_only);
        let Ok(open) = self.transfer.stores.get(store) else { return Ok(Some((last, Vec::new()))) };
        let looks = page.into_iter().map(|file| {
            let backend = &open.backend;
            async move {
                match is_there(backend.as_ref(), &file, readable).await {
                    Ok(Some(verified)) => Some(Back { file, store, verified }),
                    Ok(None) => None,
                    Err(error) => {
                        let store = topology.store_name(store);
                        tracing::debug!(store, digest = %file.digest, %error, "still missing");
                        None
                    }
                }
            }
        });
        let found = stream::iter(looks).buffer_unordered(AT_ONCE).filter_map(std::future::ready);
        Ok(Some((last, found.collect().await)))
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
                    let Some(mut file) = tx.file(back.file.id)? else { continue };
                    if file.state(back.store) == Some(ReplicaState::Missing) {
                        back.apply(&mut file, tx.now());
                        tx.put_file(&file)?;
                        count += 1;
                    }
                }
                Ok(count)
            })
            .await
    }

    /// Looks for all missing replicas of a store and brings back what is there.
    pub(super) async fn recheck(&self, store: StoreId) -> Result<u64, CatalogueError> {
        let (mut after, mut count) = (None, 0);
        let settings = self.catalogue().settings();
        while let Some((last, found)) = self.find_missing(&settings.topology, store, after).await? {
            after = Some(last);
            count += self.bring_back(found).await?;
        }
        Ok(count)
    }
}

/// Whether the object is there with the right size, and whether its bytes were seen to be right.
async fn is_there(
    backend: &dyn Backend,
    file: &File,
    readable: bool,
) -> Result<Option<bool>, StoreError> {
    let stat = backend.stat(&file.digest).await?;
    if stat.is_none_or(|s| s.size != file.size) {
        return Ok(None);
    }
    if !readable {
        return Ok(Some(false));
    }
    match is_sound(backend, file).await {
        Ok(sound) => Ok(sound.then_some(true)),
        Err(StoreError::Archived) => Ok(Some(false)),
        Err(error) => Err(error),
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
