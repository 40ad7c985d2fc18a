//! What handlers take from a request: everything is parsed here, at the edge.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::super::errors::Failure;
use crate::ops::Actor;

/// Largest body of a request: thousands of workspaces.
const LARGEST_BODY: usize = 8 << 20;

/// Whoever asks. The server put the actor into the request; strangers get no further.
pub struct Who(pub Actor);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let actor = parts.extensions.get::<Actor>().filter(|a| !a.is_anonymous()).cloned();
        let known = actor.map(Self).ok_or_else(|| {
            Failure::unauthorized("this needs a token: send it as `Authorization: Bearer …`")
        });
        std::future::ready(known).await
    }
}

/// Names and paths in the address, decoded once.
pub struct Names<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(rejection) => Err(Failure::invalid("malformed-path", rejection.body_text())),
        }
    }
}

/// The query; unknown keys are refused.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Failure::invalid("invalid-request", rejection.body_text())),
        }
    }
}

/// A JSON body; an absent one is the empty object. Unknown keys and wrong types are refused [37].
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Input<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let body = to_bytes(request.into_body(), LARGEST_BODY).await.map_err(|_| {
            let detail = format!("the body is incomplete, or larger than {LARGEST_BODY} bytes");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail)
        })?;
        let json: &[u8] = if body.is_empty() { b"{}" } else { &body };
        serde_json::from_slice(json).map(Self).map_err(|e| {
            Failure::invalid("invalid-request", format!("the JSON body cannot be taken: {e}"))
        })
    }
}
