//! DELETE: the entry becomes a tombstone (SPEC 1).

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::{FileRequest, by_path, tags};
use crate::catalogue::{CatalogueError, DeleteOutcome};
use crate::domain::FilePath;
use crate::server::access::Need;
use crate::server::errors::Failure;

enum Deleted {
    Yes,
    Absent,
    ConditionFailed,
}

pub async fn delete(ask: &FileRequest<'_>) -> Result<Response, Failure> {
    let scope = ask.admit(Need::Write)?;
    let path = FilePath::from_url(ask.rest)?;
    let condition = tags::condition(&ask.parts.headers, || {
        let found = by_path(ask, scope, path.clone())?;
        Ok(found.map(|f| (f.file.digest, f.entry.created_at)))
    })?;
    let deleted = ask.site.app.catalogue.write(move |tx| {
        let Some(entry) = tx.entry(scope, &path)? else { return Ok(Deleted::Absent) };
        let digest = tx.file(entry.file)?.map(|file| file.digest);
        if !condition.holds(digest.as_ref()) {
            return Ok(Deleted::ConditionFailed);
        }
        Ok::<_, CatalogueError>(match tx.remove_entry(scope, &path)? {
            DeleteOutcome::Deleted => Deleted::Yes,
            DeleteOutcome::Absent => Deleted::Absent,
        })
    });
    match deleted.await? {
        Deleted::Yes => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Deleted::Absent => Err(Failure::no_such_entry()),
        Deleted::ConditionFailed => Err(Failure::precondition()),
    }
}
