//! The command line (SPEC 9): clap tree, transport, output.
//!
//! Every command is one or a few requests to the admin API, over the admin socket, a URL, or the
//! same router in this process. No operation has a second implementation here.

pub mod args;
mod client;
mod commands;
mod local;
mod man;
#[expect(
    clippy::format_push_string,
    reason = "texts for people are short, and write! into a String has a Result to discard"
)]
mod output;
mod sse;
mod transport;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::Result;

use crate::api::Problem;
use args::{Cli, Command, FileCommand, Global, StoreCommand};
use client::{AdminClient, Refused};
use output::Output;
use transport::Transport;

/// How a command that could be carried out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandEnd {
    /// Exit code 0.
    Done,
    /// Exit code 1, the reason already printed: an incomplete run, a failed check.
    NotDone,
}

impl CommandEnd {
    fn done_if(good: bool) -> Self {
        if good { Self::Done } else { Self::NotDone }
    }
}

/// Threads that may wait for a disk. They are begun when needed and end when idle. A local store takes
/// at most 64 of them, and 65 more for copies into it and the look at its marker (`stores::local`): two
/// stores that hang with all their lanes full leave the catalogue and the others more than one store
/// can use. Memory stays bounded, since what one store reads at once is.
const BLOCKING_THREADS: usize = 384;

/// The whole program: sets up TLS and the runtime, runs one command line and returns its exit code
/// (SPEC 9).
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(arguments));
            // A read of standard input that nobody waits for any more must not keep us alive.
            runtime.shutdown_background();
            code
        }
        Err(e) => {
            eprintln!("error: cannot start the runtime: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Vec<OsString>) -> ExitCode {
    // Where the words cannot be parsed, this is all that is known.
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        Err(e) => return usage(&e, json),
    };
    let output = Output { json: cli.global.json, verbose: cli.global.verbose };
    match execute(cli, output).await {
        Ok(CommandEnd::Done) => ExitCode::SUCCESS,
        Ok(CommandEnd::NotDone) => ExitCode::FAILURE,
        Err(e) => {
            report(&e, output);
            ExitCode::FAILURE
        }
    }
}

/// Help and version go to standard output and are no error; wrong usage is 2.
fn usage(e: &clap::Error, json: bool) -> ExitCode {
    if json && e.use_stderr() {
        eprint_problem(&Problem {
            kind: "wrong-usage".to_owned(),
            title: "Wrong usage".to_owned(),
            status: 0,
            detail: complaint(e).into(),
            extra: serde_json::Map::new(),
        });
        return ExitCode::from(2);
    }
    match e.print() {
        Ok(()) => ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2)),
        Err(_) => ExitCode::FAILURE,
    }
}

/// What is wrong, without the usage and the hints for people.
fn complaint(e: &clap::Error) -> String {
    let text = e.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    text.trim_start_matches("error: ").trim().to_owned()
}

async fn execute(cli: Cli, output: Output) -> Result<CommandEnd> {
    match cli.command {
        Command::Serve => commands::server::serve(&cli.global).await,
        Command::CheckConfig => commands::server::check_config(&cli.global, output),
        Command::Completions { shell } => commands::server::completions(shell),
        Command::Man { dir } => commands::server::man(&dir),
        command => with_client(&cli.global, command, output).await,
    }
}

/// Connects, runs the command, and leaves the catalogue in order however the command ended.
async fn with_client(global: &Global, command: Command, output: Output) -> Result<CommandEnd> {
    commands::server::start_command_log(global)?;
    if matches!(command, Command::Status) {
        commands::status::require_instance(global)?;
    }
    let transport = Transport::choose(global, || commands::server::config(global)).await?;
    let client = AdminClient { transport };
    if client.transport.is_in_process() && !writes_for_its_user(&command) {
        local::keep_private();
    }
    let ended = if matches!(command, Command::Vacuum(_)) {
        // Asks what an interrupt is to mean.
        commands::run(&client, global, command, output).await
    } else {
        tokio::select! {
            ended = commands::run(&client, global, command, output) => ended,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    };
    let closed = client.transport.close().await;
    let ended = ended?;
    closed?;
    Ok(ended)
}

/// Commands whose files are of no concern to the instance.
fn writes_for_its_user(command: &Command) -> bool {
    match command {
        Command::File(command) => matches!(command, FileCommand::Get { .. }),
        Command::Store(StoreCommand::Delete(args)) | Command::DeleteFileStore(args) => {
            args.report.is_some()
        }
        _ => false,
    }
}

/// The error, as a sentence with its causes or as a problem document, on standard error.
fn report(e: &anyhow::Error, output: Output) {
    // A reader that has seen enough (`| head`) needs no message.
    let is_closed_pipe = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if e.downcast_ref::<io::Error>().is_some_and(is_closed_pipe) {
        return;
    }
    if !output.json {
        eprintln!("error: {e:#}");
        return;
    }
    let problem = match e.downcast_ref::<Refused>() {
        Some(Refused(problem)) => problem.clone(),
        None => Problem {
            kind: "command-failed".to_owned(),
            title: "The command failed".to_owned(),
            status: 0,
            detail: format!("{e:#}").into(),
            extra: serde_json::Map::new(),
        },
    };
    eprint_problem(&problem);
}

fn eprint_problem(problem: &Problem) {
    match serde_json::to_string(problem) {
        Ok(text) => eprintln!("{text}"),
        Err(_) => eprintln!("error: {}", problem.detail),
    }
}
