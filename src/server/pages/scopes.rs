//! All scopes beside all stores, and making a scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::errors::Failure;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{link_form, places, show};
use crate::api::{LinkView, ScopeCreate, ScopeView};
use crate::app::App;
use crate::domain::{ScopeName, StoreName};
use crate::ops;
use crate::ops::scopes::Column;

#[derive(Template)]
#[template(path = "scopes.html", config = "web/askama.toml")]
struct MatrixPage {
    frame: Frame,
    stores: Vec<Column>,
    rows: Vec<MatrixRow>,
    is_first: bool,
    next: Option<String>,
}

/// A scope beside all stores.
struct MatrixRow {
    scope: ScopeView,
    cells: Vec<MatrixCell>,
}

struct MatrixCell {
    store: StoreName,
    link: Option<LinkView>,
}

impl MatrixRow {
    fn new(mut scope: ScopeView, stores: &[Column]) -> Self {
        let links = std::mem::take(&mut scope.stores).into_iter();
        let mut links: BTreeMap<StoreName, LinkView> =
            links.map(|link| (link.store.clone(), link)).collect();
        let cells = stores.iter().map(|column| MatrixCell {
            store: column.name.clone(),
            link: links.remove(&column.name),
        });
        Self { cells: cells.collect(), scope }
    }
}

pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let after = Some(visit.get("after")).filter(|after| !after.is_empty());
    let matrix = ops::scopes::matrix(&app, &visit.actor, after).await?;
    let rows = matrix.scopes.into_iter().map(|scope| MatrixRow::new(scope, &matrix.stores));
    render(&MatrixPage {
        frame: visit.frame(&app, Section::Scopes, "Scopes"),
        rows: rows.collect(),
        stores: matrix.stores,
        is_first: after.is_none(),
        next: matrix.next,
    })
}

/// What a field of the form is called that links a store.
const LINK: &str = "link.";
/// The store that a new scope links unless told otherwise.
const LOCAL: &str = "local";

#[derive(Template)]
#[template(path = "scope_new.html", config = "web/askama.toml")]
struct NewScopePage {
    frame: Frame,
    form: Form,
    /// (field, store, where it is), the usual one first.
    stores: Vec<(String, String, String)>,
}

impl NewScopePage {
    fn page(app: &App, visit: &Visit, form: Form) -> Self {
        let settings = app.catalogue.settings();
        let mut all = settings.topology.stores_by_name();
        all.sort_by_key(|store| store.name.as_str() != LOCAL);
        let stores = all.into_iter().map(|store| {
            let name = store.name.to_string();
            let place = format!("{} {}", store.backend.kind(), store.backend.location());
            (format!("{LINK}{name}"), name, place)
        });
        let stores = stores.collect();
        Self { frame: visit.frame(app, Section::Scopes, "NewScopePage scope"), form, stores }
    }
}

pub async fn ask(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let form = Form::default().with(&format!("{LINK}{LOCAL}"), "on");
    std::future::ready(render(&NewScopePage::page(&app, &visit, form))).await
}

pub async fn create(
    State(app): State<Arc<App>>,
    visit: Visit,
    mut form: Form,
) -> Result<Response, Failure> {
    if let Some(request) = request(&app, &mut form) {
        match ops::scopes::create(&app, &visit.actor, &request).await {
            Ok(made) => return Ok(done(&places::scope(&made.name), "scope-created")),
            Err(error) => form.refuse(&error),
        }
    }
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &NewScopePage::page(&app, &visit, form))
}

fn request(app: &App, form: &mut Form) -> Option<ScopeCreate> {
    let name = form.read("name", |text| match text {
        "" => Err("Give the scope a name.".to_owned()),
        text => ScopeName::new(text).map_err(|e| e.to_string()),
    })?;
    let settings = app.catalogue.settings();
    let stores = settings.topology.stores_by_name().into_iter();
    let ticked: Vec<StoreName> = stores
        .map(|store| store.name.clone())
        .filter(|store| form.is_on(&format!("{LINK}{store}")))
        .collect();
    let no_local = !ticked.iter().any(|store| store.as_str() == LOCAL);
    let public_read = form.is_on("public_read");
    Some(ScopeCreate { name, stores: ticked, no_local, public_read })
}
