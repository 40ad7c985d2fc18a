//! Stores and their configuration (SPEC 2).

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{StoreId, StoreName, Timestamp};

/// A named place for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub id: StoreId,
    pub name: StoreName,
    /// Random id written into the store's marker, so that a foreign location is recognised.
    pub uid: String,
    pub backend: BackendConfig,
    /// Whether any scope may link it, or at most one.
    pub instance_wide: bool,
    /// Bytes; the vacuum brings the store back to or below it.
    pub soft_max_size: Option<u64>,
    /// Bytes; never exceeded.
    pub max_size: Option<u64>,
    /// Raised at every run; the marker carries the same number (SPEC 2, foreign data).
    pub generation: u64,
    pub created_at: Timestamp,
}

impl Store {
    /// The limit that the vacuum sheds to: the lower of both limits.
    pub fn shed_limit(&self) -> Option<u64> {
        match (self.soft_max_size, self.max_size) {
            (Some(soft), Some(max)) => Some(soft.min(max)),
            (soft, max) => soft.or(max),
        }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.backend, BackendConfig::S3(_))
    }

    pub fn s3(&self) -> Option<&S3Config> {
        match &self.backend {
            BackendConfig::S3(s3) => Some(s3),
            BackendConfig::Local(_) => None,
        }
    }
}

/// What a store is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendConfig {
    Local(LocalConfig),
    S3(Box<S3Config>),
}

impl BackendConfig {
    /// The word in CLI, API and tables: `local` or `s3`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::S3(_) => "s3",
        }
    }

    /// The place, without secrets: a directory, or `s3://bucket/prefix/`.
    pub fn location(&self) -> String {
        match self {
            Self::Local(l) => l.root.display().to_string(),
            Self::S3(s) => format!("s3://{}/{}", s.bucket, s.prefix),
        }
    }

    /// Whether two stores would see each other's objects: the same place or one inside the other.
    /// S3 endpoints are not compared, since one service answers under many names.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(a), Self::Local(b)) => {
                a.root.starts_with(&b.root) || b.root.starts_with(&a.root)
            }
            (Self::S3(a), Self::S3(b)) => {
                a.bucket == b.bucket
                    && (a.prefix.starts_with(&b.prefix) || b.prefix.starts_with(&a.prefix))
            }
            _ => false,
        }
    }
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalConfig {
    /// Absolute, symlinks resolved.
    pub root: PathBuf,
}

/// A bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Config {
    pub bucket: String,
    /// Empty, or ends in `/`.
    pub prefix: String,
    pub region: String,
    /// Base URL of the service; `None` is AWS in `region`.
    pub endpoint: Option<String>,
    /// Base URL that clients reach, for presigned URLs; `None` is the endpoint.
    pub public_endpoint: Option<String>,
    pub path_style: bool,
    /// Sent with every object but the marker and probes; `None` leaves the provider's default.
    pub storage_class: Option<String>,
    pub serve: ServeMode,
    /// Seconds, 10 to 3600.
    pub presign_ttl: u32,
    /// The longest presign TTL that this store ever had, in seconds.
    pub longest_ttl: u32,
    pub checksum: Checksum,
    pub credentials: Credentials,
}

impl S3Config {
    /// Classes whose objects cannot be read without a restore.
    pub fn is_archive(&self) -> bool {
        self.storage_class.as_deref().is_some_and(|c| matches!(c, "GLACIER" | "DEEP_ARCHIVE"))
    }
}

/// How downloads from an S3 store are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ServeMode {
    /// 302 to a presigned URL.
    #[default]
    Redirect,
    /// Streamed through this server.
    Proxy,
}

/// How a write to S3 is proved (SPEC 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// The server checks a SHA-256 that travels with every request.
    #[default]
    Sha256,
    /// For providers that check nothing: the object is read back and hashed.
    Readback,
    /// Nothing is proved; such replicas never count as verified.
    None,
}

/// Where the S3 key comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the server process.
    Env,
    /// A file with `access_key_id = …` and `secret_access_key = …` lines (an AWS profile works).
    File(PathBuf),
    /// The same lines, as a credential of that name which systemd hands to the service.
    Systemd(String),
    /// Typed once, kept in the catalogue.
    Stored { access_key_id: String, secret_access_key: String },
}

/// Never prints the secret [36].
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env => f.write_str("Env"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Systemd(name) => write!(f, "Systemd({name})"),
            Self::Stored { access_key_id, .. } => write!(f, "Stored({access_key_id})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_locations_overlap() {
        let local = |p: &str| BackendConfig::Local(LocalConfig { root: p.into() });
        assert!(local("/a").overlaps(&local("/a/b")));
        assert!(local("/a").overlaps(&local("/a")));
        assert!(!local("/a").overlaps(&local("/ab")));
    }
}
