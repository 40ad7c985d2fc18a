//! Scopes and how they are shown (SPEC 3, 8, 11).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::audit::{Change, link_value};
use super::link_view::{self, Depth};
use super::scope_totals::ScopeTotals;
use super::{Actor, Force, OpError, Refusal, find_scope, find_store, links, plural, warnings};
use crate::api::{Count, DefaultStore, Health, Role, ScopeChange, ScopeCreate, ScopeView};
use crate::app::App;
use crate::catalogue::{CatalogueError, Tx, values};
use crate::domain::{Link, Scope, ScopeId, ScopeName, StoreId, StoreName, Topology};
use crate::words::Phrase;

/// The upload priority of a scope's default store (SPEC 3).
pub(super) const DEFAULT_PRIORITY: i32 = 100;
/// The store that a new scope links.
pub(super) const DEFAULT_STORE: &str = "local";
/// Entries deleted per commit.
const BATCH: usize = 500;

pub async fn list(app: &Arc<App>, actor: &Actor) -> Result<Vec<ScopeView>, OpError> {
    actor.require_instance_admin()?;
    super::blocking(app, |app| {
        let settings = app.catalogue.settings();
        let scopes = settings.topology.scopes_by_name();
        scopes.into_iter().map(|scope| view(app, &settings.topology, scope)).collect()
    })
    .await
}

/// Every store beside every scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// By name.
    pub stores: Vec<Column>,
    /// By name; their links without what other scopes keep.
    pub scopes: Vec<ScopeView>,
    /// The scope that the next page comes after.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: StoreName,
    pub backend: &'static str,
    /// As last seen.
    pub health: Health,
    pub warnings: Vec<Phrase>,
}

/// Scopes of a page.
const ROWS: usize = 100;

/// A page of all scopes, after the one that is named, and all stores. It waits for no store.
pub async fn matrix(app: &Arc<App>, actor: &Actor, after: Option<&str>) -> Result<Matrix, OpError> {
    actor.require_instance_admin()?;
    let after = after.unwrap_or_default().to_owned();
    super::blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let stores = topology.stores_by_name().into_iter().map(|store| {
            Ok(Column {
                name: store.name.clone(),
                backend: store.backend.kind(),
                health: super::stores::health(app, store),
                warnings: warnings::phrases(&super::stores::own_warnings(app, store)?),
            })
        });
        let all = topology.scopes_by_name().into_iter();
        let mut rest = all.filter(|scope| scope.name.as_str() > after.as_str()).peekable();
        let page = rest.by_ref().take(ROWS);
        let scopes = page.map(|scope| view_to(app, topology, scope, Depth::Sums));
        let scopes: Vec<ScopeView> = scopes.collect::<Result<_, OpError>>()?;
        let last = scopes.last().filter(|_| rest.peek().is_some());
        Ok(Matrix {
            stores: stores.collect::<Result<_, OpError>>()?,
            next: last.map(|scope| scope.name.to_string()),
            scopes,
        })
    })
    .await
}

/// What deleting a scope would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    /// Files with an entry, which would become deleted files in their grace.
    pub files: Count,
    pub links: Vec<String>,
    /// Names of the tokens that would go with it.
    pub tokens: Vec<String>,
    pub grace: Duration,
}

/// What deleting a scope would do; nothing is changed.
pub async fn deletion(
    app: &Arc<App>,
    actor: &Actor,
    name: &ScopeName,
) -> Result<Deletion, OpError> {
    actor.require_instance_admin()?;
    let name = name.clone();
    super::blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let scope = find_scope(topology, &name)?.id;
        let totals = ScopeTotals::new(topology, scope, app.catalogue.snapshot()?.holders(scope)?);
        let tokens = settings.tokens.values().filter(|token| token.scope == Some(scope));
        Ok(Deletion {
            files: totals.live(),
            links: topology.links_of(scope).map(|l| topology.store_name(l.store)).collect(),
            tokens: tokens.map(|token| token.name.clone()).collect(),
            grace: app.config.maintenance.grace,
        })
    })
    .await
}

pub async fn show(app: &Arc<App>, actor: &Actor, name: &ScopeName) -> Result<ScopeView, OpError> {
    super::admitted(app, actor, name, Role::Admin)?;
    shown(app, name).await
}

async fn shown(app: &Arc<App>, name: &ScopeName) -> Result<ScopeView, OpError> {
    let name = name.clone();
    super::blocking(app, move |app| {
        let settings = app.catalogue.settings();
        view(app, &settings.topology, find_scope(&settings.topology, &name)?)
    })
    .await
}

fn view(app: &App, topology: &Topology, scope: &Scope) -> Result<ScopeView, OpError> {
    view_to(app, topology, scope, Depth::Whole)
}

fn view_to(
    app: &App,
    topology: &Topology,
    scope: &Scope,
    depth: Depth,
) -> Result<ScopeView, OpError> {
    let totals = ScopeTotals::new(topology, scope.id, app.catalogue.snapshot()?.holders(scope.id)?);
    let live = totals.live();
    Ok(ScopeView {
        name: scope.name.clone(),
        public_read: scope.public_read,
        files: live.files,
        bytes: live.bytes,
        stores: link_view::of_scope(app, topology, scope.id, &totals, depth)?,
    })
}

/// Makes a scope and its first links. A scope that was deleted under this name within the grace gets
/// its tombstones back.
pub async fn create(
    app: &Arc<App>,
    actor: &Actor,
    request: &ScopeCreate,
) -> Result<ScopeView, OpError> {
    actor.require_instance_admin()?;
    let (actor, job) = (actor.clone(), request.clone());
    app.catalogue
        .write(move |tx| {
            if tx.topology().scope(job.name.as_str()).is_some() {
                let detail = format!("there is a scope {} already: choose another name", job.name);
                return Err(OpError::refused(Refusal::ScopeExists, detail).at("name"));
            }
            let plan = first_links(tx.topology(), &job)?;
            let id = insert(tx, &actor, &job.name, job.public_read)?;
            for (store, upload_priority) in plan {
                links::prioritise(tx, &actor, id, store, upload_priority)?;
            }
            Ok(())
        })
        .await?;
    shown(app, &request.name).await
}

/// Writes a new scope without links.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &ScopeName,
    public_read: bool,
) -> Result<ScopeId, OpError> {
    let id = match former(tx, name)? {
        Some(id) => id,
        None => tx.new_scope_id()?,
    };
    Change::new("scope.create", format!("scope {name}"))
        .after(json!({ "public_read": public_read }))
        .record(tx, actor)?;
    tx.put_scope(Scope { id, name: name.clone(), public_read, created_at: tx.now() })?;
    Ok(id)
}

/// Takes back the id of a deleted scope of this name whose tombstones are still there.
fn former(tx: &mut Tx<'_>, name: &ScopeName) -> Result<Option<ScopeId>, CatalogueError> {
    let mut former = tx.value(&values::FORMER_SCOPES)?.unwrap_or_default();
    let Some(id) = former.remove(name.as_str()) else { return Ok(None) };
    tx.set_value(&values::FORMER_SCOPES, &former)?;
    Ok((!tx.holders(id)?.is_empty()).then_some(id))
}

/// The stores to link, with upload priorities: the default one with 100 and the others without; when
/// the default is not wanted, or was deleted, the first of the others gets the 100.
fn first_links(
    topology: &Topology,
    request: &ScopeCreate,
) -> Result<Vec<(StoreId, Option<i32>)>, OpError> {
    let mut stores: Vec<StoreId> = Vec::new();
    if !request.no_local {
        stores.extend(topology.store(DEFAULT_STORE).map(|s| s.id));
    }
    for name in &request.stores {
        let id = find_store(topology, name)?.id;
        if !stores.contains(&id) {
            stores.push(id);
        }
    }
    let priority = |i: usize| (i == 0).then_some(DEFAULT_PRIORITY);
    Ok(stores.into_iter().enumerate().map(|(i, store)| (store, priority(i))).collect())
}

/// Changes what is the scope's own.
pub async fn change(
    app: &Arc<App>,
    actor: &Actor,
    name: &ScopeName,
    change: &ScopeChange,
) -> Result<ScopeView, OpError> {
    actor.require_instance_admin()?;
    let (actor, scope, change) = (actor.clone(), name.clone(), change.clone());
    app.catalogue
        .write(move |tx| {
            let old = find_scope(tx.topology(), &scope)?.clone();
            let public_read = change.public_read.unwrap_or(old.public_read);
            if public_read != old.public_read {
                Change::new("scope.set", format!("scope {scope}"))
                    .before(json!({ "public_read": old.public_read }))
                    .after(json!({ "public_read": public_read }))
                    .record(tx, &actor)?;
                tx.put_scope(Scope { public_read, ..old })?;
            }
            Ok::<_, OpError>(())
        })
        .await?;
    shown(app, name).await
}

/// Makes a store the first for uploads: linked if needed, with priority 100, or one more than the
/// highest other when that is not below 100 (SPEC 3).
pub async fn default_store(
    app: &Arc<App>,
    actor: &Actor,
    name: &ScopeName,
    request: &DefaultStore,
) -> Result<ScopeView, OpError> {
    actor.require_instance_admin()?;
    let (actor, scope, store) = (actor.clone(), name.clone(), request.store.clone());
    app.catalogue
        .write(move |tx| {
            let scope = find_scope(tx.topology(), &scope)?.id;
            let store = find_store(tx.topology(), &store)?.id;
            make_default(tx, &actor, scope, store)
        })
        .await?;
    shown(app, name).await
}

fn make_default(
    tx: &mut Tx<'_>,
    actor: &Actor,
    scope: ScopeId,
    store: StoreId,
) -> Result<(), OpError> {
    let others = tx.topology().links_of(scope).filter(|l| l.store != store);
    let highest = others.filter_map(|l| l.upload_priority).max();
    let above = highest.map_or(Some(DEFAULT_PRIORITY), |h| h.checked_add(1));
    let Some(above) = above else {
        return Err(OpError::refused(
            Refusal::NoHigherPriority,
            "another store has the highest possible upload priority: lower that one first",
        )
        .at("store"));
    };
    let upload_priority = Some(above.max(DEFAULT_PRIORITY));
    links::prioritise(tx, actor, scope, store, upload_priority).map(drop)
}

/// Deletes a scope. Refused while entries or links remain; forced, the entries become tombstones in
/// their grace and the links go. Its tokens go with it.
pub async fn delete(
    app: &Arc<App>,
    actor: &Actor,
    name: &ScopeName,
    force: Force,
) -> Result<(), OpError> {
    actor.require_instance_admin()?;
    loop {
        let (actor, name) = (actor.clone(), name.clone());
        let done = app.catalogue.write(move |tx| delete_some(tx, &actor, &name, force)).await?;
        if done == Progress::Done {
            return Ok(());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

fn delete_some(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &ScopeName,
    force: Force,
) -> Result<Progress, OpError> {
    let scope = find_scope(tx.topology(), name)?.clone();
    let links: Vec<Link> = tx.topology().links_of(scope.id).cloned().collect();
    let paths = tx.some_paths(scope.id, BATCH)?;
    if force == Force::No && !(paths.is_empty() && links.is_empty()) {
        return Err(in_use(tx, &scope, &links)?);
    }
    for path in &paths {
        tx.remove_entry(scope.id, path)?;
    }
    if paths.len() == BATCH {
        return Ok(Progress::More);
    }
    let before = json!({
        "public_read": scope.public_read,
        "links": links.iter().map(|l| (tx.topology().store_name(l.store), link_value(l))).collect::<BTreeMap<_, _>>(),
    });
    for link in &links {
        tx.delete_link(scope.id, link.store)?;
    }
    remember(tx, &scope)?;
    tx.delete_tokens_of(scope.id)?;
    tx.delete_scope(scope.id)?;
    Change::new("scope.delete", format!("scope {name}")).before(before).record(tx, actor)?;
    Ok(Progress::Done)
}

/// Keeps the id for a scope of the same name while there is something to bring back.
fn remember(tx: &mut Tx<'_>, scope: &Scope) -> Result<(), CatalogueError> {
    let mut former = tx.value(&values::FORMER_SCOPES)?.unwrap_or_default();
    let mut gone = Vec::new();
    for (name, id) in &former {
        if tx.holders(*id)?.is_empty() {
            gone.push(name.clone());
        }
    }
    for name in gone {
        former.remove(&name);
    }
    if !tx.holders(scope.id)?.is_empty() {
        former.insert(scope.name.to_string(), scope.id);
    }
    tx.set_value(&values::FORMER_SCOPES, &former)
}

fn in_use(tx: &Tx<'_>, scope: &Scope, links: &[Link]) -> Result<OpError, OpError> {
    let name = &scope.name;
    let files = ScopeTotals::new(tx.topology(), scope.id, tx.holders(scope.id)?).live();
    let links = u64::try_from(links.len()).unwrap_or(u64::MAX);
    let detail = Phrase::new(format!(
        "scope {name} still has {} and {}: delete the files and unlink the stores first, or repeat ",
        plural(files.files, "file"),
        plural(links, "link"),
    ))
    .force()
    .text(", which deletes the entries and the links");
    Ok(OpError::refused(Refusal::ScopeInUse, detail)
        .with("files", files.files)
        .with("bytes", files.bytes)
        .with("links", links))
}
