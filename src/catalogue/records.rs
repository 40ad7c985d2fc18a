//! The stored shape of every record: one frozen struct per version, converted to and from the
//! domain. A changed shape is a new struct and a new version number; old ones stay and are
//! migrated when read. Enum variants are only ever appended.

use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::codec;
use super::counters::{state_code, state_from};
use crate::domain::{
    BackendConfig, Digest, Drain, Entry, File, FileId, FilePath, Link, Member, Policy, Replica,
    Scope, ScopeId, ScopeName, Store, StoreId, StoreName, Timestamp, Tombstone,
};

fn corrupt(kind: &str, why: impl std::fmt::Display) -> CatalogueError {
    CatalogueError::Corrupt(format!("a {kind} record holds {why}"))
}

fn unknown_version(kind: &str, version: u8) -> CatalogueError {
    CatalogueError::Corrupt(format!("a {kind} record has the unknown version {version}"))
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    digest: [u8; 32],
    size: u64,
    created_at: i64,
    last_used: i64,
    /// (store, state, stored at, verified at)
    replicas: Vec<(u32, u8, i64, Option<i64>)>,
    /// (scope, live entries, tombstones)
    members: Vec<(u32, u32, u32)>,
    departed: Option<(u64, Vec<u32>)>,
}

pub fn encode_file(file: &File) -> Result<Vec<u8>, CatalogueError> {
    let replica =
        |r: &Replica| (r.store.0, state_code(r.state), r.stored_at.0, r.verified_at.map(|t| t.0));
    codec::encode(
        1,
        &FileV1 {
            digest: file.digest.0,
            size: file.size,
            created_at: file.created_at.0,
            last_used: file.last_used.0,
            replicas: file.replicas.iter().map(replica).collect(),
            members: file.members.iter().map(|m| (m.scope.0, m.live, m.tombstones)).collect(),
            departed: file
                .departed
                .as_ref()
                .map(|(run, stores)| (*run, stores.iter().map(|s| s.0).collect())),
        },
    )
}

pub fn decode_file(id: FileId, bytes: &[u8]) -> Result<File, CatalogueError> {
    let (1, body) = codec::open("file", bytes)? else {
        return Err(unknown_version("file", bytes[0]));
    };
    let v: FileV1 = codec::body("file", body)?;
    let replica = |(store, state, stored, verified): (u32, u8, i64, Option<i64>)| {
        Ok(Replica {
            store: StoreId(store),
            state: state_from(state).ok_or_else(|| corrupt("file", format!("state {state}")))?,
            stored_at: Timestamp(stored),
            verified_at: verified.map(Timestamp),
        })
    };
    Ok(File {
        id,
        digest: Digest(v.digest),
        size: v.size,
        created_at: Timestamp(v.created_at),
        last_used: Timestamp(v.last_used),
        replicas: v.replicas.into_iter().map(replica).collect::<Result<_, CatalogueError>>()?,
        members: v
            .members
            .into_iter()
            .map(|(scope, live, tombstones)| Member { scope: ScopeId(scope), live, tombstones })
            .collect(),
        departed: v.departed.map(|(run, s)| (run, s.into_iter().map(StoreId).collect())),
    })
}

#[derive(Serialize, Deserialize)]
struct EntryV1 {
    file: u64,
    content_type: String,
    created_at: i64,
}

pub fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CatalogueError> {
    codec::encode(
        1,
        &EntryV1 {
            file: entry.file.0,
            content_type: entry.content_type.clone(),
            created_at: entry.created_at.0,
        },
    )
}

pub fn decode_entry(bytes: &[u8]) -> Result<Entry, CatalogueError> {
    let (1, body) = codec::open("entry", bytes)? else {
        return Err(unknown_version("entry", bytes[0]));
    };
    let v: EntryV1 = codec::body("entry", body)?;
    Ok(Entry {
        file: FileId(v.file),
        content_type: v.content_type,
        created_at: Timestamp(v.created_at),
    })
}

#[derive(Serialize, Deserialize)]
struct TombstoneV1 {
    scope: u32,
    path: String,
    file: u64,
    content_type: String,
    created_at: i64,
    deleted_at: i64,
}

pub fn encode_tombstone(t: &Tombstone) -> Result<Vec<u8>, CatalogueError> {
    codec::encode(
        1,
        &TombstoneV1 {
            scope: t.scope.0,
            path: t.path.as_str().to_owned(),
            file: t.file.0,
            content_type: t.content_type.clone(),
            created_at: t.created_at.0,
            deleted_at: t.deleted_at.0,
        },
    )
}

pub fn decode_tombstone(bytes: &[u8]) -> Result<Tombstone, CatalogueError> {
    let (1, body) = codec::open("tombstone", bytes)? else {
        return Err(unknown_version("tombstone", bytes[0]));
    };
    let v: TombstoneV1 = codec::body("tombstone", body)?;
    Ok(Tombstone {
        scope: ScopeId(v.scope),
        path: FilePath::new(v.path).map_err(|e| corrupt("tombstone", e))?,
        file: FileId(v.file),
        content_type: v.content_type,
        created_at: Timestamp(v.created_at),
        deleted_at: Timestamp(v.deleted_at),
    })
}

#[derive(Serialize, Deserialize)]
struct ScopeV1 {
    name: String,
    public_read: bool,
    created_at: i64,
}

pub fn encode_scope(scope: &Scope) -> Result<Vec<u8>, CatalogueError> {
    codec::encode(
        1,
        &ScopeV1 {
            name: scope.name.as_str().to_owned(),
            public_read: scope.public_read,
            created_at: scope.created_at.0,
        },
    )
}

pub fn decode_scope(id: ScopeId, bytes: &[u8]) -> Result<Scope, CatalogueError> {
    let (1, body) = codec::open("scope", bytes)? else {
        return Err(unknown_version("scope", bytes[0]));
    };
    let v: ScopeV1 = codec::body("scope", body)?;
    Ok(Scope {
        id,
        name: ScopeName::new(v.name).map_err(|e| corrupt("scope", e))?,
        public_read: v.public_read,
        created_at: Timestamp(v.created_at),
    })
}

#[derive(Serialize, Deserialize)]
struct StoreV1 {
    name: String,
    uid: String,
    /// The configuration as JSON: it grows keys with defaults more often than any other record.
    backend: String,
    instance_wide: bool,
    soft_max_size: Option<u64>,
    max_size: Option<u64>,
    generation: u64,
    created_at: i64,
}

pub fn encode_store(store: &Store) -> Result<Vec<u8>, CatalogueError> {
    let backend = serde_json::to_string(&store.backend).map_err(|e| corrupt("store", e))?;
    codec::encode(
        1,
        &StoreV1 {
            name: store.name.as_str().to_owned(),
            uid: store.uid.clone(),
            backend,
            instance_wide: store.instance_wide,
            soft_max_size: store.soft_max_size,
            max_size: store.max_size,
            generation: store.generation,
            created_at: store.created_at.0,
        },
    )
}

pub fn decode_store(id: StoreId, bytes: &[u8]) -> Result<Store, CatalogueError> {
    let (1, body) = codec::open("store", bytes)? else {
        return Err(unknown_version("store", bytes[0]));
    };
    let v: StoreV1 = codec::body("store", body)?;
    // The error must not quote the text: it holds credentials.
    let backend: BackendConfig = serde_json::from_str(&v.backend)
        .map_err(|_| corrupt("store", format!("an unreadable configuration of {}", v.name)))?;
    Ok(Store {
        id,
        name: StoreName::new(v.name).map_err(|e| corrupt("store", e))?,
        uid: v.uid,
        backend,
        instance_wide: v.instance_wide,
        soft_max_size: v.soft_max_size,
        max_size: v.max_size,
        generation: v.generation,
        created_at: Timestamp(v.created_at),
    })
}

#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the stored form of the policy object")]
struct LinkV1 {
    upload_priority: Option<i32>,
    download_priority: Option<i32>,
    populate: bool,
    drain: bool,
    drain_to: Option<String>,
    read_only: bool,
    write_only: bool,
    soft_max_size: Option<u64>,
    created_at: i64,
}

pub fn encode_link(link: &Link) -> Result<Vec<u8>, CatalogueError> {
    let p = &link.policy;
    codec::encode(
        1,
        &LinkV1 {
            upload_priority: link.upload_priority,
            download_priority: link.download_priority,
            populate: p.populate,
            drain: p.drain.is_on(),
            drain_to: p.drain.target().map(ToString::to_string),
            read_only: p.read_only,
            write_only: p.write_only,
            soft_max_size: p.soft_max_size,
            created_at: link.created_at.0,
        },
    )
}

pub fn decode_link(scope: ScopeId, store: StoreId, bytes: &[u8]) -> Result<Link, CatalogueError> {
    let (1, body) = codec::open("link", bytes)? else {
        return Err(unknown_version("link", bytes[0]));
    };
    let v: LinkV1 = codec::body("link", body)?;
    let drain = match (v.drain, v.drain_to) {
        (false, _) => Drain::No,
        (true, None) => Drain::Anywhere,
        (true, Some(name)) => Drain::Into(StoreName::new(name).map_err(|e| corrupt("link", e))?),
    };
    Ok(Link {
        scope,
        store,
        upload_priority: v.upload_priority,
        download_priority: v.download_priority,
        policy: Policy {
            populate: v.populate,
            drain,
            read_only: v.read_only,
            write_only: v.write_only,
            soft_max_size: v.soft_max_size,
        },
        created_at: Timestamp(v.created_at),
    })
}

/// Records that are shown as JSON and searched by nothing but their key (runs, audit, tokens,
/// sessions, single values) are kept as JSON text in a version-1 envelope: their keys may be
/// added with defaults, and never change their meaning.
#[derive(Serialize, Deserialize)]
struct JsonV1 {
    json: String,
}

pub fn encode_json<T: Serialize>(value: &T) -> Result<Vec<u8>, CatalogueError> {
    let json = serde_json::to_string(value).map_err(|e| corrupt("json", e))?;
    codec::encode(1, &JsonV1 { json })
}

pub fn decode_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CatalogueError> {
    let (1, body) = codec::open("json", bytes)? else {
        return Err(unknown_version("json", bytes[0]));
    };
    let v: JsonV1 = codec::body("json", body)?;
    serde_json::from_str(&v.json).map_err(|e| corrupt("json", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ReplicaState;

    fn sample() -> File {
        File {
            id: FileId(7),
            digest: Digest([9; 32]),
            size: 1234,
            created_at: Timestamp(5),
            last_used: Timestamp(6),
            replicas: vec![Replica {
                store: StoreId(1),
                state: ReplicaState::Present,
                stored_at: Timestamp(5),
                verified_at: Some(Timestamp(5)),
            }],
            members: vec![Member { scope: ScopeId(2), live: 1, tombstones: 0 }],
            departed: Some((3, vec![StoreId(4)])),
        }
    }

    #[test]
    fn a_file_survives_encoding() {
        let bytes = encode_file(&sample()).expect("encode");
        assert_eq!(decode_file(FileId(7), &bytes).expect("decode"), sample());
    }

    /// Frozen: a release that changes these bytes cannot read the catalogues of the one before.
    #[test]
    fn version_1_of_a_file_has_these_bytes() {
        let bytes = encode_file(&sample()).expect("encode");
        let mut expected = vec![1];
        expected.extend([9; 32]);
        expected.extend([251, 0xd2, 4, 10, 12, 1, 1, 1, 10, 1, 10, 1, 2, 1, 0, 1, 3, 1, 4]);
        assert_eq!(bytes[..bytes.len() - 4], expected);
    }

    #[test]
    fn every_damaged_record_is_refused_without_a_panic() {
        let bytes = encode_file(&sample()).expect("encode");
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x41;
            assert!(decode_file(FileId(7), &bad).is_err(), "byte {i}");
            assert!(decode_file(FileId(7), &bytes[..i]).is_err(), "cut at {i}");
        }
    }
}
