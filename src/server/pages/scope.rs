//! One scope: its links, its tokens, what may be done with it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::admin::Names;
use super::super::errors::Failure;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{link_form, places, show};
use crate::api::{DefaultStore, LinkView, ScopeChange, ScopeView, TokenView};
use crate::app::App;
use crate::domain::{ScopeName, StoreName, Timestamp};
use crate::ops;
use crate::ops::Force;
use crate::ops::scopes::Deletion;
use crate::words::Phrase;

#[derive(Template)]
#[template(path = "scope.html", config = "web/askama.toml")]
struct ScopePage {
    frame: Frame,
    now: Timestamp,
    scope: ScopeView,
    /// Stores that the scope does not link.
    others: Vec<StoreName>,
    /// (value, text) of the stores that uploads could go to first.
    stores: Vec<(String, String)>,
    tokens: Vec<TokenView>,
    /// Where programs reach this server.
    origin: String,
    deletion: Deletion,
    /// For all forms of the page; their fields have different names.
    form: Form,
    /// What is wrong with which form, when it is no field's matter.
    delete_refused: Option<Phrase>,
    default_refused: Option<Phrase>,
}

impl ScopePage {
    async fn new(
        app: &Arc<App>,
        visit: &Visit,
        headers: &HeaderMap,
        name: &ScopeName,
    ) -> Result<Self, Failure> {
        let scope = ops::scopes::show(app, &visit.actor, name).await?;
        let deletion = ops::scopes::deletion(app, &visit.actor, name).await?;
        let tokens = ops::tokens::list(app, &visit.actor).await?.into_iter();
        let settings = app.catalogue.settings();
        let all: Vec<StoreName> =
            settings.topology.stores_by_name().into_iter().map(|s| s.name.clone()).collect();
        let is_linked = |store: &StoreName| scope.stores.iter().any(|link| link.store == *store);
        let text = |store: &StoreName| {
            let not_yet = if is_linked(store) { "" } else { " (not linked yet)" };
            (store.to_string(), format!("{store}{not_yet}"))
        };
        let first = scope.stores.first().map(|link| link.store.to_string()).unwrap_or_default();
        Ok(Self {
            frame: visit.frame(app, Section::Scopes, format!("Scope {name}")),
            now: app.catalogue.clock().now(),
            stores: all.iter().map(text).collect(),
            others: all.iter().filter(|store| !is_linked(store)).cloned().collect(),
            tokens: tokens.filter(|token| token.scope.as_ref() == Some(name)).collect(),
            origin: places::origin(app, headers),
            form: Form::default().with("store", first),
            delete_refused: None,
            default_refused: None,
            deletion,
            scope,
        })
    }

    fn has_warnings(&self) -> bool {
        self.scope.stores.iter().any(|link| !link.warnings.is_empty())
    }

    /// `12.0 GB of 80.0 GB`, when the link has a limit of its own.
    fn size(link: &LinkView) -> String {
        let held = show::bytes(link.bytes);
        match link.policy.soft_max_size {
            Some(limit) => format!("{held} of {}", show::bytes(limit)),
            None => held,
        }
    }
}

pub async fn show(
    State(app): State<Arc<App>>,
    Names(name): Names<ScopeName>,
    visit: Visit,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    render(&ScopePage::new(&app, &visit, &headers, &name).await?)
}

/// Opens the scope to readers without a token, or closes it.
pub async fn set(
    State(app): State<Arc<App>>,
    Names(name): Names<ScopeName>,
    visit: Visit,
    form: Form,
) -> Result<Response, Failure> {
    let change = ScopeChange { public_read: Some(form.is_on("public_read")) };
    ops::scopes::change(&app, &visit.actor, &name, &change).await?;
    Ok(done(&places::scope(&name), "saved"))
}

pub async fn default_store(
    State(app): State<Arc<App>>,
    Names(name): Names<ScopeName>,
    visit: Visit,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Response, Failure> {
    if let Some(store) = form.read("store", |text| StoreName::new(text)) {
        let request = DefaultStore { store };
        match ops::scopes::default_store(&app, &visit.actor, &name, &request).await {
            Ok(_) => return Ok(done(&places::scope(&name), "saved")),
            Err(error) => form.refuse(&error),
        }
    }
    let default_refused = form.message();
    let page = ScopePage::new(&app, &visit, &headers, &name).await?;
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &ScopePage { form, default_refused, ..page })
}

pub async fn delete(
    State(app): State<Arc<App>>,
    Names(name): Names<ScopeName>,
    visit: Visit,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    let refused = if form.get("word") == name.as_str() {
        let force = Force::from(form.is_on("force"));
        match ops::scopes::delete(&app, &visit.actor, &name, force).await {
            Ok(()) => return Ok(done("/scopes", "scope-deleted")),
            Err(error) => error.detail(),
        }
    } else {
        format!("Type the name of the scope, {name}, to delete it.").into()
    };
    let page = ScopePage::new(&app, &visit, &headers, &name).await?;
    let form = Form::default()
        .with("store", page.form.get("store"))
        .with("word", form.get("word"))
        .ticked("force", form.is_on("force"));
    let page = ScopePage { form, delete_refused: Some(refused), ..page };
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}
