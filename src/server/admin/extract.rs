//! What handlers take from a request: everything is parsed here, at the edge.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::errors::Failure;
use crate::domain::plain_types;
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

/// A JSON object; an absent body is the empty one. Unknown keys and wrong types are refused [37].
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Input<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let body = whole(request).await?;
        let json = match body.trim_ascii() {
            b"" | b"null" => b"{}",
            json => json,
        };
        // Serde's derived structs would take an array too.
        if !json.starts_with(b"{") {
            return Err(Failure::invalid("invalid-request", "the body must be a JSON object"));
        }
        parse(json).map(Self)
    }
}

/// The input of what has no settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A JSON array.
pub struct InputList<T>(pub Vec<T>);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for InputList<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        parse(&whole(request).await?).map(Self)
    }
}

/// The body. Only admins send one here: what others send is not even read.
async fn whole(request: Request) -> Result<axum::body::Bytes, Failure> {
    if let Some(actor) = request.extensions().get::<Actor>() {
        actor.require_some_admin()?;
    }
    to_bytes(request.into_body(), LARGEST_BODY).await.map_err(|_| {
        let detail = format!("the body is incomplete, or larger than {LARGEST_BODY} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail)
    })
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|e| {
        Failure::invalid(
            "invalid-request",
            format!("the JSON body cannot be taken: {}", plain_types(&e.to_string())),
        )
    })
}
