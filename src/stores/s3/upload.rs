//! Writing objects: small ones by one PUT, and the proof that they arrived.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::S3Store;
use super::budget::{self, Share};
use super::client::{Call, Payload, UPLOAD_PATIENCE, read_exact};
use super::multipart::{ensure_end, memory_part};
use crate::domain::{Checksum, Digest};
use crate::stores::intake::Intake;
use crate::stores::{Body, ByteStream, StoreError, Stored};

pub(super) const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");
const CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// Objects up to this size are sent by one PUT from memory.
const SINGLE: u64 = 16 << 20;
/// Bytes that are hashed on the spot; more of them would hold up other tasks.
const HASHED_INLINE: usize = 256 << 10;

impl S3Store {
    pub(super) async fn put_object(
        &self,
        digest: &Digest,
        size: u64,
        body: Body,
    ) -> Result<Stored, StoreError> {
        let key = self.key(digest);
        if size <= SINGLE {
            let payload = match body {
                Body::Verified(path) => load(path, size).await?,
                Body::Bytes(bytes) => hashed(bytes, None).await?,
                Body::Stream(mut stream) | Body::Local { mut stream, .. } => {
                    gather(&mut stream, digest, size).await?
                }
            };
            self.put_whole(&key, payload).await?;
        } else {
            self.put_parts(&key, digest, size, body).await?;
        }
        self.prove(&key, digest, size).await
    }

    async fn put_whole(&self, key: &str, payload: Payload) -> Result<(), StoreError> {
        let mut call = Call::on_key(Method::PUT, key);
        self.add_class(&mut call.headers);
        self.add_checksum(&mut call.headers, &payload);
        call.payload = payload;
        call.patience = UPLOAD_PATIENCE;
        self.client.send(&call).await?;
        Ok(())
    }

    pub(super) fn add_class(&self, headers: &mut HeaderMap) {
        let class = self.storage_class.as_deref().and_then(|c| HeaderValue::from_str(c).ok());
        if let Some(class) = class {
            headers.insert(STORAGE_CLASS, class);
        }
    }

    /// The checksum that the provider verifies and keeps; returns its text.
    pub(super) fn add_checksum(
        &self,
        headers: &mut HeaderMap,
        payload: &Payload,
    ) -> Option<String> {
        let sha256 = payload.sha256().filter(|_| self.checksum == Checksum::Sha256)?;
        let text = BASE64.encode(sha256);
        let value = HeaderValue::from_str(&text).ok()?;
        headers.insert(CHECKSUM_SHA256, value);
        Some(text)
    }

    /// HEAD for the size and, where the provider checked nothing, reading back (SPEC 7).
    async fn prove(&self, key: &str, digest: &Digest, size: u64) -> Result<Stored, StoreError> {
        let Some(head) = self.head(key).await? else {
            return Err(StoreError::failed("the provider took the object and does not have it"));
        };
        let found = head.stat.size;
        if found != size {
            self.delete_key(key).await?;
            let what = format!("the provider kept {found} of {size} bytes; they were removed");
            return Err(StoreError::failed(what));
        }
        match self.checksum {
            Checksum::Sha256 => Ok(Stored { verified: true }),
            Checksum::None => Ok(Stored { verified: false }),
            Checksum::Readback => {
                self.read_back(key, digest, size).await?;
                Ok(Stored { verified: true })
            }
        }
    }

    async fn read_back(&self, key: &str, digest: &Digest, size: u64) -> Result<(), StoreError> {
        let mut body = self.get_object(digest, None).await?;
        let mut intake = Intake::new(size);
        let mut read = Ok(());
        while let Some(chunk) = body.next().await {
            read = intake.take(&chunk?);
            if read.is_err() {
                break;
            }
        }
        if let Err(damage) = read.and_then(|()| intake.finish(digest)) {
            self.delete_key(key).await?;
            let what = format!("the object read back is damaged and was removed: {damage}");
            return Err(StoreError::failed(what));
        }
        Ok(())
    }
}

/// A file whose size is checked once more, open for reading.
pub(super) fn open_source(path: &Path, size: u64) -> Result<File, StoreError> {
    let source = |e: std::io::Error| StoreError::Source(format!("{}: {e}", path.display()));
    let file = File::open(path).map_err(source)?;
    let len = file.metadata().map_err(source)?.len();
    if len == size {
        Ok(file)
    } else {
        Err(StoreError::Mismatch(format!("the file has {len} bytes, not {size}")))
    }
}

/// Prepares a file for one PUT: a small one in memory, by one task; a bigger one is hashed now and
/// read again while it is sent, so that many uploads at once take no memory.
async fn load(path: PathBuf, size: u64) -> Result<Payload, StoreError> {
    off_thread(move || {
        let file = open_source(&path, size)?;
        let source = |e| StoreError::Source(format!("{}: {e}", path.display()));
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        if len <= HASHED_INLINE {
            read_exact(&file, 0, len).map(memory_payload).map_err(source)
        } else {
            file_payload(Arc::new(file), 0, size).map_err(source)
        }
    })
    .await
}

/// A part of a file, hashed. Blocks.
pub(super) fn file_payload(file: Arc<File>, offset: u64, len: u64) -> std::io::Result<Payload> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASHED_INLINE];
    let end = offset + len;
    let mut at = offset;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..wanted], at)?;
        hasher.update(&buffer[..wanted]);
        at += wanted as u64;
    }
    Ok(Payload::File { file, offset, len, sha256: hasher.finalize().into() })
}

/// Reads a small stream and checks it before a byte is sent.
async fn gather(
    stream: &mut ByteStream,
    digest: &Digest,
    size: u64,
) -> Result<Payload, StoreError> {
    let share = budget::take(size).await;
    let mut intake = Intake::new(size);
    let mut rest = Bytes::new();
    let bytes = memory_part(stream, &mut rest, &mut intake, size).await?;
    ensure_end(stream, &rest, &mut intake).await?;
    intake.finish(digest)?;
    hashed(bytes, share).await
}

/// A payload of these bytes, hashed where it holds nobody up.
pub(super) async fn hashed(bytes: Bytes, share: Option<Share>) -> Result<Payload, StoreError> {
    if bytes.len() <= HASHED_INLINE {
        Ok(payload(bytes, share))
    } else {
        off_thread(move || Ok(payload(bytes, share))).await
    }
}

pub(super) fn memory_payload(bytes: Bytes) -> Payload {
    payload(bytes, None)
}

fn payload(bytes: Bytes, share: Option<Share>) -> Payload {
    let sha256 = Sha256::digest(&bytes).into();
    Payload::Memory { bytes, sha256, _share: share }
}

/// Runs work that computes or waits for the disk.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(StoreError::failed(format!("the task ended early: {e}"))))
}
