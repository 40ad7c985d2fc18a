//! The only map from what went wrong to an HTTP status and a problem document (RFC 9457).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::api::Problem;
use crate::catalogue::CatalogueError;
use crate::domain::{DigestError, PathError};
use crate::ops::OpError;
use crate::transfer::{ServeError, UploadError};
use crate::words::Phrase;

/// When to come back while the server itself is short of something.
const SOON: Duration = Duration::from_secs(5);

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A failed request: what the client gets to read.
#[derive(Debug, Clone)]
pub struct Failure(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    problem: Problem,
    headers: HeaderMap,
}

impl Failure {
    /// `kind` is stable and names the problem; `detail` says what was wrong and what to do.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<Phrase>) -> Self {
        let detail = detail.into();
        let remedy = detail.remedy().and_then(|r| serde_json::to_value(r).ok());
        let problem = Problem {
            kind: kind.to_owned(),
            title: title(kind),
            status: status.as_u16(),
            detail,
            extra: remedy.map(|remedy| ("remedy".to_owned(), remedy)).into_iter().collect(),
        };
        Self(Box::new(Parts { status, problem, headers: HeaderMap::new() }))
    }

    pub fn invalid(kind: &str, detail: impl Into<Phrase>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// No credentials, or bad ones; also the answer to strangers who ask for what may not exist.
    pub fn unauthorized(detail: impl Into<Phrase>) -> Self {
        let mut failure = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let headers = &mut failure.0.headers;
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hayloft\""));
        let basic = "Basic realm=\"hayloft\", charset=\"UTF-8\"";
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(basic));
        failure
    }

    pub fn forbidden(detail: impl Into<Phrase>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub fn unknown_scope() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-scope", "there is no such scope")
    }

    pub fn no_such_entry() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-entry", "the scope has no file at this path")
    }

    pub fn precondition() -> Self {
        Self::from(&UploadError::Precondition)
    }

    pub fn not_found() -> Self {
        let detail = "there is nothing here: files are below /files/SCOPE/, the API below /api/v1/";
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this address takes {allow}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .header(ALLOW, HeaderValue::from_static(allow))
    }

    pub fn internal(detail: impl Into<Phrase>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    #[must_use]
    pub fn header(mut self, name: axum::http::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
    }

    /// Adds a fact to the document.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.problem.extra.insert(key.to_owned(), value.into());
        self
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What was wrong and what to do.
    pub fn detail(&self) -> &Phrase {
        &self.0.problem.detail
    }

    /// Gives the headers and the problem of this failure to an answer that says it in another way.
    pub fn add_headers_to(&self, mut response: Response) -> Response {
        let own = self.clone().into_response();
        for (name, value) in own.headers() {
            if *name != CONTENT_TYPE && *name != CONTENT_LENGTH {
                response.headers_mut().append(name, value.clone());
            }
        }
        response.extensions_mut().extend(own.extensions().clone());
        response
    }
}

/// Leaves the Basic challenge out: browsers answer it with a dialog of their own, which helps nobody
/// when a script of the page asked (SPEC 10).
pub fn unchallenge(response: &mut Response) {
    let all: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().cloned().collect();
    response.headers_mut().remove(WWW_AUTHENTICATE);
    for value in all.into_iter().filter(|value| !value.as_bytes().starts_with(b"Basic")) {
        response.headers_mut().append(WWW_AUTHENTICATE, value);
    }
}

/// `file-too-large` as people write it.
fn title(kind: &str) -> String {
    let mut text = kind.replace('-', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// The problem of an answer that is our fault, for the log.
pub fn defect(response: &Response) -> Option<&Problem> {
    let status = response.status();
    let is_ours = status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE;
    response.extensions().get().filter(|_| is_ours)
}

/// The problem goes along as a value, for the page and the log.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Parts { status, problem, headers } = *self.0;
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.extensions_mut().insert(problem);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CONTENT_LENGTH, length);
        response
    }
}

impl From<&UploadError> for Failure {
    fn from(error: &UploadError) -> Self {
        let detail = error.to_string();
        match error {
            UploadError::NoScope => Self::unknown_scope(),
            UploadError::NoWritableStore => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-writable-store", detail)
            }
            UploadError::TooLarge { .. } => too_large(detail),
            UploadError::StoreFailing { retry_after, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-failing", detail)
                    .retry_after(*retry_after)
            }
            UploadError::Insufficient { .. } | UploadError::StagingFull(_) => full(detail),
            UploadError::Precondition => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
            }
            UploadError::DigestMismatch { .. } => Self::invalid("digest-mismatch", detail),
            UploadError::Length { .. } => Self::invalid("length-mismatch", detail),
            UploadError::Body(_) => Self::invalid("incomplete-body", detail),
            UploadError::Staging(_) => Self::internal(detail),
            UploadError::Vanished => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "try-again", detail).retry_after(SOON)
            }
            UploadError::Catalogue(error) => Self::from(error),
        }
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        Self::from(&error)
    }
}

/// 413, for one upload that is larger than it may ever be.
pub fn too_large(detail: impl Into<Phrase>) -> Failure {
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "file-too-large", detail)
}

fn full(detail: impl Into<Phrase>) -> Failure {
    Failure::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", detail)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let detail = error.to_string();
        match error {
            ServeError::Archived(stores) => {
                let stores: Vec<String> = stores.iter().map(ToString::to_string).collect();
                Self::new(StatusCode::CONFLICT, "file-archived", detail).with("stores", stores)
            }
            ServeError::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "file-unavailable", detail)
            }
            ServeError::Catalogue(error) => Self::from(&error),
        }
    }
}

impl From<&CatalogueError> for Failure {
    fn from(error: &CatalogueError) -> Self {
        let detail = error.to_string();
        match error {
            CatalogueError::DiskFull => full(detail),
            CatalogueError::Closed => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting-down", detail)
                    .retry_after(SOON)
            }
            CatalogueError::Locked(_)
            | CatalogueError::Unreadable(..)
            | CatalogueError::Newer { .. }
            | CatalogueError::Corrupt(_)
            | CatalogueError::Storage(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "catalogue-failing", detail)
            }
        }
    }
}

impl From<CatalogueError> for Failure {
    fn from(error: CatalogueError) -> Self {
        Self::from(&error)
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        let detail = error.detail();
        match error {
            OpError::NotFound { what, .. } => {
                let kind = match what {
                    "file" | "entry" | "path" => "no-such-entry".to_owned(),
                    other => format!("unknown-{}", other.replace(' ', "-")),
                };
                Self::new(StatusCode::NOT_FOUND, &kind, detail)
            }
            OpError::NotLinked { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown-link-to-store", detail)
            }
            OpError::NoRun => Self::new(StatusCode::NOT_FOUND, "unknown-run", detail),
            OpError::Invalid(_) => Self::invalid("invalid-request", detail),
            OpError::Field { field, .. } => {
                Self::invalid("invalid-request", detail).with("field", field)
            }
            OpError::Refused { kind, extra, .. } => {
                let mut failure = Self::new(StatusCode::CONFLICT, kind.as_str(), detail);
                failure.0.problem.extra.extend(extra);
                failure
            }
            OpError::Store { kind, .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail),
            OpError::Forbidden(_) => Self::forbidden(detail),
            OpError::Catalogue(error) => Self::from(&error),
            OpError::Internal(_) => Self::internal(detail),
        }
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Self::invalid("malformed-path", error.to_string())
    }
}

impl From<DigestError> for Failure {
    fn from(error: DigestError) -> Self {
        Self::invalid("malformed-digest", error.to_string())
    }
}

/// The problem document for an error answer that has none: what axum says about a body or a path
/// that it cannot read becomes the detail.
pub fn adopt(status: StatusCode, headers: &HeaderMap, text: &str) -> Failure {
    let kind = match status {
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "request-too-large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
        status if status.is_client_error() => "invalid-request",
        _ => "internal",
    };
    // A body of the right form with the wrong content is a malformed request like any other.
    let status = match status {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        other => other,
    };
    let detail = match (text.trim(), status) {
        ("", StatusCode::NOT_FOUND) => return Failure::not_found(),
        ("", StatusCode::METHOD_NOT_ALLOWED) => {
            let allow = headers.get(ALLOW).and_then(|allow| allow.to_str().ok());
            format!("this address takes {}", allow.unwrap_or("no such method"))
        }
        ("", status) => status.canonical_reason().unwrap_or("the request failed").to_owned(),
        (text, _) => text.to_owned(),
    };
    let mut failure = Failure::new(status, kind, detail);
    if let Some(allow) = headers.get(ALLOW) {
        failure = failure.header(ALLOW, allow.clone());
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ScopeName, StoreName};

    #[test]
    fn each_refusal_of_an_upload_has_its_status() {
        let cases = [
            (UploadError::NoScope, 404, "unknown-scope"),
            (UploadError::NoWritableStore, 503, "no-writable-store"),
            (UploadError::TooLarge { size: 2, largest: 1 }, 413, "file-too-large"),
            (
                UploadError::StoreFailing { problem: "p".into(), retry_after: SOON },
                503,
                "store-failing",
            ),
            (UploadError::Insufficient { size: 1 }, 507, "insufficient-storage"),
            (UploadError::Precondition, 412, "precondition-failed"),
            (UploadError::DigestMismatch { what: "BLAKE3" }, 400, "digest-mismatch"),
            (UploadError::Catalogue(CatalogueError::DiskFull), 507, "insufficient-storage"),
        ];
        for (error, status, kind) in cases {
            let failure = Failure::from(&error);
            assert_eq!(
                (failure.status().as_u16(), failure.0.problem.kind.as_str()),
                (status, kind)
            );
            assert_eq!(failure.0.headers.contains_key(RETRY_AFTER), kind == "store-failing");
        }
    }

    #[test]
    fn what_to_do_is_a_value_in_the_document_too() {
        let (scope, store) = (ScopeName::new("s").expect("a name"), store());
        let Failure(parts) = Failure::from(OpError::NotLinked { scope, store });
        let remedy = serde_json::json!({"action": "link_store", "scope": "s", "store": "cold"});
        assert_eq!(parts.problem.extra["remedy"], remedy);
    }

    fn store() -> StoreName {
        StoreName::new("cold").expect("a name")
    }

    #[test]
    fn an_archived_file_names_its_stores() {
        let failure = Failure::from(ServeError::Archived(vec![store()]));
        assert_eq!(failure.status(), StatusCode::CONFLICT);
        assert_eq!(failure.0.problem.extra["stores"], serde_json::json!(["cold"]));
        assert_eq!(failure.0.problem.title, "File archived");
    }
}
