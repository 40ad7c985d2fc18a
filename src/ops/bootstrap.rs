//! What a new instance starts with (SPEC 3): the instance-wide local store `local`.

use std::sync::Arc;

use super::scopes::DEFAULT_STORE;
use super::stores::{Place, found};
use super::{Actor, OpError, Refusal};
use crate::app::App;
use crate::catalogue::values;
use crate::domain::{BackendConfig, LocalConfig, Remedy, StoreName};
use crate::stores::LocalStore;
use crate::words::Phrase;

/// Makes a new instance usable. Does nothing in one that has been set up; after a crash in between it
/// starts over, which the store's directory and marker allow (see `stores::create`).
pub async fn bootstrap(app: &Arc<App>) -> Result<(), OpError> {
    if app.catalogue.snapshot()?.value(&values::SET_UP)?.unwrap_or(false) {
        return Ok(());
    }
    let name = StoreName::new(DEFAULT_STORE).map_err(|e| OpError::Internal(e.to_string()))?;
    let root = app.config.local_store();
    LocalStore::create(&root)
        .await
        .map_err(|e| OpError::Store { kind: "store-unavailable", detail: e.to_string().into() })?;
    let root = std::fs::canonicalize(&root)
        .map_err(|e| OpError::Internal(format!("{} cannot be resolved: {e}", root.display())))?;
    let place = Place {
        name,
        backend: BackendConfig::Local(LocalConfig { root }),
        instance_wide: true,
        soft_max_size: None,
        max_size: None,
        adopt: false,
    };
    let actor = Actor::instance_admin("hayloft");
    let made = found(app, &actor, place, None, |tx| tx.set_value(&values::SET_UP, &true)).await;
    made.map(drop).map_err(|error| explain(app, error))
}

/// A store without its catalogue is a restore gone half way, not a new instance.
fn explain(app: &App, error: OpError) -> OpError {
    match error {
        OpError::Refused { kind: kind @ (Refusal::LocationNotEmpty | Refusal::ForeignMarker), .. } => {
            OpError::refused(
                kind,
                Phrase::new(format!(
                    "there is no catalogue at {}, but {} holds data: restore the catalogue from a backup, or move that \
                     directory away (and take its files over later with ",
                    app.config.catalogue().display(),
                    app.config.local_store().display()
                ))
                .command(Remedy::AdoptDirectory)
                .text(")"),
            )
        }
        other => other,
    }
}
