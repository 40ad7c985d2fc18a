//! The log: text, journal or JSON lines on standard error, its level changeable while running.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text; colours on a terminal, no time stamps under systemd's journal, which has its own.
    #[default]
    Auto,
    Text,
    Json,
}

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
pub fn start(format: LogFormat, level: &str) -> Result<Level, String> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = match format {
        LogFormat::Auto if is_journal() => {
            fmt::layer().with_ansi(false).event_format(Journal).with_writer(io::stderr).boxed()
        }
        LogFormat::Auto | LogFormat::Text => text(),
        LogFormat::Json => fmt::layer().json().with_writer(io::stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|e| format!("the log is already started: {e}"))?;
    Ok(Level(handle))
}

/// Colours on a terminal only.
fn text<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    fmt::layer().with_writer(io::stderr).with_ansi(colours).boxed()
}

/// Whether standard error is the journal itself. The variable alone does not tell: everything that a
/// service or a desktop starts inherits it, with its output sent elsewhere.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

/// Lines for the journal, which adds time, host and unit, and takes the priority off the front of each
/// line. Modules are named where they help: in the log of somebody who looks for a fault.
struct Journal;

impl Journal {
    /// The priority of syslog, and the word for people, who may read the journal without its colours.
    fn rank(level: tracing::Level) -> (u8, &'static str) {
        match level {
            tracing::Level::ERROR => (3, "error: "),
            tracing::Level::WARN => (4, "warning: "),
            tracing::Level::INFO => (6, ""),
            tracing::Level::DEBUG | tracing::Level::TRACE => (7, ""),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let (priority, word) = Self::rank(*event.metadata().level());
        let mut line = word.to_owned();
        if priority == 7 {
            write!(line, "{}: ", event.metadata().target())?;
        }
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            write!(line, "{}", span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(line, "{{{fields}}}")?;
            }
            line.push_str(": ");
        }
        context.format_fields(Writer::new(&mut line), event)?;
        // The priority holds for one line.
        line.lines().try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
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
