//! Commands that need no client: the server itself, its configuration, completions and manual.

use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::CommandFactory;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Role};
use crate::cli::CommandEnd;
use crate::cli::args::{Cli, Global};
use crate::cli::output::{self, Output};
use crate::config::{Config, Log, Tls};
use crate::logging::{self, Level, LogFormat};
use crate::open::{self, Found, OpenError, Rehearsal};
use crate::server::Welcome;

/// How often, and for how long between, a starting server asks for a catalogue that is locked: ten
/// seconds in all, as long as commands wait for a server (SPEC 9).
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The configuration that `--config` and the environment give.
pub fn config(global: &Global) -> Result<Config> {
    // What is not UTF-8 is no setting that would be taken, and must not go unnoticed either.
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    Ok(Config::load(global.config.as_deref(), environment)?)
}

/// The log of everything but the server: warnings, and more with `-v`; nothing beside JSON.
pub fn start_command_log(global: &Global) -> Result<()> {
    let level = match (global.json, global.verbose) {
        (true, _) => "off",
        (false, 0) => "hayloft=warn,error",
        (false, 1) => "hayloft=info,warn",
        (false, _) => "hayloft=debug,info",
    };
    logging::start(LogFormat::Auto, level).map_err(anyhow::Error::msg)?;
    Ok(())
}

pub async fn serve(global: &Global) -> Result<CommandEnd> {
    if global.server.is_some() {
        bail!("serve runs a server here: leave out --server and unset HAYLOFT_SERVER");
    }
    super::super::local::keep_private();
    let config = Arc::new(config(global)?);
    let level = logging::start(config.log.format, &config.log.level).map_err(anyhow::Error::msg)?;
    super::super::local::check_owner(&config.data_dir).map_err(anyhow::Error::msg)?;
    let app = open(&config).await?;
    let reloading = tokio::spawn(reload_level(global.clone(), level));
    let greet = |welcome: &Welcome| greet(welcome, global, &config.log);
    let served = crate::server::serve(Arc::clone(&app), Arc::clone(&config), greet).await;
    reloading.abort();
    let closed = app.shutdown().await;
    served?;
    closed?;
    Ok(CommandEnd::Done)
}

/// Opens the instance. A command that works on the catalogue by itself has it for a moment, and a
/// service must not fail to start because of that; another server has it for good.
async fn open(config: &Arc<Config>) -> Result<Arc<App>> {
    for attempt in 0.. {
        match App::open(Arc::clone(config), Role::Server).await {
            Err(OpenError::Locked) => {
                let is_served = UnixStream::connect(&config.admin_socket).is_ok();
                if is_served || attempt >= LOCK_ATTEMPTS {
                    break;
                }
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
    bail!(
        "another process has the catalogue in {} open: is a server running already?",
        config.data_dir.display()
    )
}

/// Tells people at a terminal what they need to know, and others the same in the log.
fn greet(welcome: &Welcome, global: &Global, log: &Log) {
    if io::stderr().is_terminal() && log.format == LogFormat::Auto {
        // Standard error, as the log that goes on below it.
        eprint!("{}", output::welcome(welcome, &program(global)));
    } else {
        welcome.log();
    }
}

/// How a command has to be typed to reach this server.
pub fn program(global: &Global) -> String {
    match &global.config {
        // From the environment it reaches the commands too.
        Some(config) if std::env::var_os("HAYLOFT_CONFIG").is_none_or(|file| file.is_empty()) => {
            format!("hayloft --config {}", super::super::local::quoted(&config.to_string_lossy()))
        }
        _ => "hayloft".to_owned(),
    }
}

/// At SIGHUP the log level is read again; a bad file leaves everything as it is.
async fn reload_level(global: Global, level: Level) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(e) => return tracing::warn!(error = %e, "cannot listen for SIGHUP"),
    };
    while hangups.recv().await.is_some() {
        let set = config(&global)
            .map_err(|e| format!("{e:#}"))
            .and_then(|config| level.set(&config.log.level).map(|()| config.log.level));
        match set {
            Ok(level) => tracing::info!(level, "log level reloaded"),
            Err(e) => tracing::error!(error = e, "SIGHUP: the configuration stays as it was"),
        }
    }
}

pub fn check_config(global: &Global, output: Output) -> Result<CommandEnd> {
    let config = config(global)?;
    let found = open::rehearse(&config);
    let tls = config.tls.as_ref().map(TlsFound::look).transpose();
    if output.json {
        let mut shown = serde_json::to_value(&config)?;
        shown["catalogue"] = found_json(&config.catalogue(), found.as_ref().ok());
        if config.tls.is_some() {
            shown["tls"]["state"] =
                json!(tls.as_ref().ok().copied().flatten().map_or("bad", TlsFound::name));
        }
        output::line(&shown.to_string())?;
    } else {
        // What follows the values is a comment: all of it stays TOML.
        output::line(config.to_toml()?.trim_end())?;
        if let Ok(found) = &found {
            output::line(&format!("\n# {}", found_text(&config.catalogue(), found)))?;
        }
        if let Ok(Some(tls)) = &tls {
            output::line(&format!("# {}", tls.text()))?;
        }
    }
    found?;
    tls?;
    Ok(CommandEnd::Done)
}

/// What a start would make of the files of `[tls]`.
#[derive(Debug, Clone, Copy)]
enum TlsFound {
    Good,
    /// This user may not read them; the server's may.
    Closed,
}

impl TlsFound {
    fn look(files: &Tls) -> Result<Self> {
        let is_closed = |file: &Path| {
            std::fs::File::open(file).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
        };
        if is_closed(&files.certificate) || is_closed(&files.key) {
            return Ok(Self::Closed);
        }
        crate::server::check_tls(files)?;
        Ok(Self::Good)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Closed => "closed",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Good => "The certificate and its key are good.",
            Self::Closed => {
                "The certificate and its key were not looked at: this user may not read them."
            }
        }
    }
}

fn found_text(path: &Path, found: &Found) -> String {
    let what = match found {
        Found::Nothing => "does not exist: the first start makes it".to_owned(),
        Found::InUse => {
            "is open in a server or a command: stop that to have it looked at too".to_owned()
        }
        Found::Closed => "was not looked at: this user may not read it".to_owned(),
        Found::Good(Rehearsal { format, becomes, records }) if format == becomes => {
            format!("is good: format {format}, {records} records read")
        }
        Found::Good(Rehearsal { format, becomes, records }) => format!(
            "has format {format}, and the next start upgrades it to {becomes}. The upgrade was tried in memory: {records} \
             records read after it. Older versions cannot open it then: keep a copy to be able to go back"
        ),
    };
    format!("The catalogue {} {what}.", path.display())
}

fn found_json(path: &Path, found: Option<&Found>) -> serde_json::Value {
    let state = match found {
        None => "bad",
        Some(Found::Nothing) => "none",
        Some(Found::InUse) => "in-use",
        Some(Found::Closed) => "closed",
        Some(Found::Good(_)) => "good",
    };
    let mut shown = json!({"path": path, "state": state});
    if let Some(Found::Good(Rehearsal { format, becomes, records })) = found {
        shown["format"] = json!(format);
        shown["becomes"] = json!(becomes);
        shown["records"] = json!(records);
    }
    shown
}

pub fn completions(shell: clap_complete::Shell) -> Result<CommandEnd> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hayloft", &mut script);
    io::stdout().write_all(&script)?;
    Ok(CommandEnd::Done)
}

pub fn man(dir: &Path) -> Result<CommandEnd> {
    crate::cli::man::write(dir)?;
    Ok(CommandEnd::Done)
}
