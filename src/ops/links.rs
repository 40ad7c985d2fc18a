//! Links between scopes and stores (SPEC 3).

use std::sync::Arc;
use std::time::Duration;

use super::audit::{Change, link_value};
use super::link_view::{self, Depth};
use super::scope_totals::ScopeTotals;
use super::vacuum::preview_with;
use super::{
    Actor, Force, OpError, Refusal, find_scope, find_store, link_names, link_rules, names, plural,
};
use crate::api::{ChangePreview, Count, LinkChange, LinkView, Role};
use crate::app::App;
use crate::catalogue::Tx;
use crate::domain::{
    ByteSize, Change as SettingChange, Link, LinkSetting, Policy, Remedy, ScopeId, ScopeName,
    Store, StoreId, StoreName, StoreSetting, Target, Timestamp, Topology,
};
use crate::words::Phrase;

/// Replicas that unlinking leaves without a policy: they go when the grace is over (SPEC 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residual {
    pub files: Count,
    pub grace: Duration,
    /// What will happen, in words; `None` when the store held nothing of the scope.
    pub notice: Option<String>,
}

/// The links of a scope in upload order.
pub async fn list(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
) -> Result<Vec<LinkView>, OpError> {
    let scope = super::admitted(app, actor, scope, Role::Admin)?;
    super::blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let totals = ScopeTotals::new(topology, scope, app.catalogue.snapshot()?.holders(scope)?);
        link_view::of_scope(app, topology, scope, &totals, Depth::Whole)
    })
    .await
}

pub async fn show(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    store: &StoreName,
) -> Result<LinkView, OpError> {
    let scope = super::admitted(app, actor, scope, Role::Admin)?;
    let store = find_store(&app.catalogue.settings().topology, store)?.id;
    view(app, scope, store).await
}

async fn view(app: &Arc<App>, scope: ScopeId, store: StoreId) -> Result<LinkView, OpError> {
    super::blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let link = topology.link(scope, store).ok_or_else(|| not_linked(topology, scope, store))?;
        let totals = ScopeTotals::new(topology, scope, app.catalogue.snapshot()?.holders(scope)?);
        link_view::of_link(app, topology, link, &totals)
    })
    .await
}

fn pair(
    topology: &Topology,
    scope: &ScopeName,
    store: &StoreName,
) -> Result<(ScopeId, StoreId), OpError> {
    Ok((find_scope(topology, scope)?.id, find_store(topology, store)?.id))
}

fn not_linked(topology: &Topology, scope: ScopeId, store: StoreId) -> OpError {
    link_names(topology, scope, store)
        .map_or_else(|error| error, |(scope, store)| OpError::NotLinked { scope, store })
}

fn already_linked(topology: &Topology, scope: ScopeId, store: StoreId) -> OpError {
    link_names(topology, scope, store).map_or_else(
        |error| error,
        |(scope, store)| {
            let detail =
                Phrase::new(format!("scope {scope} links {store} already: change it with "))
                    .command(Remedy::SetLink { scope, store, changes: Vec::new() });
            OpError::refused(Refusal::AlreadyLinked, detail)
        },
    )
}

/// Links a store to a scope (`add-store`).
pub async fn add(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    store: &StoreName,
    change: &LinkChange,
) -> Result<LinkView, OpError> {
    actor.require_instance_admin()?;
    let (actor, change) = (actor.clone(), change.clone());
    let (scope, store) = (scope.clone(), store.clone());
    let (scope, store) = app
        .catalogue
        .write(move |tx| {
            let (scope, store) = pair(tx.topology(), &scope, &store)?;
            if tx.topology().link(scope, store).is_some() {
                return Err(already_linked(tx.topology(), scope, store));
            }
            let link = changed(&new_link(scope, store, tx.now()), &change);
            insert(tx, &actor, link, change.force.into())?;
            Ok::<_, OpError>((scope, store))
        })
        .await?;
    view(app, scope, store).await
}

/// A link without priorities and policy.
pub(super) fn new_link(scope: ScopeId, store: StoreId, created_at: Timestamp) -> Link {
    Link {
        scope,
        store,
        upload_priority: None,
        download_priority: None,
        policy: Policy::default(),
        created_at,
    }
}

/// Checks and writes a link that does not exist yet.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    actor: &Actor,
    link: Link,
    force: Force,
) -> Result<(), OpError> {
    check_shared(tx.topology(), &link)?;
    link_rules::check(tx.topology(), None, &link, force)?;
    let subject = subject(tx.topology(), &link);
    Change::new("link.add", subject).after(link_value(&link)).record(tx, actor)?;
    Ok(tx.put_link(link)?)
}

/// A store that is not instance-wide serves one scope [31].
fn check_shared(topology: &Topology, link: &Link) -> Result<(), OpError> {
    let Some(store) = topology.stores.get(&link.store).filter(|s| !s.instance_wide) else {
        return Ok(());
    };
    match topology.links_to(store.id).find(|l| l.scope != link.scope) {
        Some(other) => Err(not_shared(topology, store, other.scope)),
        None => Ok(()),
    }
}

fn not_shared(topology: &Topology, store: &Store, scope: ScopeId) -> OpError {
    let (name, other) = (&store.name, topology.scope_name(scope));
    let share = Remedy::set_store(name.clone(), StoreSetting::InstanceWide, Target::On);
    let detail =
        Phrase::new(format!("{name} is not instance-wide and scope {other} links it: run "))
            .command(share)
            .text(", or unlink it there");
    OpError::refused(Refusal::StoreNotInstanceWide, detail).with("scopes", vec![other])
}

fn subject(topology: &Topology, link: &Link) -> String {
    let (scope, store) = names_of(topology, link.scope, link.store);
    format!("scope {scope}, store {store}")
}

fn names_of(topology: &Topology, scope: ScopeId, store: StoreId) -> (String, String) {
    (topology.scope_name(scope), topology.store_name(store))
}

/// `link` with what `change` gives.
fn changed(link: &Link, change: &LinkChange) -> Link {
    let policy = change.policy.as_ref();
    Link {
        upload_priority: change.upload_priority.unwrap_or(link.upload_priority),
        download_priority: change.download_priority.unwrap_or(link.download_priority),
        policy: policy.map_or_else(|| link.policy.clone(), |p| p.apply(&link.policy)),
        ..link.clone()
    }
}

/// Changes a link (`edit-store`).
pub async fn edit(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    store: &StoreName,
    change: &LinkChange,
) -> Result<LinkView, OpError> {
    actor.require_instance_admin()?;
    let (actor, change) = (actor.clone(), change.clone());
    let (scope, store) = (scope.clone(), store.clone());
    let (scope, store) = app
        .catalogue
        .write(move |tx| {
            let (scope, store) = pair(tx.topology(), &scope, &store)?;
            let old = tx.topology().link(scope, store).cloned();
            let old = old.ok_or_else(|| not_linked(tx.topology(), scope, store))?;
            replace(tx, &actor, &old, changed(&old, &change), change.force.into())?;
            Ok::<_, OpError>((scope, store))
        })
        .await?;
    view(app, scope, store).await
}

/// What the next run would do with the change and without it; nothing is changed. The change is
/// checked like one that is made: an edit, or a new link when the store is not linked yet.
pub async fn preview(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    store: &StoreName,
    change: &LinkChange,
) -> Result<ChangePreview, OpError> {
    actor.require_instance_admin()?;
    let mut topology = app.catalogue.settings().topology.clone();
    let (scope, store) = pair(&topology, scope, store)?;
    let force = change.force.into();
    let link = if let Some(old) = topology.link(scope, store) {
        let new = changed(old, change);
        if *old != new {
            link_rules::check(&topology, Some(old), &new, force)?;
        }
        new
    } else {
        let new = changed(&new_link(scope, store, app.catalogue.clock().now()), change);
        check_shared(&topology, &new)?;
        link_rules::check(&topology, None, &new, force)?;
        new
    };
    topology.unlinked.remove(&(scope, store));
    topology.links.insert((scope, store), link);
    preview_with(app, topology).await
}

/// Checks and writes a changed link; an unchanged one leaves no trace.
fn replace(
    tx: &mut Tx<'_>,
    actor: &Actor,
    old: &Link,
    new: Link,
    force: Force,
) -> Result<(), OpError> {
    if *old == new {
        return Ok(());
    }
    link_rules::check(tx.topology(), Some(old), &new, force)?;
    Change::new("link.edit", subject(tx.topology(), &new))
        .before(link_value(old))
        .after(link_value(&new))
        .record(tx, actor)?;
    Ok(tx.put_link(new)?)
}

/// Whether a link was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linked {
    Before,
    Now,
}

/// Gives a link that upload priority, and makes it if need be.
pub(super) fn prioritise(
    tx: &mut Tx<'_>,
    actor: &Actor,
    scope: ScopeId,
    store: StoreId,
    upload_priority: Option<i32>,
) -> Result<Linked, OpError> {
    if let Some(old) = tx.topology().link(scope, store).cloned() {
        let new = Link { upload_priority, ..old.clone() };
        replace(tx, actor, &old, new, Force::No)?;
        return Ok(Linked::Before);
    }
    let link = Link { upload_priority, ..new_link(scope, store, tx.now()) };
    insert(tx, actor, link, Force::No)?;
    Ok(Linked::Now)
}

/// What unlinking a store would leave behind, and why it would be refused.
#[derive(Debug, Clone)]
pub struct Removal {
    pub residual: Residual,
    pub refused: Option<OpError>,
}

/// What `remove` would do; nothing is changed.
pub async fn removal(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    store: &StoreName,
) -> Result<Removal, OpError> {
    actor.require_instance_admin()?;
    let (scope, store) = (scope.clone(), store.clone());
    super::blocking(app, move |app| {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let (scope_id, store_id) = pair(topology, &scope, &store)?;
        let link = topology.link(scope_id, store_id);
        let link = link.ok_or_else(|| not_linked(topology, scope_id, store_id))?;
        let totals =
            ScopeTotals::new(topology, scope_id, app.catalogue.snapshot()?.holders(scope_id)?);
        let refused = link_rules::check_removal(topology, scope_id, store_id)
            .and_then(|()| keeps_files(&totals, &scope, &store, store_id))
            .err();
        let residual = residual(topology, &totals, link, app.config.maintenance.grace);
        Ok(Removal { residual, refused })
    })
    .await
}

/// Unlinks a store (`remove-store`). Refused unless every file of the scope that it holds, tombstoned
/// ones included, keeps a readable replica in the remaining stores (SPEC 13, 33).
pub async fn remove(
    app: &Arc<App>,
    actor: &Actor,
    scope: &ScopeName,
    store: &StoreName,
    force: Force,
) -> Result<Residual, OpError> {
    actor.require_instance_admin()?;
    let (actor, scope, store) = (actor.clone(), scope.clone(), store.clone());
    let grace = app.config.maintenance.grace;
    app.catalogue
        .write(move |tx| {
            let (scope_id, store_id) = pair(tx.topology(), &scope, &store)?;
            let link = tx.topology().link(scope_id, store_id).cloned();
            let link = link.ok_or_else(|| not_linked(tx.topology(), scope_id, store_id))?;
            let holders = tx.holders(scope_id)?;
            let totals = ScopeTotals::new(tx.topology(), scope_id, holders);
            if force == Force::No {
                link_rules::check_removal(tx.topology(), scope_id, store_id)?;
                keeps_files(&totals, &scope, &store, store_id)?;
            }
            let residual = residual(tx.topology(), &totals, &link, grace);
            Change::new("link.remove", subject(tx.topology(), &link))
                .before(link_value(&link))
                .record(tx, &actor)?;
            tx.delete_link(scope_id, store_id)?;
            Ok(residual)
        })
        .await
}

fn keeps_files(
    totals: &ScopeTotals<'_>,
    scope: &ScopeName,
    store: &StoreName,
    id: StoreId,
) -> Result<(), OpError> {
    let count = totals.unreadable_without(id);
    if count.files == 0 {
        return Ok(());
    }
    let settings = [LinkSetting::ReadOnly, LinkSetting::Drain];
    let changes = settings.map(|setting| SettingChange::new(setting, Target::On)).to_vec();
    let drain = Remedy::SetLink { scope: scope.clone(), store: store.clone(), changes };
    let detail = Phrase::new(format!(
        "{} ({}) of scope {scope} would have no readable replica without {store}: run ",
        plural(count.files, "file"),
        ByteSize(count.bytes)
    ))
    .commands([drain, Remedy::StartRun])
    .text(" first, or repeat ")
    .force();
    Err(OpError::refused(Refusal::FilesWouldBeUnreadable, detail)
        .with("files", count.files)
        .with("bytes", count.bytes))
}

fn residual(
    topology: &Topology,
    totals: &ScopeTotals<'_>,
    link: &Link,
    grace: Duration,
) -> Residual {
    let files = totals.all_in(link.store);
    let (scope, store) = names_of(topology, link.scope, link.store);
    let others: Vec<String> = topology
        .links_to(link.store)
        .filter(|l| l.scope != link.scope)
        .map(|l| topology.scope_name(l.scope))
        .collect();
    let mut kept = Vec::new();
    if !others.is_empty() {
        kept.push(format!("those that {} has there", names(others)));
    }
    // The vacuum never removes a last readable replica: with force there may be such.
    if !totals.unreadable_without(link.store).is_zero() {
        kept.push("those that have no other home".to_owned());
    }
    let unless =
        if kept.is_empty() { String::new() } else { format!(", but for {}", kept.join(" and ")) };
    let notice = (files.files > 0).then(|| {
        format!(
            "{} ({}) of scope {scope} in {store} will be removed by the vacuum in {} h{unless}; link the store \
             again to keep them",
            plural(files.files, "file"),
            ByteSize(files.bytes),
            grace.as_secs().div_ceil(3600)
        )
    });
    Residual { files, grace, notice }
}
