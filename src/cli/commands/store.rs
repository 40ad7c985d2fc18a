//! `hayloft store …`

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::scope::flag;
use crate::api::{
    Evacuation, ReconcileReport, S3Settings, StoreChange, StoreCheck, StoreCreate, StoreDeleted,
    StoreView, SweepReport, SweepRequest,
};
use crate::cli::CommandEnd;
use crate::cli::args::{
    LimitArgs, S3Args, SecretArg, StoreBackendArgs, StoreCommand, StoreCreateArgs, StoreDeleteArgs,
    StoreManageArgs,
};
use crate::cli::client::AdminClient;
use crate::cli::output::{self, Output};
use crate::domain::StoreName;

/// No secret of any provider is longer.
const SECRET_MAX: u64 = 4096;

pub async fn run(
    client: &AdminClient,
    command: StoreCommand,
    output: Output,
) -> Result<CommandEnd> {
    match command {
        StoreCommand::Create(args) => create(client, args, output).await,
        StoreCommand::Manage(args) => manage(client, &args, output).await,
        StoreCommand::Delete(args) => delete(client, &args, output).await,
        StoreCommand::List => {
            output.answer::<Vec<StoreView>>(&client.get("stores").await?, output::stores)?;
            Ok(CommandEnd::Done)
        }
        StoreCommand::Show { name } => {
            let answer = client.get(&format!("stores/{name}")).await?;
            output.answer::<StoreView>(&answer, output::store)?;
            Ok(CommandEnd::Done)
        }
        StoreCommand::Check { name } => {
            let answer = client.act(&format!("stores/{name}/check")).await?;
            output.answer::<StoreCheck>(&answer, output::check)?;
            Ok(CommandEnd::done_if(answer.read::<StoreCheck>()?.ok))
        }
        StoreCommand::Evacuation { name, list } => {
            let answer = client.get(&format!("stores/{name}/evacuation?list={list}")).await?;
            output.answer::<Evacuation>(&answer, output::evacuation)?;
            Ok(CommandEnd::done_if(answer.read::<Evacuation>()?.can_be_given_up))
        }
        StoreCommand::Reconcile { name } => {
            let answer = client.act(&format!("stores/{name}/reconcile")).await?;
            output.answer::<ReconcileReport>(&answer, output::reconciled)?;
            Ok(CommandEnd::Done)
        }
        StoreCommand::Sweep { name, confirm } => sweep(client, &name, confirm, output).await,
    }
}

pub async fn create(
    client: &AdminClient,
    args: StoreCreateArgs,
    output: Output,
) -> Result<CommandEnd> {
    let request = creation(args)?;
    let answer = client.post("stores", &request).await?;
    output.answer::<StoreView>(&answer, output::store)?;
    output.note(&format!(
        "Next: `hayloft store check {0}` proves that it does all that is needed; `hayloft scope manage \
         SCOPE add-store {0}` lets a scope use it.",
        request.name
    ));
    Ok(CommandEnd::Done)
}

/// The request that the options mean; reads the secret.
fn creation(args: StoreCreateArgs) -> Result<StoreCreate> {
    let (limits, s3, mut request) = match args.backend {
        StoreBackendArgs::Local { root, limits, adopt } => {
            let request = blank(args.name, "local", adopt);
            (limits, S3Settings::default(), StoreCreate { root: Some(absolute(&root)?), ..request })
        }
        StoreBackendArgs::S3 { bucket, prefix, s3, limits, adopt } => {
            let request = blank(args.name, "s3", adopt);
            (limits, settings(&s3)?, StoreCreate { bucket: Some(bucket), prefix, ..request })
        }
    };
    request.s3 = s3;
    request.instance_wide = flag(limits.instance_wide, limits.no_instance_wide);
    request.soft_max_size = limits.soft_max_size.and_then(|limit| limit.0);
    request.max_size = limits.max_size.and_then(|limit| limit.0);
    Ok(request)
}

fn blank(name: StoreName, backend: &str, adopt: bool) -> StoreCreate {
    StoreCreate {
        name,
        backend: backend.to_owned(),
        root: None,
        bucket: None,
        prefix: None,
        s3: S3Settings::default(),
        instance_wide: None,
        soft_max_size: None,
        max_size: None,
        adopt,
    }
}

/// A relative root is meant from here; the server works elsewhere.
fn absolute(root: &Path) -> Result<String> {
    let root = std::path::absolute(root).context("cannot tell the current directory")?;
    root.into_os_string().into_string().map_err(|_| anyhow::anyhow!("the root is not UTF-8"))
}

async fn manage(
    client: &AdminClient,
    args: &StoreManageArgs,
    output: Output,
) -> Result<CommandEnd> {
    let LimitArgs { instance_wide, no_instance_wide, soft_max_size, max_size } = &args.limits;
    let change = StoreChange {
        s3: settings(&args.s3)?,
        instance_wide: flag(*instance_wide, *no_instance_wide),
        soft_max_size: soft_max_size.map(|limit| limit.0),
        max_size: max_size.map(|limit| limit.0),
    };
    let answer = client.patch(&format!("stores/{}", args.name), &change).await?;
    output.answer::<StoreView>(&answer, output::store)?;
    Ok(CommandEnd::Done)
}

fn settings(args: &S3Args) -> Result<S3Settings> {
    Ok(S3Settings {
        region: args.region.clone(),
        endpoint: args.endpoint.clone(),
        public_endpoint: args.public_endpoint.clone(),
        path_style: flag(args.path_style, args.no_path_style),
        storage_class: args.storage_class.clone(),
        serve: args.serve,
        presign_ttl: args.presign_ttl,
        checksum: args.checksum,
        access_key_id: args.access_key_id.clone(),
        secret_access_key: args.secret_access_key_file.as_ref().map(read_secret).transpose()?,
        credentials: args.credentials.as_ref().map(|c| c.0.clone()),
    })
}

/// The secret without the line end that editors add.
fn read_secret(from: &SecretArg) -> Result<String> {
    let (source, name): (Box<dyn Read>, String) = match from {
        SecretArg::StandardInput => (Box::new(std::io::stdin()), "standard input".to_owned()),
        SecretArg::File(path) => {
            let name = path.display().to_string();
            (Box::new(File::open(path).with_context(|| format!("cannot read {name}"))?), name)
        }
    };
    let mut text = String::new();
    source
        .take(SECRET_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the secret from {name}"))?;
    let secret = text.trim();
    if secret.is_empty() || text.len() as u64 > SECRET_MAX {
        bail!("{name} holds no secret access key: one line is expected");
    }
    Ok(secret.to_owned())
}

async fn sweep(
    client: &AdminClient,
    name: &StoreName,
    confirm: bool,
    output: Output,
) -> Result<CommandEnd> {
    let answer = client.post(&format!("stores/{name}/sweep"), &SweepRequest { confirm }).await?;
    output.answer::<SweepReport>(&answer, output::swept)?;
    Ok(CommandEnd::done_if(answer.read::<SweepReport>()?.stopped.is_none()))
}

pub async fn delete(
    client: &AdminClient,
    args: &StoreDeleteArgs,
    output: Output,
) -> Result<CommandEnd> {
    let name = &args.name;
    if args.force && !announce_losses(client, args, output).await? {
        bail!("nothing was deleted");
    }
    let answer = client.delete(&format!("stores/{name}?force={}", args.force)).await?;
    if let Some(report) = &args.report {
        write_report(report, &answer.read()?)?;
    }
    output.answer::<StoreDeleted>(&answer, output::deleted)?;
    Ok(CommandEnd::Done)
}

/// Says what a forced deletion loses, and writes the report while the digests are still known,
/// so that a report that cannot be written stops the deletion. False when the answer is no.
async fn announce_losses(
    client: &AdminClient,
    args: &StoreDeleteArgs,
    output: Output,
) -> Result<bool> {
    let name = &args.name;
    let losses: StoreDeleted = client.get(&format!("stores/{name}/deletion")).await?.read()?;
    if let Some(report) = &args.report {
        write_report(report, &losses)?;
    }
    let files = output::count(losses.lost_files, "file");
    let size = output::bytes(losses.lost_bytes);
    output.note(&format!(
        "{files} ({size}) will lose their last readable replica. The bytes stay behind in {name}."
    ));
    output::confirm(&format!("Forget store {name}?"))
}

fn write_report(path: &PathBuf, losses: &StoreDeleted) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        for digest in &losses.lost_digests {
            writeln!(file, "{digest}")?;
        }
        file.sync_all()
    };
    write().with_context(|| format!("cannot write the report {}", path.display()))
}
