//! Placeholder of the server side, replaced at the merge.

pub mod admin;

use std::sync::Arc;

use crate::app::App;
use crate::config::Config;

pub fn admin_router(_app: Arc<App>) -> axum::Router {
    axum::Router::new()
}

pub async fn serve(_app: Arc<App>, _config: Arc<Config>) -> anyhow::Result<()> {
    std::future::ready(Err(anyhow::anyhow!("this build has no server side"))).await
}
