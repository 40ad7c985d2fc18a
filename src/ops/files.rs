//! Single files: listed, shown, explained, brought back (SPEC 9).

use std::sync::Arc;

use serde_json::json;

use super::audit::Change;
use super::retained::{unavailable, world_now};
use super::{Actor, OpError, admitted, blocking, find_scope};
use crate::api::{
    Explanation, FileView, ListedEntry, Listing, MoveView, ReplicaExplanation, ReplicaView, Role,
};
use crate::app::App;
use crate::catalogue::Snapshot;
use crate::domain::{
    Entry, File, FileId, FilePath, LinkSetting, Remedy, ReplicaState, Scope, ScopeId, ScopeName,
    StoreId, StoreName, Target, Topology,
};
use crate::maintenance::PreviewRequest;
use crate::planner::{self, CONFIRMED, World};
use crate::words::Phrase;

/// Entries of a page when the client does not say, and at most.
const PAGE: usize = 1000;
const LARGEST_PAGE: usize = 10_000;

/// A page of live entries in path order.
pub async fn list(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    prefix: &str,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Listing, OpError> {
    let scope = admitted(app, actor, scope, Role::Read)?;
    let limit = limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
    blocking(app, move |app| {
        let snapshot = app.catalogue.snapshot()?;
        let page = snapshot.entries(scope, &prefix, after.as_deref(), limit)?;
        let mut entries = Vec::with_capacity(page.entries.len());
        for (path, entry) in page.entries {
            let file = file_of(&snapshot, entry.file)?;
            entries.push(ListedEntry {
                path: path.to_string(),
                digest: file.digest,
                size: file.size,
                content_type: entry.content_type,
                created_at: entry.created_at,
            });
        }
        let next = entries.last().filter(|_| page.more).map(|e| e.path.clone());
        Ok(Listing { entries, next })
    })
    .await
}

pub(super) fn file_of(snapshot: &Snapshot, id: FileId) -> Result<File, OpError> {
    let file = snapshot.file(id)?;
    file.ok_or_else(|| {
        OpError::Internal(format!("an entry points to file {}, which is gone", id.0))
    })
}

struct Found {
    scope: Scope,
    path: FilePath,
    entry: Entry,
    file: File,
}

/// The entry at a path, with last uses that are not written yet.
fn find(app: &App, topology: &Topology, scope: ScopeId, path: &FilePath) -> Result<Found, OpError> {
    let snapshot = app.catalogue.snapshot()?.with_last_uses(app.catalogue.last_uses().pending());
    let entry = snapshot.entry(scope, path)?;
    let entry = entry.ok_or_else(|| OpError::not_found("file", path.as_str()))?;
    let file = file_of(&snapshot, entry.file)?;
    let scope = topology.scopes.get(&scope).cloned();
    let scope = scope.ok_or_else(|| OpError::not_found("scope", "of this file"))?;
    Ok(Found { scope, path: path.clone(), entry, file })
}

impl Found {
    fn view(&self, topology: &Topology) -> FileView {
        let replicas = self.file.replicas.iter().filter_map(|r| {
            Some(ReplicaView {
                store: topology.stores.get(&r.store)?.name.clone(),
                state: r.state,
                stored_at: r.stored_at,
                verified_at: r.verified_at,
            })
        });
        FileView {
            scope: self.scope.name.clone(),
            path: self.path.to_string(),
            digest: self.file.digest,
            size: self.file.size,
            content_type: self.entry.content_type.clone(),
            created_at: self.entry.created_at,
            last_used: self.file.last_used,
            replicas: replicas.collect(),
        }
    }
}

pub async fn show(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    path: &FilePath,
) -> Result<FileView, OpError> {
    let scope = admitted(app, actor, scope, Role::Admin)?;
    shown(app, scope, path).await
}

async fn shown(app: &Arc<App>, scope: ScopeId, path: &FilePath) -> Result<FileView, OpError> {
    let path = path.clone();
    blocking(app, move |app| {
        let settings = app.catalogue.settings();
        Ok(find(app, &settings.topology, scope, &path)?.view(&settings.topology))
    })
    .await
}

/// Where the replicas are, which one serves, why each stays or would go, and what the next run would
/// do with this file.
pub async fn explain(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    path: &FilePath,
) -> Result<Explanation, OpError> {
    let scope = admitted(app, actor, scope, Role::Admin)?;
    let settings = app.catalogue.settings();
    let path_here = path.clone();
    let found = {
        let settings = Arc::clone(&settings);
        blocking(app, move |app| find(app, &settings.topology, scope, &path_here)).await?
    };
    let serving = serving(app, scope, &found.file).await;
    let next_run = moves_of(app, &found.file).await?;
    blocking(app, move |app| {
        let explained = explained(app, &settings.topology, &found, serving)?;
        Ok(Explanation { next_run, ..explained })
    })
    .await
}

/// A file as the catalogue knows it: `explain` without what takes time.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// `next_run` is empty, and `served_from` goes by the last look at each store.
    pub explanation: Explanation,
    /// The stores that have the file in the order in which downloads try them.
    pub order: Vec<StoreName>,
    /// Why no store could serve it.
    pub unserved: Option<Phrase>,
    /// Other paths of the scope with the same bytes, the first few.
    pub twins: Vec<String>,
}

/// Other paths of the same file that are shown.
const TWINS: usize = 10;

/// What `explain` says without asking a store or planning a run.
pub async fn known(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    path: &FilePath,
) -> Result<Known, OpError> {
    let scope = admitted(app, actor, scope, Role::Admin)?;
    let path = path.clone();
    blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let found = find(app, topology, scope, &path)?;
        let (order, unserved) = match app.transfer.serving_order(scope, &found.file) {
            Ok(order) => (order, None),
            Err(why) => (Vec::new(), Some(why.to_string().into())),
        };
        let works = |store: &StoreId| {
            let seen = app.transfer.stores.last_seen(*store);
            seen.is_available() || seen.problem().is_none()
        };
        let serving = order.iter().copied().find(works);
        let name = |store: StoreId| topology.stores.get(&store).map(|s| s.name.clone());
        let paths = app.catalogue.snapshot()?.paths_of(scope, found.file.id, TWINS + 1)?;
        let twins = paths.into_iter().filter(|other| *other != path).take(TWINS);
        Ok(Known {
            explanation: explained(app, topology, &found, serving)?,
            order: order.into_iter().filter_map(name).collect(),
            unserved,
            twins: twins.map(String::from).collect(),
        })
    })
    .await
}

/// What the next run would do with a file; this may take as long as a dry run.
pub async fn next_run(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    path: &FilePath,
) -> Result<Vec<MoveView>, OpError> {
    let scope = admitted(app, actor, scope, Role::Admin)?;
    let path = path.clone();
    let file = blocking(app, move |app| {
        let settings = app.catalogue.settings();
        Ok(find(app, &settings.topology, scope, &path)?.file)
    });
    moves_of(app, &file.await?).await
}

async fn moves_of(app: &Arc<App>, file: &File) -> Result<Vec<MoveView>, OpError> {
    let preview = app.maintenance.preview(PreviewRequest::File(file.id, file.digest)).await?;
    Ok(preview.moves_of(file.digest))
}

/// The first store in download order that can be used now.
async fn serving(app: &App, scope: ScopeId, file: &File) -> Option<StoreId> {
    for store in app.transfer.serving_order(scope, file).unwrap_or_default() {
        if app.transfer.stores.check(store).await.is_available() {
            return Some(store);
        }
    }
    None
}

fn explained(
    app: &App,
    topology: &Topology,
    found: &Found,
    serving: Option<StoreId>,
) -> Result<Explanation, OpError> {
    let unavailable = unavailable(app, topology);
    let world = world_now(app, topology, &unavailable)?;
    let file = &found.file;
    let mut scopes: Vec<String> = file.scopes().map(|s| topology.scope_name(s)).collect();
    scopes.sort();
    let explained = file.replicas.iter().filter_map(|r| {
        let (removable, why) = why(&world, file, r.store, r.state);
        let why = match unreadable(&world, found.scope.id, r.store) {
            Some(unreadable) => unreadable.text(format!("; {why}")),
            None => why.into(),
        };
        let store = topology.stores.get(&r.store)?.name.clone();
        let serves = serving == Some(r.store);
        Some(ReplicaExplanation { store, state: r.state, serves, removable, why })
    });
    let explained = explained.collect();
    let served_from = serving.and_then(|s| topology.stores.get(&s)).map(|s| s.name.clone());
    let file = found.view(topology);
    Ok(Explanation { file, served_from, scopes, explained, next_run: Vec::new() })
}

/// Why the scope's downloads pass a store over, whatever it holds.
fn unreadable(world: &World<'_>, scope: ScopeId, store: StoreId) -> Option<Phrase> {
    let name = world.topology.stores.get(&store)?.name.clone();
    if world.unavailable.contains(&store) {
        let why = Phrase::new("the store is unavailable: run ");
        return Some(why.command(Remedy::CheckStore { store: name }));
    }
    let Some(link) = world.topology.link(scope, store) else {
        return Some("the scope does not link the store and does not read it".into());
    };
    let scope = world.topology.scopes.get(&scope)?.name.clone();
    link.policy.write_only.then(|| {
        let why =
            "the store is write_only for the scope and never read: restore the file there and run ";
        Phrase::new(why)
            .command(Remedy::set_link(scope, name, LinkSetting::WriteOnly, Target::Off))
            .text(", or upload it again")
    })
}

fn why(world: &World<'_>, file: &File, store: StoreId, state: ReplicaState) -> (bool, String) {
    match state {
        ReplicaState::Writing => (false, "a copy into the store is under way".to_owned()),
        ReplicaState::Deleting => {
            (true, "given up: the bytes go when no issued URL can still read them".to_owned())
        }
        ReplicaState::Missing => {
            (false, "the store did not have it when asked; every run looks again".to_owned())
        }
        ReplicaState::Present | ReplicaState::Corrupt => {
            match planner::removable(world, file, store, CONFIRMED) {
                Ok(()) => (
                    true,
                    "every scope that has the file keeps another replica: it may go when a policy asks for it"
                        .to_owned(),
                ),
                Err(pins) => {
                    let pins: Vec<_> = pins.iter().map(|p| p.text(world.topology)).collect();
                    (false, pins.join("; "))
                }
            }
        }
    }
}

/// Deletes a file for an administrator: it can be brought back during the grace. Unlike the deletes of
/// programs it is a change that the audit list keeps.
pub async fn delete(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    path: &FilePath,
) -> Result<(), OpError> {
    admitted(app, actor, scope, Role::Write)?;
    let (actor, name, path) = (actor.clone(), scope.clone(), path.clone());
    app.catalogue
        .write(move |tx| {
            let scope = find_scope(tx.topology(), &name)?.id;
            let absent = || OpError::not_found("file", path.as_str());
            let entry = tx.entry(scope, &path)?.ok_or_else(absent)?;
            let file = tx.file(entry.file)?.ok_or_else(absent)?;
            tx.remove_entry(scope, &path)?;
            let before = json!({ "digest": file.digest, "size": file.size });
            Change::new("file.delete", subject(&name, &path)).before(before).record(tx, &actor)?;
            Ok(())
        })
        .await
}

fn subject(scope: &ScopeName, path: &FilePath) -> String {
    format!("scope {scope}, file {}", path.as_str())
}

/// Brings the newest tombstone of a path back (SPEC 13, 35). A file that stands at the path is replaced as
/// by an upload: it becomes a tombstone itself.
pub async fn undelete(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    path: &FilePath,
) -> Result<FileView, OpError> {
    let id = admitted(app, actor, scope, Role::Write)?;
    let (actor, name, path_here) = (actor.clone(), scope.clone(), path.clone());
    app.catalogue
        .write(move |tx| {
            let scope = find_scope(tx.topology(), &name)?.id;
            let Some((id, tombstone)) = tx.tombstone_of(scope, &path_here)? else {
                return Err(OpError::not_found("deleted file", path_here.as_str()));
            };
            let mut change = Change::new("file.undelete", subject(&name, &path_here))
                .after(json!({ "deleted_at": tombstone.deleted_at }));
            if let Some(entry) = tx.entry(scope, &path_here)?
                && let Some(file) = tx.file(entry.file)?
            {
                change = change.before(json!({ "digest": file.digest, "size": file.size }));
                tx.remove_entry(scope, &path_here)?;
            }
            tx.undelete(id, &tombstone)?;
            change.record(tx, &actor)?;
            Ok(())
        })
        .await?;
    shown(app, id, path).await
}
