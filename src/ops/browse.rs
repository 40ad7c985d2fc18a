//! A scope's files as folders, and what was deleted from it. Every page is bounded work, whatever
//! the scope holds.

use std::sync::Arc;

use super::files::file_of;
use super::{Actor, OpError, admitted, blocking};
use crate::api::Role;
use crate::app::App;
use crate::catalogue::{Listed, Snapshot};
use crate::domain::{
    Digest, Entry, FilePath, ReplicaState, ScopeName, StoreName, Timestamp, Topology,
};

/// Items of a page.
const PAGE: usize = 200;

/// One page of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What the next page comes after.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Its path from the scope on, with a slash at the end.
    Folder(String),
    File(Row),
}

/// A file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub path: String,
    pub digest: Digest,
    pub size: u64,
    pub content_type: String,
    pub created_at: Timestamp,
    pub stores: Vec<(StoreName, ReplicaState)>,
}

/// A file that can be brought back, or that a newer one has replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedRow {
    pub path: String,
    pub size: u64,
    pub deleted_at: Timestamp,
    /// From when on a run forgets it.
    pub until: Timestamp,
    /// Whether another file stands at the path now.
    pub is_replaced: bool,
}

/// What is at or below `prefix`, which need not end with a slash, one level deep.
pub async fn folder(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    prefix: &str,
    after: Option<&str>,
) -> Result<Page<Item>, OpError> {
    let scope = admitted(app, actor, scope, Role::Read)?;
    let (prefix, after) = bounded(prefix, after)?;
    blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let snapshot = app.catalogue.snapshot()?;
        let level = snapshot.level(scope, &prefix, after.as_deref(), PAGE)?;
        let next = level.items.last().filter(|_| level.more).map(|last| match last {
            Listed::Folder(folder) => folder.clone(),
            Listed::Entry(path, _) => path.to_string(),
        });
        let items = level.items.into_iter().map(|listed| match listed {
            Listed::Folder(folder) => Ok(Item::Folder(folder)),
            Listed::Entry(path, entry) => {
                row(&snapshot, &settings.topology, &path, entry).map(Item::File)
            }
        });
        Ok(Page { items: items.collect::<Result<_, OpError>>()?, next })
    })
    .await
}

fn row(
    snapshot: &Snapshot,
    topology: &Topology,
    path: &FilePath,
    entry: Entry,
) -> Result<Row, OpError> {
    let file = file_of(snapshot, entry.file)?;
    let stores = file.replicas.iter().filter_map(|replica| {
        let store = topology.stores.get(&replica.store)?;
        Some((store.name.clone(), replica.state))
    });
    Ok(Row {
        path: path.to_string(),
        digest: file.digest,
        size: file.size,
        content_type: entry.content_type,
        created_at: entry.created_at,
        stores: stores.collect(),
    })
}

/// The deleted files below `prefix`, each path once.
pub async fn deleted(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    prefix: &str,
    after: Option<&str>,
) -> Result<Page<DeletedRow>, OpError> {
    let scope = admitted(app, actor, scope, Role::Read)?;
    let (prefix, after) = bounded(prefix, after)?;
    let grace = app.config.maintenance.grace;
    blocking(app, move |app| {
        let snapshot = app.catalogue.snapshot()?;
        let found = snapshot.deleted(scope, &prefix, after.as_deref(), PAGE)?;
        let mut rows = Vec::with_capacity(found.items.len());
        for tombstone in found.items {
            rows.push(DeletedRow {
                size: file_of(&snapshot, tombstone.file)?.size,
                deleted_at: tombstone.deleted_at,
                until: tombstone.deleted_at.after(grace),
                is_replaced: snapshot.entry(scope, &tombstone.path)?.is_some(),
                path: tombstone.path.into(),
            });
        }
        let next = rows.last().filter(|_| found.more).map(|row| row.path.clone());
        Ok(Page { items: rows, next })
    })
    .await
}

/// Longer than any path means a mistake.
fn bounded(prefix: &str, after: Option<&str>) -> Result<(String, Option<String>), OpError> {
    for (name, text) in [("prefix", prefix), ("after", after.unwrap_or_default())] {
        if text.len() > FilePath::MAX_BYTES + 1 {
            let detail = format!("{name} is longer than any path: {} bytes", FilePath::MAX_BYTES);
            return Err(OpError::field_invalid(name, detail));
        }
    }
    Ok((prefix.to_owned(), after.filter(|text| !text.is_empty()).map(str::to_owned)))
}
