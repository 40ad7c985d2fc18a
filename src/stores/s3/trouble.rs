//! What a refusal of the provider means, and what to change.

use std::error::Error as _;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::stores::StoreError;
use crate::stores::checklist::Finding;

/// Which kind of trouble it is.
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

/// A failed call.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub kind: Kind,
    pub problem: String,
    pub remedy: &'static str,
    /// Worth another attempt.
    pub passing: bool,
    /// No answer in time. A second wait is enough to know.
    pub stalled: bool,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(kind: Kind, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            kind,
            problem: problem.into(),
            remedy,
            passing: false,
            stalled: false,
            retry_after: None,
        }
    }

    fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// No byte went in either direction for `patience`.
    pub(super) fn stalled(patience: Duration) -> Self {
        let problem = format!("the provider did not answer for {} s", patience.as_secs());
        let mut trouble = Self::new(Kind::StoreWide, problem, TRY_LATER).passing();
        trouble.stalled = true;
        trouble
    }

    /// The connection could not be made or was lost.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let (connect, timeout) = (error.is_connect(), error.is_timeout());
        let whom = error.url().map(|url| url.origin().ascii_serialization());
        let whom = whom.unwrap_or_else(|| "the endpoint".to_owned());
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text = inner.to_string();
            source = inner.source();
        }
        if text.contains("certificate") || text.contains("UnknownIssuer") {
            let remedy = "install the authority's certificate on this system or name it in \
                          SSL_CERT_FILE, and check the host name of the endpoint";
            return Self::new(Kind::StoreWide, format!("TLS failed: {text}"), remedy);
        }
        let remedy =
            if connect { "check the endpoint: host name, port, http or https" } else { TRY_LATER };
        let what = if connect { "cannot connect to" } else { "the connection broke to" };
        let mut trouble =
            Self::new(Kind::StoreWide, format!("{what} {whom}: {text}"), remedy).passing();
        trouble.stalled = timeout;
        trouble
    }

    /// A refusal, from its status, headers and (for everything but HEAD) XML body.
    pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let said: ErrorBody = quick_xml::de::from_str(body).unwrap_or_default();
        let mut trouble = diagnose(status, &said.code, skew(headers));
        let code = if said.code.is_empty() {
            status.canonical_reason().unwrap_or_default()
        } else {
            &said.code
        };
        let number = status.as_u16();
        if said.message.is_empty() {
            trouble.problem = format!("{}: {number} {code}", trouble.problem);
        } else {
            let message: String = said.message.chars().take(300).collect();
            trouble.problem = format!("{}: {number} {code}: {message}", trouble.problem);
        }
        trouble.retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        trouble
    }
}

impl From<Trouble> for StoreError {
    fn from(t: Trouble) -> Self {
        let text =
            if t.remedy.is_empty() { t.problem } else { format!("{} ({})", t.problem, t.remedy) };
        match t.kind {
            // Callers that know the bucket to be there say NotFound themselves.
            Kind::StoreWide | Kind::Absent => Self::Unavailable(text),
            Kind::Full => Self::Full(text),
            Kind::Archived => Self::Archived,
            Kind::NoUpload | Kind::Range | Kind::Unsupported | Kind::Object => Self::Failed(text),
        }
    }
}

impl From<Trouble> for Finding {
    fn from(trouble: Trouble) -> Self {
        if trouble.remedy.is_empty() {
            Self::from_error(&trouble.into())
        } else {
            Self::new(trouble.problem, trouble.remedy)
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

const TRY_LATER: &str = "check the provider and the network; it is tried again later";

fn diagnose(status: StatusCode, code: &str, skew: Option<i64>) -> Trouble {
    let wide = |problem: &str, remedy| Trouble::new(Kind::StoreWide, problem, remedy);
    match code {
        "NoSuchBucket" => wide(
            "the bucket does not exist",
            "create the bucket, or correct the bucket name or the endpoint",
        ),
        "InvalidBucketName" => wide("the bucket name is not valid", "correct the bucket name"),
        "SignatureDoesNotMatch" => wide(
            "the provider refuses the signature",
            "type the secret access key again; it does not belong to the access key id",
        ),
        "InvalidAccessKeyId" => wide(
            "the provider does not know the access key id",
            "correct the access key id or create a new key",
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            wide("the session token is not valid any more", "provide fresh credentials")
        }
        "RequestTimeTooSkewed" => {
            let by = skew.map_or_else(String::new, |s| format!(", they differ by {s} s"));
            wide(
                &format!("this clock and the provider's disagree{by}"),
                "set this machine's clock, for instance by NTP",
            )
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => wrong_region(),
        "InvalidObjectState" => {
            Trouble::new(Kind::Archived, "the object is archived", "restore it first")
        }
        "NoSuchUpload" => Trouble::new(Kind::NoUpload, "the upload is not known", TRY_LATER),
        "QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientCapacity" => {
            Trouble::new(Kind::Full, "the provider has no room", "raise the quota")
        }
        "RequestTimeout" | "SlowDown" | "Throttling" | "OperationAborted" => {
            wide("the provider is busy", TRY_LATER).passing()
        }
        "InvalidStorageClass" => Trouble::new(
            Kind::Object,
            "the provider does not know the storage class",
            "correct the storage class of the store",
        ),
        _ => diagnose_status(status),
    }
}

fn wrong_region() -> Trouble {
    Trouble::new(
        Kind::StoreWide,
        "the bucket is in another region",
        "correct the region, and the endpoint if it names one",
    )
}

fn diagnose_status(status: StatusCode) -> Trouble {
    match status.as_u16() {
        404 => Trouble::new(Kind::Absent, "there is no such object", ""),
        300..=399 => wrong_region(),
        401 | 403 => Trouble::new(
            Kind::StoreWide,
            "access is denied",
            "let the key's policy allow reading, writing, listing and deleting below the prefix",
        ),
        405 | 501 => Trouble::new(Kind::Unsupported, "the provider does not offer this", ""),
        416 => Trouble::new(Kind::Range, "the range begins behind the end of the object", ""),
        507 => Trouble::new(Kind::Full, "the provider has no room", "raise the quota"),
        408 | 429 | 500..=599 => {
            Trouble::new(Kind::StoreWide, "the provider is in trouble", TRY_LATER).passing()
        }
        _ => Trouble::new(Kind::Object, "the provider refuses", ""),
    }
}

/// Seconds that this clock is ahead of the provider's.
pub(super) fn skew(headers: &HeaderMap) -> Option<i64> {
    let theirs = Timestamp::from_http_date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Clock::System.now().seconds() - theirs.seconds())
}
