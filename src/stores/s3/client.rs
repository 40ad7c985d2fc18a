//! One signed HTTP client: every request to the provider goes through `Client::send`.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, Url};
use rustix::buffer::spare_capacity;

use super::budget::Share;
use super::diagnosis::{Access, Asked, CallError, Kind};
use super::place::Place;
use super::sign::{Signer, hex};
use crate::domain::S3Permission;
use crate::stores::StoreError;
use crate::stores::calls::{Calls, S3Operation};

/// The longest silence of the provider in the midst of a call.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The same for uploads, whose last bytes may take a while to leave the socket's buffer.
pub(super) const UPLOAD_PATIENCE: Duration = Duration::from_mins(1);
/// Putting a big object together may keep the provider busy for minutes.
pub(super) const LONG_PATIENCE: Duration = Duration::from_mins(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts of a call that fails in passing, the first included.
const ATTEMPTS: u32 = 5;
/// Attempts of a call that gets no answer: with `PATIENCE` it ends within a minute.
const STALLED_ATTEMPTS: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Bodies up to this size are handed over whole. A slow line carries them within `PATIENCE`.
const WHOLE: usize = 256 << 10;
const SLICE: usize = 256 << 10;
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Bytes of a request, with their SHA-256.
#[derive(Clone)]
pub(super) enum Payload {
    Empty,
    /// The share of the memory budget goes with the bytes.
    Memory {
        bytes: Bytes,
        sha256: [u8; 32],
        _share: Option<Share>,
    },
    File {
        file: Arc<File>,
        offset: u64,
        len: u64,
        sha256: [u8; 32],
    },
}

impl Payload {
    pub(super) fn sha256(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Empty => None,
            Self::Memory { sha256, .. } | Self::File { sha256, .. } => Some(sha256),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Memory { bytes, .. } => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// A body that counts into `progress` what the connection took from it.
    fn body(&self, progress: &Arc<AtomicU64>) -> reqwest::Body {
        match self {
            Self::Empty => reqwest::Body::default(),
            Self::Memory { bytes, .. } if bytes.len() <= WHOLE => bytes.clone().into(),
            Self::Memory { bytes, .. } => {
                let progress = Arc::clone(progress);
                let slices = stream::unfold(bytes.clone(), move |mut rest| {
                    let slice = rest.split_to(rest.len().min(SLICE));
                    progress.fetch_add(slice.len() as u64, Ordering::Relaxed);
                    async { (!slice.is_empty()).then_some((Ok::<_, std::io::Error>(slice), rest)) }
                });
                reqwest::Body::wrap_stream(slices)
            }
            Self::File { file, offset, len, .. } => {
                let (file, progress) = (Arc::clone(file), Arc::clone(progress));
                let range = *offset..offset + len;
                let slices = stream::try_unfold(range, move |range| {
                    let (file, progress) = (Arc::clone(&file), Arc::clone(&progress));
                    async move {
                        if range.is_empty() {
                            return Ok::<_, std::io::Error>(None);
                        }
                        let wanted = (range.end - range.start).min(SLICE as u64);
                        let slice = read_later(file, range.start, wanted).await?;
                        progress.fetch_add(slice.len() as u64, Ordering::Relaxed);
                        let next = range.start + slice.len() as u64..range.end;
                        Ok(Some((slice, next)))
                    }
                });
                reqwest::Body::wrap_stream(slices)
            }
        }
    }
}

/// Reads exactly `len` bytes at `offset`.
pub(super) fn read_exact(file: &File, offset: u64, len: usize) -> std::io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(len);
    while buffer.len() < len {
        let at = offset + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut buffer), at) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    buffer.truncate(len);
    Ok(buffer.into())
}

async fn read_later(file: Arc<File>, offset: u64, len: u64) -> std::io::Result<Bytes> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    tokio::task::spawn_blocking(move || read_exact(&file, offset, len))
        .await
        .unwrap_or_else(|e| Err(std::io::Error::other(e)))
}

/// A request, before it is signed.
pub(super) struct Call<'a> {
    pub method: Method,
    /// `None` is the bucket itself.
    pub key: Option<&'a str>,
    pub query: &'a [(&'a str, &'a str)],
    /// Signed with the request.
    pub headers: HeaderMap,
    pub range: Option<String>,
    pub payload: Payload,
    pub patience: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn on_key(method: Method, key: &'a str) -> Self {
        Self {
            method,
            key: Some(key),
            query: &[],
            headers: HeaderMap::new(),
            range: None,
            payload: Payload::Empty,
            patience: PATIENCE,
        }
    }

    pub(super) fn on_bucket(query: &'a [(&'a str, &'a str)]) -> Self {
        Self { key: None, query, ..Self::on_key(Method::GET, "") }
    }

    fn access(&self) -> Access {
        Access::With(match (&self.method, self.key) {
            (_, None) => S3Permission::List,
            (&Method::GET | &Method::HEAD, Some(_)) => S3Permission::Read,
            (&Method::DELETE, Some(_)) => S3Permission::Delete,
            _ => S3Permission::Write,
        })
    }

    fn operation(&self) -> S3Operation {
        let asks = |name| self.query.iter().any(|(key, _)| *key == name);
        match (self.method.as_str(), self.key) {
            ("GET", None) if asks("uploads") => S3Operation::ListMultipartUploads,
            ("GET", None) => S3Operation::ListObjectsV2,
            ("GET", Some(_)) => S3Operation::GetObject,
            ("HEAD", Some(_)) => S3Operation::HeadObject,
            ("PUT", Some(_)) if asks("partNumber") => S3Operation::UploadPart,
            ("PUT", Some(_)) => S3Operation::PutObject,
            ("POST", Some(_)) if asks("uploads") => S3Operation::CreateMultipartUpload,
            ("POST", Some(_)) if asks("uploadId") => S3Operation::CompleteMultipartUpload,
            ("DELETE", Some(_)) if asks("uploadId") => S3Operation::AbortMultipartUpload,
            ("DELETE", Some(_)) => S3Operation::DeleteObject,
            _ => S3Operation::Other,
        }
    }
}

/// The connection pool and the key to one bucket.
pub(super) struct Client {
    http: reqwest::Client,
    signer: Signer,
    place: Place,
    prefix: String,
    calls: Arc<Calls>,
}

impl Client {
    pub(super) fn new(signer: Signer, place: Place, prefix: &str) -> Result<Self, StoreError> {
        super::install_crypto_provider();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_mins(1))
            // Below the idle limits of common providers and proxies.
            .pool_idle_timeout(Duration::from_secs(20))
            .http1_only()
            // A redirect means another region: following it would break the signature.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hayloft/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| StoreError::unavailable(format!("no HTTP client: {e}")))?;
        Ok(Self { http, signer, place, prefix: prefix.to_owned(), calls: Arc::default() })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The settings that a refusal is held against.
    pub(super) fn asked(&self, access: Access) -> Asked<'_> {
        let (region, key_id) = (self.signer.region(), self.signer.key_id());
        let now = self.signer.clock().now();
        Asked { access, base: self.place.base(), region, key_id, now }
    }

    /// Sends a call, again after failures that pass, and returns the answer of status 2xx.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, CallError> {
        let url = match call.key {
            Some(key) => self.place.object(key, call.query)?,
            None => self.place.bucket(call.query)?,
        };
        let mut attempt = 1;
        loop {
            let error = match self.attempt(call, &url).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let most = if error.stalled { STALLED_ATTEMPTS } else { ATTEMPTS };
            if !error.passing || attempt >= most {
                return Err(self.explained(call, error).await);
            }
            pause(attempt, error.retry_after).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, call: &Call<'_>, url: &Url) -> Result<Response, CallError> {
        let response = self.exchange(call, url).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        // The refusal stands whether or not its explanation arrives.
        let body = read_text(response, 64 << 10, call.patience).await.unwrap_or_default();
        Err(CallError::refusal(&self.asked(call.access()), status, &headers, &body))
    }

    async fn exchange(&self, call: &Call<'_>, url: &Url) -> Result<Response, CallError> {
        let mut headers = call.headers.clone();
        let digest = call.payload.sha256().map(|d| hex(d));
        let digest = digest.as_deref().unwrap_or(EMPTY_SHA256);
        self.signer.sign(&call.method, url, &mut headers, digest)?;
        if let Some(range) = call.range.as_deref() {
            // Without it the provider would send the whole object.
            let value = HeaderValue::from_str(range).map_err(|e| {
                CallError::object(format!("the range {range} cannot be asked for: {e}"))
            })?;
            headers.insert(RANGE, value);
        }
        if matches!(call.method, Method::PUT | Method::POST) {
            headers.insert(CONTENT_LENGTH, call.payload.len().into());
        }
        let progress = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let answer = self.execute(call, url, headers, &progress).await;
        let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        self.calls.ended(call.operation(), status, begun.elapsed());
        // Small bodies leave in one piece, unseen.
        let went =
            if answer.is_ok() { call.payload.len() } else { progress.load(Ordering::Relaxed) };
        self.calls.sent(went);
        answer.map(|answer| self.watched(answer))
    }

    /// Whoever reads the body counts it.
    fn watched(&self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(Arc::clone(&self.calls));
        answer
    }

    async fn execute(
        &self,
        call: &Call<'_>,
        url: &Url,
        headers: HeaderMap,
        progress: &Arc<AtomicU64>,
    ) -> Result<Response, CallError> {
        let mut request = reqwest::Request::new(call.method.clone(), url.clone());
        *request.headers_mut() = headers;
        if !matches!(call.payload, Payload::Empty) {
            *request.body_mut() = Some(call.payload.body(progress));
        }
        let mut exchange = std::pin::pin!(self.http.execute(request));
        loop {
            let before = progress.load(Ordering::Relaxed);
            match tokio::time::timeout(call.patience, &mut exchange).await {
                Ok(answer) => return answer.map_err(CallError::transport),
                Err(_) if progress.load(Ordering::Relaxed) != before => {}
                Err(_) => return Err(CallError::stalled(call.patience)),
            }
        }
    }

    /// Reads a presigned URL, without our key.
    pub(super) async fn fetch(&self, url: &str) -> Result<Response, CallError> {
        let begun = Instant::now();
        let sent = tokio::time::timeout(PATIENCE, self.http.get(url).send()).await;
        let status = sent.as_ref().ok().and_then(|sent| sent.as_ref().ok());
        let status = status.map(|answer| answer.status().as_u16());
        self.calls.ended(S3Operation::GetObject, status, begun.elapsed());
        let response =
            sent.map_err(|_| CallError::stalled(PATIENCE))?.map_err(CallError::transport)?;
        let response = self.watched(response);
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            return Ok(response);
        }
        let body = read_text(response, 64 << 10, PATIENCE).await.unwrap_or_default();
        Err(CallError::refusal(&self.asked(Access::Presigned), status, &headers, &body))
    }

    /// Whether anything answers at `url`, without our key.
    pub(super) async fn knock(&self, url: &str) -> Result<(), reqwest::Error> {
        self.http.head(url).send().await.map(drop)
    }

    /// The headers of any answer, also of a refusal: for the provider's clock.
    pub(super) async fn ping(&self) -> Result<HeaderMap, CallError> {
        let call = Call::on_bucket(&[("list-type", "2"), ("max-keys", "1")]);
        let url = self.place.bucket(call.query)?;
        Ok(self.exchange(&call, &url).await?.headers().clone())
    }

    /// Refusals of HEAD have no body: a listing of one key says why.
    async fn explained(&self, call: &Call<'_>, error: CallError) -> CallError {
        let mute = call.method == Method::HEAD
            && !error.passing
            && matches!(error.kind, Kind::StoreWide | Kind::Object);
        if !mute {
            return error;
        }
        let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", self.prefix.as_str())];
        let asked = match self.place.bucket(&query) {
            Ok(url) => self.attempt(&Call::on_bucket(&query), &url).await.map(drop),
            Err(e) => Err(e),
        };
        asked.err().filter(|e| e.kind == Kind::StoreWide).unwrap_or(error)
    }
}

/// Waits before the next attempt: doubling from 100 ms, with jitter, or as the provider asks.
pub(super) async fn pause(attempt: u32, asked: Option<Duration>) {
    let base = Duration::from_millis(100 << attempt.clamp(1, 6));
    let jittered = base.mul_f64(rand::random_range(0.25..0.75));
    tokio::time::sleep(asked.unwrap_or(jittered).min(LONGEST_PAUSE)).await;
}

/// The next piece of a body, within `patience`.
pub(super) async fn next_piece(
    response: &mut Response,
    patience: Duration,
) -> Result<Option<Bytes>, CallError> {
    match tokio::time::timeout(patience, response.chunk()).await {
        Ok(Ok(piece)) => {
            if let (Some(piece), Some(calls)) = (&piece, response.extensions().get::<Arc<Calls>>())
            {
                calls.received(piece.len() as u64);
            }
            Ok(piece)
        }
        Ok(Err(error)) => Err(CallError::transport(error)),
        Err(_) => Err(CallError::stalled(patience)),
    }
}

/// A body of at most `most` bytes, as text.
pub(super) async fn read_text(
    mut response: Response,
    most: usize,
    patience: Duration,
) -> Result<String, CallError> {
    let mut text = BytesMut::new();
    while let Some(piece) = next_piece(&mut response, patience).await? {
        if text.len() + piece.len() > most {
            return Err(CallError::object(format!("the answer exceeds {most} bytes")));
        }
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
