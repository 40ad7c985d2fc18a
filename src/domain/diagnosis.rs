//! What is wrong with a store or with an object in it, how that is known, and what helps: as values.
//! `Display` is for the log, in words that name no option; `words` says the rest.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{StoreAdvice, plural};

/// A problem and how it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub problem: StoreProblem,
    /// Words of the provider, or of a library, that led to the finding.
    pub evidence: Option<String>,
}

impl Diagnosis {
    /// What helps; the first is the one to try.
    pub fn advice(&self) -> Vec<StoreAdvice> {
        self.problem.advice()
    }
}

impl<P: Into<StoreProblem>> From<P> for Diagnosis {
    fn from(problem: P) -> Self {
        Self { problem: problem.into(), evidence: None }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.evidence {
            None => write!(f, "{}", self.problem),
            Some(evidence) => write!(f, "{} ({evidence})", self.problem),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StoreProblem {
    /// What is no fault of a setting, and has no remedy that we know.
    #[error("{0}")]
    Other(String),

    // The place of the endpoint. `at` is scheme, host and port; `base` is the bucket's URL.
    #[error("the endpoint {endpoint:?} {why}")]
    EndpointUnusable { endpoint: String, why: String },
    #[error("the endpoint is wrong: there is no host named {host}")]
    HostUnknown { host: String },
    #[error(
        "the endpoint does not know buckets by host name: there is no host {bucket}.{endpoint}"
    )]
    BucketHostUnknown { bucket: String, endpoint: String },
    #[error("the endpoint does not know buckets by host name")]
    BucketHostIgnored,
    #[error("the endpoint is wrong or down: nothing answers at {at}")]
    NothingAnswers { at: String },
    #[error("the endpoint is wrong or down: nothing listens at {at}")]
    NothingListens { at: String },
    #[error("this machine has no route to {at}")]
    NoRoute { at: String },
    #[error("cannot connect to {at}")]
    NotConnected { at: String },
    #[error("the connection to {at} broke")]
    ConnectionBroke { at: String },
    #[error("the endpoint is wrong: what listens at {at} does not speak HTTP")]
    NotHttp { at: String },
    #[error("the endpoint is wrong: {at} speaks https, not http")]
    SpeaksTls { at: String },
    #[error("the endpoint is wrong: {at} answers, but does not speak TLS")]
    SpeaksNoTls { at: String },
    #[error("no TLS connection to {at}")]
    TlsFailed { at: String },
    #[error("the certificate of {at} is signed by an authority that is unknown here")]
    AuthorityUnknown { at: String },
    #[error("the certificate of {at} is not valid at this time")]
    CertificateNotValidNow { at: String },
    #[error("the endpoint is wrong: the certificate of {at} is for another name")]
    CertificateForOtherName { at: String },
    #[error("the certificate of {at} is not accepted here")]
    CertificateNotAccepted { at: String },
    #[error("the endpoint is wrong: {at} answers, but not as an S3 service")]
    NotS3 { at: String },
    #[error("the endpoint is wrong: {base} redirects to {to}")]
    RedirectsTo { base: String, to: String },
    #[error("the endpoint is wrong: the provider redirects without saying where to")]
    RedirectsNowhere,

    // Region, key and bucket.
    #[error("the region is wrong: the bucket is in {theirs}, this store says {ours}")]
    RegionIs { theirs: String, ours: String },
    #[error("the region is wrong: the provider does not serve this bucket as {ours}")]
    RegionIsNot { ours: String },
    #[error("the endpoint or the region is wrong: the bucket is reached at {address}")]
    ReachedAt { address: String },
    #[error("the access key id is wrong: the provider does not know {id}")]
    KeyIdUnknown { id: String },
    #[error("the secret access key is wrong: the provider knows the key {id}, with another secret")]
    SecretWrong { id: String },
    #[error("the access key is wrong: the provider does not accept {id} and its secret")]
    KeyRefused { id: String },
    #[error("the session token is not valid any more")]
    TokenExpired,
    #[error("{place} {fault}")]
    NoCredentials { place: String, fault: CredentialsFault },
    #[error("a credential, the host or the region has characters that HTTP forbids")]
    HeaderForbidden,
    #[error("access is denied: the key {id} may not {permission}")]
    Denied { id: String, permission: S3Permission },
    #[error("the bucket is wrong: it does not exist at {base}")]
    NoBucket { base: String },
    #[error("the bucket is wrong: its name is not valid at {base}")]
    BucketNameInvalid { base: String },
    #[error("the key {key:?} cannot be used: {why}")]
    PrefixUnusable { key: String, why: String },
    #[error("presigned URLs are refused: the provider signs another host name than they have")]
    PresignedHostWrong,
    #[error("presigned URLs lose the content type that was signed into them")]
    PresignedTypeLost,

    // What the provider does.
    #[error("the provider did not answer for {seconds} s")]
    ProviderSilent { seconds: u64 },
    #[error("the provider is busy")]
    ProviderBusy,
    #[error("the provider has a fault of its own")]
    ProviderFault,
    #[error("the provider has no room")]
    ProviderFull,
    #[error("this machine's clock is wrong{}", Skew(*.ahead))]
    ClockWrong {
        /// Seconds, where it is known by how much.
        ahead: Option<i64>,
    },
    #[error("the provider does not take the checksums that prove an upload")]
    ChecksumsRefused,
    #[error("the provider does not know the storage class")]
    StorageClassUnknown,
    #[error("the object is archived")]
    Archived,
    #[error("an object does not show at once after it was written")]
    ProbeLate,
    #[error("the probe came back with other bytes")]
    ProbeChangedOnWay,
    #[error("the probe is still there after it was deleted")]
    ProbeStays,

    // Disks of this machine.
    #[error("{action} {path}: {error}")]
    Disk { action: String, path: String, error: String, fault: DiskFault },
    #[error("{path} is not a directory")]
    NotADirectory { path: String },
    #[error("{root} has no directory {name}")]
    NoTemporaryDirectory { root: String, name: String },
    #[error("the disk has not answered for {seconds} s")]
    DiskSilent { seconds: u64 },
    #[error("the probe came back from the disk with other bytes")]
    ProbeChangedOnDisk,

    // Any store.
    #[error("no answer for {seconds} s")]
    NoAnswer { seconds: u64 },
    #[error("{0}")]
    NotKept(String),
    #[error("{location} has no marker of Hayloft")]
    NoMarkerInDirectory { location: String },
    #[error("{location} has no marker of Hayloft")]
    NoMarkerInBucket { location: String },
    #[error("the marker {marker} cannot be understood: {error}")]
    MarkerUnreadable { marker: String, error: String },
    #[error("the marker in {location} {owner}")]
    MarkerForeign { location: String, owner: MarkerOwner },
}

impl From<String> for StoreProblem {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<&str> for StoreProblem {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

/// Where an error of the operating system lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// The whole file system, or our right to use it.
    Volume,
    Full,
    File,
}

/// Whose a marker is that should be ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum MarkerOwner {
    #[error("belongs to another Hayloft instance ({0})")]
    Instance(String),
    #[error("belongs to another store of this instance ({0})")]
    Store(String),
    #[error(
        "has generation {found} and the catalogue {ours}: the store was used by a newer state of this catalogue (was an \
         old backup restored?)"
    )]
    Newer { found: u64, ours: u64 },
    #[error(
        "has generation {found} and the catalogue {ours}: the marker is old (was an old copy of the store restored?)"
    )]
    Older { found: u64, ours: u64 },
}

/// Why there is no access key where one should be. Never repeats what was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CredentialsFault {
    #[error("is not set in the environment of the server")]
    NotInEnvironment,
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("may be read by others (mode {mode:o})")]
    OpenToOthers { path: String, mode: u32 },
    #[error("has no line `{0} = …`")]
    LacksLine(String),
    #[error("is not there: systemd gave this process no credentials")]
    NoService,
    #[error("is not there: the service was started {}", with(.others))]
    NotGiven { others: Vec<String> },
}

fn with(credentials: &[String]) -> String {
    if credentials.is_empty() {
        "without any".to_owned()
    } else {
        format!("with {} only", credentials.join(", "))
    }
}

/// What a key must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum S3Permission {
    List,
    Read,
    Write,
    Delete,
}

/// The end of "the key may not …".
impl fmt::Display for S3Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list the bucket",
            Self::Read => "read objects",
            Self::Write => "write objects",
            Self::Delete => "delete objects",
        })
    }
}

/// By how much a clock is wrong, as the end of a sentence.
struct Skew(Option<i64>);

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.filter(|ahead| *ahead != 0) {
            None => Ok(()),
            Some(ahead) => {
                let side = if ahead > 0 { "ahead of" } else { "behind" };
                write!(f, ": it is {} {side} the provider's", span(ahead.unsigned_abs()))
            }
        }
    }
}

/// `2 h 5 min`, `6 min 40 s`, `1 day 4 h`.
fn span(seconds: u64) -> String {
    let units = [(seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let days = seconds / 86_400;
    let rest = units.into_iter().map(|(n, unit)| (n, format!("{n} {unit}")));
    let parts = std::iter::once((days, plural(days, "day"))).chain(rest);
    let largest = parts.skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0);
    largest.map(|(_, text)| text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_by_two_units() {
        for (ahead, said) in [
            (None, ""),
            (Some(0), ""),
            (Some(-400), ": it is 6 min 40 s behind the provider's"),
            (Some(7500), ": it is 2 h 5 min ahead of the provider's"),
            (Some(90_000), ": it is 1 day 1 h ahead of the provider's"),
            (Some(172_800), ": it is 2 days ahead of the provider's"),
        ] {
            let problem = StoreProblem::ClockWrong { ahead };
            assert_eq!(problem.to_string(), format!("this machine's clock is wrong{said}"));
        }
    }
}
