//! `hayloft status`: the command to look at first.

use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Result, bail};

use super::server;
use crate::api::Status;
use crate::cli::CommandEnd;
use crate::cli::args::Global;
use crate::cli::client::AdminClient;
use crate::cli::output::{self, Output};
use crate::config::DEFAULT_FILE;

/// Where packages and administrators put the unit.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/hayloft.service",
    "/usr/lib/systemd/system/hayloft.service",
    "/lib/systemd/system/hayloft.service",
];

/// Refuses where there is nothing to look at: asking how an instance is must not make one.
pub fn require_instance(global: &Global) -> Result<()> {
    if global.server.is_some() {
        return Ok(());
    }
    let config = server::config(global)?;
    let (socket, catalogue) = (&config.admin_socket, config.catalogue());
    // What may not be looked at is for the next step to complain about.
    let is_absent = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    let no_socket = UnixStream::connect(socket).is_err_and(|e| is_absent(&e));
    let no_catalogue = std::fs::metadata(&catalogue).is_err_and(|e| is_absent(&e));
    if no_socket && no_catalogue {
        bail!(
            "there is no Hayloft here yet: nothing listens on {}, and there is no catalogue {}. \
             Start the server, which makes one: `systemctl start hayloft`, or `hayloft serve` as the \
             user who is to own it. If yours is elsewhere, name its configuration with --config FILE, \
             or its address with --server URL",
            socket.display(),
            catalogue.display()
        );
    }
    Ok(())
}

pub async fn run(client: &AdminClient, global: &Global, output: Output) -> Result<CommandEnd> {
    let start = client.transport.is_in_process().then(|| start_command(global));
    let answer = client.get("status").await?;
    output.answer::<Status>(&answer, |status| output::status(status, start.as_deref()))?;
    Ok(CommandEnd::Done)
}

/// How a server for this configuration is started here.
fn start_command(global: &Global) -> String {
    let is_packaged = UNITS.iter().any(|unit| Path::new(unit).exists());
    let is_default = global.config.as_deref().is_none_or(|c| c == Path::new(DEFAULT_FILE));
    if is_packaged && is_default {
        "sudo systemctl start hayloft".to_owned()
    } else {
        format!("{} serve", server::program(global))
    }
}
