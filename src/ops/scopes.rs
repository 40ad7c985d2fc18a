//! Scopes and how they are shown (SPEC 3, 8, 11).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::audit::{Change, link_value};
use super::tally::Tally;
use super::{Actor, Force, OpError, find_scope, find_store, links, plural, retained, warnings};
use crate::api::{DefaultStore, LinkState, LinkView, Role, ScopeChange, ScopeCreate, ScopeView};
use crate::app::App;
use crate::catalogue::{CatalogueError, Tx};
use crate::domain::{Link, Scope, ScopeId, ScopeName, StoreId, Topology};

/// The upload priority of a scope's default store (SPEC 3).
pub(super) const DEFAULT_PRIORITY: i32 = 100;
/// The store that a new scope links.
pub(super) const DEFAULT_STORE: &str = "local";
/// Entries deleted per commit.
const BATCH: usize = 500;
/// Ids of deleted scopes whose tombstones may still be in their grace, by name. A scope of that name
/// gets its id back, and with it what can be undeleted.
const FORMER: &str = "former_scopes";

pub async fn list(app: &Arc<App>, actor: &Actor) -> Result<Vec<ScopeView>, OpError> {
    actor.require_instance_admin()?;
    super::blocking(app, |app| {
        let settings = app.catalogue.settings();
        let scopes = settings.topology.scopes_by_name();
        scopes.into_iter().map(|scope| view(app, &settings.topology, scope)).collect()
    })
    .await
}

pub async fn show(app: &Arc<App>, actor: &Actor, name: &ScopeName) -> Result<ScopeView, OpError> {
    let settings = app.catalogue.settings();
    actor.require(Role::Admin, find_scope(&settings.topology, name)?.id)?;
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
    let tally = Tally::new(topology, scope.id, app.catalogue.snapshot()?.holders(scope.id)?);
    let mut links: Vec<&Link> = topology.links_of(scope.id).collect();
    links.sort_by_key(|l| (Reverse(l.upload_priority), topology.store_name(l.store)));
    let stores = links.into_iter().map(|link| link_view(app, topology, link, &tally));
    let live = tally.live();
    Ok(ScopeView {
        name: scope.name.clone(),
        public_read: scope.public_read,
        files: live.files,
        bytes: live.bytes,
        stores: stores.collect::<Result<_, OpError>>()?,
    })
}

/// A link as shown, from its scope's holder sets.
pub(super) fn link_view(
    app: &App,
    topology: &Topology,
    link: &Link,
    tally: &Tally<'_>,
) -> Result<LinkView, OpError> {
    let store = topology.stores.get(&link.store);
    let store = store.ok_or_else(|| OpError::Internal("a link names no store".to_owned()))?;
    let (held, missing) = (tally.live_in(link.store), tally.missing_in(link.store));
    let mut warnings = warnings::of_link(topology, link, tally);
    warnings.extend(warnings::of_store(store, super::stores::disk_facts(app, store)?));
    Ok(LinkView {
        store: store.name.clone(),
        backend: store.backend.kind().to_owned(),
        upload_priority: link.upload_priority,
        download_priority: link.download_priority,
        policy: link.policy.clone(),
        files: held.files,
        bytes: held.bytes,
        missing_files: missing.files,
        missing_bytes: missing.bytes,
        only_here_files: tally.only_in(link.store).files,
        tombstone_bytes: tally.tombstones_in(link.store).bytes,
        state: state(link, tally),
        retained: retained::retained(app, topology, link)?,
        warnings,
    })
}

fn state(link: &Link, tally: &Tally<'_>) -> LinkState {
    let left = !tally.all_in(link.store).is_zero();
    match (link.policy.drain.is_on(), left) {
        (true, true) => LinkState::Draining,
        (true, false) => LinkState::Drained,
        (false, true) => LinkState::Active,
        (false, false) => LinkState::Empty,
    }
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
                return Err(OpError::refused("scope-exists", detail));
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
    let mut former: BTreeMap<String, ScopeId> = tx.meta(FORMER)?.unwrap_or_default();
    let Some(id) = former.remove(name.as_str()) else { return Ok(None) };
    tx.put_meta(FORMER, &former)?;
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
            "no-higher-priority",
            "another store has the highest possible upload priority: lower that one first",
        ));
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
    let mut former: BTreeMap<String, ScopeId> = tx.meta(FORMER)?.unwrap_or_default();
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
    tx.put_meta(FORMER, &former)
}

fn in_use(tx: &Tx<'_>, scope: &Scope, links: &[Link]) -> Result<OpError, OpError> {
    let name = &scope.name;
    let files = Tally::new(tx.topology(), scope.id, tx.holders(scope.id)?).live();
    let links = u64::try_from(links.len()).unwrap_or(u64::MAX);
    let detail = format!(
        "scope {name} still has {} and {}: delete the files and say `hayloft scope manage {name} remove-store STORE` for \
         each store, or repeat with --force, which deletes the entries and the links",
        plural(files.files, "file"),
        plural(links, "link"),
    );
    Ok(OpError::refused("scope-in-use", detail)
        .with("files", files.files)
        .with("bytes", files.bytes)
        .with("links", links))
}
