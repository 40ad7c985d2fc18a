//! PUT: refusals before the body where possible, an answer after the bytes are durable (SPEC 4).

use std::fmt::Write;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::intake::{self, UploadBody};
use super::{FileRequest, by_path, declared, tags};
use crate::api::Uploaded;
use crate::domain::{FilePath, ScopeId};
use crate::server::access::Need;
use crate::server::errors::Failure;
use crate::server::site::Site;
use crate::transfer::{Admission, Committed, UploadRequest};

/// What stays itself in a `Location`: slashes separate segments there as they do in paths.
const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

pub async fn put(ask: &FileRequest<'_>, body: Body) -> Response {
    let _under_way = ask.site.metrics.upload();
    match admit(ask, body.size_hint().exact()).await {
        Ok((path, admission)) => match receive(ask.site, admission, body).await {
            Ok(committed) => answer(ask, path, committed),
            Err(failure) => failure.into_response(),
        },
        Err(failure) => {
            // A client that waits for "100 Continue" sends nothing now.
            if !ask.parts.headers.contains_key(EXPECT) {
                intake::drain(body);
            }
            failure.into_response()
        }
    }
}

/// Everything that can be refused before the body. `exact` is the size of a body that needs no header to tell it.
async fn admit(
    ask: &FileRequest<'_>,
    exact: Option<u64>,
) -> Result<(FilePath, Admission), Failure> {
    let scope = ask.admit(Need::Write)?;
    let path = FilePath::from_url(ask.rest)?;
    let request = read_request(ask, scope, path.clone(), exact)?;
    let max = ask.site.app.config.limits.max_upload;
    if let (Some(max), Some(size)) = (max, request.size)
        && size > max
    {
        return Err(intake::over_limit(max));
    }
    let admission = ask.site.app.transfer.admit(request).await?;
    Ok((path, admission))
}

fn read_request(
    ask: &FileRequest<'_>,
    scope: ScopeId,
    path: FilePath,
    exact: Option<u64>,
) -> Result<UploadRequest, Failure> {
    let headers = &ask.parts.headers;
    refuse_other_expectations(headers)?;
    declared::refuse_partial(headers)?;
    // A request without a body and without a length is an empty file.
    let size = declared::size(headers)?.or(exact);
    let condition = tags::condition(headers, || {
        let found = by_path(ask, scope, path.clone())?;
        Ok(found.map(|f| (f.file.digest, f.entry.created_at)))
    })?;
    Ok(UploadRequest {
        scope,
        path,
        size,
        content_type: declared::content_type(headers)?,
        declared: declared::digests(headers)?,
        condition,
    })
}

fn refuse_other_expectations(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            let detail = "the only expectation that can be met is 100-continue";
            Err(Failure::new(StatusCode::EXPECTATION_FAILED, "unknown-expectation", detail))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn receive(
    site: &Site,
    admission: Admission,
    body: Body,
) -> Result<Committed, Failure> {
    let app = &site.app;
    let max = app.config.limits.max_upload;
    let (intake, rest) = UploadBody::new(body, max, site.metrics.clone());
    let received = app.transfer.receive(admission, Box::pin(intake)).await;
    received.map_err(|error| {
        if let Some(body) = rest.take_body() {
            intake::drain(body);
        }
        rest.take_failure().unwrap_or_else(|| error.into())
    })
}

fn answer(ask: &FileRequest<'_>, path: FilePath, committed: Committed) -> Response {
    let Committed { entry, file, store, replaced } = committed;
    let location = location(ask, &path);
    let Some(scope) = ask.settings.topology.scope(ask.scope).map(|scope| scope.name.clone()) else {
        return Failure::unknown_scope().into_response();
    };
    let uploaded = Uploaded {
        scope,
        path: path.into(),
        digest: file.digest,
        size: file.size,
        content_type: entry.content_type,
        store,
        created_at: entry.created_at,
    };
    let json = serde_json::to_vec(&uploaded).unwrap_or_default();
    let length = json.len();
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = if replaced { StatusCode::OK } else { StatusCode::CREATED };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.extend(HeaderValue::try_from(tags::etag(&file.digest)).map(|v| (ETAG, v)));
    headers.extend(HeaderValue::try_from(location).map(|v| (LOCATION, v)));
    response
}

fn location(ask: &FileRequest<'_>, path: &FilePath) -> String {
    let mut location = ask.site.app.config.public_url.clone().unwrap_or_default();
    let encoded = utf8_percent_encode(path.as_str(), IN_PATH);
    // Writing into a String cannot fail.
    write!(location, "/files/{}/{encoded}", ask.scope).ok();
    location
}
