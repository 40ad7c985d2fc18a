//! Stores.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

#[cfg(test)]
use super::openapi::Errors;
use super::scopes::Forced;
use super::{Answer, Input, Names, Query, Who};
use crate::api::{
    ChangePreview, Evacuation, StoreChange, StoreCheck, StoreCreate, StoreDeleted, StoreView,
};
use crate::app::App;
use crate::domain::StoreName;
use crate::ops;
use crate::ops::evacuation::Naming;

/// All stores.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/stores", tag = "stores",
    responses((status = 200, body = [StoreView]), Errors)))]
pub async fn list(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Vec<StoreView>>> {
    Ok(Json(ops::stores::list(&app, &actor).await?))
}

/// Makes a store.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/stores", tag = "stores", request_body = StoreCreate,
    responses((status = 201, body = StoreView), Errors)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Input(request): Input<StoreCreate>,
) -> Answer<(StatusCode, Json<StoreView>)> {
    let made = ops::stores::create(&app, &actor, &request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// A store.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/stores/{store}", tag = "stores",
    params(("store" = StoreName, Path)),
    responses((status = 200, body = StoreView), Errors)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
) -> Answer<Json<StoreView>> {
    Ok(Json(ops::stores::show(&app, &actor, &store).await?))
}

/// Changes limits, sharing and S3 settings: what is absent stays, null unsets a limit.
#[cfg_attr(test, utoipa::path(patch, path = "/api/v1/stores/{store}", tag = "stores",
    params(("store" = StoreName, Path)), request_body = Option<StoreChange>,
    responses((status = 200, body = StoreView), Errors)))]
pub async fn change(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
    Input(change): Input<StoreChange>,
) -> Answer<Json<StoreView>> {
    Ok(Json(ops::stores::change(&app, &actor, &store, &change).await?))
}

/// Deletes a store without replicas and links; with `force`, forgets what it holds without
/// contacting it and reports what was lost.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/stores/{store}", tag = "stores",
    params(("store" = StoreName, Path), Forced),
    responses((status = 200, body = StoreDeleted), Errors)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
    Query(query): Query<Forced>,
) -> Answer<Json<StoreDeleted>> {
    Ok(Json(ops::stores::delete(&app, &actor, &store, query.force.into()).await?))
}

/// What a forced deletion would lose; nothing is changed.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/stores/{store}/deletion", tag = "stores",
    params(("store" = StoreName, Path)),
    responses((status = 200, body = StoreDeleted), Errors)))]
pub async fn deletion(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
) -> Answer<Json<StoreDeleted>> {
    Ok(Json(ops::stores::preview(&app, &actor, &store).await?))
}

/// What the next run would do with this change, and without it; nothing is changed. The change is
/// refused like one that is made.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/stores/{store}/preview", tag = "stores",
    params(("store" = StoreName, Path)), request_body = Option<StoreChange>,
    responses((status = 200, body = ChangePreview), Errors)))]
pub async fn preview(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
    Input(change): Input<StoreChange>,
) -> Answer<Json<ChangePreview>> {
    Ok(Json(ops::stores::preview_change(&app, &actor, &store, &change).await?))
}

/// Proves that a store works, with a probe object that is removed again.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/stores/{store}/check", tag = "stores",
    params(("store" = StoreName, Path)),
    responses((status = 200, body = StoreCheck), Errors)))]
pub async fn check(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
) -> Answer<Json<StoreCheck>> {
    Ok(Json(ops::stores::check(&app, &actor, &store).await?))
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, into_params(parameter_in = Query))]
pub struct Listed {
    /// Name all files concerned, not only the first ten of each scope.
    #[serde(default)]
    list: bool,
}

/// Whether the store can be given up, and what to do until it can.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/stores/{store}/evacuation", tag = "stores",
    params(("store" = StoreName, Path), Listed),
    responses((status = 200, body = Evacuation), Errors)))]
pub async fn evacuation(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
    Query(query): Query<Listed>,
) -> Answer<Json<Evacuation>> {
    let naming = if query.list { Naming::All } else { Naming::First };
    Ok(Json(ops::evacuation::evacuation(&app, &actor, &store, naming).await?))
}
