//! Who may do what: tokens, sign-in links, and the list of changes.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::errors::Failure;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{places, show};
use crate::api::{AuditEntry, Role, SignInLink, TokenCreate, TokenCreated, TokenView};
use crate::app::App;
use crate::domain::{ScopeName, Timestamp};
use crate::ops;

/// Changes on a page.
const CHANGES: usize = 50;

const ROLES: [(&str, &str); 3] = [
    ("read", "read: download and list"),
    ("write", "write: also upload and delete"),
    ("admin", "admin: also change settings"),
];

#[derive(Template)]
#[template(path = "access.html", config = "web/askama.toml")]
struct Page {
    frame: Frame,
    now: Timestamp,
    tokens: Vec<TokenView>,
    /// (name, text) of the scopes that a token may be bound to.
    scopes: Vec<(String, String)>,
    form: Form,
    /// Shown once.
    created: Option<TokenCreated>,
    link: Option<SignInLink>,
}

impl Page {
    async fn new(app: &Arc<App>, visit: &Visit, form: Form) -> Result<Self, Failure> {
        let tokens = ops::tokens::list(app, &visit.actor).await?;
        let settings = app.catalogue.settings();
        let mut scopes = vec![(String::new(), "the whole instance".to_owned())];
        scopes.extend(
            settings
                .topology
                .scopes_by_name()
                .into_iter()
                .map(|scope| (scope.name.to_string(), format!("scope {}", scope.name))),
        );
        Ok(Self {
            frame: visit.frame(app, Section::Access, "Access"),
            now: app.catalogue.clock().now(),
            tokens,
            scopes,
            form,
            created: None,
            link: None,
        })
    }
}

pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    render(&Page::new(&app, &visit, Form::default().with("role", "write")).await?)
}

/// Makes a token, and shows it this once.
pub async fn create(
    State(app): State<Arc<App>>,
    visit: Visit,
    mut form: Form,
) -> Result<Response, Failure> {
    if let Some(request) = request(&mut form) {
        match ops::tokens::create(&app, &visit.actor, &request).await {
            Ok(created) => {
                let empty = Form::default().with("role", "write");
                let page = Page { created: Some(created), ..Page::new(&app, &visit, empty).await? };
                return render(&page);
            }
            Err(error) => form.refuse(&error),
        }
    }
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &Page::new(&app, &visit, form).await?)
}

fn request(form: &mut Form) -> Option<TokenCreate> {
    let role = form.read("role", |text| match text {
        "read" => Ok(Role::Read),
        "write" => Ok(Role::Write),
        "admin" => Ok(Role::Admin),
        _ => Err("Choose a role."),
    });
    let scope =
        form.read(
            "scope",
            |text| {
                if text.is_empty() { Ok(None) } else { ScopeName::new(text).map(Some) }
            },
        );
    let expires = form.given("expires").map(str::to_owned);
    Some(TokenCreate { name: form.get("name").to_owned(), role: role?, scope: scope?, expires })
}

pub async fn revoke(
    State(app): State<Arc<App>>,
    visit: Visit,
    form: Form,
) -> Result<Response, Failure> {
    ops::tokens::revoke(&app, &visit.actor, form.get("id")).await?;
    Ok(done("/access", "token-revoked"))
}

/// Makes a one-time sign-in link, and shows it this once.
pub async fn link(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let link = ops::tokens::sign_in_link(&app, &visit.actor).await?;
    let form = Form::default().with("role", "write");
    render(&Page { link: Some(link), ..Page::new(&app, &visit, form).await? })
}

#[derive(Template)]
#[template(path = "changes.html", config = "web/askama.toml")]
struct Changes {
    frame: Frame,
    now: Timestamp,
    list: Vec<Change>,
    /// The id to go on after.
    next: Option<u64>,
    is_first: bool,
}

/// A change with its two states as lines.
struct Change {
    entry: AuditEntry,
    lines: Vec<Line>,
}

struct Line {
    key: String,
    before: Option<String>,
    after: Option<String>,
}

pub async fn changes(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let after = visit.number("after")?;
    let entries = ops::audit::list(&app, &visit.actor, after, Some(CHANGES)).await?;
    let next = entries.last().filter(|_| entries.len() == CHANGES).map(|entry| entry.id);
    let changes = entries.into_iter().map(|entry| Change { lines: lines(&entry), entry });
    render(&Changes {
        frame: visit.frame(&app, Section::Access, "Changes"),
        now: app.catalogue.clock().now(),
        list: changes.collect(),
        next,
        is_first: after.is_none(),
    })
}

/// What differs between the two states of a change, key by key.
fn lines(entry: &AuditEntry) -> Vec<Line> {
    let mut before = Vec::new();
    let mut after = Vec::new();
    flatten("", entry.before.as_ref(), &mut before);
    flatten("", entry.after.as_ref(), &mut after);
    let find = |all: &[(String, String)], key: &str| {
        all.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
    };
    let mut keys: Vec<&String> = before.iter().chain(&after).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .map(|key| Line { key: key.clone(), before: find(&before, key), after: find(&after, key) })
        .filter(|line| line.before != line.after)
        .collect()
}

/// `policy.drain` = `cold` for each single value. Nothing is as good as null.
fn flatten(path: &str, value: Option<&serde_json::Value>, into: &mut Vec<(String, String)>) {
    use serde_json::Value;
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Object(fields)) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, Some(value), into);
            }
        }
        Some(Value::String(text)) => into.push((path.to_owned(), text.clone())),
        Some(other) => into.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_what_differs_and_nothing_else() {
        let entry = AuditEntry {
            id: 1,
            at: Timestamp(0),
            who: "cli".to_owned(),
            what: "link.edit".to_owned(),
            subject: "a".to_owned(),
            before: Some(
                serde_json::json!({"policy": {"drain": false, "populate": true}, "x": null}),
            ),
            after: Some(serde_json::json!({"policy": {"drain": "cold", "populate": true}})),
        };
        let lines = lines(&entry);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].key, "policy.drain");
        assert_eq!(lines[0].before.as_deref(), Some("false"));
        assert_eq!(lines[0].after.as_deref(), Some("cold"));
    }
}
