//! The `Host` header (RFC 9112 section 3.2): a request of HTTP/1.1 has exactly one. Two of them are
//! how a request is made to mean one thing to a proxy and another to us.

use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Request, StatusCode, Version};

use super::errors::Failure;

/// Refuses a request without a host, or with more than one, and ends its connection.
pub fn check<B>(request: &Request<B>) -> Result<(), Failure> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let first = hosts.next();
    let is_one = match first {
        Some(host) => hosts.next().is_none() && host.to_str().is_ok(),
        None => request.version() < Version::HTTP_11,
    };
    if is_one {
        return Ok(());
    }
    let detail = "a request has one Host header, no more and no less";
    Err(Failure::new(StatusCode::BAD_REQUEST, "malformed-request", detail)
        .header(CONNECTION, HeaderValue::from_static("close")))
}
