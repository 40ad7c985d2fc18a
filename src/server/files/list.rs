//! `GET /files/{scope}/`: one page of a scope's entries in path order.

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::FileRequest;
use crate::domain::{FilePath, ScopeName};
use crate::ops::files;
use crate::server::access::Need;
use crate::server::errors::Failure;

/// Entries of one page, unless fewer are asked for.
const PAGE: usize = 1000;

pub async fn list(ask: &FileRequest<'_>) -> Result<Response, Failure> {
    ask.admit(Need::List)?;
    let scope = ScopeName::new(ask.scope).map_err(|_| Failure::unknown_scope())?;
    let query = ask.query()?;
    let limit = match query.get("limit") {
        None => PAGE,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=PAGE).contains(limit));
            let bad = || Failure::invalid("malformed-query", format!("limit is 1 to {PAGE}"));
            limit.ok_or_else(bad)?
        }
    };
    let prefix = bounded(query.get("prefix"))?.unwrap_or_default();
    let after = bounded(query.get("after"))?;
    let app = &ask.site.app;
    let actor = &ask.caller.actor;
    let listing = files::list(app, actor, &scope, &prefix, after.as_deref(), Some(limit)).await?;
    Ok(Json(listing).into_response())
}

/// Longer than any path means a mistake.
fn bounded(text: Option<&str>) -> Result<Option<String>, Failure> {
    match text {
        Some(text) if text.len() > FilePath::MAX_BYTES => {
            let detail = format!("prefix and after have at most {} bytes", FilePath::MAX_BYTES);
            Err(Failure::invalid("malformed-query", detail))
        }
        other => Ok(other.map(str::to_owned)),
    }
}
