//! One run: its progress while it is at work, its result afterwards.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::super::super::errors::Failure;
use super::super::form::Form;
use super::super::frame::{Frame, Section, Visit, done, render, see};
use super::super::{places, show};
use super::moves::{Moves, Source, grouped};
use super::problems::{self, Problem};
use crate::api::{Outcome, Progress, Run};
use crate::app::App;
use crate::domain::Timestamp;
use crate::ops::vacuum::{Control, Which};
use crate::ops::{self, OpError, Refusal};
use crate::words;

pub fn address(id: u64) -> String {
    format!("/vacuum/runs/{id}")
}

/// What a page says about a run.
struct Shown {
    id: u64,
    now: Timestamp,
    run: Run,
    progress: Progress,
    /// It is at work, or paused, in this process.
    is_here: bool,
    /// Copies have to wait for these hours.
    waits_for: Option<String>,
    problems: Vec<Problem>,
    /// The moves made, as far as they are kept.
    moves: Option<Moves>,
}

impl Shown {
    async fn new(app: &Arc<App>, visit: &Visit, id: u64) -> Result<Self, Failure> {
        let run = ops::vacuum::show(app, &visit.actor, Which::Id(id), true).await?;
        let hours = app.config.maintenance.window.filter(|_| !app.maintenance.may_copy_now());
        let moves = match run.moves.as_deref() {
            Some(listed) if run.finished_at.is_some() => {
                let groups = grouped(listed);
                let total = total(&run, listed.len());
                let source = Source { base: address(id), groups: &groups, listed, total };
                Some(Moves::new(app, visit, source).await?)
            }
            _ => None,
        };
        Ok(Self {
            id,
            now: app.catalogue.clock().now(),
            progress: run.progress.clone().unwrap_or_default(),
            is_here: app.maintenance.current().is_some_and(|current| current.id == Some(id)),
            waits_for: hours.map(|hours| hours.to_string()),
            problems: problems::told(app, visit, &run.errors).await?,
            moves,
            run: Run { moves: None, ..run },
        })
    }

    fn is_open(&self) -> bool {
        matches!(self.run.outcome, Outcome::Running | Outcome::Paused)
    }

    fn is_paused(&self) -> bool {
        self.run.outcome == Outcome::Paused
    }

    /// The process that was at it is gone, and no other has taken it up.
    fn is_left(&self) -> bool {
        self.is_open() && !self.is_here
    }

    fn took(&self) -> String {
        let end = self.run.finished_at.unwrap_or(self.now);
        show::span(end.since(self.run.started_at).as_secs())
    }

    /// Done and ahead in what the bar counts: bytes where there are any, else files.
    fn share(&self) -> (u64, u64) {
        let (done, total) = (self.progress.done, self.progress.total);
        if total.bytes > 0 { (done.bytes, total.bytes) } else { (done.files, total.files) }
    }

    fn percent(&self) -> u64 {
        let (done, total) = self.share();
        let hundredths = u128::from(done) * 100 / u128::from(total.max(1));
        u64::try_from(hundredths).unwrap_or(100).min(100)
    }

    /// `drain, scope a, store b`.
    fn phase(&self) -> String {
        let progress = &self.progress;
        let begun = match progress.phase.as_str() {
            "" if self.is_paused() => "waiting to go on",
            "" => "beginning",
            phase => phase,
        };
        let scope = progress.scope.as_ref().map(|scope| format!("scope {scope}"));
        let store = progress.store.as_ref().map(|store| format!("store {store}"));
        let parts = [Some(begun.to_owned()), scope, store];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// What the outcome means.
    fn meaning(&self) -> &'static str {
        match self.run.outcome {
            Outcome::Running | Outcome::Paused => "",
            Outcome::Complete => "Every policy is met.",
            Outcome::Incomplete => "Something could not be done: see below.",
            Outcome::Failed => "It could not go on: see below. Nothing is lost by that.",
            Outcome::Cancelled => "What was moved stays moved; the next run does the rest.",
        }
    }
}

/// All moves of a run. A copy that a later move of the file completes is listed and counted apart,
/// and moves made before a restart are counted and not listed.
fn total(run: &Run, listed: usize) -> u64 {
    let counted = [run.copied, run.moved, run.removed].iter().map(|count| count.files).sum();
    (listed as u64).max(counted)
}

#[derive(Template)]
#[template(path = "vacuum_run.html", config = "web/askama.toml")]
struct Page {
    frame: Frame,
    shown: Shown,
}

#[derive(Template)]
#[template(path = "vacuum_run_part.html", config = "web/askama.toml")]
struct Part {
    shown: Shown,
}

fn number(id: &str) -> Result<u64, Failure> {
    id.parse().map_err(|_| Failure::not_found())
}

pub async fn show(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    let shown = Shown::new(&app, &visit, id).await?;
    render(&Page { frame: visit.frame(&app, Section::Vacuum, format!("Run {id}")), shown })
}

/// The same without what stands around it, for when the run has ended.
pub async fn body(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    render(&Part { shown: Shown::new(&app, &visit, number(&id)?).await? })
}

pub async fn pause(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
    _: Form,
) -> Result<Response, Failure> {
    steer(&app, &visit, &id, Control::Pause, "run-paused").await
}

pub async fn resume(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
    _: Form,
) -> Result<Response, Failure> {
    steer(&app, &visit, &id, Control::Resume, "run-resumed").await
}

pub async fn cancel(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
    _: Form,
) -> Result<Response, Failure> {
    steer(&app, &visit, &id, Control::Cancel, "run-cancelled").await
}

async fn steer(
    app: &Arc<App>,
    visit: &Visit,
    id: &str,
    control: Control,
    notice: &str,
) -> Result<Response, Failure> {
    let id = number(id)?;
    match ops::vacuum::control(app, &visit.actor, Which::Id(id), control).await {
        Ok(_) => Ok(done(&address(id), notice)),
        // It ended before the button was pressed: its result says so.
        Err(OpError::Refused { kind: Refusal::RunOver, .. }) => Ok(see(&address(id))),
        Err(error) => Err(error.into()),
    }
}
