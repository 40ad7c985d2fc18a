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
use crate::ops::evacuation::Naming;
use crate::ops::{Force, OpError};
use crate::words::Phrase;

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
    forced: Forced,
}

/// What was typed to delete the store by force, and why that was refused.
#[derive(Debug, Default)]
struct Forced {
    name: String,
    refused: Option<Phrase>,
}

impl Page {
    async fn new(
        app: &Arc<App>,
        visit: &Visit,
        name: &StoreName,
        form: Form,
        forced: Forced,
    ) -> Result<Self, Failure> {
        let store = ops::stores::show(app, &visit.actor, name).await?;
        let is_asked = !visit.get("count").is_empty() || forced.refused.is_some();
        let loss = if is_asked {
            Some(ops::stores::preview(app, &visit.actor, name).await?)
        } else {
            None
        };
        let frame = visit.frame(app, Section::Stores, format!("Delete {name}"));
        Ok(Self { frame, store, loss, form, forced })
    }

    /// What the store still has, one thing a line; empty when nothing keeps it.
    fn holds(&self) -> Vec<String> {
        let store = &self.store;
        let links = store.scopes.iter().filter(|scope| scope.linked).count() as u64;
        let sized = |files, bytes| format!("{} ({})", show::files(files), show::bytes(bytes));
        let all = [
            (store.files > 0, sized(store.files, store.bytes)),
            (links > 0, show::plural(links, "link")),
            (
                store.missing_files > 0,
                format!(
                    "{} missing: recorded here, but not found",
                    show::files(store.missing_files)
                ),
            ),
            (store.corrupt_files > 0, format!("{} corrupt", show::files(store.corrupt_files))),
            (
                store.writing_bytes > 0,
                format!("{} being written", show::bytes(store.writing_bytes)),
            ),
            (
                store.deleting_files > 0,
                format!("{} being deleted", sized(store.deleting_files, store.deleting_bytes)),
            ),
        ];
        all.into_iter().filter(|(there, _)| *there).map(|(_, what)| what).collect()
    }
}

pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    render(&Page::new(&app, &visit, &name, Form::default(), Forced::default()).await?)
}

#[derive(Template)]
#[template(path = "store_loss.html", config = "web/askama.toml")]
struct Loss {
    loss: StoreDeleted,
    forced: Forced,
}

/// What a forced deletion would lose, with its form.
pub async fn loss(
    State(app): State<Arc<App>>,
    visit: Visit,
    Names(name): Names<StoreName>,
) -> Result<Response, Failure> {
    let loss = ops::stores::preview(&app, &visit.actor, &name).await?;
    render(&Loss { loss, forced: Forced::default() })
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
    let force = Force::from(form.is_on("force"));
    let typed = form.get(if force == Force::Yes { "force_name" } else { "name" }).to_owned();
    let refused = if typed == name.as_str() {
        match ops::stores::delete(&app, &visit.actor, &name, force).await {
            Ok(report) if report.lost_files > 0 => {
                let frame = visit.frame(&app, Section::Stores, format!("{name} is deleted"));
                return render(&Gone { frame, report });
            }
            Ok(_) => return Ok(done("/stores", "store-deleted")),
            Err(error) => error,
        }
    } else {
        let detail = format!("Type {name} here: that is not the name of this store.");
        OpError::field_invalid("name", detail)
    };
    let forced = match force {
        Force::Yes => Forced { name: typed, refused: Some(refused.detail()) },
        Force::No => {
            form.refuse(&refused);
            Forced::default()
        }
    };
    let page = Page::new(&app, &visit, &name, form, forced).await?;
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}
