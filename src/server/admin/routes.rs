//! Every route of the admin API, once.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};

#[cfg(test)]
use super::openapi::{Access, RunId};
use super::{instance, links, scopes, stores, tokens, vacuum};
use crate::app::App;

macro_rules! routes {
    ($($method:ident $path:literal => $room:ident :: $handler:ident;)*) => {
        /// All routes below `/api`. Handlers find the asking `ops::Actor` in the request's
        /// extensions.
        pub fn router() -> Router<Arc<App>> {
            Router::new()$(.route($path, $method($room::$handler)))*
        }

        /// The document of these routes, without what is added to it.
        #[cfg(test)]
        #[derive(utoipa::OpenApi)]
        #[openapi(
            info(title = "Hayloft", description = "Storage appliance for one server."),
            paths($($room::$handler),*),
            components(schemas(
                crate::api::Problem,
                crate::api::Listing,
                crate::api::Uploaded,
                // Parameters name these, and utoipa does not collect what only they name.
                crate::domain::Digest,
                crate::domain::FilePath,
                crate::domain::ScopeName,
                crate::domain::StoreName,
                RunId,
            )),
            modifiers(&Access)
        )]
        pub(super) struct Routes;

        /// (method, path) of every route.
        #[cfg(test)]
        pub(super) const TABLE: &[(&str, &str)] = &[$((stringify!($method), $path)),*];
    };
}

routes! {
    get "/api/openapi.json" => instance::openapi;
    get "/api/v1/status" => instance::status;
    get "/api/v1/audit" => instance::audit;
    post "/api/v1/notify/test" => instance::test_receivers;
    post "/api/v1/import/workspaces" => instance::import_workspaces;
    get "/api/v1/scopes" => scopes::list;
    post "/api/v1/scopes" => scopes::create;
    get "/api/v1/scopes/{scope}" => scopes::show;
    patch "/api/v1/scopes/{scope}" => scopes::change;
    delete "/api/v1/scopes/{scope}" => scopes::delete;
    post "/api/v1/scopes/{scope}/default-store" => scopes::default_store;
    get "/api/v1/scopes/{scope}/files/{*path}" => scopes::show_file;
    get "/api/v1/scopes/{scope}/explain/{*path}" => scopes::explain_file;
    post "/api/v1/scopes/{scope}/undelete/{*path}" => scopes::undelete_file;
    get "/api/v1/scopes/{scope}/stores" => links::list;
    get "/api/v1/scopes/{scope}/stores/{store}" => links::show;
    put "/api/v1/scopes/{scope}/stores/{store}" => links::add;
    patch "/api/v1/scopes/{scope}/stores/{store}" => links::edit;
    delete "/api/v1/scopes/{scope}/stores/{store}" => links::remove;
    post "/api/v1/scopes/{scope}/stores/{store}/preview" => links::preview;
    get "/api/v1/stores" => stores::list;
    post "/api/v1/stores" => stores::create;
    get "/api/v1/stores/{store}" => stores::show;
    patch "/api/v1/stores/{store}" => stores::change;
    delete "/api/v1/stores/{store}" => stores::delete;
    get "/api/v1/stores/{store}/deletion" => stores::deletion;
    post "/api/v1/stores/{store}/preview" => stores::preview;
    post "/api/v1/stores/{store}/check" => stores::check;
    get "/api/v1/stores/{store}/evacuation" => stores::evacuation;
    post "/api/v1/stores/{store}/reconcile" => vacuum::reconcile;
    post "/api/v1/stores/{store}/sweep" => vacuum::sweep;
    post "/api/v1/verify" => vacuum::verify;
    get "/api/v1/vacuum/plan" => vacuum::plan;
    get "/api/v1/vacuum/preview" => vacuum::preview;
    get "/api/v1/vacuum/runs" => vacuum::list;
    post "/api/v1/vacuum/runs" => vacuum::start;
    get "/api/v1/vacuum/runs/{id}" => vacuum::show;
    delete "/api/v1/vacuum/runs/{id}" => vacuum::cancel;
    post "/api/v1/vacuum/runs/{id}/pause" => vacuum::pause;
    post "/api/v1/vacuum/runs/{id}/resume" => vacuum::resume;
    get "/api/v1/vacuum/runs/{id}/events" => vacuum::events;
    get "/api/v1/tokens" => tokens::list;
    post "/api/v1/tokens" => tokens::create;
    delete "/api/v1/tokens/{id}" => tokens::revoke;
    post "/api/v1/tokens/link" => tokens::link;
}
