//! What a run could not do, with the files concerned by name and a way out.

use std::sync::Arc;

use super::super::super::errors::Failure;
use super::super::frame::Visit;
use crate::api::{Count, FileName, RunError};
use crate::app::App;
use crate::domain::{Digest, Remedy, StoreName};
use crate::ops;

/// An error of a run as a page shows it.
pub struct Problem {
    pub phase: String,
    pub scope: Option<String>,
    pub store: Option<String>,
    pub cause: String,
    /// What happens next, where the cause does not say it.
    pub hint: Option<&'static str>,
    pub remedy: Option<Remedy>,
    pub count: Count,
    /// The first files concerned.
    pub files: Vec<(Digest, Option<FileName>)>,
}

/// The errors with names.
pub async fn told(
    app: &Arc<App>,
    visit: &Visit,
    errors: &[RunError],
) -> Result<Vec<Problem>, Failure> {
    let digests = errors
        .iter()
        .flat_map(|error| error.digests.iter().map(|digest| (*digest, error.scope.clone())));
    let names = ops::vacuum::names_of(app, &visit.actor, digests.collect()).await?;
    let problem = |error: &RunError| {
        let files = error.digests.iter().map(|digest| (*digest, names.get(digest).cloned()));
        Problem {
            phase: error.phase.clone(),
            scope: error.scope.clone(),
            store: error.store.clone(),
            cause: error.cause.clone(),
            hint: hint(&error.phase),
            remedy: remedy(error),
            count: Count { files: error.files, bytes: error.bytes },
            files: files.collect(),
        }
    };
    Ok(errors.iter().map(problem).collect())
}

/// Runs of before there were remedies name at least the store that was not usable.
fn remedy(error: &RunError) -> Option<Remedy> {
    let check = || {
        let store = error.store.as_ref().filter(|_| error.phase == "stores")?;
        Some(Remedy::CheckStore { store: StoreName::new(store).ok()? })
    };
    error.remedy.clone().or_else(check)
}

/// The planner's causes say what to do; these phases meet what nobody planned.
fn hint(phase: &str) -> Option<&'static str> {
    match phase {
        "stores" => Some("Runs go on without the store and change nothing in it until it works."),
        "finish" => Some("The deletions are tried again by themselves, and by the next run."),
        "run" => Some("Look into the log of the server, put right what it names, and start a run."),
        _ => None,
    }
}
