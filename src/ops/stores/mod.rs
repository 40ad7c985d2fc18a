//! Stores: made, changed, checked, given up and shown (SPEC 2).

mod change;
mod create;
mod delete;
mod view;
mod writable;

pub use change::{change, preview_change};
pub use create::create;
pub(super) use create::{Place, found};
pub use delete::{delete, preview};
pub use view::{glance, list, show};
pub(super) use view::{health, look_at_all, own_warnings};
pub use writable::obstacle;

use std::sync::Arc;

use super::{Actor, OpError, find_store};
use crate::api::{CheckStep, StoreCheck};
use crate::app::App;
use crate::domain::StoreName;
use crate::stores::{StepResult, StoreError};
use crate::transfer::marker_of;
use crate::words::{self, Phrase};

/// Proves that a store works, with a probe object that is removed again.
pub async fn check(app: &Arc<App>, actor: &Actor, name: &StoreName) -> Result<StoreCheck, OpError> {
    check_seen(app, actor, name, &|_| ()).await
}

/// Shows each step to `seen` as soon as it is over.
pub async fn check_seen(
    app: &Arc<App>,
    actor: &Actor,
    name: &StoreName,
    seen: &(dyn Fn(&CheckStep) + Send + Sync),
) -> Result<StoreCheck, OpError> {
    actor.require_instance_admin()?;
    let settings = app.catalogue.settings();
    let store = find_store(&settings.topology, name)?;
    let open = app.transfer.stores.get(store.id).map_err(|e| store_error(name, &e))?;
    let marker = marker_of(app.catalogue.instance(), store);
    let said = |result: &StepResult| CheckStep::new(result, name);
    let steps = open.backend.check(Some(&marker), &|result| seen(&said(result))).await;
    let steps: Vec<CheckStep> = steps.iter().map(said).collect();
    app.transfer.stores.look(store.id).await;
    let ok = steps.iter().all(|s| s.ok);
    Ok(StoreCheck { store: name.clone(), ok, steps })
}

/// Limits in the order that SPEC 2 demands.
fn check_limits(soft: Option<u64>, max: Option<u64>) -> Result<(), OpError> {
    match (soft, max) {
        (Some(soft), Some(max)) if soft > max => {
            let detail = format!(
                "the soft limit ({soft} bytes) is above the hard limit, max_size ({max} bytes): lower the one, or raise \
                 the other"
            );
            Err(OpError::field_invalid("soft_max_size", detail))
        }
        _ => Ok(()),
    }
}

/// What a store answered, with its name.
fn store_error(name: &StoreName, error: &StoreError) -> OpError {
    let detail = Phrase::new(format!("store {name}: ")).then(words::store_error(error, name));
    OpError::Store { kind: kind(error), detail }
}

/// Why nothing was made or changed, as `what` says: what the place answered.
fn nothing_done(what: &str, name: &StoreName, error: StoreError) -> OpError {
    let kind = kind(&error);
    let why = words::diagnosis(&error.into_diagnosis(), name);
    OpError::Store { kind, detail: Phrase::new(format!("{what}: ")).then(why) }
}

fn kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "store-unavailable",
        StoreError::Full(_) => "store-full",
        StoreError::NotFound
        | StoreError::Mismatch(_)
        | StoreError::Source(_)
        | StoreError::Archived
        | StoreError::Failed(_) => "store-failed",
    }
}
