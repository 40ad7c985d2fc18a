//! What a refusal of the provider means: which setting is wrong, and how that is known.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use crate::domain::{Diagnosis, S3Permission, StoreProblem, Timestamp};
use crate::stores::StoreError;

/// Seconds from which on providers refuse signatures for their date.
const SIGNATURE_LIFE: i64 = 900;
/// Characters of a provider's own words that are repeated.
const QUOTED: usize = 300;

/// What a failure means for whoever made the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// 404 for a key. Whether the bucket is there is not known.
    Absent,
    /// The upload id is not known (any more).
    NoUpload,
    StoreWide,
    Full,
    Archived,
    /// The range begins behind the end.
    Range,
    /// The provider does not offer this operation.
    Unsupported,
    Object,
}

/// What a second look at the endpoint could tell more about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The host of the URL is not known: is it only the bucket's part of it?
    Host,
    /// Plain HTTP was not understood: does the port speak TLS?
    Plain,
    /// Nothing came back for a TLS handshake: does the port speak plain HTTP?
    Secure,
}

/// A failed call.
#[derive(Debug, Clone)]
pub(super) struct CallError {
    pub kind: Kind,
    pub found: Box<Diagnosis>,
    pub doubt: Option<Doubt>,
    /// Worth another attempt.
    pub passing: bool,
    /// No answer in time. A second wait is enough to know.
    pub stalled: bool,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
}

impl CallError {
    pub(super) fn new(kind: Kind, problem: impl Into<StoreProblem>) -> Self {
        let found = Box::new(Diagnosis::from(problem.into()));
        Self { kind, found, doubt: None, passing: false, stalled: false, retry_after: None }
    }

    /// The whole store is concerned.
    pub(super) fn wide(problem: impl Into<StoreProblem>) -> Self {
        Self::new(Kind::StoreWide, problem)
    }

    /// One object is concerned.
    pub(super) fn object(problem: impl Into<StoreProblem>) -> Self {
        Self::new(Kind::Object, problem)
    }

    pub(super) fn known_by(mut self, evidence: impl Into<String>) -> Self {
        self.found.evidence = Some(evidence.into());
        self
    }

    pub(super) fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    pub(super) fn doubted(mut self, doubt: Option<Doubt>) -> Self {
        self.doubt = doubt;
        self
    }

    /// No byte went in either direction for `patience`.
    pub(super) fn stalled(patience: Duration) -> Self {
        let problem = StoreProblem::ProviderSilent { seconds: patience.as_secs() };
        Self { stalled: true, ..Self::wide(problem).passing() }
    }

    /// A refusal, from its status, headers and (for everything but HEAD) XML body.
    pub(super) fn refusal(
        asked: &Asked<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
    ) -> Self {
        let said: Said = quick_xml::de::from_str(body).unwrap_or_default();
        let refusal = Refusal { asked, status, headers, said: &said, body };
        let mut error = refusal.diagnose();
        let answer = refusal.in_their_words();
        error.found.evidence = Some(match error.found.evidence.take() {
            None => answer,
            Some(more) => format!("{answer}; {more}"),
        });
        error.retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        error
    }
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        match error.kind {
            // Callers that know the bucket to be there say NotFound themselves.
            Kind::StoreWide | Kind::Absent => Self::Unavailable(error.found),
            Kind::Full => Self::Full(error.found),
            Kind::Archived => Self::Archived,
            Kind::NoUpload | Kind::Range | Kind::Unsupported | Kind::Object => {
                Self::Failed(error.found)
            }
        }
    }
}

impl From<CallError> for Diagnosis {
    fn from(error: CallError) -> Self {
        *error.found
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    With(S3Permission),
    /// A read without our key, by a URL that we signed.
    Presigned,
}

impl Access {
    fn permission(self) -> S3Permission {
        match self {
            Self::With(permission) => permission,
            Self::Presigned => S3Permission::Read,
        }
    }
}

/// What a refusal is held against: the settings under which was asked, and when the answer came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub access: Access,
    /// The bucket's URL.
    pub base: &'a str,
    pub region: &'a str,
    pub key_id: &'a str,
    pub now: Timestamp,
}

/// The error document. Providers leave out what does not matter, and some a lot more.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
    #[serde(rename = "Region", default)]
    region: String,
    #[serde(rename = "Endpoint", default)]
    endpoint: String,
}

struct Refusal<'a> {
    asked: &'a Asked<'a>,
    status: StatusCode,
    headers: &'a HeaderMap,
    said: &'a Said,
    body: &'a str,
}

impl Refusal<'_> {
    /// `the provider answered 403 AccessDenied: Access Denied`
    fn in_their_words(&self) -> String {
        let number = self.status.as_u16();
        let code = match self.said.code.as_str() {
            "" => self.status.canonical_reason().unwrap_or_default(),
            code => code,
        };
        match self.said.message.as_str() {
            "" => format!("the provider answered {number} {code}"),
            message => {
                let message: String = message.chars().take(QUOTED).collect();
                format!("the provider answered {number} {code}: {message}")
            }
        }
    }

    /// The clock before everything, as a wrong one shows in any guise; then by the code.
    fn diagnose(&self) -> CallError {
        self.clock()
            .or_else(|| self.region())
            .or_else(|| self.key())
            .or_else(|| self.bucket())
            .map(CallError::wide)
            .or_else(|| self.others())
            .unwrap_or_else(|| self.by_status())
    }

    fn clock(&self) -> Option<StoreProblem> {
        let ahead = clock_ahead(self.headers, self.asked.now);
        let is_refusal = matches!(self.status.as_u16(), 400 | 401 | 403);
        let is_off = is_refusal && ahead.is_some_and(|s| s.abs() >= SIGNATURE_LIFE);
        let is_wrong = is_off || self.said.code == "RequestTimeTooSkewed";
        is_wrong.then_some(StoreProblem::ClockWrong { ahead })
    }

    fn region(&self) -> Option<StoreProblem> {
        let named = self.headers.get("x-amz-bucket-region").and_then(|v| v.to_str().ok());
        let theirs = named.unwrap_or(self.said.region.trim());
        let ours = self.asked.region;
        let is_about_region = match self.said.code.as_str() {
            "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "InvalidRegionName"
            | "PermanentRedirect"
            | "TemporaryRedirect" => true,
            // HEAD is refused without a code, by the same header.
            "" => self.status.is_redirection() || self.status.as_u16() == 400,
            _ => false,
        };
        if !is_about_region {
            return None;
        }
        if !theirs.is_empty() && theirs != ours {
            let (theirs, ours) = (theirs.to_owned(), ours.to_owned());
            return Some(StoreProblem::RegionIs { theirs, ours });
        }
        self.elsewhere(ours)
    }

    /// A redirect, or a complaint about the region that does not say which would be right.
    fn elsewhere(&self, ours: &str) -> Option<StoreProblem> {
        if !self.said.endpoint.is_empty() {
            return Some(StoreProblem::ReachedAt { address: self.said.endpoint.clone() });
        }
        if self.said.code.is_empty() {
            let to = self.headers.get(LOCATION)?.to_str().ok()?;
            let to = to.split(['?', '#']).next().unwrap_or_default().to_owned();
            return Some(StoreProblem::RedirectsTo { base: self.asked.base.to_owned(), to });
        }
        Some(StoreProblem::RegionIsNot { ours: ours.to_owned() })
    }

    fn key(&self) -> Option<StoreProblem> {
        let id = self.asked.key_id.to_owned();
        let message = self.said.message.as_str();
        match self.said.code.as_str() {
            "SignatureDoesNotMatch" | "InvalidSignature"
                if self.asked.access == Access::Presigned =>
            {
                Some(StoreProblem::PresignedHostWrong)
            }
            "SignatureDoesNotMatch" | "InvalidSignature" => Some(StoreProblem::SecretWrong { id }),
            "InvalidAccessKeyId" | "NotSignedUp" => Some(StoreProblem::KeyIdUnknown { id }),
            // What Garage and R2 answer.
            "AccessDenied" if message.contains("Invalid signature") => {
                Some(StoreProblem::SecretWrong { id })
            }
            "AccessDenied" if message.contains("No such key") => {
                Some(StoreProblem::KeyIdUnknown { id })
            }
            "InvalidArgument" if message.contains("access key") => {
                Some(StoreProblem::KeyIdUnknown { id })
            }
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
                Some(StoreProblem::TokenExpired)
            }
            _ if self.status.as_u16() == 401 => Some(StoreProblem::KeyRefused { id }),
            _ => None,
        }
    }

    fn bucket(&self) -> Option<StoreProblem> {
        let base = self.asked.base.to_owned();
        match self.said.code.as_str() {
            "NoSuchBucket" => Some(StoreProblem::NoBucket { base }),
            "InvalidBucketName" => Some(StoreProblem::BucketNameInvalid { base }),
            "" if self.status.as_u16() == 404
                && self.asked.access == Access::With(S3Permission::List) =>
            {
                Some(StoreProblem::NotS3 { at: base })
            }
            "" if self.status.as_u16() == 400 && self.body.contains("HTTPS") => {
                Some(StoreProblem::SpeaksTls { at: base })
            }
            _ => None,
        }
    }

    fn others(&self) -> Option<CallError> {
        Some(match self.said.code.as_str() {
            "InvalidObjectState" => CallError::new(Kind::Archived, StoreProblem::Archived),
            "NoSuchUpload" => CallError::new(Kind::NoUpload, "the upload is not known"),
            "QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientCapacity" => {
                CallError::new(Kind::Full, StoreProblem::ProviderFull)
            }
            "RequestTimeout" | "SlowDown" | "Throttling" | "OperationAborted" => {
                CallError::wide(StoreProblem::ProviderBusy).passing()
            }
            "InvalidArgument" | "NotImplemented"
                if self.said.message.contains("x-amz-checksum") =>
            {
                CallError::object(StoreProblem::ChecksumsRefused)
            }
            "InvalidStorageClass" => CallError::object(StoreProblem::StorageClassUnknown),
            _ => return None,
        })
    }

    fn by_status(&self) -> CallError {
        match self.status.as_u16() {
            404 => CallError::new(Kind::Absent, "there is no such object"),
            300..=399 => CallError::wide(StoreProblem::RedirectsNowhere),
            403 => self.denied(),
            405 | 501 => CallError::new(Kind::Unsupported, "the provider does not offer this"),
            416 => CallError::new(Kind::Range, "the range begins behind the end of the object"),
            507 => CallError::new(Kind::Full, StoreProblem::ProviderFull),
            408 | 429 | 500..=599 => CallError::wide(StoreProblem::ProviderFault).passing(),
            _ => CallError::object("the provider refuses"),
        }
    }

    /// Neither the clock nor the signature: what is left is what the key may do.
    fn denied(&self) -> CallError {
        let (id, permission) = (self.asked.key_id.to_owned(), self.asked.access.permission());
        let error = CallError::wide(StoreProblem::Denied { id, permission });
        if self.said.code.is_empty() {
            return error;
        }
        error.known_by(
            "it had no objection to the signature, so key, secret and region seem to be right",
        )
    }
}

/// Seconds that this clock is ahead of the provider's.
pub(super) fn clock_ahead(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let theirs = Timestamp::from_http_date(headers.get(DATE)?.to_str().ok()?)?;
    Some(now.seconds() - theirs.seconds())
}
