//! The first page: what is stored where, whether it is safe, what comes next.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::errors::Failure;
use super::frame::{Frame, Section, Visit, render};
use super::stores_shown::{self, Ahead};
use super::{places, show};
use crate::api::{Attention, Run, Severity, Status, StoreView};
use crate::app::App;
use crate::domain::Timestamp;
use crate::maintenance::StoreForecast;
use crate::ops;
use crate::words;

#[derive(Template)]
#[template(path = "overview.html", config = "web/askama.toml")]
struct OverviewPage {
    frame: Frame,
    now: Timestamp,
    status: Status,
    stores: Vec<StoreRow>,
    ahead: Ahead,
    /// Nobody made a scope yet.
    is_new: bool,
}

/// The stores by themselves, when it is known what the next run would move.
#[derive(Template)]
#[template(path = "overview_stores_part.html", config = "web/askama.toml")]
struct StoresPart {
    now: Timestamp,
    stores: Vec<StoreRow>,
    ahead: Ahead,
}

/// A store as the overview shows it.
struct StoreRow {
    name: String,
    backend: String,
    health: &'static str,
    files: u64,
    room: String,
    bar: String,
    chart: String,
    /// Bytes a day, in words.
    pace: Option<String>,
    forecast: Option<String>,
}

pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let status = ops::status::glance(&app, &visit.actor).await?;
    let ahead = Ahead::of(&app, &visit).await?;
    let now = app.catalogue.clock().now();
    let stores = rows(&app, &visit, &ahead, &status.stores).await?;
    let frame = visit.frame(&app, Section::Overview, "Overview");
    let is_new = app.catalogue.settings().topology.scopes.is_empty();
    render(&OverviewPage { frame, now, status, stores, ahead, is_new })
}

/// The stores once more, as soon as it is known what the next run would move.
pub async fn stores(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let ahead = Ahead::now(&app, &visit).await?;
    let views = ops::stores::glance(&app, &visit.actor).await?;
    let stores = rows(&app, &visit, &ahead, &views).await?;
    render(&StoresPart { now: app.catalogue.clock().now(), stores, ahead })
}

async fn rows(
    app: &Arc<App>,
    visit: &Visit,
    ahead: &Ahead,
    stores: &[StoreView],
) -> Result<Vec<StoreRow>, Failure> {
    let forecasts = ops::status::forecasts(app, &visit.actor).await?;
    let rows = stores.iter().map(|store| row(ahead, store, forecasts.get(&store.name)));
    Ok(rows.collect())
}

fn row(ahead: &Ahead, store: &StoreView, forecast: Option<&StoreForecast>) -> StoreRow {
    let capacity = forecast.and_then(|f| f.capacity);
    StoreRow {
        name: store.name.to_string(),
        backend: store.backend.clone(),
        health: stores_shown::health(store),
        files: store.files,
        room: stores_shown::room(store, capacity),
        bar: ahead.bar(store, capacity),
        chart: forecast.map(|f| stores_shown::chart(store, f)).unwrap_or_default(),
        pace: forecast.and_then(|f| f.growth.per_day()).map(stores_shown::pace),
        forecast: forecast.and_then(stores_shown::forecast),
    }
}

impl OverviewPage {
    /// Whether scopes share files, so that the tiles add up to more than the files there are.
    fn is_shared(&self) -> bool {
        let safety = &self.status.safety;
        let counted = [safety.readable_0, safety.readable_1, safety.readable_2_or_more];
        counted.iter().sum::<u64>() > self.status.files
    }

    fn troubles(&self) -> Vec<&Attention> {
        self.asking(Severity::Error)
    }

    fn advice(&self) -> Vec<&Attention> {
        self.asking(Severity::Advice)
    }

    /// What asks for the administrator's attention, that much.
    fn asking(&self, severity: Severity) -> Vec<&Attention> {
        self.status.attention.iter().filter(|a| a.severity == severity).collect()
    }

    /// When a run ended, or began when it has not.
    fn ended(run: &Run) -> Timestamp {
        run.finished_at.unwrap_or(run.started_at)
    }

    /// What a run did, in a line.
    fn sum(run: &Run) -> String {
        let parts = [("copied", run.copied), ("moved", run.moved), ("removed", run.removed)];
        let done: Vec<String> = parts
            .iter()
            .filter(|(_, count)| count.files > 0)
            .map(|(what, count)| {
                format!("{what} {} ({})", show::files(count.files), show::bytes(count.bytes))
            })
            .collect();
        if done.is_empty() { "nothing to do".to_owned() } else { done.join(", ") }
    }
}
