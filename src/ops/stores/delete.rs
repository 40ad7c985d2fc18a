//! Giving a store up (SPEC 9, 32).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::audit::{Change, store_value};
use super::super::impact::is_lost_with;
use super::super::{Actor, Force, OpError, Refusal, blocking, find_store, plural};
use super::store_error;
use crate::api::{Count, StoreDeleted};
use crate::app::App;
use crate::catalogue::{Counter, Tx};
use crate::domain::{
    ByteSize, Change as SettingChange, Event, File, FileId, Link, LinkSetting, Remedy,
    ReplicaState, ScopeName, Store, StoreId, StoreName, Target, Topology,
};
use crate::stores::Marker;
use crate::transfer::marker_of;
use crate::words::{self, Phrase};

/// Rows dropped per commit.
const BATCH: usize = 500;
const PAGE: usize = 1000;

/// Deletes a store that nothing needs; forced, forgets whatever it holds without contacting it.
pub async fn delete(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
    force: Force,
) -> Result<StoreDeleted, OpError> {
    actor.require_instance_admin()?;
    let store = find_store(&app.catalogue.settings().topology, name)?.clone();
    match force {
        Force::Yes => forget(app, actor, &store).await,
        Force::No => remove(app, actor, &store).await,
    }
}

/// What a forced deletion would lose; nothing is changed.
pub async fn preview(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
) -> Result<StoreDeleted, OpError> {
    actor.require_instance_admin()?;
    let name = name.clone();
    blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let store = find_store(topology, &name)?;
        let mut report = nothing_lost(&name);
        let mut after = None;
        loop {
            let page = app.catalogue.snapshot()?.files_of_store(store.id, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(report) };
            after = Some(last.id);
            add_lost(&mut report, &page, topology, store.id);
        }
    })
    .await
}

fn nothing_lost(name: &StoreName) -> StoreDeleted {
    StoreDeleted { store: name.clone(), lost_files: 0, lost_bytes: 0, lost_digests: Vec::new() }
}

fn add_lost(report: &mut StoreDeleted, files: &[File], topology: &Topology, store: StoreId) {
    for file in files.iter().filter(|f| is_lost_with(topology, f, store)) {
        report.lost_files += 1;
        report.lost_bytes += file.size;
        report.lost_digests.push(file.digest);
    }
}

// ---- the orderly way ----

/// The marker goes before the row: a crash in between leaves a store without a marker, which counts
/// as unavailable and is deleted by the same command again.
async fn remove(app: &Arc<App>, actor: &Actor, store: &Store) -> Result<StoreDeleted, OpError> {
    check_unused(&app.catalogue.settings().topology, store, |state| {
        Ok(app.catalogue.snapshot()?.count(&Counter::Store(store.id, state))?)
    })?;
    finish_deletions(app, store).await?;
    drop_missing(app, store).await?;
    take_marker(app, store).await?;
    let (actor, row) = (actor.clone(), store.clone());
    let gone = app
        .catalogue
        .write(move |tx| {
            check_unused(tx.topology(), &row, |state| {
                Ok(tx.count(&Counter::Store(row.id, state))?)
            })?;
            if !tx.some_files_of_store(row.id, 1)?.is_empty() {
                let detail = format!("store {} was used meanwhile: try again", row.name);
                return Err(OpError::refused(Refusal::StoreInUse, detail));
            }
            record(tx, &actor, &row, (0, 0))?;
            Ok(tx.delete_store(row.id)?)
        })
        .await;
    if let Err(error) = gone {
        give_marker_back(app, store).await;
        return Err(error);
    }
    app.transfer.stores.forget(store.id);
    Ok(nothing_lost(&store.name))
}

fn record(
    tx: &mut Tx<'_>,
    actor: &Actor,
    store: &Store,
    (lost_files, lost_bytes): (u64, u64),
) -> Result<(), OpError> {
    Change::new("store.delete", format!("store {}", store.name))
        .before(store_value(store))
        .after(json!({ "lost_files": lost_files, "lost_bytes": lost_bytes }))
        .record(tx, actor)?;
    Ok(())
}

/// Links, and replicas that are not already on their way out, keep a store.
fn check_unused(
    topology: &Topology,
    store: &Store,
    count: impl Fn(ReplicaState) -> Result<Count, OpError>,
) -> Result<(), OpError> {
    let links: Vec<&Link> = topology.links_to(store.id).collect();
    let (mut files, mut bytes) = (0u64, 0u64);
    for state in [ReplicaState::Present, ReplicaState::Writing, ReplicaState::Corrupt] {
        let held = count(state)?;
        files += held.files;
        bytes += held.bytes;
    }
    if files == 0 && links.is_empty() {
        return Ok(());
    }
    let linked = u64::try_from(links.len()).unwrap_or(u64::MAX);
    let held = Phrase::new(format!(
        "store {} still has {} ({}) and {}. ",
        store.name,
        plural(files, "replica"),
        ByteSize(bytes),
        plural(linked, "link"),
    ));
    let detail = held.then(way_out(topology, store, &links)).then(forced());
    Err(OpError::refused(Refusal::StoreInUse, detail)
        .with("files", files)
        .with("bytes", bytes)
        .with("links", linked))
}

/// What it takes to empty the store.
fn way_out(topology: &Topology, store: &Store, links: &[&Link]) -> Phrase {
    if links.is_empty() {
        return Phrase::new("No scope links it any more: ")
            .command(Remedy::StartRun)
            .text(" removes the replicas that have another home once the grace is over.");
    }
    let named = links.iter().filter_map(|l| topology.scopes.get(&l.scope));
    let scopes: BTreeSet<&ScopeName> = named.map(|scope| &scope.name).collect();
    let drain = |scope: &&ScopeName| Remedy::SetLink {
        scope: (*scope).clone(),
        store: store.name.clone(),
        changes: [LinkSetting::ReadOnly, LinkSetting::Drain]
            .map(|setting| SettingChange::new(setting, Target::On))
            .to_vec(),
    };
    let unlink = |scope: &&ScopeName| Remedy::UnlinkStore {
        scope: (*scope).clone(),
        store: store.name.clone(),
    };
    Phrase::new("Run ")
        .commands(scopes.iter().map(drain))
        .text(", then ")
        .command(Remedy::StartRun)
        .text(", then ")
        .commands(scopes.iter().map(unlink))
        .text(".")
}

fn forced() -> Phrase {
    Phrase::new(" Deleted ").force().text(", the store is forgotten and its bytes stay behind")
}

/// Deletions that are due are done now; others say when they will be.
async fn finish_deletions(app: &App, store: &Store) -> Result<(), OpError> {
    let summary = app.transfer.reap_store(store.id).await?;
    if let Some(problem) = &summary.problem {
        let problem = words::diagnosis(problem, &store.name);
        return Err(OpError::Store {
            kind: "store-unavailable",
            detail: Phrase::new(format!(
                "deletions in store {} are pending and cannot be done: {problem}.",
                store.name
            ))
            .then(forced()),
        });
    }
    if summary.waiting == 0 {
        return Ok(());
    }
    let when = match summary.due {
        Some(due) => format!("the last URL for them expires at {due}"),
        None => "they are being read".to_owned(),
    };
    let detail = format!(
        "{} in store {} cannot be deleted yet, since {when}: try again then",
        plural(summary.waiting, "object"),
        store.name
    );
    let error = OpError::refused(Refusal::DeletionsPending, detail).with("files", summary.waiting);
    Err(match summary.due {
        Some(due) => error.with("due", due.to_string()),
        None => error,
    })
}

/// Rows of missing replicas go when the file has a verified one elsewhere; others keep the store.
async fn drop_missing(app: &App, store: &Store) -> Result<(), OpError> {
    let id = store.id;
    let mut after = None;
    let mut kept = 0u64;
    loop {
        let page = app.catalogue.snapshot()?.marked(ReplicaState::Missing, id, after, BATCH)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let files: Vec<FileId> = page.iter().map(|f| f.id).collect();
        kept += app.catalogue.write(move |tx| drop_rows(tx, id, &files)).await?;
    }
    if kept == 0 {
        return Ok(());
    }
    let detail = Phrase::new(format!(
        "store {} should have {} that were not found there, and no other store has a verified replica of them: run ",
        store.name,
        plural(kept, "file")
    ))
    .command(Remedy::Repair)
    .text(", or repeat ")
    .force()
    .text(" to forget them");
    Err(OpError::refused(Refusal::FilesMissing, detail).with("files", kept))
}

/// Returns how many files have no verified twin.
fn drop_rows(tx: &mut Tx<'_>, store: StoreId, files: &[FileId]) -> Result<u64, OpError> {
    let mut kept = 0;
    for id in files {
        let Some(file) = tx.file(*id)? else { continue };
        if file.state(store) != Some(ReplicaState::Missing) {
            continue;
        }
        let twin = file.replicas.iter().any(|r| {
            r.store != store && r.state == ReplicaState::Present && r.verified_at.is_some()
        });
        if twin || file.members.is_empty() {
            tx.apply(*id, store, Event::Forgotten)?;
        } else {
            kept += 1;
        }
    }
    Ok(kept)
}

fn is_ours(app: &App, store: &Store, found: &Marker) -> bool {
    let ours = marker_of(app.catalogue.instance(), store);
    found.instance == ours.instance && found.store == ours.store
}

/// Takes our marker and unfinished writes out of the location; another's marker stays.
async fn take_marker(app: &App, store: &Store) -> Result<(), OpError> {
    let failed = |e| match store_error(&store.name, &e) {
        OpError::Store { kind, detail } => OpError::Store {
            kind,
            detail: detail
                .text(". The marker could not be removed. Deleted ")
                .force()
                .text(", the store is forgotten without being contacted"),
        },
        other => other,
    };
    let open = app.transfer.stores.get(store.id).map_err(failed)?;
    match open.backend.read_marker().await.map_err(failed)? {
        Some(found) if is_ours(app, store, &found) => {
            open.backend.clean_unfinished(Duration::ZERO).await.map_err(failed)?;
            open.backend.delete_marker().await.map_err(failed)
        }
        Some(_) => {
            tracing::warn!(store = %store.name, "the marker of another store stays where it is");
            Ok(())
        }
        None => Ok(()),
    }
}

async fn give_marker_back(app: &App, store: &Store) {
    let Ok(open) = app.transfer.stores.get(store.id) else { return };
    let absent = matches!(open.backend.read_marker().await, Ok(None));
    let marker = marker_of(app.catalogue.instance(), store);
    if absent && let Err(error) = open.backend.write_marker(&marker).await {
        tracing::error!(%error, store = %store.name, "the marker could not be put back: run store reconcile");
    }
}

// ---- by force ----

/// Drops every row in bounded commits; the last one takes links and store along.
async fn forget(app: &Arc<App>, actor: &Actor, store: &Store) -> Result<StoreDeleted, OpError> {
    let mut report = nothing_lost(&store.name);
    loop {
        let (actor, row) = (actor.clone(), store.clone());
        let so_far = (report.lost_files, report.lost_bytes);
        let step = app.catalogue.write(move |tx| forget_some(tx, &actor, &row, so_far)).await?;
        let (Forgotten::More(part) | Forgotten::All(part)) = &step;
        report.lost_files += part.lost_files;
        report.lost_bytes += part.lost_bytes;
        report.lost_digests.extend_from_slice(&part.lost_digests);
        if matches!(step, Forgotten::All(_)) {
            app.transfer.stores.forget(store.id);
            return Ok(report);
        }
    }
}

enum Forgotten {
    More(StoreDeleted),
    All(StoreDeleted),
}

/// One commit's worth. `so_far` are the files and bytes lost by earlier commits.
fn forget_some(
    tx: &mut Tx<'_>,
    actor: &Actor,
    store: &Store,
    so_far: (u64, u64),
) -> Result<Forgotten, OpError> {
    if !tx.topology().stores.contains_key(&store.id) {
        return Err(OpError::not_found("store", store.name.as_str()));
    }
    let files = tx.some_files_of_store(store.id, BATCH)?;
    let mut part = nothing_lost(&store.name);
    add_lost(&mut part, &files, tx.topology(), store.id);
    for file in &files {
        tx.apply(file.id, store.id, Event::StoreForgotten)?;
    }
    if files.len() == BATCH {
        return Ok(Forgotten::More(part));
    }
    let links: Vec<Link> = tx.topology().links_to(store.id).cloned().collect();
    for link in links {
        tx.delete_link(link.scope, link.store)?;
    }
    record(tx, actor, store, (so_far.0 + part.lost_files, so_far.1 + part.lost_bytes))?;
    tx.delete_store(store.id)?;
    Ok(Forgotten::All(part))
}
