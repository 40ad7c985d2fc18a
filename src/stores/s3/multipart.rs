//! Big objects: multipart uploads that end whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::S3Store;
use super::budget;
use super::client::{Call, Client, LONG_PATIENCE, PATIENCE, Payload, UPLOAD_PATIENCE, read_text};
use super::control::header;
use super::diagnosis::{Access, CallError, Kind};
use super::upload::{file_payload, hashed, memory_payload, off_thread, open_source};
use crate::clock::Clock;
use crate::domain::{Checksum, Digest, S3Permission, Timestamp};
use crate::stores::intake::{Intake, next_chunk};
use crate::stores::names::{PROBE, parse_object_name};
use crate::stores::{Body, ByteStream, StoreError};

/// The protocol's limit.
const MOST_PARTS: u64 = 10_000;
pub(super) const SMALLEST_PART: u64 = 8 << 20;
/// Bigger parts are not held in memory; they are sent from a file.
const LARGEST_IN_MEMORY: u64 = 16 << 20;
/// Two parts of up to this size travel while a third is read; of bigger ones, one.
const TWO_IN_FLIGHT: u64 = 10 << 20;
const ANSWER_BYTES: usize = 8 << 20;
const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");

/// Part size for an object: `smallest`, or as many whole MiB as the number of parts demands.
fn part_size(size: u64, smallest: u64) -> u64 {
    size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20).max(smallest)
}

/// A part that arrived.
struct Part {
    etag: String,
    checksum: Option<String>,
}

/// An upload in progress. Dropping it aborts it.
pub(super) struct Upload {
    store: S3Store,
    key: String,
    id: String,
    parts: BTreeMap<u32, Part>,
    sending: JoinSet<Result<(u32, Part), CallError>>,
    open: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // Without a runtime the process ends; `clean_unfinished` finds the upload later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let client = Arc::clone(&self.store.client);
            let location = Arc::clone(&self.store.location);
            let (key, id) = (std::mem::take(&mut self.key), std::mem::take(&mut self.id));
            let mut sending = std::mem::take(&mut self.sending);
            runtime.spawn(async move {
                // A part that arrives after the abort would stay behind.
                sending.shutdown().await;
                if let Err(error) = abort(&client, &key, &id).await {
                    tracing::warn!(%location, key, problem = %error.found,
                        "a multipart upload is left");
                }
            });
        }
    }
}

async fn abort(client: &Client, key: &str, id: &str) -> Result<(), CallError> {
    let query = [("uploadId", id)];
    let call = Call { query: &query, ..Call::on_key(Method::DELETE, key) };
    match client.send(&call).await {
        Err(t) if !matches!(t.kind, Kind::NoUpload | Kind::Absent) => Err(t),
        _ => Ok(()),
    }
}

impl S3Store {
    pub(super) async fn put_parts(
        &self,
        key: &str,
        digest: &Digest,
        size: u64,
        body: Body,
    ) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        self.add_class(&mut headers);
        let mut upload = self.start_upload(key, headers).await?;
        let sent = match body {
            Body::Verified(path) => {
                let file = off_thread(move || open_source(&path, size)).await;
                match file {
                    Ok(file) => upload.send_file(Arc::new(file), size).await,
                    Err(e) => Err(e),
                }
            }
            Body::Bytes(bytes) => {
                let stream = Box::pin(futures_util::stream::once(async { Ok(bytes) }));
                upload.send_stream(stream, None, digest, size).await
            }
            Body::Stream(stream) => upload.send_stream(stream, None, digest, size).await,
            Body::Local { path, stream } => {
                let file = off_thread(move || open_source(&path, size)).await;
                match file {
                    Ok(file) => {
                        upload.send_stream(stream, Some(Arc::new(file)), digest, size).await
                    }
                    Err(e) => Err(e),
                }
            }
        };
        if let Err(error) = sent {
            upload.abort().await;
            return Err(error);
        }
        match upload.complete().await {
            // The answer to an earlier attempt was lost: what counts is what is there.
            Err(t) if t.kind == Kind::NoUpload => match self.head(key).await? {
                Some(head) if head.stat.size == size => Ok(()),
                _ => Err(t.into()),
            },
            result => Ok(result?),
        }
    }

    pub(super) async fn start_upload(
        &self,
        key: &str,
        headers: HeaderMap,
    ) -> Result<Upload, CallError> {
        let query = [("uploads", "")];
        let mut call = Call { query: &query, headers, ..Call::on_key(Method::POST, key) };
        if self.checksum == Checksum::Sha256 {
            call.headers.insert(ALGORITHM, HeaderValue::from_static("SHA256"));
        }
        let response = self.client.send(&call).await?;
        let text = read_text(response, ANSWER_BYTES, PATIENCE).await?;
        let started: Started = self.parse(&text, "InitiateMultipartUploadResult")?;
        Ok(Upload {
            store: self.clone(),
            key: key.to_owned(),
            id: started.upload_id,
            parts: BTreeMap::new(),
            sending: JoinSet::new(),
            open: true,
        })
    }

    /// Aborts uploads of ours that were begun more than `age` ago. Providers without the listing
    /// of uploads have none to show.
    pub(super) async fn abort_abandoned(&self, age: Duration) -> Result<u64, StoreError> {
        let limit = Clock::System.now().before(age);
        let mut aborted = 0;
        let mut marker = (String::new(), String::new());
        loop {
            let Some(listing) = self.list_uploads(&marker).await? else { return Ok(aborted) };
            for upload in &listing.begun {
                let old = upload.initiated.parse::<Timestamp>().is_ok_and(|t| t <= limit);
                let name = upload.key.strip_prefix(self.client.prefix()).unwrap_or_default();
                if old && (parse_object_name(name).is_some() || name.starts_with(PROBE)) {
                    abort(&self.client, &upload.key, &upload.upload_id).await?;
                    aborted += 1;
                }
            }
            let next = (listing.next_key_marker, listing.next_upload_id_marker);
            if !listing.truncated || next.0.is_empty() || next == marker {
                return Ok(aborted);
            }
            marker = next;
        }
    }

    async fn list_uploads(&self, marker: &(String, String)) -> Result<Option<Uploads>, StoreError> {
        let mut query =
            vec![("uploads", ""), ("max-uploads", "1000"), ("prefix", self.client.prefix())];
        if !marker.0.is_empty() {
            query.push(("key-marker", &marker.0));
        }
        if !marker.1.is_empty() {
            query.push(("upload-id-marker", &marker.1));
        }
        let response = match self.client.send(&Call::on_bucket(&query)).await {
            Ok(response) => response,
            // Gateways without it say 501, 405 or 404; 404 with a code of its own is NoSuchBucket.
            Err(t) if matches!(t.kind, Kind::Unsupported | Kind::Absent) => return Ok(None),
            Err(t) => return Err(t.into()),
        };
        let text = read_text(response, ANSWER_BYTES, PATIENCE).await?;
        Ok(Some(self.parse(&text, "ListMultipartUploadsResult")?))
    }
}

impl Upload {
    async fn send_file(&mut self, file: Arc<File>, size: u64) -> Result<(), StoreError> {
        let part = part_size(size, self.store.smallest_part);
        for (number, offset) in (1..).zip((0..size).step_by(usize_of(part))) {
            self.make_room(2).await?;
            let (file, len) = (Arc::clone(&file), part.min(size - offset));
            let payload = off_thread(move || {
                file_payload(file, offset, len)
                    .map_err(|e| StoreError::Source(format!("reading the file to be sent: {e}")))
            })
            .await?;
            self.send_part(number, payload);
        }
        self.make_room(1).await
    }

    async fn send_stream(
        &mut self,
        mut stream: ByteStream,
        file: Option<Arc<File>>,
        digest: &Digest,
        size: u64,
    ) -> Result<(), StoreError> {
        let part = part_size(size, self.store.smallest_part);
        let mut intake = Intake::new(size);
        let mut rest = Bytes::new();
        let mut left = size;
        for number in 1.. {
            let len = part.min(left);
            let payload = if let Some(file) = &file {
                let sha256 = passed_part(&mut stream, &mut rest, &mut intake, len).await?;
                let (file, offset) = (Arc::clone(file), size - left);
                Payload::File { file, offset, len, sha256 }
            } else if part <= LARGEST_IN_MEMORY {
                let share = budget::take(len).await;
                let bytes = memory_part(&mut stream, &mut rest, &mut intake, len).await?;
                hashed(bytes, share).await?
            } else {
                spool_part(&mut stream, &mut rest, &mut intake, len).await?
            };
            left -= len;
            if left == 0 {
                // The last part is not even sent when the whole is not what was promised.
                ensure_end(&mut stream, &rest, &mut intake).await?;
                intake.finish(digest)?;
            }
            self.make_room(in_flight(part)).await?;
            self.send_part(number, payload);
            if left == 0 {
                break;
            }
        }
        self.make_room(1).await
    }

    /// Waits until fewer than `most` parts travel.
    async fn make_room(&mut self, most: usize) -> Result<(), StoreError> {
        while self.sending.len() >= most {
            match self.sending.join_next().await {
                Some(Ok(Ok((number, part)))) => {
                    self.parts.insert(number, part);
                }
                Some(Ok(Err(error))) => return Err(error.into()),
                Some(Err(e)) => {
                    return Err(StoreError::failed(format!("sending a part ended early: {e}")));
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn send_part(&mut self, number: u32, payload: Payload) {
        let (store, key, id) = (self.store.clone(), self.key.clone(), self.id.clone());
        self.sending.spawn(async move {
            let text = number.to_string();
            let query = [("partNumber", text.as_str()), ("uploadId", id.as_str())];
            let mut call = Call { query: &query, ..Call::on_key(Method::PUT, &key) };
            let checksum = store.add_checksum(&mut call.headers, &payload);
            call.payload = payload;
            call.patience = UPLOAD_PATIENCE;
            let response = store.client.send(&call).await?;
            let Some(etag) = header(response.headers(), ETAG.as_str()) else {
                return Err(CallError::object("the provider gives a part no ETag"));
            };
            Ok((number, Part { etag: etag.to_owned(), checksum }))
        });
    }

    /// Sends one small part and waits for it: the probe of `check`.
    pub(super) async fn send_only_part(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.send_part(1, memory_payload(bytes));
        self.make_room(1).await
    }

    /// Makes the object visible.
    pub(super) async fn complete(mut self) -> Result<(), CallError> {
        let query = [("uploadId", self.id.as_str())];
        let mut call = Call { query: &query, ..Call::on_key(Method::POST, &self.key) };
        call.patience = LONG_PATIENCE;
        call.payload = memory_payload(completion(&self.parts).into());
        let response = self.store.client.send(&call).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = read_text(response, ANSWER_BYTES, LONG_PATIENCE).await?;
        // The provider may begin with 200 to keep the connection alive, and fail after that.
        if text.contains("<Error>") {
            let asked = self.store.client.asked(Access::With(S3Permission::Write));
            return Err(CallError::refusal(&asked, status, &headers, &text));
        }
        self.open = false;
        Ok(())
    }

    /// Gives the upload up. Failure is logged: the error that led here is the one to report.
    pub(super) async fn abort(mut self) {
        self.sending.shutdown().await;
        match abort(&self.store.client, &self.key, &self.id).await {
            Ok(()) => self.open = false,
            // One more try follows when `self` is dropped.
            Err(t) => tracing::warn!(location = %self.store.location, key = self.key,
                problem = %t.found, "a multipart upload could not be aborted"),
        }
    }
}

fn completion(parts: &BTreeMap<u32, Part>) -> String {
    use std::fmt::Write;
    let mut xml = String::from("<CompleteMultipartUpload>");
    for (number, part) in parts {
        let etag = quick_xml::escape::escape(&part.etag);
        let checksum = part
            .checksum
            .as_ref()
            .map(|c| format!("<ChecksumSHA256>{c}</ChecksumSHA256>"))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(
            xml,
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>"
        );
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}

fn in_flight(part: u64) -> usize {
    if part <= TWO_IN_FLIGHT { 2 } else { 1 }
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The next bytes of the source, at most `wanted`; what is over stays in `rest`.
async fn next_piece(
    stream: &mut ByteStream,
    rest: &mut Bytes,
    intake: &mut Intake,
    wanted: u64,
) -> Result<Bytes, StoreError> {
    while rest.is_empty() {
        let Some(chunk) = next_chunk(stream).await? else {
            return Err(StoreError::Mismatch("the body ended early".to_owned()));
        };
        intake.take(&chunk)?;
        *rest = chunk;
    }
    Ok(rest.split_to(rest.len().min(usize_of(wanted))))
}

pub(super) async fn memory_part(
    stream: &mut ByteStream,
    rest: &mut Bytes,
    intake: &mut Intake,
    len: u64,
) -> Result<Bytes, StoreError> {
    let mut part = BytesMut::with_capacity(usize_of(len));
    while (part.len() as u64) < len {
        let missing = len - part.len() as u64;
        part.extend_from_slice(&next_piece(stream, rest, intake, missing).await?);
    }
    Ok(part.freeze())
}

/// The SHA-256 of the next bytes of the source, which stay where they are.
async fn passed_part(
    stream: &mut ByteStream,
    rest: &mut Bytes,
    intake: &mut Intake,
    len: u64,
) -> Result<[u8; 32], StoreError> {
    let mut hasher = Sha256::new();
    let mut missing = len;
    while missing > 0 {
        let piece = next_piece(stream, rest, intake, missing).await?;
        missing -= piece.len() as u64;
        hasher.update(&piece);
    }
    Ok(hasher.finalize().into())
}

/// A big part of a stream goes through an unnamed file, since its digest must be known before it
/// is sent.
async fn spool_part(
    stream: &mut ByteStream,
    rest: &mut Bytes,
    intake: &mut Intake,
    len: u64,
) -> Result<Payload, StoreError> {
    let mut file = off_thread(unnamed_file).await?;
    let mut hasher = Sha256::new();
    let mut missing = len;
    while missing > 0 {
        let piece = next_piece(stream, rest, intake, missing).await?;
        missing -= piece.len() as u64;
        (file, hasher) = off_thread(move || {
            let (mut file, mut hasher) = (file, hasher);
            hasher.update(&piece);
            std::io::copy(&mut piece.reader(), &mut file).map_err(|e| spool_error(&e))?;
            Ok((file, hasher))
        })
        .await?;
    }
    let sha256 = hasher.finalize().into();
    Ok(Payload::File { file: Arc::new(file), offset: 0, len, sha256 })
}

fn unnamed_file() -> Result<File, StoreError> {
    use rustix::fs::{Mode, OFlags, open};
    let directory = std::env::temp_dir();
    open(&directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|e| spool_error(&e.into()))
}

fn spool_error(error: &std::io::Error) -> StoreError {
    let directory = std::env::temp_dir();
    let directory = directory.display();
    StoreError::Source(format!("spooling a part in {directory}: {error}; set TMPDIR"))
}

/// Nothing may follow the declared size.
pub(super) async fn ensure_end(
    stream: &mut ByteStream,
    rest: &Bytes,
    intake: &mut Intake,
) -> Result<(), StoreError> {
    if !rest.is_empty() {
        return Err(StoreError::Mismatch("more bytes came than declared".to_owned()));
    }
    while let Some(chunk) = next_chunk(stream).await? {
        intake.take(&chunk)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Started {
    #[serde(rename = "UploadId")]
    upload_id: String,
}

#[derive(Debug, Default, Deserialize)]
struct Uploads {
    #[serde(rename = "Upload", default)]
    begun: Vec<ListedUpload>,
    #[serde(rename = "IsTruncated", default)]
    truncated: bool,
    #[serde(rename = "NextKeyMarker", default)]
    next_key_marker: String,
    #[serde(rename = "NextUploadIdMarker", default)]
    next_upload_id_marker: String,
}

#[derive(Debug, Deserialize)]
struct ListedUpload {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "UploadId")]
    upload_id: String,
    #[serde(rename = "Initiated", default)]
    initiated: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_suffice_for_any_object() {
        for size in [1 << 25, 83_886_080_000, 83_886_080_001, 5 << 40] {
            let part = part_size(size, SMALLEST_PART);
            assert!(size.div_ceil(part) <= MOST_PARTS && part >= SMALLEST_PART, "{size}");
        }
        assert_eq!(part_size(1 << 30, SMALLEST_PART), SMALLEST_PART);
    }
}
