//! Changes of a store. Its identity (backend, place) never changes.

use std::sync::Arc;

use super::super::audit::{Change, store_value};
use super::super::vacuum::preview_with;
use super::super::{Actor, OpError, Refusal, find_store, names, s3_settings};
use super::view::shown;
use super::{check_limits, nothing_done};
use crate::api::{ChangePreview, S3Settings, StoreChange, StoreView};
use crate::app::App;
use crate::domain::{BackendConfig, S3Config, Store, StoreName, Topology};
use crate::stores::{self, Marker, StoreError};
use crate::transfer::marker_of;

/// Changes limits, sharing and S3 settings.
pub async fn change(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
    change: &StoreChange,
) -> Result<StoreView, OpError> {
    actor.require_instance_admin()?;
    let settings = app.catalogue.settings();
    let old = find_store(&settings.topology, name)?;
    let new = changed(old, change)?;
    check_reach(app, old, &new).await?;
    let (actor, job, name_in_job) = (actor.clone(), change.clone(), name.clone());
    let looked_at = new.backend.clone();
    app.catalogue
        .write(move |tx| {
            let old = find_store(tx.topology(), &name_in_job)?.clone();
            let new = changed(&old, &job)?;
            check_instance_wide(tx.topology(), &old, &new)?;
            if new == old {
                return Ok(());
            }
            if new.backend != looked_at {
                return Err(OpError::refused(
                    Refusal::ChangedMeanwhile,
                    format!(
                        "store {name_in_job} was changed by somebody else meanwhile: try again"
                    ),
                ));
            }
            Change::new("store.manage", format!("store {name_in_job}"))
                .before(store_value(&old))
                .after(store_value(&new))
                .record(tx, &actor)?;
            Ok::<_, OpError>(tx.put_store(new)?)
        })
        .await?;
    shown(app, name).await
}

/// What the next run would do with the change and without it; nothing is changed. The change is
/// checked like one that is made, but for the place that it leads to: half an address that somebody
/// is typing must not be asked for anything, least of all with the store's credentials.
pub async fn preview_change(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
    change: &StoreChange,
) -> Result<ChangePreview, OpError> {
    actor.require_instance_admin()?;
    let mut topology = app.catalogue.settings().topology.clone();
    let old = find_store(&topology, name)?;
    let new = changed(old, change)?;
    check_instance_wide(&topology, old, &new)?;
    topology.stores.insert(new.id, new);
    preview_with(app, topology).await
}

fn changed(old: &Store, change: &StoreChange) -> Result<Store, OpError> {
    let soft_max_size = change.soft_max_size.unwrap_or(old.soft_max_size);
    let max_size = change.max_size.unwrap_or(old.max_size);
    check_limits(soft_max_size, max_size)?;
    let backend = match &old.backend {
        BackendConfig::S3(s3) => BackendConfig::S3(Box::new(s3_settings::change(s3, &change.s3)?)),
        BackendConfig::Local(_) if change.s3 != S3Settings::default() => {
            let detail = format!("{} is a local store: it has no S3 settings", old.name);
            return Err(OpError::Invalid(detail.into()));
        }
        BackendConfig::Local(local) => BackendConfig::Local(local.clone()),
    };
    let instance_wide = change.instance_wide.unwrap_or(old.instance_wide);
    Ok(Store { backend, instance_wide, soft_max_size, max_size, ..old.clone() })
}

/// A store that several scopes link stays instance-wide [31].
fn check_instance_wide(topology: &Topology, old: &Store, new: &Store) -> Result<(), OpError> {
    if new.instance_wide || !old.instance_wide {
        return Ok(());
    }
    let mut scopes: Vec<String> =
        topology.links_to(old.id).map(|l| topology.scope_name(l.scope)).collect();
    if scopes.len() < 2 {
        return Ok(());
    }
    scopes.sort();
    Err(OpError::refused(
        Refusal::StoreShared,
        format!(
            "{} is linked by the scopes {}: unlink it in all but one of them first",
            old.name,
            names(scopes.clone())
        ),
    )
    .with("scopes", scopes)
    .at("instance_wide"))
}

/// Settings that lead elsewhere are taken only when our marker is found there.
async fn check_reach(app: &App, old: &Store, new: &Store) -> Result<(), OpError> {
    let (Some(before), Some(after)) = (old.s3(), new.s3()) else { return Ok(()) };
    if !s3_settings::reaches_differently(before, after) {
        return Ok(());
    }
    let out_of_reach = |e: StoreError| unchanged(old, e);
    let backend = stores::open(&new.backend).map_err(out_of_reach)?;
    let found = backend.read_marker().await.map_err(out_of_reach)?;
    let ours = marker_of(app.catalogue.instance(), old);
    match found {
        Some(m) if m.instance == ours.instance && m.store == ours.store => Ok(()),
        found => Err(not_there(old, after, found.as_ref()).at(changed_field(before, after))),
    }
}

/// The first of the settings that decide what is reached and differ.
fn changed_field(old: &S3Config, new: &S3Config) -> &'static str {
    if old.endpoint != new.endpoint {
        "endpoint"
    } else if old.region != new.region {
        "region"
    } else if old.path_style != new.path_style {
        "path_style"
    } else {
        "credentials"
    }
}

/// What the change would have led to: the store itself is as well as it was.
fn unchanged(store: &Store, error: StoreError) -> OpError {
    let name = &store.name;
    let what = format!("nothing was changed; with the new settings store {name} cannot be used");
    nothing_done(&what, name, error)
}

fn not_there(store: &Store, s3: &S3Config, found: Option<&Marker>) -> OpError {
    let what = if found.is_some() { "the marker of another store" } else { "no marker" };
    let endpoint = s3.endpoint.as_deref().unwrap_or("AWS");
    OpError::refused(
        Refusal::MarkerNotFound,
        format!(
            "nothing was changed; with the new settings {} at {endpoint} has {what}, so it is not the place of store {}",
            store.backend.location(),
            store.name
        ),
    )
}
