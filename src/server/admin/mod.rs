//! The admin API below `/api`.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// All routes below `/api`. Handlers find the asking `ops::Actor` in the request's extensions.
pub fn router() -> Router<Arc<App>> {
    Router::new()
}
