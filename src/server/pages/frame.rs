//! What stands around every page, and how a handler answers with one.

use std::str::FromStr;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::super::errors::Failure;
use super::super::query::Query;
use super::{html, show};
use crate::api::{Outcome, Run};
use crate::app::App;
use crate::ops::Actor;
use crate::words::Phrase;

/// The entries of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Overview,
    Scopes,
    Stores,
    Vacuum,
    Files,
    Access,
    /// A page of none of them.
    Nowhere,
}

impl Section {
    pub const ALL: [Self; 6] =
        [Self::Overview, Self::Scopes, Self::Stores, Self::Vacuum, Self::Files, Self::Access];

    pub fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Scopes => "Scopes",
            Self::Stores => "Stores",
            Self::Vacuum => "Vacuum",
            Self::Files => "Files",
            Self::Access => "Access",
            Self::Nowhere => "",
        }
    }

    pub fn href(self) -> &'static str {
        match self {
            Self::Overview | Self::Nowhere => "/",
            Self::Scopes => "/scopes",
            Self::Stores => "/stores",
            Self::Vacuum => "/vacuum",
            Self::Files => "/browse",
            Self::Access => "/access",
        }
    }
}

/// A run under way, in the head of every page.
#[derive(Debug, Clone)]
pub struct RunBadge {
    pub id: u64,
    pub label: String,
}

impl RunBadge {
    fn of(run: &Run) -> Option<Self> {
        let id = run.id?;
        let label = match run.outcome {
            Outcome::Paused => format!("Run {id} paused"),
            _ => format!("Run {id} at work"),
        };
        Some(Self { id, label })
    }
}

/// The head and foot of a page.
#[derive(Debug, Clone)]
pub struct Frame {
    pub title: String,
    pub section: Section,
    pub version: &'static str,
    pub run: Option<RunBadge>,
    /// What the form that led here has done.
    pub done: Option<String>,
}

impl Frame {
    pub fn new(app: &App, section: Section, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            version: env!("CARGO_PKG_VERSION"),
            run: app.maintenance.current().as_ref().and_then(RunBadge::of),
            done: None,
        }
    }
}

/// Who visits which address.
#[derive(Debug)]
pub struct Visit {
    pub actor: Actor,
    pub query: Query,
}

/// What a form may say of itself on the page that follows, by its key in the address. Texts come from
/// here only, so that a link from elsewhere cannot put words on the page.
const DONE: &[(&str, &str)] = &[
    ("saved", "Saved."),
    ("scope-created", "The scope was created."),
    ("scope-deleted", "The scope was deleted."),
    ("linked", "The store was linked."),
    (
        "unlinked",
        "The store was unlinked. Its files go when the grace period is over, if they may.",
    ),
    ("store-created", "The store was created."),
    ("store-deleted", "The store was deleted."),
    ("run-started", "The run has started."),
    ("run-paused", "The run is paused."),
    ("run-resumed", "The run goes on."),
    ("run-cancelled", "The run ends after the files at hand."),
    ("token-revoked", "The token was revoked."),
    ("files-uploaded", "Uploaded."),
    ("file-deleted", "The file was deleted. It can be brought back during the grace period."),
    ("file-undeleted", "The file is back."),
];

impl Visit {
    /// The frame of the page that answers.
    pub fn frame(&self, app: &App, section: Section, title: impl Into<String>) -> Frame {
        let key = self.query.get("done").unwrap_or_default();
        let done = DONE.iter().find(|(known, _)| *known == key).map(|(_, text)| (*text).to_owned());
        Frame { done, ..Frame::new(app, section, title) }
    }

    /// A parameter of the address; empty when it is absent.
    pub fn get(&self, name: &str) -> &str {
        self.query.get(name).unwrap_or_default()
    }

    /// A parameter that is a number, where it is given; 400 when it is another thing.
    pub fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            Failure::invalid("malformed-query", format!("{name} is a number, not {text:?}"))
        })
    }
}

/// Leads on to a page of ours with a notice of `DONE`.
pub fn done(target: &str, key: &str) -> Response {
    debug_assert!(DONE.iter().any(|(known, _)| *known == key), "no notice {key:?}");
    let joint = if target.contains('?') { '&' } else { '?' };
    see(&format!("{target}{joint}done={key}"))
}

/// 303 to an address of ours.
pub fn see(target: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let target = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, target);
    response
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        std::future::ready(()).await;
        let actor = parts.extensions.get::<Actor>().cloned();
        let actor = actor.ok_or_else(|| Failure::unauthorized("sign in first"))?;
        Ok(Self { actor, query: Query::parse(parts.uri.query().unwrap_or_default())? })
    }
}

/// Renders a page or a fragment.
pub fn render(template: &impl Template) -> Result<Response, Failure> {
    render_as(StatusCode::OK, template)
}

/// The same with another status: 422 for a form with errors.
pub fn render_as(status: StatusCode, template: &impl Template) -> Result<Response, Failure> {
    let markup = template.render();
    let markup = markup.map_err(|e| Failure::internal(format!("the page cannot be made: {e}")))?;
    Ok(html(status, markup))
}

#[derive(Template)]
#[template(path = "error.html", config = "web/askama.toml")]
struct ErrorPage {
    frame: Frame,
    title: String,
    detail: Phrase,
}

/// A page that says what was wrong.
pub fn error(app: &Arc<App>, status: StatusCode, title: String, detail: Phrase) -> Response {
    let frame = Frame::new(app, Section::Nowhere, title.clone());
    let page = ErrorPage { frame, title, detail };
    html(status, page.render().unwrap_or_else(|_| "<!doctype html><title>Error</title>".to_owned()))
}
