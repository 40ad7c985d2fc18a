//! Checks the bytes of a `put` while they pass: BLAKE3 and length.

use bytes::Bytes;
use futures_util::StreamExt;

use super::{ByteStream, StoreError};
use crate::domain::Digest;

/// Hash and count of the bytes seen so far, against what was declared.
pub(super) struct Intake {
    hasher: blake3::Hasher,
    seen: u64,
    size: u64,
}

impl Intake {
    pub(super) fn new(size: u64) -> Self {
        Self { hasher: blake3::Hasher::new(), seen: 0, size }
    }

    /// Takes the next bytes; `Mismatch` as soon as there are more than declared.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.seen += bytes.len() as u64;
        if self.seen > self.size {
            return Err(StoreError::Mismatch(format!("more than {} bytes came", self.size)));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// `Mismatch` unless exactly the declared bytes have passed.
    pub(super) fn finish(&self, digest: &Digest) -> Result<(), StoreError> {
        if self.seen != self.size {
            let (seen, size) = (self.seen, self.size);
            return Err(StoreError::Mismatch(format!("{seen} bytes came instead of {size}")));
        }
        let found = Digest(*self.hasher.finalize().as_bytes());
        if found == *digest {
            Ok(())
        } else {
            Err(StoreError::Mismatch(format!("they have the digest {found} instead of {digest}")))
        }
    }
}

/// The next chunk of a source. Its errors become `Source`, so that trouble with the store that is
/// read is never taken for trouble with the store that is written.
pub(super) async fn next_chunk(source: &mut ByteStream) -> Result<Option<Bytes>, StoreError> {
    match source.next().await {
        None => Ok(None),
        Some(Ok(chunk)) => Ok(Some(chunk)),
        Some(Err(e @ (StoreError::Source(_) | StoreError::Mismatch(_)))) => Err(e),
        Some(Err(e)) => Err(StoreError::Source(e.to_string())),
    }
}

/// All chunks of a source of at most `size` bytes; `Mismatch` when it has more.
pub(super) async fn collect(source: &mut ByteStream, size: u64) -> Result<Vec<Bytes>, StoreError> {
    let mut chunks = Vec::with_capacity(1);
    let mut seen = 0;
    while let Some(chunk) = next_chunk(source).await? {
        seen += chunk.len() as u64;
        if seen > size {
            return Err(StoreError::Mismatch(format!("more than {size} bytes came")));
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}
