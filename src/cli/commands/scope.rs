//! `hayloft scope …`

use anyhow::{Result, anyhow};

use crate::api::{LinkChange, LinkView, PolicyChange, ScopeChange, ScopeCreate, ScopeView};
use crate::cli::CommandEnd;
use crate::cli::args::{LinkArgs, ScopeChangeArgs, ScopeCommand};
use crate::cli::client::{AdminClient, Reply};
use crate::cli::output::{self, Output};
use crate::domain::{Drain, ScopeName};

pub async fn run(
    client: &AdminClient,
    command: ScopeCommand,
    output: Output,
) -> Result<CommandEnd> {
    match command {
        ScopeCommand::Create(args) => {
            let (name, no_local) = (args.name, args.no_local);
            let request =
                ScopeCreate { name, stores: args.stores, no_local, public_read: args.public_read };
            let answer = client.post("scopes", &request).await?;
            output.answer::<ScopeView>(&answer, output::scope)?;
        }
        ScopeCommand::List => {
            output.answer::<Vec<ScopeView>>(&client.get("scopes").await?, output::scopes)?;
        }
        ScopeCommand::Show { name } => {
            let answer = client.get(&format!("scopes/{name}")).await?;
            output.answer::<ScopeView>(&answer, output::scope)?;
        }
        ScopeCommand::Manage { name, change } => manage(client, &name, change, output).await?,
        ScopeCommand::Delete { name, force } => {
            let answer = client.delete(&format!("scopes/{name}?force={force}")).await?;
            output.done(&answer, &format!("Deleted scope {name}."))?;
        }
    }
    Ok(CommandEnd::Done)
}

async fn manage(
    client: &AdminClient,
    scope: &ScopeName,
    change: ScopeChangeArgs,
    output: Output,
) -> Result<()> {
    let url = format!("scopes/{scope}");
    match change {
        ScopeChangeArgs::AddStore { store, link } => {
            let change = link_change(&link, false)?;
            let answer = client.put(&format!("{url}/stores/{store}"), &change).await?;
            linked(&answer, &format!("Linked {store} to {scope}."), output)
        }
        ScopeChangeArgs::EditStore { store, link, force } => {
            let change = link_change(&link, force)?;
            let answer = client.patch(&format!("{url}/stores/{store}"), &change).await?;
            linked(&answer, &format!("Changed the link of {scope} to {store}."), output)
        }
        ScopeChangeArgs::RemoveStore { store, force } => {
            let answer = client.delete(&format!("{url}/stores/{store}?force={force}")).await?;
            output.done(&answer, &format!("Unlinked {store} from {scope}."))?;
            if let Some(notice) = &answer.1 {
                output.note(notice);
            }
            Ok(())
        }
        ScopeChangeArgs::DefaultStore { store } => {
            let request = crate::api::DefaultStore { store };
            let answer = client.post(&format!("{url}/default-store"), &request).await?;
            output.answer::<ScopeView>(&answer, output::scope)
        }
        ScopeChangeArgs::Set { public_read, no_public_read: _ } => {
            let request = ScopeChange { public_read: Some(public_read) };
            let answer = client.patch(&url, &request).await?;
            output.answer::<ScopeView>(&answer, output::scope)
        }
    }
}

/// The confirmation of a changed link, with what it is warned about.
fn linked(answer: &Reply, sentence: &str, output: Output) -> Result<()> {
    output.answer::<LinkView>(answer, |link| format!("{sentence}{}", output::link_notes(link)))
}

/// The request that the options mean.
pub fn link_change(args: &LinkArgs, force: bool) -> Result<LinkChange> {
    let policy = match &args.policy {
        Some(policy) => {
            policy.as_change().map_err(|e| anyhow!("the policy cannot be taken: {e}"))?
        }
        None => PolicyChange {
            populate: flag(args.populate, args.no_populate),
            drain: drain(args),
            read_only: flag(args.read_only, args.no_read_only),
            write_only: flag(args.write_only, args.no_write_only),
            soft_max_size: args.soft_max_size.map(|limit| limit.0),
        },
    };
    Ok(LinkChange {
        upload_priority: args.upload_priority.map(|p| p.0),
        download_priority: args.download_priority.map(|p| p.0),
        policy: (policy != PolicyChange::default()).then_some(policy),
        force,
    })
}

fn drain(args: &LinkArgs) -> Option<Drain> {
    match (&args.drain_to, args.drain, args.no_drain) {
        (Some(store), ..) => Some(Drain::Into(store.clone())),
        (None, true, _) => Some(Drain::Anywhere),
        (None, false, true) => Some(Drain::No),
        (None, false, false) => None,
    }
}

/// `--x` and `--no-x` as one setting; clap has refused both at once.
pub fn flag(on: bool, off: bool) -> Option<bool> {
    match (on, off) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}
