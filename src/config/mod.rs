//! Configuration (SPEC 12): one file, single keys overridden from the environment.

mod environment;
mod load;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use load::{ConfigError, DEFAULT_FILE};
pub use values::{Schedule, Window};

use crate::logging::LogFormat;

/// All settings of an instance. Made only by [`Config::load`] and [`Config::default`], so that a
/// value that exists has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Holds `hayloft.redb`, `spool/`, and the default local store under `store/`. Absolute.
    pub data_dir: PathBuf,
    #[serde(deserialize_with = "values::address")]
    pub listen: SocketAddr,
    /// Absolute, and short enough for a socket address.
    pub admin_socket: PathBuf,
    /// The URL under which clients reach this instance; no slash at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Whether `/metrics` is served without a token.
    pub metrics_public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    pub maintenance: Maintenance,
    pub limits: Limits,
    pub log: Log,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
}

/// PEM files, read at start and again at SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// When and how storage maintenance works (SPEC 7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    pub schedule: Schedule,
    /// Copies under way at once, 1 to 64.
    pub concurrency: usize,
    /// Bytes per second over all copies of a run; `None` is no limit.
    #[serde(with = "values::limit")]
    pub bandwidth: Option<u64>,
    /// Hours outside which a run copies nothing; `None` is always.
    #[serde(with = "values::window")]
    pub window: Option<Window>,
    /// How long tombstones and unlinked replicas are kept.
    #[serde(with = "values::duration")]
    pub grace: Duration,
    /// How old bytes that no row names must be before they are swept.
    #[serde(with = "values::duration")]
    pub orphan_age: Duration,
    /// How much older the recorded last use may be than the true one; zero writes every read.
    #[serde(with = "values::duration")]
    pub last_use_granularity: Duration,
    /// How long before a store is expected to reach a limit this is told; whole days.
    #[serde(with = "values::duration")]
    pub limit_forecast: Duration,
}

/// Bounds on what clients may ask of the server, and on its own memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of one upload; `None` leaves it to the stores' limits.
    #[serde(with = "values::limit")]
    pub max_upload: Option<u64>,
    /// Connections open at once on the port.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its header.
    #[serde(with = "values::duration")]
    pub header_timeout: Duration,
    /// Between two requests on one connection.
    #[serde(with = "values::duration")]
    pub idle_timeout: Duration,
    /// Without a byte moving while a body is read or written.
    #[serde(with = "values::duration")]
    pub body_timeout: Duration,
    /// What SIGTERM grants to requests under way.
    #[serde(with = "values::duration")]
    pub shutdown_timeout: Duration,
    /// Bytes of the catalogue's page cache.
    #[serde(with = "values::size")]
    pub cache: u64,
}

/// How the log is written, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    /// A level or filter directives: `info`, `info,hayloft::server=debug`.
    #[serde(deserialize_with = "values::log_level")]
    pub level: String,
}

/// Where events are reported to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub kind: NotifyKind,
    /// May hold a secret in its path or query: never shown whole [36].
    #[serde(serialize_with = "values::hidden_url", deserialize_with = "values::notify_url")]
    pub url: String,
    #[serde(default = "default_events")]
    pub on: Vec<NotifyEvent>,
}

impl Notify {
    /// The URL without what may be secret in it.
    pub fn shown_url(&self) -> String {
        values::without_secrets(&self.url)
    }
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notify({:?}, {}, {:?})", self.kind, self.shown_url(), self.on)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyKind {
    Json,
    Ntfy,
    Slack,
}

impl NotifyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ntfy => "ntfy",
            Self::Slack => "slack",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyEvent {
    RunFailed,
    RunIncomplete,
    RunComplete,
    StoreUnavailable,
    StoreAvailable,
    /// A store will reach a limit within `maintenance.limit_forecast`.
    LimitForecast,
    /// Replicas were found missing or damaged.
    ReplicaLost,
}

impl NotifyEvent {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunFailed => "run-failed",
            Self::RunIncomplete => "run-incomplete",
            Self::RunComplete => "run-complete",
            Self::StoreUnavailable => "store-unavailable",
            Self::StoreAvailable => "store-available",
            Self::LimitForecast => "limit-forecast",
            Self::ReplicaLost => "replica-lost",
        }
    }

    /// Whether someone should look at it now.
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::RunFailed | Self::StoreUnavailable | Self::ReplicaLost)
    }
}

fn default_events() -> Vec<NotifyEvent> {
    vec![
        NotifyEvent::RunFailed,
        NotifyEvent::RunIncomplete,
        NotifyEvent::StoreUnavailable,
        NotifyEvent::LimitForecast,
        NotifyEvent::ReplicaLost,
    ]
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/hayloft".into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8700)),
            admin_socket: "/run/hayloft/admin.sock".into(),
            public_url: None,
            metrics_public: false,
            tls: None,
            maintenance: Maintenance::default(),
            limits: Limits::default(),
            log: Log::default(),
            notify: Vec::new(),
        }
    }
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            concurrency: 4,
            bandwidth: None,
            window: None,
            grace: Duration::from_hours(24),
            orphan_age: Duration::from_hours(24),
            last_use_granularity: Duration::from_hours(1),
            limit_forecast: Duration::from_hours(7 * 24),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_upload: None,
            max_connections: 1024,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(30),
            cache: 32 << 20,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

impl Config {
    /// The catalogue: everything but the bytes.
    pub fn catalogue(&self) -> PathBuf {
        self.data_dir.join("hayloft.redb")
    }

    /// Where uploads for remote stores wait.
    pub fn spool_dir(&self) -> PathBuf {
        self.data_dir.join("spool")
    }

    /// The root of the store `local` that a new instance gets.
    pub fn local_store(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// Where this instance is reached that listens on `address`, without a slash at the end:
    /// `public_url`, else an address that works on this machine.
    pub fn base_url(&self, address: SocketAddr) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        if address.ip().is_unspecified() {
            format!("{scheme}://localhost:{}", address.port())
        } else {
            format!("{scheme}://{address}")
        }
    }

    /// The effective values as TOML, without secrets.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
