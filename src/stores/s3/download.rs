//! Reading objects, across broken connections.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, TRANSFER_ENCODING};
use reqwest::{Method, Response, StatusCode};

use super::S3Store;
use super::client::{Call, Client, PATIENCE, next_piece, pause};
use super::control::header;
use super::diagnosis::{CallError, Kind};
use crate::domain::Digest;
use crate::stores::{ByteStream, StoreError, clip};

/// Broken connections in a row, without progress in between, after which a read fails.
const RESUMES: u32 = 4;
/// Bytes that count as progress.
const PROGRESS: u64 = 64 << 10;

impl S3Store {
    pub(super) async fn get_object(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let key = self.key(digest);
        let opened = match &range {
            Some(range) if range.is_empty() => None,
            Some(range) => Some(self.open_range(&key, range).await),
            None => Some(open(&self.client, &key, None).await),
        };
        let error = match opened {
            Some(Ok(body)) => {
                // A provider cuts the range where the object ends.
                let size = body.end.unwrap_or(u64::MAX);
                clip(range, size)?;
                return Ok(body.stream());
            }
            Some(Err(error)) => error,
            None => CallError::new(Kind::Range, "the range is empty"),
        };
        match error.kind {
            Kind::Absent => {
                self.require_marker().await?;
                Err(StoreError::NotFound)
            }
            // An empty range is no error; one behind the end is.
            Kind::Range => {
                let Some(head) = self.head(&key).await? else {
                    self.require_marker().await?;
                    return Err(StoreError::NotFound);
                };
                let rest = clip(range, head.stat.size)?;
                if rest.is_empty() { Ok(Box::pin(stream::empty())) } else { Err(error.into()) }
            }
            _ => Err(error.into()),
        }
    }

    async fn open_range(&self, key: &str, range: &Range<u64>) -> Result<Download, CallError> {
        open(&self.client, key, Some(range.clone())).await
    }
}

/// The body of an object, or of a range of it, on its way.
struct Download {
    client: Arc<Client>,
    key: String,
    response: Response,
    offset: u64,
    /// `None` when the provider did not say how long the object is.
    end: Option<u64>,
    resumes: u32,
    since_resume: u64,
}

async fn open(
    client: &Arc<Client>,
    key: &str,
    range: Option<Range<u64>>,
) -> Result<Download, CallError> {
    let mut call = Call::on_key(Method::GET, key);
    call.range = range.as_ref().map(|r| format!("bytes={}-{}", r.start, r.end - 1));
    let response = client.send(&call).await?;
    let (offset, end) = extent(&response, range.as_ref())?;
    Ok(Download {
        client: Arc::clone(client),
        key: key.to_owned(),
        response,
        offset,
        end,
        resumes: 0,
        since_resume: 0,
    })
}

/// Which bytes of the object the answer carries; an error when they are not those asked for.
fn extent(
    response: &Response,
    range: Option<&Range<u64>>,
) -> Result<(u64, Option<u64>), CallError> {
    let wrong = |what: &str| Err(CallError::object(what));
    let length: Option<u64> =
        header(response.headers(), CONTENT_LENGTH.as_str()).and_then(|v| v.parse().ok());
    match (response.status(), range) {
        (StatusCode::OK, None) if length.is_some() => Ok((0, length)),
        (StatusCode::OK, None) if response.headers().contains_key(TRANSFER_ENCODING) => {
            Ok((0, None))
        }
        (StatusCode::OK, None) => wrong("the provider does not say how long the body is"),
        (StatusCode::PARTIAL_CONTENT, Some(range)) => {
            let stated =
                header(response.headers(), CONTENT_RANGE.as_str()).and_then(parse_content_range);
            match stated {
                Some((start, end))
                    if start == range.start
                        && end <= range.end
                        && length.is_none_or(|n| n == end - start) =>
                {
                    Ok((start, Some(end)))
                }
                _ => wrong("the provider sends another range than was asked for"),
            }
        }
        // All there is, from the first byte on: some gateways call that no range.
        (StatusCode::OK, Some(range)) if range.start == 0 && length == Some(range.end) => {
            Ok((0, length))
        }
        (StatusCode::OK, Some(_)) => wrong("the provider ignores ranges"),
        (status, _) => wrong(&format!("the provider answers {status} to a read")),
    }
}

/// `bytes 5-9/100` is `(5, 10)`.
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let (range, _) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then(|| (first, last.saturating_add(1)))
}

impl Download {
    fn stream(self) -> ByteStream {
        Box::pin(stream::unfold(Some(self), |state| async {
            let mut download = state?;
            match download.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(download))),
                Ok(None) => None,
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }

    /// The next bytes; continues on a new connection where the last one broke.
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let error = match next_piece(&mut self.response, PATIENCE).await {
                Ok(Some(bytes)) => return self.account(bytes).map(Some),
                Ok(None) if self.end.is_none_or(|end| end == self.offset) => return Ok(None),
                Ok(None) => CallError::wide("the body ended early"),
                Err(error) => error,
            };
            self.resume(error).await?;
        }
    }

    fn account(&mut self, bytes: Bytes) -> Result<Bytes, CallError> {
        let len = bytes.len() as u64;
        self.offset += len;
        self.since_resume += len;
        if self.since_resume >= PROGRESS {
            self.resumes = 0;
        }
        if self.end.is_some_and(|end| self.offset > end) {
            return Err(CallError::object("the body is longer than announced"));
        }
        Ok(bytes)
    }

    async fn resume(&mut self, error: CallError) -> Result<(), CallError> {
        let Some(end) = self.end.filter(|_| self.resumes < RESUMES) else { return Err(error) };
        self.resumes += 1;
        self.since_resume = 0;
        pause(self.resumes, None).await;
        let mut again = open(&self.client, &self.key, Some(self.offset..end)).await;
        if let Err(vanished) = &mut again
            && vanished.kind == Kind::Absent
        {
            // It was there a moment ago: this object is in doubt, not the store.
            vanished.kind = Kind::Object;
        }
        let again = again?;
        if again.end != Some(end) {
            return Err(CallError::object("the object changed while it was read"));
        }
        self.response = again.response;
        Ok(())
    }
}
