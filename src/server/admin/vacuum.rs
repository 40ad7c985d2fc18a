//! Runs of the vacuum, and maintenance on demand.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::sync::watch::Receiver;

#[cfg(test)]
use super::openapi::{Errors, RunEvent, RunId};
use super::{Answer, Failure, Input, Names, Nothing, Query, Who};
use crate::api::{
    Preview, ReconcileReport, Run, SweepReport, SweepRequest, VerifyReport, VerifyRequest,
};
use crate::app::App;
use crate::domain::StoreName;
use crate::maintenance::{Freshness, PreviewRequest};
use crate::ops::vacuum::{self, Control, Which};

/// At least so long between two events: people cannot read faster.
const PACE: Duration = Duration::from_millis(200);

/// A run's number, or `current`.
fn which(id: &str) -> Result<Which, Failure> {
    match (id, id.parse()) {
        ("current", _) => Ok(Which::Current),
        (_, Ok(id)) => Ok(Which::Id(id)),
        (_, Err(_)) => Err(Failure::new(
            StatusCode::NOT_FOUND,
            "unknown-run",
            format!("{id:?} is not the number of a run, nor the word `current`"),
        )),
    }
}

/// What the next run would do, as a run without an id; nothing is changed.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/vacuum/plan", tag = "vacuum",
    responses((status = 200, body = Run), Errors)))]
pub async fn plan(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Run>> {
    let preview = vacuum::preview(&app, &actor, PreviewRequest::EveryMove).await?;
    Ok(Json(Arc::unwrap_or_clone(preview).run))
}

/// What the next run would do in sums, without the moves. An answer of the last seconds will do, and of the last minutes
/// where looking takes long; `at` says from when it is.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/vacuum/preview", tag = "vacuum",
    responses((status = 200, body = Preview), Errors)))]
pub async fn preview(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Preview>> {
    let wanted = PreviewRequest::Sums(Freshness::Recent);
    Ok(Json(vacuum::preview(&app, &actor, wanted).await?.in_sums()))
}

/// The last 100 runs, newest first.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/vacuum/runs", tag = "vacuum",
    responses((status = 200, body = [Run]), Errors)))]
pub async fn list(State(app): State<Arc<App>>, Who(actor): Who) -> Answer<Json<Vec<Run>>> {
    Ok(Json(vacuum::list(&app, &actor).await?))
}

/// Starts a run; the body is empty. 409 `run-in-progress` has its number in `run`.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/vacuum/runs", tag = "vacuum",
    responses((status = 202, body = Run), Errors)))]
pub async fn start(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    // Who asks for a dry run here must not get a real one.
    Input(Nothing {}): Input<Nothing>,
) -> Answer<(StatusCode, Json<Run>)> {
    Ok((StatusCode::ACCEPTED, Json(vacuum::start(&app, &actor).await?)))
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, into_params(parameter_in = Query))]
pub struct Detail {
    /// The moves too.
    #[serde(default)]
    moves: bool,
}

/// A run by its number, or the `current` one.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/vacuum/runs/{id}", tag = "vacuum",
    params(("id" = RunId, Path), Detail),
    responses((status = 200, body = Run), Errors)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(id): Names<String>,
    Query(detail): Query<Detail>,
) -> Answer<Json<Run>> {
    Ok(Json(vacuum::show(&app, &actor, which(&id)?, detail.moves).await?))
}

/// Cancels a run between files.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/vacuum/runs/{id}", tag = "vacuum",
    params(("id" = RunId, Path)),
    responses((status = 202, body = Run), Errors)))]
pub async fn cancel(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(id): Names<String>,
) -> Answer<(StatusCode, Json<Run>)> {
    let run = vacuum::control(&app, &actor, which(&id)?, Control::Cancel).await?;
    Ok((StatusCode::ACCEPTED, Json(run)))
}

/// Holds a run between files, also across a restart.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/vacuum/runs/{id}/pause", tag = "vacuum",
    params(("id" = RunId, Path)),
    responses((status = 200, body = Run), Errors)))]
pub async fn pause(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(id): Names<String>,
) -> Answer<Json<Run>> {
    Ok(Json(vacuum::control(&app, &actor, which(&id)?, Control::Pause).await?))
}

/// Lets a paused run go on.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/vacuum/runs/{id}/resume", tag = "vacuum",
    params(("id" = RunId, Path)),
    responses((status = 200, body = Run), Errors)))]
pub async fn resume(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(id): Names<String>,
) -> Answer<Json<Run>> {
    Ok(Json(vacuum::control(&app, &actor, which(&id)?, Control::Resume).await?))
}

/// A run's progress as server-sent events: `progress` with the run, and `finished` at its end.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/vacuum/runs/{id}/events", tag = "vacuum",
    params(("id" = RunId, Path)),
    responses((status = 200, body = RunEvent, content_type = "text/event-stream",
        description = "`event: progress` or `event: finished`, data: the run"), Errors)))]
pub async fn events(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(id): Names<String>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let (run, progress) = vacuum::watch(&app, &actor, which(&id)?).await?;
    let told = stream::unfold(Next::Tell(Box::new(run), progress), advance);
    Ok(Sse::new(told).keep_alive(KeepAlive::default()))
}

/// What an event stream does next.
enum Next {
    Tell(Box<Run>, Option<Receiver<Run>>),
    Wait(Receiver<Run>),
    Over,
}

async fn advance(next: Next) -> Option<(Result<Event, Infallible>, Next)> {
    let (run, progress) = match next {
        Next::Over => return None,
        Next::Tell(run, progress) => (*run, progress),
        Next::Wait(mut progress) => {
            tokio::time::sleep(PACE).await;
            // The sender goes when the server ends before the run does: there is no end to tell.
            progress.changed().await.ok()?;
            let run = progress.borrow_and_update().clone();
            (run, Some(progress))
        }
    };
    let name = if run.finished_at.is_some() { "finished" } else { "progress" };
    let event = Event::default().event(name).json_data(&run).ok()?;
    let next = match (run.finished_at, progress) {
        (None, Some(progress)) => Next::Wait(progress),
        (Some(_), _) | (None, None) => Next::Over,
    };
    Some((Ok(event), next))
}

/// Removes orphans of a store.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/stores/{store}/sweep", tag = "stores",
    params(("store" = StoreName, Path)), request_body = Option<SweepRequest>,
    responses((status = 200, body = SweepReport), Errors)))]
pub async fn sweep(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
    Input(request): Input<SweepRequest>,
) -> Answer<Json<SweepReport>> {
    Ok(Json(vacuum::sweep(&app, &actor, &store, &request).await?))
}

/// Takes a store as it is, whatever its marker says.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/stores/{store}/reconcile", tag = "stores",
    params(("store" = StoreName, Path)),
    responses((status = 200, body = ReconcileReport), Errors)))]
pub async fn reconcile(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Names(store): Names<StoreName>,
) -> Answer<Json<ReconcileReport>> {
    Ok(Json(vacuum::reconcile(&app, &actor, &store).await?))
}

/// Recounts, looks at every replica, and heals when asked.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/verify", tag = "instance", request_body = Option<VerifyRequest>,
    responses((status = 200, body = VerifyReport), Errors)))]
pub async fn verify(
    State(app): State<Arc<App>>,
    Who(actor): Who,
    Input(request): Input<VerifyRequest>,
) -> Answer<Json<VerifyReport>> {
    Ok(Json(vacuum::verify(&app, &actor, &request).await?))
}
