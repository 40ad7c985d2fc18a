//! The vacuum: what the next run would do and why, the runs there were, and (`run`) one at work.

mod moves;
mod problems;
mod run;

pub use run::{body, cancel, pause, resume, show as show_run};

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::errors::Failure;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, see};
use super::{places, show};
use crate::api::{Count, MoveGroup, Outcome, Preview, Run};
use crate::app::App;
use crate::config::Schedule;
use crate::domain::Timestamp;
use crate::maintenance::{Freshness, PreviewRequest};
use crate::ops::{self, OpError, Refusal};
use crate::words::{self, Phrase};
use moves::{Filter, Moves, Source};
use problems::Problem;

/// Where plans are listed move by move, and their pages and filters lead.
const PLAN: &str = "/vacuum/plan";

/// Runs in the list unless all are asked for.
const RUNS: usize = 20;
/// Characters of a cause in the list of runs.
const CAUSE: usize = 90;

/// What the next run would do, as the pages show it.
struct Plan {
    at: Timestamp,
    sentence: String,
    retained: Count,
    warnings: Vec<String>,
    problems: Vec<Problem>,
    moves: Moves,
}

impl Plan {
    async fn new(app: &Arc<App>, visit: &Visit, preview: &Preview) -> Result<Self, Failure> {
        let listed = preview.run.moves.as_deref().unwrap_or_default();
        let source = Source {
            base: PLAN.to_owned(),
            groups: &preview.groups,
            listed,
            total: preview.moves_total,
        };
        Ok(Self {
            at: preview.at,
            sentence: sentence(preview),
            retained: preview.run.retained,
            warnings: preview.run.warnings.clone(),
            problems: problems::told(app, visit, &preview.run.errors).await?,
            moves: Moves::new(app, visit, source).await?,
        })
    }
}

/// The sums in one line.
fn sentence(preview: &Preview) -> String {
    let sums = MoveGroup::sums(&preview.groups, |group| group.action);
    let told = sums.iter().map(|(action, sum)| {
        format!("{} {} ({})", action.as_str(), show::files(sum.files), show::bytes(sum.bytes))
    });
    let told: Vec<String> = told.collect();
    match told.split_last() {
        None => "The next run would move nothing.".to_owned(),
        Some((only, [])) => format!("The next run would {only}."),
        Some((last, rest)) => format!("The next run would {} and {last}.", rest.join(", ")),
    }
}

#[derive(Template)]
#[template(path = "vacuum.html", config = "web/askama.toml")]
struct Page {
    frame: Frame,
    now: Timestamp,
    runs: Vec<Run>,
    /// Runs that are kept and not shown.
    more: usize,
    /// The run that is at work, paused, or was left so.
    open: Option<Run>,
    next: Option<Timestamp>,
    schedule: String,
    hours: Option<String>,
    /// Copies have to wait for their hours.
    waits: bool,
    bandwidth: Option<u64>,
    concurrency: u64,
    plan: Option<Plan>,
    /// Whether the plan is to be looked at anew.
    is_old: bool,
}

pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let mut runs = ops::vacuum::list(&app, &visit.actor).await?;
    let shown = if visit.query.is_set("all") { runs.len() } else { RUNS };
    let more = runs.len().saturating_sub(shown);
    runs.truncate(shown);
    let known = ops::vacuum::known_preview(&app, &visit.actor)?;
    let is_old = known.as_ref().is_none_or(|known| !known.is_fresh);
    let plan = match known {
        Some(known) => Some(Plan::new(&app, &visit, &known.preview).await?),
        None => None,
    };
    let config = &app.config.maintenance;
    let is_open = |run: &&Run| matches!(run.outcome, Outcome::Running | Outcome::Paused);
    render(&Page {
        frame: visit.frame(&app, Section::Vacuum, "Vacuum"),
        now: app.catalogue.clock().now(),
        open: runs.first().filter(is_open).cloned(),
        runs,
        more,
        next: app.maintenance.next_run(),
        schedule: match config.schedule {
            Schedule::Off => "off: runs start by hand only".to_owned(),
            Schedule::Every(_) => {
                format!("{}, counted from the end of the last run", config.schedule)
            }
            Schedule::Daily(_) => format!("daily at {}, local time", config.schedule),
        },
        hours: config.window.map(|hours| hours.to_string()),
        waits: !app.maintenance.may_copy_now(),
        bandwidth: config.bandwidth,
        concurrency: config.concurrency as u64,
        plan,
        is_old,
    })
}

#[derive(Template)]
#[template(path = "vacuum_plan_part.html", config = "web/askama.toml")]
struct PlanPart {
    now: Timestamp,
    plan: Plan,
}

#[derive(Template)]
#[template(path = "vacuum_busy_part.html", config = "web/askama.toml")]
struct BusyPart {
    problem: Phrase,
}

/// The plan as markup, once it is made.
pub async fn plan_part(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    match ops::vacuum::preview(&app, &visit.actor, PreviewRequest::Sums(Freshness::Recent)).await {
        Ok(preview) => {
            let plan = Plan::new(&app, &visit, &preview).await?;
            render(&PlanPart { now: app.catalogue.clock().now(), plan })
        }
        Err(error) => render(&BusyPart { problem: error.detail() }),
    }
}

#[derive(Template)]
#[template(path = "vacuum_plan.html", config = "web/askama.toml")]
struct PlanPage {
    frame: Frame,
    now: Timestamp,
    plan: Plan,
}

/// The plan move by move. Waits for one, but goes through the pages of one that is known.
pub async fn plan(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let goes_on = !Filter::of(&visit)?.is_empty() || !visit.get("page").is_empty();
    let known = if goes_on { ops::vacuum::known_preview(&app, &visit.actor)? } else { None };
    let freshness = if visit.query.is_set("new") { Freshness::New } else { Freshness::Recent };
    let preview = match known {
        Some(known) => known.preview,
        None => ops::vacuum::preview(&app, &visit.actor, PreviewRequest::Sums(freshness)).await?,
    };
    let plan = Plan::new(&app, &visit, &preview).await?;
    let frame = visit.frame(&app, Section::Vacuum, "The next run");
    render(&PlanPage { frame, now: app.catalogue.clock().now(), plan })
}

/// Starts a run and leads to it; also to one that is under way already.
pub async fn start(
    State(app): State<Arc<App>>,
    visit: Visit,
    _: Form,
) -> Result<Response, Failure> {
    match ops::vacuum::start(&app, &visit.actor).await {
        Ok(run) => Ok(done(&run::address(run.id.unwrap_or_default()), "run-started")),
        Err(OpError::Refused { kind: Refusal::RunInProgress, extra, detail }) => {
            let id = extra.get("run").and_then(serde_json::Value::as_u64);
            let id = id.ok_or_else(|| Failure::internal(detail))?;
            Ok(see(&run::address(id)))
        }
        Err(error) => Err(error.into()),
    }
}

impl Page {
    fn took(run: &Run) -> String {
        run.finished_at
            .map_or_else(String::new, |end| show::span(end.since(run.started_at).as_secs()))
    }

    fn id(run: &Run) -> u64 {
        run.id.unwrap_or_default()
    }

    /// The beginning of a cause.
    fn brief(cause: &str) -> String {
        let mut text: String = cause.chars().take(CAUSE).collect();
        if text.len() < cause.len() {
            text.push('…');
        }
        text
    }

    fn bytes(run: &Run) -> u64 {
        run.copied.bytes.saturating_add(run.moved.bytes)
    }
}
