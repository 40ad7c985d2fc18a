//! The files of a scope: folders, what was deleted, deleting and bringing back.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::admin::Names;
use super::super::errors::Failure;
use super::super::files::sent::{FormOutcome, FormTarget};
use super::super::site::Site;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{places, show};
use crate::api::ScopeView;
use crate::app::App;
use crate::domain::{FilePath, ScopeName, Timestamp};
use crate::ops;
use crate::ops::browse::{DeletedRow, Item};

#[derive(Template)]
#[template(path = "browse.html", config = "web/askama.toml")]
struct Index {
    frame: Frame,
    list: Vec<ScopeView>,
    is_first: bool,
    next: Option<String>,
}

/// Which scope.
pub async fn scopes(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let after = Some(visit.get("after")).filter(|after| !after.is_empty());
    let matrix = ops::scopes::matrix(&app, &visit.actor, after).await?;
    render(&Index {
        frame: visit.frame(&app, Section::Files, "Files"),
        list: matrix.scopes,
        is_first: after.is_none(),
        next: matrix.next,
    })
}

/// Where a visitor is in a scope.
struct Place {
    scope: ScopeName,
    /// The folder, with its slash; empty at the top.
    folder: String,
    /// What the names begin with that are looked for.
    q: String,
    after: Option<String>,
    is_deleted: bool,
}

impl Place {
    fn of(scope: ScopeName, visit: &Visit) -> Self {
        let after = Some(visit.get("after").to_owned()).filter(|after| !after.is_empty());
        let prefix = visit.get("prefix");
        // Half a name is something to look for, in the folder before it.
        let folder = prefix.rfind('/').and_then(|at| prefix.get(..=at)).unwrap_or_default();
        let rest = prefix.get(folder.len()..).unwrap_or_default();
        Self {
            scope,
            folder: folder.to_owned(),
            q: format!("{rest}{}", visit.get("q")),
            after,
            is_deleted: visit.query.is_set("deleted"),
        }
    }

    fn prefix(&self) -> String {
        format!("{}{}", self.folder, self.q)
    }

    /// The folders above and this one: (address, name).
    fn crumbs(&self) -> Vec<(String, String)> {
        let ends = self.folder.match_indices('/').map(|(at, _)| at);
        let folders = ends.filter_map(|end| self.folder.get(..=end));
        folders
            .map(|folder| {
                let name = places::name(folder).trim_end_matches('/').to_owned();
                (self.address(folder), name)
            })
            .collect()
    }

    /// A folder in the same view.
    fn address(&self, folder: &str) -> String {
        let place = places::folder(&self.scope, folder);
        match (self.is_deleted, place.contains('?')) {
            (false, _) => place,
            (true, true) => format!("{place}&deleted=1"),
            (true, false) => format!("{place}?deleted=1"),
        }
    }

    /// The deleted files of the same folder.
    fn deleted(&self) -> String {
        format!("/browse/{}?prefix={}&deleted=1", self.scope, show::url(&self.folder))
    }

    /// The first page of the same.
    fn first(&self) -> String {
        self.page("")
    }

    fn next(&self, after: &str) -> String {
        self.page(&format!("&after={}", show::url(after)))
    }

    fn page(&self, after: &str) -> String {
        format!(
            "/browse/{}?prefix={}&q={}{after}{}",
            self.scope,
            show::url(&self.folder),
            show::url(&self.q),
            if self.is_deleted { "&deleted=1" } else { "" }
        )
    }
}

#[derive(Template)]
#[template(path = "browse_scope.html", config = "web/askama.toml")]
struct Folder {
    frame: Frame,
    now: Timestamp,
    place: Place,
    folders: Vec<String>,
    files: Vec<ops::browse::Row>,
    deleted: Vec<DeletedRow>,
    next: Option<String>,
    origin: String,
    grace: u64,
    /// What an upload without scripts came to.
    sent: FormOutcome,
    was_sent: bool,
}

impl Folder {
    /// A name as it stands in its folder.
    fn short(&self, path: &str) -> String {
        path.strip_prefix(self.place.folder.as_str()).unwrap_or(path).to_owned()
    }

    /// A content type without its parameters, which are as long as uploaders like.
    fn kind(file: &ops::browse::Row) -> &str {
        file.content_type.split(';').next().unwrap_or_default().trim()
    }

    /// The box that allows to replace files.
    fn replace(&self) -> String {
        let form = Form::default().ticked("replace", self.sent.replaces);
        form.tick("replace", "Replace files that are there", "")
    }

    fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.files.is_empty() && self.deleted.is_empty()
    }
}

pub async fn folder(
    State(app): State<Arc<App>>,
    Names(scope): Names<ScopeName>,
    visit: Visit,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    render(&shown(&app, scope, &visit, &headers, FormOutcome::default()).await?)
}

/// Takes the files of a form in; those that were refused are named beside its field.
pub async fn upload(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Arc<Site>>,
    Names(scope): Names<ScopeName>,
    visit: Visit,
    request: Request,
) -> Result<Response, Failure> {
    visit.actor.require_instance_admin()?;
    let place = Place::of(scope.clone(), &visit);
    let settings = app.catalogue.settings();
    let id = ops::find_scope(&settings.topology, &scope)?.id;
    let (parts, body) = request.into_parts();
    let goal = FormTarget { site: &site, scope: id, folder: &place.folder };
    let sent = goal.receive(&parts.headers, body).await?;
    if sent.stored > 0 && sent.refused.is_empty() {
        return Ok(done(&places::folder(&scope, &place.folder), "files-uploaded"));
    }
    let page = shown(&app, scope, &visit, &parts.headers, sent).await?;
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &Folder { was_sent: true, ..page })
}

async fn shown(
    app: &Arc<App>,
    scope: ScopeName,
    visit: &Visit,
    headers: &HeaderMap,
    sent: FormOutcome,
) -> Result<Folder, Failure> {
    let place = Place::of(scope, visit);
    let (prefix, after) = (place.prefix(), place.after.as_deref());
    let (mut folders, mut files, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    let next = if place.is_deleted {
        let page = ops::browse::deleted(app, &visit.actor, &place.scope, &prefix, after).await?;
        deleted = page.items;
        page.next
    } else {
        let page = ops::browse::folder(app, &visit.actor, &place.scope, &prefix, after).await?;
        for item in page.items {
            match item {
                Item::Folder(folder) => folders.push(folder),
                Item::File(file) => files.push(file),
            }
        }
        page.next
    };
    let title = format!("{}/{}", place.scope, place.folder);
    Ok(Folder {
        frame: visit.frame(app, Section::Files, title),
        now: app.catalogue.clock().now(),
        folders,
        files,
        deleted,
        next: next.map(|after| place.next(&after)),
        origin: places::origin(app, headers),
        grace: app.config.maintenance.grace.as_secs(),
        place,
        sent,
        was_sent: false,
    })
}

/// The path that an address names. It may begin and end with spaces, which forms cut off.
pub fn path(visit: &Visit) -> Result<FilePath, Failure> {
    Ok(FilePath::new(visit.get("path"))?)
}

pub async fn delete(
    State(app): State<Arc<App>>,
    Names(scope): Names<ScopeName>,
    visit: Visit,
) -> Result<Response, Failure> {
    let path = path(&visit)?;
    ops::files::delete(&app, &visit.actor, &scope, &path).await?;
    let folder = places::folder(&scope, places::parent(path.as_str()));
    Ok(done(&folder, "file-deleted"))
}

pub async fn undelete(
    State(app): State<Arc<App>>,
    Names(scope): Names<ScopeName>,
    visit: Visit,
) -> Result<Response, Failure> {
    let path = path(&visit)?;
    ops::files::undelete(&app, &visit.actor, &scope, &path).await?;
    Ok(done(&places::file(&scope, path.as_str()), "file-undeleted"))
}
