//! Tokens and sign-in links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

#[cfg(test)]
use super::openapi::Errors;
use super::{Answer, Input, Names, Who};
use crate::api::{SignInLink, TokenCreate, TokenCreated, TokenView};
use crate::app::App;
use crate::ops;

/// Tokens without their secrets; admins of a scope see those of the scope.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tokens", tag = "tokens",
    responses((status = 200, body = [TokenView]), Errors)))]
pub async fn list(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Vec<TokenView>>> {
    Ok(Json(ops::tokens::list(&app, &actor).await?))
}

/// Makes a token, which is shown this once. Admins of a scope make tokens of the scope.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = TokenCreate,
    responses((status = 201, body = TokenCreated), Errors)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Input(request): Input<TokenCreate>,
) -> Answer<(StatusCode, Json<TokenCreated>)> {
    let made = ops::tokens::create(&app, &actor, &request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a token.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path)),
    responses((status = 204), Errors)))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(id): Names<String>,
) -> Answer<StatusCode> {
    ops::tokens::revoke(&app, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a link that signs one browser in, once, within 24 hours.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/tokens/link", tag = "tokens",
    responses((status = 200, body = SignInLink), Errors)))]
pub async fn link(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<SignInLink>> {
    Ok(Json(ops::tokens::sign_in_link(&app, &actor).await?))
}
