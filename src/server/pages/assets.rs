//! The style sheet, the scripts and the icon, compiled into the binary.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;

use super::super::errors::Failure;

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $kind:literal),* $(,)?) => {
        [$(Asset {
            name: $name,
            kind: $kind,
            content: include_bytes!(concat!("../../../web/static/", $name)),
        }),*]
    };
}

const ASSETS: [Asset; 5] = assets! {
    "style.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "run.js": "text/javascript; charset=utf-8",
    "files.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
};

/// One tag for all of them: they change together, with the binary.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in &ASSETS {
        hasher.update(asset.content);
    }
    let tag = format!("\"{}\"", &hasher.finalize().to_hex()[..16]);
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"assets\""))
});

/// Answers `/assets/{name}`; a browser asks each time whether it has changed.
pub fn serve(name: &str, request: &Request<Body>) -> Result<Response, Failure> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(Failure::not_found)?;
    if !request.method().is_safe() {
        return Err(Failure::method_not_allowed("GET, HEAD"));
    }
    let mut response = Response::new(Body::empty());
    if is_known(request.headers()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(asset.content);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, TAG.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().any(|tag| *tag == *TAG)
}
