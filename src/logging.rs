//! The log: text or JSON lines on standard error, its level changeable while running.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Changes the level of the running log.
#[derive(Debug, Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Takes effect at once; an error leaves the level as it was.
    pub fn set(&self, level: &str) -> Result<(), String> {
        self.0.reload(filter(level)?).map_err(|e| e.to_string())
    }
}

/// Reads a level or filter directives.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let bad = || {
        format!(
            "{level:?} is not a log level: write error, warn, info, debug, trace or off, or \
             directives such as \"info,hayloft::server=debug\""
        )
    };
    // The parser takes a mistyped level for the name of a module whose everything is to be shown.
    let is_word = |part: &str| !part.contains(['=', '[', ':']);
    if level.split(',').any(|part| is_word(part) && part.parse::<LevelFilter>().is_err()) {
        return Err(bad());
    }
    EnvFilter::builder().parse(level).map_err(|_| bad())
}

/// Starts the log of this process; a second call is an error.
pub fn start(log: &Log) -> Result<Level, String> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = match log.format {
        LogFormat::Auto => text(std::env::var_os("JOURNAL_STREAM").is_none()),
        LogFormat::Text => text(true),
        LogFormat::Json => fmt::layer().json().with_writer(io::stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|e| format!("the log is already started: {e}"))?;
    Ok(Level(handle))
}

/// Colours on a terminal only; no time where the journal adds its own.
fn text<S>(with_time: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    if with_time { layer.boxed() } else { layer.without_time().boxed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_read() {
        for good in ["info", "off", "warn,hayloft::server=debug"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        assert!(filter("loud=maybe").is_err() && filter("verbose").is_err());
    }
}
