//! Reading the configuration: file, then environment, then checks over several keys.

use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, values};

/// Read when no file is named; its absence means built-in values.
pub const DEFAULT_FILE: &str = "/etc/hayloft/config.toml";

/// Keys outside a section, which the environment names without `__`.
const TOP_KEYS: [&str; 5] = ["data_dir", "listen", "admin_socket", "public_url", "metrics_public"];

/// The address of a UNIX socket holds at most 108 bytes, the closing zero included.
const SOCKET_PATH_MAX: usize = 107;

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
        let mut table = match explicit {
            Some(file) => read(file)?,
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
            None => Table::new(),
        };
        let mut overrides: Vec<_> = environment.into_iter().filter_map(as_override).collect();
        overrides.sort();
        for (variable, keys, text) in overrides {
            apply(&mut table, &keys, &text)
                .map_err(|problem| ConfigError::Environment { variable, problem })?;
        }
        let mut config: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| ConfigError::Contradiction(e.to_string()))?;
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
            values::check_url(url).map_err(|e| format!("public_url: {url:?} is {e}"))?;
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
        if self.limits.max_connections == 0 {
            return Err("limits.max_connections: 0 would refuse everyone".to_owned());
        }
        if self.limits.cache < 1 << 20 {
            return Err("limits.cache: the catalogue needs at least 1MiB".to_owned());
        }
        self.check_timeouts()
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
    let Some(span) = e.span() else { return e.message().to_owned() };
    let before = text.get(..span.start).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    format!("line {number}, {key}: {}", e.message())
}

/// `HAYLOFT_SECTION__KEY` and `HAYLOFT_KEY` of a top-level key; other names are not ours to judge.
fn as_override((variable, text): (String, String)) -> Option<(String, Vec<String>, String)> {
    let name = variable.strip_prefix("HAYLOFT_")?;
    let keys: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    let ours = keys.len() > 1 || TOP_KEYS.contains(&keys[0].as_str());
    (ours && !name.starts_with("TEST_")).then_some((variable, keys, text))
}

/// Sets one key: as text if the key takes text, else as the TOML value that the text spells.
fn apply(table: &mut Table, keys: &[String], text: &str) -> Result<(), String> {
    let as_text = with_key(table, keys, Value::String(text.to_owned()))?;
    let problem = match as_text.clone().try_into::<Config>() {
        Ok(_) => {
            *table = as_text;
            return Ok(());
        }
        Err(problem) => problem.message().to_owned(),
    };
    let Ok(spelled) = format!("value = {text}").parse::<Table>() else { return Err(problem) };
    let Some(value) = spelled.get("value").filter(|v| !v.is_str()) else { return Err(problem) };
    let as_value = with_key(table, keys, value.clone())?;
    as_value.clone().try_into::<Config>().map_err(|e| e.message().to_owned())?;
    *table = as_value;
    Ok(())
}

fn with_key(table: &Table, keys: &[String], value: Value) -> Result<Table, String> {
    let mut table = table.clone();
    let Some((last, sections)) = keys.split_last() else { return Ok(table) };
    let mut at = &mut table;
    for section in sections {
        at = at
            .entry(section.as_str())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{section} is not a section"))?;
    }
    at.insert(last.clone(), value);
    Ok(table)
}
