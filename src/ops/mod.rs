//! Every administrative operation, once: API, command line and page all come through here.
//!
//! An operation that changes something is validated and applied in one write job, against the
//! configuration as that job sees it, and leaves its audit record in the same transaction. Jobs may be
//! run again by the catalogue, so they only change things through the transaction.

pub mod audit;
pub mod browse;
pub mod evacuation;
pub mod files;
pub mod import_workspaces;
pub mod links;
pub mod metrics;
pub mod notify;
pub mod scopes;
pub mod status;
pub mod stores;
pub mod tokens;
pub mod vacuum;
pub mod warnings;

mod access;
pub mod attention;
mod bootstrap;
mod error;
mod impact;
mod link_rules;
mod link_view;
mod retained;
mod s3_settings;
mod scope_totals;

use std::sync::Arc;

pub use access::{Actor, Grant};
pub use bootstrap::bootstrap;
pub use error::{OpError, Refusal};

use crate::api::Role;
use crate::app::App;
use crate::domain::{Scope, ScopeId, ScopeName, Store, StoreId, StoreName, Topology, plural};
use crate::maintenance;

/// Whether a refusal may be overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

impl From<bool> for Force {
    fn from(force: bool) -> Self {
        if force { Self::Yes } else { Self::No }
    }
}

/// The scope of that name.
pub fn find_scope<'a>(topology: &'a Topology, name: &ScopeName) -> Result<&'a Scope, OpError> {
    topology.scope(name.as_str()).ok_or_else(|| OpError::not_found("scope", name.as_str()))
}

/// The scope, if the actor has at least `role` in it. Who may not cannot tell an unknown scope from a
/// closed one.
fn admitted(app: &App, actor: &Actor, name: &ScopeName, role: Role) -> Result<ScopeId, OpError> {
    let settings = app.catalogue.settings();
    match settings.topology.scope(name.as_str()) {
        Some(scope) => actor.require(role, scope.id).map(|()| scope.id),
        // No scope has the id 0: this asks for the role in all of them.
        None => actor
            .require(role, ScopeId(0))
            .and_then(|()| Err(OpError::not_found("scope", name.as_str()))),
    }
}

/// The store of that name.
pub fn find_store<'a>(topology: &'a Topology, name: &StoreName) -> Result<&'a Store, OpError> {
    topology.store(name.as_str()).ok_or_else(|| OpError::not_found("store", name.as_str()))
}

/// The names of a link's scope and store.
fn link_names(
    topology: &Topology,
    scope: ScopeId,
    store: StoreId,
) -> Result<(ScopeName, StoreName), OpError> {
    let (scope, store) = (topology.scopes.get(&scope), topology.stores.get(&store));
    let gone = || OpError::Internal("a link names what is gone".to_owned());
    Ok((scope.ok_or_else(gone)?.name.clone(), store.ok_or_else(gone)?.name.clone()))
}

/// Runs `work`, which reads the catalogue or the disk, where it may block.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, OpError> + Send + 'static,
) -> Result<T, OpError> {
    let app = Arc::clone(app);
    let done = maintenance::on_own_thread(move || work(&app)).await;
    done.unwrap_or_else(|| Err(OpError::Internal("an operation ended early".to_owned())))
}

/// `a, b and c`, for messages.
fn names(all: impl IntoIterator<Item = String>) -> String {
    let all: Vec<String> = all.into_iter().collect();
    match all.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
