//! `GET /files/{scope}/`: one page of a scope's entries in path order.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::Ask;
use crate::api::{ListedEntry, Listing};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::domain::{FilePath, ScopeId};
use crate::server::access::Need;
use crate::server::errors::Failure;

/// Entries of one page, unless fewer are asked for.
const PAGE: usize = 1000;

pub async fn list(ask: &Ask<'_>) -> Result<Response, Failure> {
    let scope = ask.admit(Need::List)?;
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
    let catalogue = Arc::clone(&ask.site.app.catalogue);
    let page = tokio::task::spawn_blocking(move || {
        read_page(&catalogue, scope, &prefix, after.as_deref(), limit)
    });
    let page = page.await.map_err(|e| Failure::internal(e.to_string()))?;
    Ok(Json(page?).into_response())
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

fn read_page(
    catalogue: &Catalogue,
    scope: ScopeId,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Listing, CatalogueError> {
    let snapshot = catalogue.snapshot()?;
    let page = snapshot.entries(scope, prefix, after, limit)?;
    let mut entries = Vec::with_capacity(page.entries.len());
    for (path, entry) in page.entries {
        let file = snapshot.file(entry.file)?.ok_or_else(|| {
            CatalogueError::Corrupt(format!("the entry {path} points to a file that is gone"))
        })?;
        entries.push(ListedEntry {
            path: path.into(),
            digest: file.digest,
            size: file.size,
            content_type: entry.content_type,
            created_at: entry.created_at,
        });
    }
    let last = entries.last().map(|entry: &ListedEntry| entry.path.clone());
    Ok(Listing { entries, next: last.filter(|_| page.more) })
}
