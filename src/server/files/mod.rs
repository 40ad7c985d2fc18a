//! Files: `/files/{scope}/{path}`, listings and `/by-hash/{scope}/{digest}` (SPEC 4, 5, 10).
//!
//! Paths are taken from the raw address and decoded once, by `FilePath` alone.

mod body;
mod declared;
mod delete;
mod disposition;
mod get;
mod intake;
mod list;
mod parts;
mod put;
mod range;
pub mod sent;
mod tags;

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};

use super::access::{self, Caller, Need};
use super::errors::Failure;
use super::query::Query;
use super::site::Site;
use crate::catalogue::Settings;
use crate::domain::{Digest, Entry, File, FilePath, ScopeId};

pub const FILES: &str = "/files/";
pub const BY_HASH: &str = "/by-hash/";

const ON_A_FILE: &str = "GET, HEAD, PUT, DELETE";
const ON_A_READ: &str = "GET, HEAD";

/// An entry with its file, as of one moment.
struct FoundEntry {
    path: FilePath,
    entry: Entry,
    file: File,
}

/// A request to one scope.
struct FileRequest<'a> {
    site: &'a Arc<Site>,
    settings: Arc<Settings>,
    caller: &'a Caller,
    parts: &'a Parts,
    /// The name of the scope as it stands in the address.
    scope: &'a str,
    /// The rest of the address, still encoded.
    rest: &'a str,
}

impl FileRequest<'_> {
    fn admit(&self, need: Need) -> Result<ScopeId, Failure> {
        access::admit(&self.settings, self.caller, self.scope, need).map(|scope| scope.id)
    }

    fn query(&self) -> Result<Query, Failure> {
        Query::parse(self.parts.uri.query().unwrap_or_default())
    }
}

/// Answers a request whose path begins with [`FILES`] or [`BY_HASH`].
pub async fn handle(site: &Arc<Site>, caller: &Caller, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let address = parts.uri.path();
    let (rest, by_hash) = match address.strip_prefix(BY_HASH) {
        Some(rest) => (rest, true),
        None => (address.strip_prefix(FILES).unwrap_or_default(), false),
    };
    let (scope, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let settings = site.app.catalogue.settings();
    let ask = FileRequest { site, settings, caller, parts: &parts, scope, rest };
    if !by_hash && !rest.is_empty() && parts.method == Method::PUT {
        // Large, and a small download is not to pay for it.
        return Box::pin(put::put(&ask, body)).await;
    }
    let answer = if by_hash { read_by_hash(&ask).await } else { file(&ask).await };
    let answer = answer.unwrap_or_else(IntoResponse::into_response);
    intake::drain(body);
    answer
}

async fn file(ask: &FileRequest<'_>) -> Result<Response, Failure> {
    let method = &ask.parts.method;
    match *method {
        Method::GET | Method::HEAD if ask.rest.is_empty() => list::list(ask).await,
        Method::GET | Method::HEAD => {
            let scope = ask.admit(Need::ReadKnown)?;
            let path = FilePath::from_url(ask.rest)?;
            let found = by_path(ask, scope, path)?.ok_or_else(Failure::no_such_entry)?;
            get::get(ask, scope, found).await
        }
        Method::DELETE if !ask.rest.is_empty() => delete::delete(ask).await,
        _ if ask.rest.is_empty() => Err(Failure::method_not_allowed(ON_A_READ)),
        _ => Err(Failure::method_not_allowed(ON_A_FILE)),
    }
}

fn by_path(
    ask: &FileRequest<'_>,
    scope: ScopeId,
    path: FilePath,
) -> Result<Option<FoundEntry>, Failure> {
    let snapshot = ask.site.app.catalogue.snapshot()?;
    let Some(entry) = snapshot.entry(scope, &path)? else { return Ok(None) };
    let Some(file) = snapshot.file(entry.file)? else { return Ok(None) };
    Ok(Some(FoundEntry { path, entry, file }))
}

async fn read_by_hash(ask: &FileRequest<'_>) -> Result<Response, Failure> {
    if !matches!(ask.parts.method, Method::GET | Method::HEAD) {
        return Err(Failure::method_not_allowed(ON_A_READ));
    }
    let scope = ask.admit(Need::ReadKnown)?;
    let digest: Digest = ask.rest.parse()?;
    let found = by_digest(ask, scope, &digest)?;
    let missing = || {
        let detail = "no file of the scope has this digest";
        Failure::new(axum::http::StatusCode::NOT_FOUND, "no-such-entry", detail)
    };
    get::get(ask, scope, found.ok_or_else(missing)?).await
}

fn by_digest(
    ask: &FileRequest<'_>,
    scope: ScopeId,
    digest: &Digest,
) -> Result<Option<FoundEntry>, Failure> {
    let snapshot = ask.site.app.catalogue.snapshot()?;
    let file = snapshot.file_by_digest(digest)?.filter(|file| file.is_live_in(scope));
    let Some(file) = file else { return Ok(None) };
    let newest = snapshot.newest_entry_of(scope, file.id)?;
    Ok(newest.map(|(path, entry)| FoundEntry { path, entry, file }))
}
