//! Counters that are exact by construction.
//!
//! What a file adds to every counter is a pure function of its record. A change of a file takes
//! away what the old record added and adds what the new one does, in the same transaction; a
//! recount is the sum over all files. The counters of a scope are kept per *set of stores that
//! hold the file* (its holders): missing files, only-here files, evacuation and safety are all sums
//! over a handful of such sets, whatever the number of files.

use std::collections::BTreeMap;

use crate::api::Count;
use crate::domain::{File, ReplicaState, ScopeId, StoreId};

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Distinct files with a live entry anywhere.
    Total,
    /// Replica rows of a store in one state. Missing ones count no bytes.
    Store(StoreId, ReplicaState),
    /// Files of a scope whose present replicas are in exactly these stores (sorted).
    Holders { scope: ScopeId, live: bool, stores: Vec<StoreId> },
}

pub const STATES: [ReplicaState; 5] = [
    ReplicaState::Writing,
    ReplicaState::Present,
    ReplicaState::Deleting,
    ReplicaState::Missing,
    ReplicaState::Corrupt,
];

pub fn state_code(state: ReplicaState) -> u8 {
    match state {
        ReplicaState::Writing => 0,
        ReplicaState::Present => 1,
        ReplicaState::Deleting => 2,
        ReplicaState::Missing => 3,
        ReplicaState::Corrupt => 4,
    }
}

pub fn state_from(code: u8) -> Option<ReplicaState> {
    STATES.into_iter().find(|s| state_code(*s) == code)
}

impl Counter {
    /// The key in the table: a letter, then big-endian numbers, so that prefixes can be scanned.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Total => vec![b't'],
            Self::Store(store, state) => {
                let mut key = vec![b's'];
                key.extend(store.0.to_be_bytes());
                key.push(state_code(*state));
                key
            }
            Self::Holders { scope, live, stores } => {
                let mut key = Self::holders_prefix(*scope);
                key.push(u8::from(*live));
                for store in stores {
                    key.extend(store.0.to_be_bytes());
                }
                key
            }
        }
    }

    pub fn holders_prefix(scope: ScopeId) -> Vec<u8> {
        let mut key = vec![b'h'];
        key.extend(scope.0.to_be_bytes());
        key
    }

    pub fn parse(key: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
        match key.split_first()? {
            (b't', []) => Some(Self::Total),
            (b's', rest) if rest.len() == 5 => {
                Some(Self::Store(StoreId(number(&rest[..4])?), state_from(rest[4])?))
            }
            (b'h', rest) if rest.len() >= 5 && (rest.len() - 5).is_multiple_of(4) => {
                let stores =
                    rest[5..].chunks(4).map(|c| number(c).map(StoreId)).collect::<Option<_>>()?;
                Some(Self::Holders {
                    scope: ScopeId(number(&rest[..4])?),
                    live: rest[4] == 1,
                    stores,
                })
            }
            _ => None,
        }
    }
}

/// Everything that `file` adds to the counters.
pub fn contributions(file: &File) -> Vec<(Counter, Count)> {
    let one = Count { files: 1, bytes: file.size };
    let mut all = Vec::with_capacity(file.replicas.len() + file.members.len() + 1);
    for replica in &file.replicas {
        let bytes = if replica.state == ReplicaState::Missing { 0 } else { file.size };
        all.push((Counter::Store(replica.store, replica.state), Count { files: 1, bytes }));
    }
    let stores: Vec<StoreId> = file.present().collect();
    for member in &file.members {
        let live = member.live > 0;
        all.push((Counter::Holders { scope: member.scope, live, stores: stores.clone() }, one));
    }
    if file.members.iter().any(|m| m.live > 0) {
        all.push((Counter::Total, one));
    }
    all
}

/// Bytes that count against a store's hard limit (SPEC 2), without reservations.
pub fn hard_bytes(counts: &BTreeMap<ReplicaState, Count>) -> u64 {
    counts.values().map(|c| c.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_be_read_back() {
        let all = [
            Counter::Total,
            Counter::Store(StoreId(7), ReplicaState::Corrupt),
            Counter::Holders { scope: ScopeId(3), live: true, stores: vec![] },
            Counter::Holders {
                scope: ScopeId(3),
                live: false,
                stores: vec![StoreId(1), StoreId(9)],
            },
        ];
        for counter in all {
            assert_eq!(Counter::parse(&counter.key()), Some(counter));
        }
        assert_eq!(Counter::parse(b"h\0\0"), None);
    }
}
