//! Errors of the admin API as problem documents.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::api::Problem;
use crate::ops::OpError;

/// A failed request.
#[derive(Debug, Clone)]
pub struct Failure(Box<Problem>);

impl Failure {
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        let mut title = kind.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self(Box::new(Problem {
            kind: kind.to_owned(),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            extra: Map::new(),
        }))
    }

    pub fn invalid(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    fn with_all(mut self, extra: Map<String, Value>) -> Self {
        self.0.extra = extra;
        self
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        let detail = error.to_string();
        match error {
            OpError::NotFound { what, .. } => {
                let kind = format!("unknown-{}", what.replace(' ', "-"));
                Self::new(StatusCode::NOT_FOUND, &kind, detail)
            }
            OpError::Invalid(_) => Self::invalid("invalid-request", detail),
            OpError::Refused { kind, extra, .. } => {
                Self::new(StatusCode::CONFLICT, kind, detail).with_all(extra)
            }
            OpError::Store { kind, .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail),
            OpError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            OpError::Catalogue(_) | OpError::Internal(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(*self.0)).into_response();
        let problem = axum::http::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, problem);
        response
    }
}
