//! Links between scopes and stores.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

#[cfg(test)]
use super::openapi::Errors;
use super::scopes::Forced;
use super::{Answer, Input, Names, Query, Who};
use crate::api::{ChangePreview, LinkChange, LinkView};
use crate::app::App;
use crate::domain::{ScopeName, StoreName};
use crate::ops;

/// Says in words what an answer without a body leads to.
const NOTICE: HeaderName = HeaderName::from_static("hayloft-notice");

/// The links of a scope in upload order. For admins of the scope too.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/scopes/{scope}/stores", tag = "links",
    params(("scope" = ScopeName, Path)),
    responses((status = 200, body = [LinkView]), Errors)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(scope): Names<ScopeName>,
) -> Answer<Json<Vec<LinkView>>> {
    Ok(Json(ops::links::list(&app, &actor, &scope).await?))
}

/// One link. For admins of the scope too.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/scopes/{scope}/stores/{store}", tag = "links",
    params(("scope" = ScopeName, Path), ("store" = StoreName, Path)),
    responses((status = 200, body = LinkView), Errors)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, store)): Names<(ScopeName, StoreName)>,
) -> Answer<Json<LinkView>> {
    Ok(Json(ops::links::show(&app, &actor, &scope, &store).await?))
}

/// Links a store to a scope.
#[cfg_attr(test, utoipa::path(put, path = "/api/v1/scopes/{scope}/stores/{store}", tag = "links",
    params(("scope" = ScopeName, Path), ("store" = StoreName, Path)), request_body = Option<LinkChange>,
    responses((status = 201, body = LinkView), Errors)))]
pub async fn add(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, store)): Names<(ScopeName, StoreName)>,
    Input(change): Input<LinkChange>,
) -> Answer<(StatusCode, Json<LinkView>)> {
    let made = ops::links::add(&app, &actor, &scope, &store, &change).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes a link: what is absent stays, null unsets.
#[cfg_attr(test, utoipa::path(patch, path = "/api/v1/scopes/{scope}/stores/{store}", tag = "links",
    params(("scope" = ScopeName, Path), ("store" = StoreName, Path)), request_body = Option<LinkChange>,
    responses((status = 200, body = LinkView), Errors)))]
pub async fn edit(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, store)): Names<(ScopeName, StoreName)>,
    Input(change): Input<LinkChange>,
) -> Answer<Json<LinkView>> {
    Ok(Json(ops::links::edit(&app, &actor, &scope, &store, &change).await?))
}

/// What the next run would do with this change, and without it; nothing is changed. The change is
/// refused like one that is made.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/scopes/{scope}/stores/{store}/preview", tag = "links",
    params(("scope" = ScopeName, Path), ("store" = StoreName, Path)), request_body = Option<LinkChange>,
    responses((status = 200, body = ChangePreview), Errors)))]
pub async fn preview(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, store)): Names<(ScopeName, StoreName)>,
    Input(change): Input<LinkChange>,
) -> Answer<Json<ChangePreview>> {
    Ok(Json(ops::links::preview(&app, &actor, &scope, &store, &change).await?))
}

/// Unlinks a store, unless files of the scope would become unreadable. The header `Hayloft-Notice`
/// says which replicas will go.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/scopes/{scope}/stores/{store}", tag = "links",
    params(("scope" = ScopeName, Path), ("store" = StoreName, Path), Forced),
    responses((status = 204), Errors)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names((scope, store)): Names<(ScopeName, StoreName)>,
    Query(query): Query<Forced>,
) -> Answer<(StatusCode, HeaderMap)> {
    let left = ops::links::remove(&app, &actor, &scope, &store, query.force.into()).await?;
    // Names are ASCII, so that the notice always makes a header.
    let notice = left.notice.and_then(|text| HeaderValue::try_from(text).ok());
    Ok((StatusCode::NO_CONTENT, notice.map(|value| (NOTICE, value)).into_iter().collect()))
}
