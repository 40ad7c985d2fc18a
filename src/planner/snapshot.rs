//! What the planner may see of the catalogue.

use super::usage::Usage;
use crate::domain::Count;
use crate::domain::{File, FileId, ReplicaState, ScopeId, StoreId, Timestamp};

/// Files that are read in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSet {
    /// With a replica row of any state in the store.
    InStore(StoreId),
    /// With a live entry in the scope and no present replica in the store: those that `missing_count`
    /// counts.
    Missing(ScopeId, StoreId),
    /// Whose replica in the store is in this state, which is not `Present`.
    Marked(ReplicaState, StoreId),
}

impl FileSet {
    pub fn has(self, file: &File) -> bool {
        match self {
            Self::InStore(store) => file.replica(store).is_some(),
            Self::Missing(scope, store) => file.is_live_in(scope) && !file.is_present(store),
            Self::Marked(state, store) => file.state(store) == Some(state),
        }
    }
}

/// A consistent picture of files, replicas and counters at one moment.
///
/// Pages hold at most `limit` files and may hold fewer; only an **empty** page is the end.
pub trait Snapshot {
    type Error: std::error::Error + Send + Sync + 'static;

    /// The counters that limits are compared with.
    fn usage(&self) -> Result<Usage, Self::Error>;

    /// The highest file id given out so far; 0 before the first. Later files are not the business
    /// of a run that has begun, else uploads beside it could keep it going for ever.
    fn newest(&self) -> Result<FileId, Self::Error>;

    /// One file; `None` when it is gone.
    fn file(&self, id: FileId) -> Result<Option<File>, Self::Error>;

    /// Files of the set in id order, ids above `after`.
    fn files(
        &self,
        set: FileSet,
        after: Option<FileId>,
        limit: usize,
    ) -> Result<Vec<File>, Self::Error>;

    /// Files with a present replica in the store, in order of (last use, id), those above `after`.
    /// Uses that are not written yet count: `File::last_used` is the latest known.
    fn least_used(
        &self,
        store: StoreId,
        after: Option<(Timestamp, FileId)>,
        limit: usize,
    ) -> Result<Vec<File>, Self::Error>;

    /// Files of the scope, tombstoned ones included, with a present replica in the store; also for
    /// pairs that are not linked.
    fn link_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, Self::Error>;

    /// Files with a live entry in the scope and no present replica in the store.
    fn missing_count(&self, scope: ScopeId, store: StoreId) -> Result<Count, Self::Error>;

    /// Replica rows of the store in `state`, which is `Missing` or `Corrupt`. Missing ones count no
    /// bytes.
    fn marked_count(&self, state: ReplicaState, store: StoreId) -> Result<Count, Self::Error>;
}
