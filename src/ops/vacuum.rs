//! Runs of the vacuum and what else maintenance does on demand (SPEC 7), for those who may ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use super::audit::Change;
use super::{Actor, OpError, Refusal, blocking, find_store};
use crate::api::{
    ChangePreview, FileName, Outcome, Preview, ReconcileReport, Run, SweepReport, SweepRequest,
    VerifyReport, VerifyRequest,
};
use crate::app::App;
use crate::domain::{Digest, StoreId, StoreName, Topology};
use crate::maintenance::{
    ControlError, Freshness, KnownPreview, PreviewError, PreviewRequest, StartError, SweepError,
};
use crate::words;

/// Runs kept (SPEC 7).
const KEPT: usize = 100;

/// Which run is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Id(u64),
    /// The one at work or paused.
    Current,
}

/// What a run may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Pause,
    Resume,
    Cancel,
}

impl From<StartError> for OpError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::InProgress { run } => {
                Self::refused(Refusal::RunInProgress, format!("run {run} is in progress"))
                    .with("run", run)
            }
            StartError::Catalogue(error) => Self::Catalogue(error),
        }
    }
}

fn control_error(run: u64, error: ControlError) -> OpError {
    let detail = error.to_string();
    match error {
        ControlError::NoSuchRun => OpError::not_found("run", run.to_string()),
        ControlError::NotRunning => OpError::refused(Refusal::RunOver, detail),
        ControlError::Catalogue(error) => OpError::Catalogue(error),
    }
}

fn sweep_error(name: &StoreName, error: SweepError) -> OpError {
    match error {
        SweepError::NoSuchStore => OpError::not_found("store", name.as_str()),
        SweepError::Unavailable(found) => {
            let why = words::diagnosis(&found, name);
            let detail = format!("store {name} is unavailable: {why}");
            OpError::Store { kind: "store-unavailable", detail: detail.into() }
        }
        SweepError::NotOurs(found) => {
            let detail = format!("store {name}: {}", words::diagnosis(&found, name));
            OpError::refused(Refusal::ForeignMarker, detail)
        }
        SweepError::Catalogue(error) => OpError::Catalogue(error),
    }
}

impl From<PreviewError> for OpError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Busy => {
                Self::Store { kind: "too-many-previews", detail: error.to_string().into() }
            }
            PreviewError::Catalogue(error) => Self::Catalogue(error),
        }
    }
}

/// What the next run would do; nothing is changed.
pub async fn preview(
    app: &Arc<App>,
    actor: &Actor,
    wanted: PreviewRequest,
) -> Result<Arc<Preview>, OpError> {
    actor.require_instance_admin()?;
    Ok(app.maintenance.preview(wanted).await?)
}

/// The newest preview, however old, unless a run or a change of settings has overtaken it; never
/// waits.
pub fn known_preview(app: &App, actor: &Actor) -> Result<Option<KnownPreview>, OpError> {
    actor.require_instance_admin()?;
    Ok(app.maintenance.known_preview())
}

/// What the next run would do as things are and as if `topology` were the configuration.
pub(super) async fn preview_with(app: &App, topology: Topology) -> Result<ChangePreview, OpError> {
    let before = app.maintenance.preview(PreviewRequest::Sums(Freshness::Recent)).await?;
    let after = app.maintenance.preview(PreviewRequest::With(topology)).await?;
    Ok(ChangePreview { before: before.in_sums(), after: after.in_sums() })
}

/// A path of each file, in the scope that is named beside it if it has one there. Files without a
/// live entry have none.
pub async fn names_of(
    app: &Arc<App>,
    actor: &Actor,
    files: Vec<(Digest, Option<String>)>,
) -> Result<BTreeMap<Digest, FileName>, OpError> {
    actor.require_instance_admin()?;
    blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let snapshot = app.catalogue.snapshot()?;
        let mut names = BTreeMap::new();
        for (digest, scope) in files {
            let Some(file) = snapshot.file_by_digest(&digest)? else { continue };
            let asked = scope.and_then(|name| settings.topology.scope(&name)).map(|s| s.id);
            let live = file.members.iter().filter(|m| m.live > 0).map(|m| m.scope);
            let Some(scope) = live.min_by_key(|id| Some(*id) != asked) else { continue };
            if let Some(path) = snapshot.paths_of(scope, file.id, 1)?.into_iter().next() {
                let scope = settings.topology.scope_name(scope);
                names.insert(digest, FileName { scope, path: path.as_str().to_owned() });
            }
        }
        Ok(names)
    })
    .await
}

/// The runs that are kept, newest first.
pub async fn list(app: &Arc<App>, actor: &Actor) -> Result<Vec<Run>, OpError> {
    actor.require_instance_admin()?;
    let current = app.maintenance.current();
    blocking(app, move |app| {
        let mut runs = app.catalogue.snapshot()?.runs(KEPT)?;
        // The history has a run's last recorded moment; the one at work knows better.
        if let Some(current) = current
            && let Some(row) = runs.iter_mut().find(|r| r.id == current.id)
        {
            *row = current;
        }
        Ok(runs)
    })
    .await
}

pub async fn start(app: &Arc<App>, actor: &Actor) -> Result<Run, OpError> {
    actor.require_instance_admin()?;
    let run = app.maintenance.start().await?;
    note(app, actor, "vacuum.start", run.id).await?;
    Ok(run)
}

pub async fn show(
    app: &Arc<App>,
    actor: &Actor,
    which: Which,
    moves: bool,
) -> Result<Run, OpError> {
    actor.require_instance_admin()?;
    let id = resolve(app, which)?;
    let run = app.maintenance.run(id, moves).await?;
    run.ok_or_else(|| OpError::not_found("run", id.to_string()))
}

/// Pauses, resumes or cancels a run between files.
pub async fn control(
    app: &Arc<App>,
    actor: &Actor,
    which: Which,
    control: Control,
) -> Result<Run, OpError> {
    actor.require_instance_admin()?;
    let id = resolve(app, which)?;
    let (what, run) = match control {
        Control::Pause => ("vacuum.pause", app.maintenance.pause(id).await),
        Control::Resume => ("vacuum.resume", app.maintenance.resume(id).await),
        Control::Cancel => ("vacuum.cancel", app.maintenance.cancel(id).await),
    };
    let run = run.map_err(|error| control_error(id, error))?;
    note(app, actor, what, Some(id)).await?;
    Ok(run)
}

/// A run and, while it is at work, its progress.
pub async fn watch(
    app: &Arc<App>,
    actor: &Actor,
    which: Which,
) -> Result<(Run, Option<watch::Receiver<Run>>), OpError> {
    actor.require_instance_admin()?;
    let id = resolve(app, which)?;
    // The receiver first: a run that ends in between has its end in it.
    let progress = app.maintenance.watch(id);
    Ok((show(app, actor, Which::Id(id), false).await?, progress))
}

fn resolve(app: &App, which: Which) -> Result<u64, OpError> {
    if let Which::Id(id) = which {
        return Ok(id);
    }
    if let Some(id) = app.maintenance.current().and_then(|r| r.id) {
        return Ok(id);
    }
    // Left by an earlier process: it can be resumed or cancelled.
    let newest = app.catalogue.snapshot()?.runs(1)?.into_iter().next();
    let left = newest.filter(|r| matches!(r.outcome, Outcome::Running | Outcome::Paused));
    left.and_then(|r| r.id).ok_or(OpError::NoRun)
}

async fn note(
    app: &Arc<App>,
    actor: &Actor,
    what: &'static str,
    run: Option<u64>,
) -> Result<(), OpError> {
    let actor = actor.clone();
    let subject = run.map_or_else(|| "run".to_owned(), |id| format!("run {id}"));
    app.catalogue.write(move |tx| Change::new(what, &subject).record(tx, &actor)).await?;
    Ok(())
}

/// Removes orphans of a store; `confirm` overrides the brake.
pub async fn sweep(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
    request: &SweepRequest,
) -> Result<SweepReport, OpError> {
    let store = admitted(app, actor, name)?;
    let swept = app.maintenance.sweep(store, request.confirm).await;
    let report = swept.map_err(|e| sweep_error(name, e))?;
    let after = json!({ "orphans": report.orphans, "deleted": report.deleted });
    changed(app, actor, "store.sweep", name, after).await?;
    Ok(report)
}

/// Takes a store as it is: writes its marker again and settles what is there and what is not.
pub async fn reconcile(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
) -> Result<ReconcileReport, OpError> {
    let store = admitted(app, actor, name)?;
    let report = app.maintenance.reconcile(store).await.map_err(|e| sweep_error(name, e))?;
    let after =
        json!({ "known": report.known, "adopted": report.adopted, "missing": report.missing });
    changed(app, actor, "store.reconcile", name, after).await?;
    Ok(report)
}

fn admitted(app: &App, actor: &Actor, name: &StoreName) -> Result<StoreId, OpError> {
    actor.require_instance_admin()?;
    Ok(find_store(&app.catalogue.settings().topology, name)?.id)
}

async fn changed(
    app: &Arc<App>,
    actor: &Actor,
    what: &'static str,
    name: &StoreName,
    after: serde_json::Value,
) -> Result<(), OpError> {
    let (actor, subject) = (actor.clone(), format!("store {name}"));
    app.catalogue
        .write(move |tx| Change::new(what, &subject).after(after.clone()).record(tx, &actor))
        .await?;
    Ok(())
}

/// Recounts, looks at every replica, reads it when asked, and heals when asked.
pub async fn verify(
    app: &Arc<App>,
    actor: &Actor,
    request: &VerifyRequest,
) -> Result<VerifyReport, OpError> {
    actor.require_instance_admin()?;
    Ok(app.maintenance.verify(request.read, request.repair).await?)
}
