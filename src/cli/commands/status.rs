//! `hayloft status`: the command to look at first.

use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};

use super::server;
use crate::api::Status;
use crate::cli::Ended;
use crate::cli::args::Global;
use crate::cli::client::Client;
use crate::cli::output::{self, Output};

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

pub async fn run(client: &Client, output: Output) -> Result<Ended> {
    let server = if client.transport.is_in_process() {
        output::Server::Down
    } else {
        output::Server::Running
    };
    let answer = client.get("status").await?;
    output.answer::<Status>(&answer, |status| output::status(status, server))?;
    Ok(Ended::Done)
}
