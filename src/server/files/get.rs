//! GET and HEAD of one file (SPEC 5).

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, LAST_MODIFIED, LOCATION,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::body::{FileBody, LoggedDownload};
use super::range::{self, RequestedRange};
use super::tags::{self, Evaluation};
use super::{FileRequest, FoundEntry, disposition};
use crate::domain::ScopeId;
use crate::server::errors::Failure;
use crate::transfer::{Delivery, Read};

/// Answers a read of `found`. Conditions come first, since 304 and 412 win over a redirect; but
/// they are asked only about a file that can be served.
pub async fn get(
    ask: &FileRequest<'_>,
    scope: ScopeId,
    found: FoundEntry,
) -> Result<Response, Failure> {
    let transfer = &ask.site.app.transfer;
    let headers = &ask.parts.headers;
    let is_head = ask.parts.method == Method::HEAD;
    let conditional = tags::is_conditional(headers);
    if is_head || conditional {
        transfer.servable(scope, &found.file)?;
    }
    if conditional {
        match tags::evaluate(headers, &found.file.digest, found.entry.created_at)? {
            Evaluation::Proceed => {}
            Evaluation::NotModified => return Ok(not_modified(&found)),
            Evaluation::Failed => return Err(Failure::precondition()),
        }
    }
    let read = match read_of(ask, scope, &found, is_head)? {
        RequestedRead::Read(read) => read,
        RequestedRead::Unsatisfiable => return Err(unsatisfiable(found.file.size)),
    };
    if is_head {
        return Ok(whole(&found, &read, Body::empty()));
    }
    match transfer.open(scope, &found.file, &read).await? {
        Delivery::Redirect(url) => redirect(&url),
        Delivery::Body(download) => {
            let range = read.range.clone().unwrap_or(0..found.file.size);
            let length = range.end - range.start;
            let about = LoggedDownload { scope, store: download.store, digest: found.file.digest };
            let body = FileBody::new(download.stream, length, Arc::clone(ask.site), about);
            let response = whole(&found, &read, Body::new(body));
            Ok(match read.range {
                Some(range) => partial(response, &range, found.file.size),
                None => response,
            })
        }
    }
}

enum RequestedRead {
    Read(Read),
    Unsatisfiable,
}

fn read_of(
    ask: &FileRequest<'_>,
    scope: ScopeId,
    found: &FoundEntry,
    is_head: bool,
) -> Result<RequestedRead, Failure> {
    let app = &ask.site.app;
    let query = ask.query()?;
    let now = app.catalogue.clock().now();
    let (file, modified) = (&found.file, found.entry.created_at);
    // Ranges mean nothing to HEAD (RFC 9110 section 14.2).
    let part = if is_head {
        RequestedRange::Whole
    } else {
        range::wanted(&ask.parts.headers, file.size, &file.digest, modified, now)
    };
    let range = match part {
        RequestedRange::Whole => None,
        RequestedRange::Range(range) => Some(range),
        RequestedRange::Unsatisfiable => {
            app.transfer.servable(scope, file)?;
            return Ok(RequestedRead::Unsatisfiable);
        }
    };
    let download = query.is_set("download");
    Ok(RequestedRead::Read(Read {
        range,
        proxy: query.is_set("proxy"),
        content_type: found.entry.content_type.clone(),
        content_disposition: download.then(|| disposition::attachment(found.path.file_name())),
    }))
}

/// `HeaderValue` of text that was checked when it was stored.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

fn validators(headers: &mut HeaderMap, found: &FoundEntry) {
    headers.insert(ETAG, value(&tags::etag(&found.file.digest)));
    headers.insert(LAST_MODIFIED, value(&found.entry.created_at.http_date()));
    // The path may get another file at any time; asking again costs a 304.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

fn whole(found: &FoundEntry, read: &Read, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(12);
    validators(headers, found);
    headers.insert(CONTENT_TYPE, value(&read.content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(found.file.size));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(disposition) = &read.content_disposition {
        headers.insert(CONTENT_DISPOSITION, value(disposition));
    }
    response
}

fn partial(mut response: Response, range: &Range<u64>, size: u64) -> Response {
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    let written = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    headers.insert(CONTENT_RANGE, value(&written));
    response
}

fn not_modified(found: &FoundEntry) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    validators(response.headers_mut(), found);
    response
}

fn unsatisfiable(size: u64) -> Failure {
    let detail = format!("the range begins behind the end of the file, which has {size} bytes");
    Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail)
        .header(CONTENT_RANGE, value(&format!("bytes */{size}")))
        .header(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

/// The URL is a secret for as long as it lives: it goes into this header and nowhere else.
fn redirect(url: &str) -> Result<Response, Failure> {
    let mut location = HeaderValue::from_str(url)
        .map_err(|_| Failure::internal("the store made a URL that no header can hold"))?;
    location.set_sensitive(true);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    Ok(response)
}
