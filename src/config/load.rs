//! Reading the configuration: file, then environment, then checks over several keys.

use std::io;
use std::path::{Path, PathBuf};

use toml::Table;

use super::{Config, environment, values};
use crate::domain::plain_types;

/// Read when no file is named; its absence means built-in values.
pub const DEFAULT_FILE: &str = "/etc/hayloft/config.toml";

/// The address of a UNIX socket holds at most 108 bytes, the closing zero included.
const SOCKET_PATH_MAX: usize = 107;

/// Growth is sampled once a day.
const DAY: u64 = 86_400;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error(
        "this user may not read the configuration {}: use sudo, or join the group that may (of the Debian package: sudo \
         adduser $USER hayloft, then sign in again); with --server URL no configuration is needed",
        file.display()
    )]
    Closed { file: PathBuf },
    #[error("in {}: {problem}", file.display())]
    Invalid { file: PathBuf, problem: String },
    #[error("environment variable {variable}: {problem}")]
    Environment { variable: String, problem: String },
    /// Valid key by key, but not together.
    #[error("configuration: {0}")]
    Contradiction(String),
}

impl Config {
    /// Reads `explicit`, or [`DEFAULT_FILE`] when that exists, and applies the overrides
    /// (`HAYLOFT_MAINTENANCE__SCHEDULE=off`) among `environment`.
    pub fn load(
        explicit: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = match explicit {
            Some(file) => read(file)?,
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
            None => Table::new(),
        };
        let mut config = environment::overridden(&table, environment)?;
        config.check().map_err(ConfigError::Contradiction)?;
        if let Some(url) = &mut config.public_url {
            url.truncate(url.trim_end_matches('/').len());
        }
        Ok(config)
    }

    /// The checks of single values that serde cannot make, and those over several keys.
    fn check(&self) -> Result<(), String> {
        for (key, path) in [("data_dir", &self.data_dir), ("admin_socket", &self.admin_socket)] {
            if !path.is_absolute() {
                return Err(format!(
                    "{key}: {} is not absolute: it has to start with /",
                    path.display()
                ));
            }
        }
        if self.admin_socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(format!(
                "admin_socket: the path has more than {SOCKET_PATH_MAX} bytes: choose a shorter one"
            ));
        }
        if let Some(url) = &self.public_url {
            values::check_base_url(url).map_err(|e| format!("public_url: {e}"))?;
        }
        let concurrency = self.maintenance.concurrency;
        if !(1..=64).contains(&concurrency) {
            return Err(format!("maintenance.concurrency: {concurrency} is not in 1 to 64"));
        }
        if self.maintenance.bandwidth.is_some_and(|b| b < 1000) {
            return Err("maintenance.bandwidth: less than 1kB per second: write \"none\" for no \
                        limit, or set schedule = \"off\" for no runs"
                .to_owned());
        }
        self.check_forecast()?;
        if self.limits.max_connections == 0 {
            return Err("limits.max_connections: 0 would refuse everyone".to_owned());
        }
        if self.limits.cache < 1 << 20 {
            return Err("limits.cache: the catalogue needs at least 1MiB".to_owned());
        }
        self.check_timeouts()
    }

    fn check_forecast(&self) -> Result<(), String> {
        let forecast = self.maintenance.limit_forecast;
        if forecast.as_secs().is_multiple_of(DAY) {
            return Ok(());
        }
        Err(format!(
            "maintenance.limit_forecast: {} is no whole number of days: write \"{}d\"",
            values::show_duration(forecast),
            forecast.as_secs() / DAY + 1
        ))
    }

    fn check_timeouts(&self) -> Result<(), String> {
        let timeouts = [
            ("header_timeout", self.limits.header_timeout),
            ("idle_timeout", self.limits.idle_timeout),
            ("body_timeout", self.limits.body_timeout),
        ];
        match timeouts.iter().find(|(_, timeout)| timeout.is_zero()) {
            Some((key, _)) => Err(format!("limits.{key}: 0s would end every connection at once")),
            None => Ok(()),
        }
    }
}

/// Reads a file and checks each key while the parser still knows its line.
fn read(file: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| {
        let file = file.to_owned();
        if source.kind() == io::ErrorKind::PermissionDenied {
            ConfigError::Closed { file }
        } else {
            ConfigError::Unreadable { file, source }
        }
    })?;
    let invalid = |problem: String| ConfigError::Invalid { file: file.to_owned(), problem };
    let config: Config = toml::from_str(&text).map_err(|e| invalid(located(&text, &e)))?;
    config.check().map_err(invalid)?;
    toml::from_str(&text).map_err(|e| invalid(located(&text, &e)))
}

/// Line, key and what is wrong. The parser's own words would repeat the line, which may hold a
/// secret.
fn located(text: &str, e: &toml::de::Error) -> String {
    let problem = plain_types(e.message());
    let Some(span) = e.span() else { return problem };
    let before = text.get(..span.start).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    format!("line {number}, {key}: {problem}")
}
