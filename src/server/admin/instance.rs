//! The instance as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;

#[cfg(test)]
use super::openapi::Errors;
use super::{Answer, DOCUMENT, Failure, InputList, Query, Who};
use crate::api::{AuditEntry, NotifyTested, Status, Workspace, WorkspacesImported};
use crate::app::App;
use crate::ops;

/// This document.
#[cfg_attr(test, utoipa::path(get, path = "/api/openapi.json", tag = "instance",
    responses((status = 200, description = "OpenAPI", body = Object), Errors)))]
pub async fn openapi(Who(_): Who) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

/// The instance at a glance.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/status", tag = "instance",
    responses((status = 200, body = Status), Errors)))]
pub async fn status(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Status>> {
    Ok(Json(ops::status::status(&app, &actor).await?))
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, into_params(parameter_in = Query))]
pub struct AuditPage {
    /// The id of the last entry of the page before.
    #[cfg_attr(test, param(format = "uint64"))]
    after: Option<u64>,
    /// Entries, 1 to 1000.
    #[cfg_attr(test, param(minimum = 1, maximum = 1000))]
    limit: Option<u16>,
}

/// Changes by API, command line and page, newest first.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/audit", tag = "instance", params(AuditPage),
    responses((status = 200, body = [AuditEntry]), Errors)))]
pub async fn audit(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Query(page): Query<AuditPage>,
) -> Answer<Json<Vec<AuditEntry>>> {
    if page.limit.is_some_and(|limit| !(1..=1000).contains(&limit)) {
        return Err(Failure::invalid("malformed-query", "limit is 1 to 1000"));
    }
    let limit = page.limit.map(usize::from);
    Ok(Json(ops::audit::list(&app, &actor, page.after, limit).await?))
}

/// Sends a test to every receiver of notifications, once, and says what became of it.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/notify/test", tag = "instance",
    responses((status = 200, body = [NotifyTested]), Errors)))]
pub async fn test_receivers(
    State(app): State<Arc<App>>,
    Who(actor): Who,
) -> Answer<Json<Vec<NotifyTested>>> {
    Ok(Json(ops::notify::test(&app, &actor).await?))
}

/// Makes scopes and links from workspaces; on any error nothing is changed.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/import/workspaces", tag = "instance",
    request_body = [Workspace],
    responses((status = 200, body = WorkspacesImported), Errors)))]
pub async fn import_workspaces(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    InputList(workspaces): InputList<Workspace>,
) -> Answer<Json<WorkspacesImported>> {
    Ok(Json(ops::import_workspaces::import_workspaces(&app, &actor, &workspaces).await?))
}
