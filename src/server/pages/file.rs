//! One file explained: where it is, what serves it, why each replica stays, what comes next.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::admin::Names;
use super::super::errors::Failure;
use super::frame::{Frame, Section, Visit, render};
use super::{browse, file, places, show};
use crate::api::{Explanation, MoveAction, MoveView, ReplicaExplanation, ReplicaView};
use crate::app::App;
use crate::domain::{ScopeName, StoreName, Timestamp};
use crate::ops;
use crate::words::Phrase;

#[derive(Template)]
#[template(path = "file.html", config = "web/askama.toml")]
struct Page {
    frame: Frame,
    now: Timestamp,
    about: Explanation,
    order: Vec<StoreName>,
    unserved: Option<Phrase>,
    twins: Vec<String>,
    /// (address, name) of the folders above.
    crumbs: Vec<(String, String)>,
    /// What the next run would do, when the page has waited for it.
    next: Option<Vec<MoveView>>,
    /// The page may ask for that unasked: what is known of the next run lists all files.
    is_cheap: bool,
}

impl Page {
    fn replicas(&self) -> impl Iterator<Item = (&ReplicaExplanation, Option<&ReplicaView>)> {
        let replicas = &self.about.file.replicas;
        let find = |store: &StoreName| replicas.iter().find(|r| r.store == *store);
        self.about.explained.iter().map(move |one| (one, find(&one.store)))
    }

    /// In which place downloads try the store.
    fn turn(&self, store: &StoreName) -> Option<usize> {
        self.order.iter().position(|other| other == store).map(|at| at + 1)
    }

    fn others(&self) -> Vec<&String> {
        let here = self.about.file.scope.as_str();
        self.about.scopes.iter().filter(|scope| *scope != here).collect()
    }

    fn name(&self) -> &str {
        places::name(&self.about.file.path)
    }
}

pub async fn show(
    State(app): State<Arc<App>>,
    Names(scope): Names<ScopeName>,
    visit: Visit,
) -> Result<Response, Failure> {
    let path = browse::path(&visit)?;
    let about = ops::files::known(&app, &visit.actor, &scope, &path).await?;
    let next = if visit.query.is_set("next") {
        Some(ops::files::next_run(&app, &visit.actor, &scope, &path).await?)
    } else {
        None
    };
    let known = ops::vacuum::known_preview(&app, &visit.actor)?;
    let folders = path.as_str().match_indices('/').filter_map(|(at, _)| path.as_str().get(..=at));
    let crumbs = folders.map(|folder| {
        let name = places::name(folder).trim_end_matches('/').to_owned();
        (places::folder(&scope, folder), name)
    });
    render(&Page {
        frame: visit.frame(&app, Section::Files, path.file_name()),
        now: app.catalogue.clock().now(),
        about: about.explanation,
        order: about.order,
        unserved: about.unserved,
        twins: about.twins,
        crumbs: crumbs.collect(),
        next,
        is_cheap: known.is_none_or(|known| known.preview.is_whole()),
    })
}

#[derive(Template)]
#[template(path = "file_next.html", config = "web/askama.toml")]
struct Next {
    moves: Vec<MoveView>,
}

/// What the next run would do with the file; it may take as long as a dry run.
pub async fn next(
    State(app): State<Arc<App>>,
    Names(scope): Names<ScopeName>,
    visit: Visit,
) -> Result<Response, Failure> {
    let path = browse::path(&visit)?;
    render(&Next { moves: ops::files::next_run(&app, &visit.actor, &scope, &path).await? })
}

/// A move as a sentence without its reason.
pub fn sentence(one: &MoveView) -> String {
    let from = one.from.as_ref().map(|store| format!(" from {store}")).unwrap_or_default();
    let to = one.to.as_ref().map(|store| format!(" to {store}")).unwrap_or_default();
    match one.action {
        MoveAction::Copy => format!("Copy it{from}{to}"),
        MoveAction::Move => format!("Move it{from}{to}"),
        MoveAction::Remove => format!("Remove the replica{from}"),
    }
}
