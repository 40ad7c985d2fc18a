//! Stores: all of them, one of them, its limits and its check.

use std::sync::Arc;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::super::admin::Names;
use super::super::errors::Failure;
use super::effect::{self, Effect};
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as, see};
use super::stores_shown::{self, Ahead};
use super::{html, places, show, store_forms};
use crate::api::{CheckStep, ReconcileReport, StoreChange, StoreCheck, StoreView};
use crate::app::App;
use crate::domain::{StoreName, Timestamp};
use crate::maintenance::StoreForecast;
use crate::ops;

#[derive(Template)]
#[template(path = "stores.html", config = "web/askama.toml")]
struct List {
    frame: Frame,
    now: Timestamp,
    stores: Vec<Row>,
    ahead: Ahead,
}

/// The table by itself, when it is known what the next run would move.
#[derive(Template)]
#[template(path = "stores_part.html", config = "web/askama.toml")]
struct ListPart {
    now: Timestamp,
    stores: Vec<Row>,
    ahead: Ahead,
}

struct Row {
    view: StoreView,
    bar: String,
    room: String,
    health: &'static str,
}

pub async fn list(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let ahead = Ahead::of(&app, &visit).await?;
    let stores = rows(&app, &visit, &ahead).await?;
    let frame = visit.frame(&app, Section::Stores, "Stores");
    render(&List { frame, now: app.catalogue.clock().now(), stores, ahead })
}

/// The table once more, as soon as it is known what the next run would move.
pub async fn list_part(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let ahead = Ahead::now(&app, &visit).await?;
    let stores = rows(&app, &visit, &ahead).await?;
    render(&ListPart { now: app.catalogue.clock().now(), stores, ahead })
}

async fn rows(app: &Arc<App>, visit: &Visit, ahead: &Ahead) -> Result<Vec<Row>, Failure> {
    let stores = ops::stores::glance(app, &visit.actor).await?;
    let forecasts = ops::status::forecasts(app, &visit.actor).await?;
    let rows = stores.into_iter().map(|view| {
        let capacity = forecasts.get(&view.name).and_then(|f| f.capacity);
        Row {
            bar: ahead.bar(&view, capacity),
            room: stores_shown::room(&view, capacity),
            health: stores_shown::health(&view),
            view,
        }
    });
    Ok(rows.collect())
}

#[derive(Template)]
#[template(path = "store.html", config = "web/askama.toml")]
struct Page {
    frame: Frame,
    store: StoreView,
    filled: Filled,
    ahead: Ahead,
    health: &'static str,
    chart: String,
    pace: Option<String>,
    form: Form,
    /// What the form would do, for browsers without scripts.
    effect: Option<Effect>,
    now: Timestamp,
    /// A check starts by itself: the store was just made.
    at_once: bool,
    /// What a check has just found, for browsers without scripts.
    check: Option<StoreCheck>,
    steps: Vec<String>,
    reconciled: Option<ReconcileReport>,
    serve: [(&'static str, &'static str); 2],
    sums: [(&'static str, &'static str); 3],
}

/// How full a store is.
struct Filled {
    bar: String,
    room: String,
    forecast: Option<String>,
}

impl Filled {
    fn new(store: &StoreView, forecast: Option<&StoreForecast>, ahead: &Ahead) -> Self {
        let capacity = forecast.and_then(|f| f.capacity);
        Self {
            bar: ahead.bar(store, capacity),
            room: stores_shown::room(store, capacity),
            forecast: forecast.and_then(stores_shown::forecast),
        }
    }
}

#[derive(Template)]
#[template(path = "store_use_part.html", config = "web/askama.toml")]
struct UsePart {
    filled: Filled,
    ahead: Ahead,
    now: Timestamp,
}

/// How full the store is, as soon as it is known what the next run would move.
pub async fn use_part(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    ops::find_store(&app.catalogue.settings().topology, &name)?;
    let ahead = Ahead::now(&app, &visit).await?;
    let store = ops::stores::show(&app, &visit.actor, &name).await?;
    let forecasts = ops::status::forecasts(&app, &visit.actor).await?;
    let now = app.catalogue.clock().now();
    let filled = Filled::new(&store, forecasts.get(&name), &ahead);
    render(&UsePart { filled, ahead, now })
}

impl Page {
    async fn new(
        app: &Arc<App>,
        visit: &Visit,
        name: &StoreName,
        form: Option<Form>,
    ) -> Result<Self, Failure> {
        let store = ops::stores::show(app, &visit.actor, name).await?;
        let forecasts = ops::status::forecasts(app, &visit.actor).await?;
        let forecast = forecasts.get(name);
        let now = app.catalogue.clock().now();
        let ahead = Ahead::of(app, visit).await?;
        Ok(Self {
            frame: visit.frame(app, Section::Stores, format!("Store {name}")),
            filled: Filled::new(&store, forecast, &ahead),
            ahead,
            health: stores_shown::health(&store),
            chart: forecast.map(|f| stores_shown::chart(&store, f)).unwrap_or_default(),
            pace: forecast.and_then(|f| f.growth.per_day()).map(stores_shown::pace),
            form: form.unwrap_or_else(|| store_forms::of(&store)),
            at_once: visit.query.is_set("check"),
            store,
            effect: None,
            now,
            check: None,
            steps: Vec::new(),
            reconciled: None,
            serve: store_forms::SERVE,
            sums: store_forms::CHECKSUM,
        })
    }
}

pub async fn show(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    render(&Page::new(&app, &visit, &name, None).await?)
}

/// Saves limits, sharing and S3 settings.
pub async fn change(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
    mut form: Form,
) -> Result<Response, Failure> {
    let change = store_forms::change(&mut form);
    if let Some(change) = change.as_ref().filter(|_| form.is_on("effect")) {
        let effect = effect_of(&app, &visit, &name, change).await;
        let page = Page::new(&app, &visit, &name, Some(form)).await?;
        return render(&Page { effect: Some(effect), ..page });
    }
    if let Some(change) = change {
        match ops::stores::change(&app, &visit.actor, &name, &change).await {
            Ok(_) => return Ok(done(&places::store(&name), "saved")),
            Err(error) => form.refuse(&error),
        }
    }
    let page = Page::new(&app, &visit, &name, Some(form)).await?;
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// What the next run would do with the settings as typed so far.
pub async fn effect(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
    mut form: Form,
) -> Result<Response, Failure> {
    let effect = match store_forms::change(&mut form) {
        Some(change) => effect_of(&app, &visit, &name, &change).await,
        None => Effect::Refused(form.wrongs()),
    };
    effect::shown(&app, effect)
}

async fn effect_of(
    app: &Arc<App>,
    visit: &Visit,
    name: &StoreName,
    change: &StoreChange,
) -> Effect {
    Effect::of(ops::stores::preview_change(app, &visit.actor, name, change).await)
}

// ---- the check ----

#[derive(Template)]
#[template(path = "check_step.html", config = "web/askama.toml")]
struct Step<'a> {
    step: &'a CheckStep,
}

fn markup(step: &CheckStep) -> String {
    Step { step }.render().unwrap_or_default()
}

/// Checks the store and shows its page with what was found.
pub async fn check(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    let check = ops::stores::check(&app, &visit.actor, &name).await?;
    let steps = check.steps.iter().map(markup).collect();
    let page = Page::new(&app, &visit, &name, None).await?;
    render(&Page { check: Some(check), steps, ..page })
}

/// Somebody loads the address again that the check was sent to: nothing is checked unasked.
pub async fn to_check(Names(name): Names<StoreName>) -> Response {
    std::future::ready(see(&format!("{}#check", places::store(&name)))).await
}

/// The same for reconciling.
pub async fn to_store(Names(name): Names<StoreName>) -> Response {
    std::future::ready(see(&places::store(&name))).await
}

/// The same as a stream of list items, each as soon as its step is over.
pub async fn check_live(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    // An unknown store is refused before anything is sent.
    ops::find_store(&app.catalogue.settings().topology, &name)?;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<String>();
    tokio::spawn(async move {
        // Whoever asked may have gone: the check is finished all the same, and removes its probe.
        let seen = |step: &CheckStep| drop(sender.send(markup(step)));
        let end = match ops::stores::check_seen(&app, &visit.actor, &name, &seen).await {
            Ok(check) if check.ok => "<li class=\"end good\">The store works.</li>".to_owned(),
            Ok(_) => "<li class=\"end bad\">The store does not work as it should.</li>".to_owned(),
            Err(error) => {
                format!("<li class=\"end bad\">{}</li>", show::phrase(&error.detail()))
            }
        };
        drop(sender.send(end));
    });
    let steps = UnboundedReceiverStream::new(receiver);
    let steps = steps.map(|step| Ok::<_, std::convert::Infallible>(Bytes::from(step)));
    let mut response = html(StatusCode::OK, String::new());
    *response.body_mut() = Body::from_stream(steps);
    Ok(response)
}

/// Takes the store as it is, and says what was found: its marker is written again (SPEC 2).
pub async fn reconcile(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    let report = ops::vacuum::reconcile(&app, &visit.actor, &name).await?;
    let page = Page::new(&app, &visit, &name, None).await?;
    render(&Page { reconciled: Some(report), ..page })
}
