//! Scopes and their files.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

#[cfg(test)]
use super::openapi::Errors;
use super::{Answer, Input, Names, Query, Who};
use crate::api::{DefaultStore, Explanation, FileView, ScopeChange, ScopeCreate, ScopeView};
use crate::app::App;
use crate::domain::{FilePath, ScopeName};
use crate::ops;

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, into_params(parameter_in = Query))]
pub struct Forced {
    /// Overrides the refusals that the command line overrides with `--force`.
    #[serde(default)]
    pub force: bool,
}

/// All scopes.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/scopes", tag = "scopes",
    responses((status = 200, body = [ScopeView]), Errors)))]
pub async fn list(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Vec<ScopeView>>> {
    Ok(Json(ops::scopes::list(&app, &actor).await?))
}

/// Makes a scope.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/scopes", tag = "scopes", request_body = ScopeCreate,
    responses((status = 201, body = ScopeView), Errors)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Input(request): Input<ScopeCreate>,
) -> Answer<(StatusCode, Json<ScopeView>)> {
    let made = ops::scopes::create(&app, &actor, &request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// A scope with its links in upload order. For admins of the scope too.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/scopes/{scope}", tag = "scopes",
    params(("scope" = ScopeName, Path)),
    responses((status = 200, body = ScopeView), Errors)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(scope): Names<ScopeName>,
) -> Answer<Json<ScopeView>> {
    Ok(Json(ops::scopes::show(&app, &actor, &scope).await?))
}

/// Changes what is the scope's own.
#[cfg_attr(test, utoipa::path(patch, path = "/api/v1/scopes/{scope}", tag = "scopes",
    params(("scope" = ScopeName, Path)), request_body = Option<ScopeChange>,
    responses((status = 200, body = ScopeView), Errors)))]
pub async fn change(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(scope): Names<ScopeName>,
    Input(change): Input<ScopeChange>,
) -> Answer<Json<ScopeView>> {
    Ok(Json(ops::scopes::change(&app, &actor, &scope, &change).await?))
}

/// Deletes a scope without entries and links; with `force`, deletes those too.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/scopes/{scope}", tag = "scopes",
    params(("scope" = ScopeName, Path), Forced),
    responses((status = 204), Errors)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(scope): Names<ScopeName>,
    Query(query): Query<Forced>,
) -> Answer<StatusCode> {
    ops::scopes::delete(&app, &actor, &scope, query.force.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a store the first for uploads, and links it if need be.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/scopes/{scope}/default-store", tag = "scopes",
    params(("scope" = ScopeName, Path)), request_body = DefaultStore,
    responses((status = 200, body = ScopeView), Errors)))]
pub async fn default_store(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(scope): Names<ScopeName>,
    Input(request): Input<DefaultStore>,
) -> Answer<Json<ScopeView>> {
    Ok(Json(ops::scopes::default_store(&app, &actor, &scope, &request).await?))
}

/// A file and its replicas. For admins of the scope too.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/scopes/{scope}/files/{path}", tag = "files",
    params(("scope" = ScopeName, Path), ("path" = FilePath, Path, description = "may contain `/`")),
    responses((status = 200, body = FileView), Errors)))]
pub async fn show_file(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, path)): Names<(ScopeName, FilePath)>,
) -> Answer<Json<FileView>> {
    Ok(Json(ops::files::show(&app, &actor, &scope, &path).await?))
}

/// Why a file's replicas are where they are, and what the next run would do with it. For admins of
/// the scope too.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/scopes/{scope}/explain/{path}", tag = "files",
    params(("scope" = ScopeName, Path), ("path" = FilePath, Path, description = "may contain `/`")),
    responses((status = 200, body = Explanation), Errors)))]
pub async fn explain_file(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, path)): Names<(ScopeName, FilePath)>,
) -> Answer<Json<Explanation>> {
    Ok(Json(ops::files::explain(&app, &actor, &scope, &path).await?))
}

/// Brings the newest deleted or replaced file of a path back; a file that stands there is replaced by it. For writers
/// of the scope too.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/scopes/{scope}/undelete/{path}", tag = "files",
    params(("scope" = ScopeName, Path), ("path" = FilePath, Path, description = "may contain `/`")),
    responses((status = 200, body = FileView), Errors)))]
pub async fn undelete_file(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, path)): Names<(ScopeName, FilePath)>,
) -> Answer<Json<FileView>> {
    Ok(Json(ops::files::undelete(&app, &actor, &scope, &path).await?))
}
