//! Files, their replicas and the scopes they are in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FilePath, Replica, ReplicaState, ScopeId, StoreId, Timestamp};

/// The BLAKE3 digest that identifies a file's content; 64 lower-case hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a BLAKE3 digest: 64 hexadecimal digits")]
pub struct DigestError(pub String);

impl Digest {
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(s: &str) -> Result<Self, DigestError> {
        blake3::Hash::from_hex(s)
            .map(|h| Self(*h.as_bytes()))
            .map_err(|_| DigestError(s.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", &self.to_hex()[..12])
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A file's row in the catalogue. Ids grow with creation time, so id order is "oldest first".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FileId(pub u64);

/// A scope that has the file, with the number of live entries and of tombstones that point to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub scope: ScopeId,
    pub live: u32,
    pub tombstones: u32,
}

/// Everything that placement needs to know about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub id: FileId,
    pub digest: Digest,
    pub size: u64,
    pub created_at: Timestamp,
    pub last_used: Timestamp,
    /// Sorted by store, at most one per store.
    pub replicas: Vec<Replica>,
    /// Sorted by scope, at most one per scope, none with both counts 0.
    pub members: Vec<Member>,
    /// The run that last removed a replica of this file, and the stores it removed it from, sorted:
    /// in that run the file is not copied back there (SPEC 7).
    pub departed: Option<(u64, Vec<StoreId>)>,
}

impl File {
    pub fn replica(&self, store: StoreId) -> Option<&Replica> {
        self.replicas.iter().find(|r| r.store == store)
    }

    /// The replica's state in `store`; `None` when the store has no row for this file.
    pub fn state(&self, store: StoreId) -> Option<ReplicaState> {
        self.replica(store).map(|r| r.state)
    }

    pub fn is_present(&self, store: StoreId) -> bool {
        self.state(store) == Some(ReplicaState::Present)
    }

    /// Stores with a present, unmarked replica.
    pub fn present(&self) -> impl Iterator<Item = StoreId> + '_ {
        self.replicas.iter().filter(|r| r.state == ReplicaState::Present).map(|r| r.store)
    }

    /// Sets the row of a file that is made up. What happens to a replica goes through [`Self::apply`].
    pub fn put_replica(&mut self, replica: Replica) {
        match self.replicas.binary_search_by_key(&replica.store, |r| r.store) {
            Ok(i) => self.replicas[i] = replica,
            Err(i) => self.replicas.insert(i, replica),
        }
    }

    /// Scopes with an entry or a tombstone of this file.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeId> + '_ {
        self.members.iter().map(|m| m.scope)
    }

    pub fn member(&self, scope: ScopeId) -> Option<&Member> {
        self.members.iter().find(|m| m.scope == scope)
    }

    /// True when the scope has a live entry of this file.
    pub fn is_live_in(&self, scope: ScopeId) -> bool {
        self.member(scope).is_some_and(|m| m.live > 0)
    }

    /// True when `run` removed this file from `store`.
    pub fn departed_in(&self, run: u64, store: StoreId) -> bool {
        self.departed.as_ref().is_some_and(|(r, stores)| *r == run && stores.contains(&store))
    }

    /// Notes that `run` removed this file from `store`.
    pub fn depart(&mut self, run: u64, store: StoreId) {
        match &mut self.departed {
            Some((r, stores)) if *r == run => {
                if let Err(at) = stores.binary_search(&store) {
                    stores.insert(at, store);
                }
            }
            other => *other = Some((run, vec![store])),
        }
    }

    /// Adds to the counts of `scope`; the member goes when both are 0.
    pub fn adjust_member(&mut self, scope: ScopeId, live: i32, tombstones: i32) {
        let at = match self.members.binary_search_by_key(&scope, |m| m.scope) {
            Ok(i) => i,
            Err(i) => {
                self.members.insert(i, Member { scope, live: 0, tombstones: 0 });
                i
            }
        };
        let m = &mut self.members[at];
        m.live = m.live.saturating_add_signed(live);
        m.tombstones = m.tombstones.saturating_add_signed(tombstones);
        if m.live == 0 && m.tombstones == 0 {
            self.members.remove(at);
        }
    }
}

/// (scope, path) -> file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub file: FileId,
    pub content_type: String,
    pub created_at: Timestamp,
}

/// A deleted or replaced entry in its grace period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    pub scope: ScopeId,
    pub path: FilePath,
    pub file: FileId,
    pub content_type: String,
    pub created_at: Timestamp,
    pub deleted_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_counts_for_the_run_in_which_it_was_and_no_other() {
        let mut file = File {
            id: FileId(1),
            digest: Digest([0; 32]),
            size: 1,
            created_at: Timestamp(0),
            last_used: Timestamp(0),
            replicas: Vec::new(),
            members: Vec::new(),
            departed: None,
        };
        let gone = |file: &File, run| [1, 2, 3].map(|id| file.departed_in(run, StoreId(id)));
        file.depart(7, StoreId(3));
        file.depart(7, StoreId(1));
        file.depart(7, StoreId(3));
        assert_eq!(file.departed, Some((7, vec![StoreId(1), StoreId(3)])));
        assert_eq!((gone(&file, 7), gone(&file, 8)), ([true, false, true], [false; 3]));
        file.depart(8, StoreId(2));
        assert_eq!((gone(&file, 7), gone(&file, 8)), ([false; 3], [false, true, false]));
    }
}
