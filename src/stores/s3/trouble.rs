//! What a refusal of the provider means: which setting is wrong, how that is known, what to change.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::stores::StoreError;
use crate::stores::checklist::Finding;

/// Seconds from which on providers refuse signatures for their date.
const SIGNATURE_LIFE: i64 = 900;
/// Characters of a provider's own words that are repeated.
const QUOTED: usize = 300;

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
pub(super) struct Trouble {
    pub kind: Kind,
    /// What is wrong, by the name of the setting where one is to blame.
    pub problem: String,
    /// How that is known; may be empty.
    pub evidence: String,
    /// What to change; may be empty.
    pub remedy: Cow<'static, str>,
    pub doubt: Option<Doubt>,
    /// Worth another attempt.
    pub passing: bool,
    /// No answer in time. A second wait is enough to know.
    pub stalled: bool,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(
        kind: Kind,
        problem: impl Into<String>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind,
            problem: problem.into(),
            evidence: String::new(),
            remedy: remedy.into(),
            doubt: None,
            passing: false,
            stalled: false,
            retry_after: None,
        }
    }

    /// Trouble with the whole store.
    pub(super) fn wide(problem: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::StoreWide, problem, remedy)
    }

    pub(super) fn known_by(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    pub(super) fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// No byte went in either direction for `patience`.
    pub(super) fn stalled(patience: Duration) -> Self {
        let problem = format!("the provider did not answer for {} s", patience.as_secs());
        let mut trouble = Self::wide(problem, TRY_LATER).passing();
        trouble.stalled = true;
        trouble
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
        let mut trouble = refusal.diagnose();
        let answer = refusal.in_their_words();
        trouble.evidence = match trouble.evidence.as_str() {
            "" => answer,
            more => format!("{answer}; {more}"),
        };
        trouble.retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        trouble
    }

    /// What is wrong and how that is known.
    fn finding(&self) -> String {
        match self.evidence.as_str() {
            "" => self.problem.clone(),
            evidence => format!("{} ({evidence})", self.problem),
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(t: Trouble) -> Self {
        let text = match &*t.remedy {
            "" => t.finding(),
            remedy => format!("{}: {remedy}", t.finding()),
        };
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
            Self::new(trouble.finding(), trouble.remedy)
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    List,
    Read,
    Write,
    Delete,
    /// A read without our key, by a URL that we signed.
    Presigned,
}

impl Doing {
    /// The end of "the key may not …".
    fn words(self) -> &'static str {
        match self {
            Self::List => "list the bucket",
            Self::Read | Self::Presigned => "read objects",
            Self::Write => "write objects",
            Self::Delete => "delete objects",
        }
    }

    /// The permission of AWS' policies, which most providers took over.
    fn permission(self) -> &'static str {
        match self {
            Self::List => "s3:ListBucket on the bucket",
            Self::Read | Self::Presigned => "s3:GetObject below the prefix",
            Self::Write => "s3:PutObject and s3:AbortMultipartUpload below the prefix",
            Self::Delete => "s3:DeleteObject below the prefix",
        }
    }
}

/// What a refusal is held against: the settings under which was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub doing: Doing,
    /// The bucket's URL.
    pub base: &'a str,
    pub region: &'a str,
    pub key_id: &'a str,
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

pub(super) const TRY_LATER: &str = "check the provider and the network; it is tried again later";
const SET_CLOCK: &str =
    "set this machine's clock and keep it right by NTP, for instance `timedatectl set-ntp true`";

struct Refusal<'a> {
    asked: &'a Asked<'a>,
    status: StatusCode,
    headers: &'a HeaderMap,
    said: &'a Said,
    body: &'a str,
}

impl Refusal<'_> {
    /// `403 AccessDenied: Access Denied`
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
    fn diagnose(&self) -> Trouble {
        self.clock()
            .or_else(|| self.region())
            .or_else(|| self.key())
            .or_else(|| self.bucket())
            .or_else(|| self.others())
            .unwrap_or_else(|| self.by_status())
    }

    fn clock(&self) -> Option<Trouble> {
        let by = skew(self.headers);
        let is_refusal = matches!(self.status.as_u16(), 400 | 401 | 403);
        let is_off = is_refusal && by.is_some_and(|s| s.abs() >= SIGNATURE_LIFE);
        if !is_off && self.said.code != "RequestTimeTooSkewed" {
            return None;
        }
        let trouble = Trouble::wide("this machine's clock is wrong", SET_CLOCK);
        Some(match by.filter(|s| *s != 0) {
            Some(s) => trouble.known_by(format!(
                "the Date of its answer and this clock are {} apart, this clock is {}",
                span(s),
                if s > 0 { "ahead" } else { "behind" }
            )),
            None => trouble,
        })
    }

    fn region(&self) -> Option<Trouble> {
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
            let problem =
                format!("the region is wrong: the bucket is in {theirs}, this store says {ours}");
            let remedy =
                format!("say --region {theirs}, and correct --endpoint if it names a region too");
            return Some(Trouble::wide(problem, remedy));
        }
        self.elsewhere(ours)
    }

    /// A redirect, or a complaint about the region that does not say which would be right.
    fn elsewhere(&self, ours: &str) -> Option<Trouble> {
        if !self.said.endpoint.is_empty() {
            let there = &self.said.endpoint;
            return Some(Trouble::wide(
                format!("the endpoint or the region is wrong: the bucket is reached at {there}"),
                "say the region in that name as --region, and its service as --endpoint",
            ));
        }
        if self.said.code.is_empty() {
            let to = self.headers.get(LOCATION)?.to_str().ok()?;
            let to = to.split(['?', '#']).next().unwrap_or_default();
            return Some(Trouble::wide(
                format!("the endpoint is wrong: {} redirects to {to}", self.asked.base),
                "say as --endpoint the address that answers itself (https instead of http?)",
            ));
        }
        Some(Trouble::wide(
            format!("the region is wrong: the provider does not serve this bucket as {ours}"),
            "say --region as the provider's console names it, and correct --endpoint if it names \
             a region too",
        ))
    }

    fn key(&self) -> Option<Trouble> {
        let id = self.asked.key_id;
        let message = self.said.message.as_str();
        match self.said.code.as_str() {
            "SignatureDoesNotMatch" | "InvalidSignature"
                if self.asked.doing == Doing::Presigned =>
            {
                Some(Trouble::wide(
                    "presigned URLs are refused: the provider signs another host name than they have",
                    "let --public-endpoint be a name under which the provider itself knows the \
                     bucket, or serve the store by proxy (--serve proxy)",
                ))
            }
            "SignatureDoesNotMatch" | "InvalidSignature" => Some(wrong_secret(id)),
            "InvalidAccessKeyId" | "NotSignedUp" => Some(wrong_key(id)),
            // What Garage and R2 answer.
            "AccessDenied" if message.contains("Invalid signature") => Some(wrong_secret(id)),
            "AccessDenied" if message.contains("No such key") => Some(wrong_key(id)),
            "InvalidArgument" if message.contains("access key") => Some(wrong_key(id)),
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => Some(Trouble::wide(
                "the session token is not valid any more",
                "provide fresh credentials, or a key that does not expire",
            )),
            _ if self.status.as_u16() == 401 => Some(Trouble::wide(
                format!(
                    "the access key is wrong: the provider does not accept {id} and its secret"
                ),
                "give --access-key-id and its secret again, from the provider's console",
            )),
            _ => None,
        }
    }

    fn bucket(&self) -> Option<Trouble> {
        let base = self.asked.base;
        match self.said.code.as_str() {
            "NoSuchBucket" => Some(Trouble::wide(
                format!("the bucket is wrong: the bucket does not exist at {base}"),
                "create it, or correct --bucket or --endpoint",
            )),
            "InvalidBucketName" => Some(Trouble::wide(
                format!("the bucket is wrong: its name is not valid for {base}"),
                "correct --bucket",
            )),
            "" if self.status.as_u16() == 404 && self.asked.doing == Doing::List => {
                Some(Trouble::wide(
                    format!("the endpoint is wrong: {base} answers, but not as an S3 service"),
                    "correct host, port and path of --endpoint; try --path-style",
                ))
            }
            "" if self.status.as_u16() == 400 && self.body.contains("HTTPS") => {
                Some(Trouble::wide(
                    format!("the endpoint is wrong: {base} speaks https, not http"),
                    "say https:// in --endpoint",
                ))
            }
            _ => None,
        }
    }

    fn others(&self) -> Option<Trouble> {
        Some(match self.said.code.as_str() {
            "InvalidObjectState" => {
                Trouble::new(Kind::Archived, "the object is archived", "restore it first")
            }
            "NoSuchUpload" => Trouble::new(Kind::NoUpload, "the upload is not known", TRY_LATER),
            "QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientCapacity" => {
                Trouble::new(Kind::Full, "the provider has no room", "raise the quota")
            }
            "RequestTimeout" | "SlowDown" | "Throttling" | "OperationAborted" => {
                Trouble::wide("the provider is busy", TRY_LATER).passing()
            }
            "InvalidArgument" | "NotImplemented"
                if self.said.message.contains("x-amz-checksum") =>
            {
                Trouble::new(
                    Kind::Object,
                    "the provider does not take the checksums that prove an upload",
                    "let it be proved by reading back: `hayloft store manage NAME --checksum readback`",
                )
            }
            "InvalidStorageClass" => Trouble::new(
                Kind::Object,
                "the provider does not know the storage class",
                "correct the storage class of the store",
            ),
            _ => return None,
        })
    }

    fn by_status(&self) -> Trouble {
        match self.status.as_u16() {
            404 => Trouble::new(Kind::Absent, "there is no such object", ""),
            300..=399 => Trouble::wide(
                "the endpoint is wrong: the provider sends us elsewhere without saying where",
                "correct --endpoint and --region",
            ),
            403 => self.denied(),
            405 | 501 => Trouble::new(Kind::Unsupported, "the provider does not offer this", ""),
            416 => Trouble::new(Kind::Range, "the range begins behind the end of the object", ""),
            507 => Trouble::new(Kind::Full, "the provider has no room", "raise the quota"),
            408 | 429 | 500..=599 => {
                Trouble::wide("the provider is in trouble", TRY_LATER).passing()
            }
            _ => Trouble::new(Kind::Object, "the provider refuses", ""),
        }
    }

    /// Neither the clock nor the signature: what is left is what the key may do.
    fn denied(&self) -> Trouble {
        let doing = self.asked.doing;
        let problem =
            format!("access is denied: the key {} may not {}", self.asked.key_id, doing.words());
        let owner = if doing == Doing::List {
            ". A bucket of another account is refused in the same way: check --bucket too"
        } else {
            ""
        };
        let remedy = format!("allow the key {}{owner}", doing.permission());
        let trouble = Trouble::wide(problem, remedy);
        if self.said.code.is_empty() {
            return trouble;
        }
        trouble.known_by(
            "it had no objection to the signature, so key, secret and region seem to be right",
        )
    }
}

fn wrong_secret(id: &str) -> Trouble {
    Trouble::wide(
        format!(
            "the secret access key is wrong: the provider knows the key {id} and signs with another secret"
        ),
        "give --access-key-id and its secret access key again; if they are right, something between \
         here and the provider changes requests",
    )
}

fn wrong_key(id: &str) -> Trouble {
    Trouble::wide(
        format!("the access key id is wrong: the provider does not know {id}"),
        "correct the access key id (--access-key-id), or create a new key; check that --endpoint is \
         where the key was made",
    )
}

/// Seconds that this clock is ahead of the provider's.
pub(super) fn skew(headers: &HeaderMap) -> Option<i64> {
    let theirs = Timestamp::from_http_date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Clock::System.now().seconds() - theirs.seconds())
}

/// `2 h 5 min`, `6 min 40 s`, `3 days 4 h`.
pub(super) fn span(seconds: i64) -> String {
    let s = seconds.unsigned_abs();
    let parts = [(s / 86_400, "days"), (s / 3600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let told = parts.iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0);
    let told: Vec<String> = told.map(|(n, unit)| format!("{n} {unit}")).collect();
    if told.is_empty() { "0 s".to_owned() } else { told.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units() {
        let cases = [(0, "0 s"), (-400, "6 min 40 s"), (7500, "2 h 5 min"), (90_000, "1 days 1 h")];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected);
        }
    }
}
