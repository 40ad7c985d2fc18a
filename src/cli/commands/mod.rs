//! What each command does.

mod get;
mod import;
mod put;
mod scope;
pub mod server;
pub mod status;
mod store;
mod vacuum;

use anyhow::Result;
use futures_util::future::LocalBoxFuture;

use super::CommandEnd;
use super::args::{Command, FileCommand, Global, ImportCommand, NotifyCommand, TokenCommand};
use super::client::{AdminClient, in_path, in_query};
use super::local;
use super::output::{self, Output, Table};
use crate::api::{
    Explanation, FileView, NotifyTested, SignInLink, TokenCreate, TokenCreated, TokenView,
    VerifyReport, VerifyRequest,
};

/// Carries out a command that needs a server (or the catalogue).
pub fn run<'a>(
    client: &'a AdminClient,
    global: &'a Global,
    command: Command,
    output: Output,
) -> LocalBoxFuture<'a, Result<CommandEnd>> {
    Box::pin(async move {
        match command {
            Command::Status => status::run(client, global, output).await,
            Command::Verify { read, repair } => verify(client, read, repair, output).await,
            Command::Scope(command) => scope::run(client, command, output).await,
            Command::Store(command) => store::run(client, command, output).await,
            Command::CreateFileStore(args) => store::create(client, args, output).await,
            Command::DeleteFileStore(args) => store::delete(client, &args, output).await,
            Command::Vacuum(args) => vacuum::run(client, &args, output).await,
            Command::File(command) => file(client, command, output).await,
            Command::Token(command) => token(client, command, output).await,
            Command::Notify(NotifyCommand::Test) => test_receivers(client, output).await,
            Command::Import(ImportCommand::Workspaces { file }) => {
                import::workspaces(client, &file, output).await
            }
            Command::Import(ImportCommand::Directory { scope, dir, prefix }) => {
                import::directory(client, &scope, &dir, &prefix, output).await
            }
            // These need no client and are handled before one is made.
            Command::Serve
            | Command::CheckConfig
            | Command::Completions { .. }
            | Command::Man { .. } => Ok(CommandEnd::Done),
        }
    })
}

async fn verify(
    client: &AdminClient,
    read: bool,
    repair: bool,
    output: Output,
) -> Result<CommandEnd> {
    let answer = client.post("verify", &VerifyRequest { read, repair }).await?;
    output.answer::<VerifyReport>(&answer, output::verify)?;
    Ok(CommandEnd::done_if(answer.read::<VerifyReport>()?.ok))
}

async fn test_receivers(client: &AdminClient, output: Output) -> Result<CommandEnd> {
    let answer = client.act("notify/test").await?;
    output.answer::<Vec<NotifyTested>>(&answer, receivers)?;
    let tested: Vec<NotifyTested> = answer.read()?;
    Ok(CommandEnd::done_if(!tested.is_empty() && tested.iter().all(|one| one.delivered)))
}

fn receivers(list: &Vec<NotifyTested>) -> String {
    let mut table = Table::new(&["KIND", "RECEIVER", "RESULT"]);
    for one in list {
        let result = one.problem.clone().unwrap_or_else(|| "delivered".to_owned());
        table.row([one.kind.clone(), one.url.clone(), result]);
    }
    table.show_or("No receivers. Add a [[notify]] section to the configuration and restart")
}

async fn file(client: &AdminClient, command: FileCommand, output: Output) -> Result<CommandEnd> {
    match command {
        FileCommand::Put { scope, file, path, content_type } => {
            put::file(client, &scope, &file, path, content_type.as_deref(), output).await?;
        }
        FileCommand::Get { scope, path, output: target, proxy } => {
            get::file(client, &scope, &path, target.as_deref(), proxy, output).await?;
        }
        FileCommand::List { scope, prefix } => get::list(client, &scope, &prefix, output).await?,
        FileCommand::Show { scope, path } => {
            let answer =
                client.get(&format!("scopes/{scope}/files/{}", in_path(path.as_str()))).await?;
            output.answer::<FileView>(&answer, output::file)?;
        }
        FileCommand::Explain { scope, path } => {
            let answer =
                client.get(&format!("scopes/{scope}/explain/{}", in_path(path.as_str()))).await?;
            output.answer::<Explanation>(&answer, output::explanation)?;
        }
        FileCommand::Delete { scope, path } => {
            let url = format!("/files/{scope}/{}", in_path(path.as_str()));
            client.send(client.request(reqwest::Method::DELETE, &url)?).await?;
            output.note(&format!(
                "Deleted. Within the grace period: hayloft file undelete {scope} {}",
                local::argument(path.as_str())
            ));
        }
        FileCommand::Undelete { scope, path } => {
            let answer =
                client.act(&format!("scopes/{scope}/undelete/{}", in_path(path.as_str()))).await?;
            output.done(&answer, &format!("{path} is back in {scope}."))?;
        }
    }
    Ok(CommandEnd::Done)
}

async fn token(client: &AdminClient, command: TokenCommand, output: Output) -> Result<CommandEnd> {
    match command {
        TokenCommand::Create { name, role, scope, expires } => {
            let answer = client.post("tokens", &TokenCreate { name, role, scope, expires }).await?;
            // The bare token on standard output, so that it can be piped into a file.
            output.answer::<TokenCreated>(&answer, |created| created.token.clone())?;
            output.note("This is the only time that the token is shown.");
        }
        TokenCommand::List => {
            output.answer::<Vec<TokenView>>(&client.get("tokens").await?, tokens)?;
        }
        TokenCommand::Revoke { id } => {
            let answer = client.delete(&format!("tokens/{}", in_query(&id))).await?;
            output.done(&answer, &format!("Revoked token {id}."))?;
        }
        TokenCommand::Link => {
            let answer = client.act("tokens/link").await?;
            output.answer::<SignInLink>(&answer, |link| link.url.clone())?;
            output.note("The link works once.");
        }
    }
    Ok(CommandEnd::Done)
}

fn tokens(list: &Vec<TokenView>) -> String {
    let mut table = Table::new(&["ID", "NAME", "ROLE", "SCOPE", "CREATED", "EXPIRES", "LAST USED"]);
    for token in list {
        table.row([
            token.id.clone(),
            token.name.clone(),
            format!("{:?}", token.role).to_lowercase(),
            token.scope.as_ref().map_or_else(|| "(all)".to_owned(), ToString::to_string),
            output::time(token.created_at),
            token.expires_at.map_or_else(|| "never".to_owned(), output::time),
            token.last_used.map_or_else(|| "never".to_owned(), output::time),
        ]);
    }
    table.show_or("No tokens. Create one: hayloft token create --name N --role read")
}
