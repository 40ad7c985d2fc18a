//! `hayloft vacuum …`: starts, follows and controls runs.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use reqwest::{Method, Response};

use crate::api::{Outcome, Run};
use crate::cli::CommandEnd;
use crate::cli::args::{VacuumArgs, VacuumCommand};
use crate::cli::client::{AdminClient, Refused, Reply};
use crate::cli::output::progress::RunProgress;
use crate::cli::output::{self, Output};
use crate::cli::sse::{Events, ServerEvent};

/// Before the events are asked for again after a stream that ended early.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub async fn run(client: &AdminClient, args: &VacuumArgs, output: Output) -> Result<CommandEnd> {
    match args.command {
        None if args.dry_run => {
            let answer = client.get("vacuum/plan").await?;
            print(&answer, output)
        }
        None if args.detach && client.transport.is_in_process() => bail!(
            "no server is running, and a run of this command ends with it: start the server, or \
             leave out --detach"
        ),
        None => start(client, args.detach, output).await,
        Some(VacuumCommand::History) => {
            output.answer::<Vec<Run>>(&client.get("vacuum/runs").await?, output::history)?;
            Ok(CommandEnd::Done)
        }
        Some(VacuumCommand::Show { id }) => {
            print_only(&client.get(&run_path(id, output)).await?, output)
        }
        Some(VacuumCommand::Pause) => {
            print_only(&client.act("vacuum/runs/current/pause").await?, output)
        }
        Some(VacuumCommand::Resume) => {
            print_only(&client.act("vacuum/runs/current/resume").await?, output)
        }
        Some(VacuumCommand::Cancel) => {
            print_only(&client.delete("vacuum/runs/current").await?, output)
        }
    }
}

fn run_path(id: u64, output: Output) -> String {
    format!("vacuum/runs/{id}?moves={}", output.verbose > 0)
}

/// Prints a run that was only looked at or steered.
fn print_only(answer: &Reply, output: Output) -> Result<CommandEnd> {
    output.answer::<Run>(answer, output::run)?;
    Ok(CommandEnd::Done)
}

/// Prints a run that this command stands for: anything but complete is exit code 1.
fn print(answer: &Reply, output: Output) -> Result<CommandEnd> {
    output.answer::<Run>(answer, output::run)?;
    Ok(CommandEnd::done_if(answer.read::<Run>()?.outcome == Outcome::Complete))
}

/// Starts a run, or attaches to the one at work.
async fn start(client: &AdminClient, detach: bool, output: Output) -> Result<CommandEnd> {
    let id = match client.act("vacuum/runs").await {
        Ok(answer) if detach => return print_only(&answer, output),
        Ok(answer) => answer.read::<Run>()?.id.context("the server started a run without id")?,
        Err(e) => {
            let id = running_instead(&e).ok_or(e)?;
            output.note(&format!("Run {id} is at work already."));
            if detach {
                return print_only(&client.get(&run_path(id, output)).await?, output);
            }
            id
        }
    };
    follow(client, id, output).await
}

/// The run that stood in the way of a new one.
fn running_instead(e: &anyhow::Error) -> Option<u64> {
    let Refused(problem) = e.downcast_ref()?;
    (problem.kind == "run-in-progress").then(|| problem.extra.get("run")?.as_u64()).flatten()
}

/// Shows progress until the run has finished, or the user has had enough.
async fn follow(client: &AdminClient, id: u64, output: Output) -> Result<CommandEnd> {
    let mut progress = RunProgress::new(output);
    loop {
        let mut watched = RunWatch { client, id, output, progress: &mut progress };
        tokio::select! {
            seen = watched.watch() => {
                seen?;
                break;
            }
            interrupt = tokio::signal::ctrl_c() => interrupt?,
        }
        match interrupted(client, id, &progress, output).await? {
            Choice::GoOn => {}
            Choice::Detach(ended) => return Ok(ended),
        }
    }
    progress.finish();
    print(&client.get(&run_path(id, output)).await?, output)
}

struct RunWatch<'a> {
    client: &'a AdminClient,
    id: u64,
    output: Output,
    progress: &'a mut RunProgress,
}

impl RunWatch<'_> {
    /// Returns when the run has finished. A stream that ends early (a proxy between) is opened
    /// again; a server that does not answer any more is an error.
    async fn watch(&mut self) -> Result<()> {
        loop {
            let path = format!("/api/v1/vacuum/runs/{}/events", self.id);
            let request = self.client.request(Method::GET, &path)?;
            let response = self.client.send(request).await?;
            if self.events(response).await? {
                return Ok(());
            }
            let run: Run = self.client.get(&run_path(self.id, self.output)).await?.read()?;
            if run.finished_at.is_some() {
                return Ok(());
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// True when the run has finished, false when the stream just ended.
    async fn events(&mut self, response: Response) -> Result<bool> {
        let mut chunks = response.bytes_stream();
        let mut events = Events::default();
        while let Some(Ok(chunk)) = chunks.next().await {
            for ServerEvent { name, data } in events.feed(&chunk) {
                match name.as_str() {
                    "finished" => return Ok(true),
                    "progress" => {
                        let run = serde_json::from_str(&data).context("an event is no run")?;
                        self.progress.update(&run);
                    }
                    _ => {}
                }
            }
        }
        Ok(false)
    }
}

enum Choice {
    GoOn,
    Detach(CommandEnd),
}

/// Asks on a terminal what Ctrl-C is to mean. Elsewhere it detaches; a run in this process
/// cannot go on alone and is cancelled.
async fn interrupted(
    client: &AdminClient,
    id: u64,
    progress: &RunProgress,
    output: Output,
) -> Result<Choice> {
    let here = client.transport.is_in_process();
    let asked = io::stdin().is_terminal() && io::stderr().is_terminal() && !output.json;
    let wish = match asked {
        true => progress.suspended(|| ask(here))?,
        false if here => OnInterrupt::Cancel,
        false => OnInterrupt::Detach,
    };
    match wish {
        OnInterrupt::GoOn => Ok(Choice::GoOn),
        OnInterrupt::Cancel => {
            progress.suspended(|| output.note("Cancelling after the files under way …"));
            client.delete(&format!("vacuum/runs/{id}")).await?;
            Ok(Choice::GoOn)
        }
        OnInterrupt::Detach => {
            progress.finish();
            output.note(&format!("Run {id} goes on: hayloft vacuum show {id}"));
            // Who asked for it has what they wanted; a signal to a script ends it unfinished.
            Ok(Choice::Detach(CommandEnd::done_if(asked)))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnInterrupt {
    GoOn,
    Cancel,
    Detach,
}

fn ask(in_process: bool) -> Result<OnInterrupt> {
    if in_process {
        eprint!("\nEnd the run after the files under way? [c]ancel it, or Enter to go on: ");
    } else {
        eprint!("\n[d]etach and let the run go on, [c]ancel it, or Enter to keep watching: ");
    }
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(match answer.trim() {
        "c" | "cancel" => OnInterrupt::Cancel,
        "d" | "detach" if !in_process => OnInterrupt::Detach,
        _ => OnInterrupt::GoOn,
    })
}
