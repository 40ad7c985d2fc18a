//! Signature version 4, by rust-s3's signing module.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::Mac;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use s3::Region;
use s3::error::S3Error;
use s3::signing::{self, HmacSha256};
use time::OffsetDateTime;

use super::credentials::AccessKey;
use super::diagnosis::CallError;
use crate::clock::Clock;
use crate::domain::StoreProblem;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs requests of one access key in one region.
pub(super) struct Signer {
    key: AccessKey,
    region: Region,
    region_name: String,
    clock: Clock,
    /// The derived key of a day (days since 1970); deriving it costs five hashes.
    derived: Mutex<Option<(i64, Arc<[u8]>)>>,
}

impl Signer {
    pub(super) fn new(key: AccessKey, region: &str) -> Self {
        let region_name = region.to_owned();
        let region = Region::Custom { region: region_name.clone(), endpoint: String::new() };
        Self { key, region, region_name, clock: Clock::System, derived: Mutex::new(None) }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key.id
    }

    pub(super) fn region(&self) -> &str {
        &self.region_name
    }

    /// Adds host, date, payload digest, token and authorization. Everything that `headers` holds
    /// so far is signed too.
    pub(super) fn sign(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        payload_sha256: &str,
    ) -> Result<(), CallError> {
        let now = self.now()?;
        headers.insert(HOST, value(&host_of(url))?);
        headers.insert(DATE, value(&amz_date(now))?);
        headers.insert(CONTENT_SHA256, value(payload_sha256)?);
        if let Some(token) = &self.key.token {
            let mut token = value(token)?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        let request = signing::canonical_request(method.as_str(), url, headers, payload_sha256)
            .map_err(failed)?;
        let signature = self.signature(now, &request)?;
        let names = signing::signed_header_string(headers);
        let text =
            signing::authorization_header(&self.key.id, &now, &self.region, &names, &signature)
                .map_err(failed)?;
        let mut authorization = value(&text)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        Ok(())
    }

    /// A URL that lets anyone GET `url` (which may have a query of its own) for `ttl`.
    pub(super) fn presign(&self, url: &Url, ttl: Duration) -> Result<String, CallError> {
        let now = self.now()?;
        // A week is the most that the protocol allows.
        let seconds = u32::try_from(ttl.as_secs().clamp(1, 604_800)).unwrap_or(604_800);
        let query = signing::authorization_query_params_no_sig(
            &self.key.id,
            &now,
            &self.region,
            seconds,
            None,
            self.key.token.as_ref(),
        )
        .map_err(failed)?;
        let joint = if url.query().is_some() { "&" } else { "?" };
        let unsigned = format!("{url}{joint}{}", query.trim_start_matches('?'));
        let parsed = Url::parse(&unsigned).map_err(failed)?;
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(HOST, value(&host_of(url))?);
        let request = signing::canonical_request("GET", &parsed, &headers, "UNSIGNED-PAYLOAD")
            .map_err(failed)?;
        let signature = self.signature(now, &request)?;
        Ok(format!("{unsigned}&X-Amz-Signature={signature}"))
    }

    fn now(&self) -> Result<OffsetDateTime, CallError> {
        OffsetDateTime::from_unix_timestamp(self.clock.now().seconds()).map_err(failed)
    }

    fn signature(&self, now: OffsetDateTime, request: &str) -> Result<String, CallError> {
        let text = signing::string_to_sign(&now, &self.region, request).map_err(failed)?;
        let key = self.derived_key(now).map_err(failed)?;
        let mut mac = HmacSha256::new_from_slice(&key).map_err(failed)?;
        mac.update(text.as_bytes());
        Ok(hex(&mac.finalize().into_bytes()))
    }

    fn derived_key(&self, now: OffsetDateTime) -> Result<Arc<[u8]>, S3Error> {
        let day = now.unix_timestamp().div_euclid(86_400);
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        match &*derived {
            Some((of, key)) if *of == day => Ok(Arc::clone(key)),
            _ => {
                let key: Arc<[u8]> =
                    signing::signing_key(&now, &self.key.secret, &self.region, "s3")?.into();
                *derived = Some((day, Arc::clone(&key)));
                Ok(key)
            }
        }
    }
}

/// The value of the Host header that goes with `url`.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn amz_date(t: OffsetDateTime) -> String {
    let (y, m, d) = (t.year(), u8::from(t.month()), t.day());
    format!("{y:04}{m:02}{d:02}T{:02}{:02}{:02}Z", t.hour(), t.minute(), t.second())
}

fn value(text: &str) -> Result<HeaderValue, CallError> {
    // The text may be a secret: it is not repeated.
    HeaderValue::from_str(text).map_err(|_| CallError::wide(StoreProblem::HeaderForbidden))
}

fn failed(error: impl std::fmt::Display) -> CallError {
    CallError::object(format!("signing the request: {error}"))
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
