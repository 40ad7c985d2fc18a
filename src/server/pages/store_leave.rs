//! Giving a store up: the question whether it can be, and its deletion.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::admin::Names;
use super::super::errors::Failure;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{places, show};
use crate::api::{Evacuation, StoreDeleted, StoreView};
use crate::app::App;
use crate::domain::StoreName;
use crate::ops;
use crate::ops::Force;
use crate::ops::evacuation::Naming;

#[derive(Template)]
#[template(path = "store_evacuation.html", config = "web/askama.toml")]
struct Answer {
    frame: Frame,
    report: Evacuation,
}

/// Whether the store can be given up, and what stands in the way.
pub async fn evacuation(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    let report = ops::evacuation::evacuation(&app, &visit.actor, &name, Naming::First).await?;
    let frame = visit.frame(&app, Section::Stores, format!("Giving up {name}"));
    render(&Answer { frame, report })
}

#[derive(Template)]
#[template(path = "store_delete.html", config = "web/askama.toml")]
struct Page {
    frame: Frame,
    store: StoreView,
    /// Counted only when asked: every file of the store is looked at.
    loss: Option<StoreDeleted>,
    form: Form,
}

impl Page {
    async fn new(
        app: &Arc<App>,
        visit: &Visit,
        name: &StoreName,
        form: Form,
    ) -> Result<Self, Failure> {
        let store = ops::stores::show(app, &visit.actor, name).await?;
        let loss = match visit.get("count") {
            "" => None,
            _ => Some(ops::stores::preview(app, &visit.actor, name).await?),
        };
        let frame = visit.frame(app, Section::Stores, format!("Delete {name}"));
        Ok(Self { frame, store, loss, form })
    }

    fn is_in_use(&self) -> bool {
        self.store.files > 0 || self.linked() > 0
    }

    fn linked(&self) -> u64 {
        self.store.scopes.iter().filter(|scope| scope.linked).count() as u64
    }
}

pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    render(&Page::new(&app, &visit, &name, Form::default()).await?)
}

#[derive(Template)]
#[template(path = "store_loss.html", config = "web/askama.toml")]
struct Loss {
    loss: StoreDeleted,
}

/// What a forced deletion would lose, with its form.
pub async fn loss(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    render(&Loss { loss: ops::stores::preview(&app, &visit.actor, &name).await? })
}

#[derive(Template)]
#[template(path = "store_deleted.html", config = "web/askama.toml")]
struct Gone {
    frame: Frame,
    report: StoreDeleted,
}

/// Deletes the store when its name was typed; forced, with the list of what was lost.
pub async fn delete(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
    mut form: Form,
) -> Result<Response, Failure> {
    let force = if form.is_on("force") { Force::Yes } else { Force::No };
    if form.get("name") == name.as_str() {
        match ops::stores::delete(&app, &visit.actor, &name, force).await {
            Ok(report) if report.lost_files > 0 => {
                let frame = visit.frame(&app, Section::Stores, format!("{name} is deleted"));
                return render(&Gone { frame, report });
            }
            Ok(_) => return Ok(done("/stores", "store-deleted")),
            Err(error) => form.refuse(&error),
        }
    } else {
        form.blame("name", format!("Type {name} here: that is not the name of this store."));
    }
    let page = Page::new(&app, &visit, &name, form).await?;
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}
