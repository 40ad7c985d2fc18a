//! The only user of bincode: `[version][bincode body][crc32 of both]`.
//!
//! The limit on decoding is not a nicety: without it a corrupt length makes the allocator abort
//! the process. All bytes must be consumed, so that a record of another shape is never half read.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CatalogueError;

const LIMIT: usize = 16 << 20;

fn config() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes `record` as version `version` of its kind.
pub fn encode<T: Serialize>(version: u8, record: &T) -> Result<Vec<u8>, CatalogueError> {
    let mut bytes = vec![version];
    let size = bincode::serde::encode_into_std_write(record, &mut bytes, config())
        .map_err(|e| CatalogueError::Corrupt(format!("a record cannot be encoded: {e}")))?;
    debug_assert_eq!(size + 1, bytes.len());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Checks the checksum and splits off the version.
pub fn open<'a>(kind: &str, bytes: &'a [u8]) -> Result<(u8, &'a [u8]), CatalogueError> {
    let corrupt = |why: &str| CatalogueError::Corrupt(format!("a {kind} record {why}"));
    let (rest, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| corrupt("is too short"))?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
        return Err(corrupt("has a wrong checksum"));
    }
    let (version, body) = rest.split_first().ok_or_else(|| corrupt("is empty"))?;
    Ok((*version, body))
}

/// Decodes a body of one version.
pub fn body<T: DeserializeOwned>(kind: &str, body: &[u8]) -> Result<T, CatalogueError> {
    let (record, used) = bincode::serde::decode_from_slice(body, config())
        .map_err(|e| CatalogueError::Corrupt(format!("a {kind} record cannot be read: {e}")))?;
    if used != body.len() {
        return Err(CatalogueError::Corrupt(format!("a {kind} record has bytes left over")));
    }
    Ok(record)
}
