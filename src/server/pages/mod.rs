//! The admin page (SPEC 10): HTML from templates, for instance admins with a session.
//!
//! Conventions of this room:
//! - A page is a handler in the table of `router`, a struct that derives `Template`, and a file in
//!   `web/templates` that extends `frame.html`. A handler asks `ops`, as the API and the command
//!   line do; a page knows no rule of its own.
//! - Everything that changes something is a POST form that works without JavaScript. It ends with
//!   `Visit::done` (303 and a notice) or renders the same page again with the `form` and its errors.
//! - What takes longer than a page may (a preview of the next run, a look at a bucket) is a
//!   fragment: the page has `<div data-load="/fragments/…">`, the script fetches the markup from there
//!   and, without JavaScript, a link in it leads to a page that waits.
//! - Content comes from templates, which escape it. `|safe` is for what `form`, `show` and `chart`
//!   made. No inline style or script: the Content-Security-Policy forbids them; lengths are SVG.
//! - Refusals of the rooms below arrive as answers that carry their `Problem`, and leave as pages.

mod access;
mod assets;
mod browse;
mod chart;
mod effect;
mod file;
mod form;
mod frame;
mod link_form;
mod links;
mod overview;
mod places;
mod scope;
mod scopes;
mod show;
mod sign_in;
mod store_forms;
mod store_leave;
mod stores;
mod stores_shown;
mod vacuum;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use tower::ServiceExt;

use super::access::Caller;
use super::errors::Failure;
use super::site::Site;
use crate::api::Problem;
use crate::app::App;

/// Our own style sheet, script, pictures and addresses; no foreign host, no frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// The first segments of the page's addresses.
pub const HEADS: [&str; 8] =
    ["signin", "signout", "assets", "scopes", "stores", "vacuum", "browse", "access"];
/// Markup for the script.
pub const FRAGMENTS: &str = "fragments";

/// Whether an address is one of the page.
pub fn owns(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let (head, _) = rest.split_once('/').unwrap_or((rest, ""));
    rest.is_empty() || HEADS.contains(&head) || head == FRAGMENTS
}

/// Everything behind the sign-in. Handlers find the asking `ops::Actor` in the request.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/fragments/overview/stores", get(overview::stores))
        .merge(of_stores())
        .route("/access", get(access::show).post(access::create))
        .route("/access/revoke", post(access::revoke))
        .route("/access/link", post(access::link))
        .route("/access/changes", get(access::changes))
        .merge(of_vacuum())
        .merge(of_scopes())
        .merge(of_files())
}

fn of_vacuum() -> Router<Arc<App>> {
    Router::new()
        .route("/vacuum", get(vacuum::show))
        .route("/vacuum/plan", get(vacuum::plan))
        .route("/vacuum/start", post(vacuum::start))
        .route("/vacuum/runs/{id}", get(vacuum::show_run))
        .route("/vacuum/runs/{id}/pause", post(vacuum::pause))
        .route("/vacuum/runs/{id}/resume", post(vacuum::resume))
        .route("/vacuum/runs/{id}/cancel", post(vacuum::cancel))
        .route("/fragments/vacuum/plan", get(vacuum::plan_part))
        .route("/fragments/vacuum/runs/{id}", get(vacuum::body))
}

fn of_stores() -> Router<Arc<App>> {
    Router::new()
        .route("/stores", get(stores::list))
        .route("/fragments/stores", get(stores::list_part))
        .route("/stores/new", get(store_forms::ask).post(store_forms::create))
        .route("/stores/{store}", get(stores::show).post(stores::change))
        .route("/stores/{store}/check", get(stores::to_check).post(stores::check))
        .route("/fragments/stores/{store}/check", post(stores::check_live))
        .route("/stores/{store}/reconcile", get(stores::to_store).post(stores::reconcile))
        .route("/stores/{store}/evacuation", get(store_leave::evacuation))
        .route("/stores/{store}/delete", get(store_leave::ask).post(store_leave::delete))
        .route("/fragments/stores/{store}/use", get(stores::use_part))
        .route("/fragments/stores/{store}/loss", get(store_leave::loss))
        .route("/fragments/stores/{store}/effect", post(stores::effect))
}

fn of_scopes() -> Router<Arc<App>> {
    Router::new()
        .route("/scopes", get(scopes::show))
        .route("/scopes/new", get(scopes::ask).post(scopes::create))
        .route("/scopes/{scope}", get(scope::show))
        .route("/scopes/{scope}/set", post(scope::set))
        .route("/scopes/{scope}/default-store", post(scope::default_store))
        .route("/scopes/{scope}/delete", post(scope::delete))
        .route("/scopes/{scope}/links/{store}", get(links::show).post(links::save))
        .route("/scopes/{scope}/links/{store}/unlink", post(links::unlink))
        .route("/fragments/scopes/{scope}/links/{store}", get(links::form))
        .route(
            "/fragments/scopes/{scope}/links/{store}/effect",
            get(links::effect_now).post(links::effect),
        )
}

fn of_files() -> Router<Arc<App>> {
    Router::new()
        .route("/browse", get(browse::scopes))
        .route("/browse/{scope}", get(browse::folder))
        .route("/browse/{scope}/file", get(file::show))
        .route("/browse/{scope}/upload", post(browse::upload))
        .route("/browse/{scope}/delete", post(browse::delete))
        .route("/browse/{scope}/undelete", post(browse::undelete))
        .route("/fragments/browse/{scope}/next", get(file::next))
}

/// Answers an address of the page. What is refused before a page is asked for becomes one in `refuse`.
pub async fn answer(
    site: &Arc<Site>,
    caller: &Caller,
    request: Request<Body>,
    peer: Option<IpAddr>,
) -> Result<Response, Failure> {
    let path = request.uri().path();
    let is_read = is_read(request.method());
    if let Some(name) = path.strip_prefix("/assets/") {
        return assets::serve(name, &request);
    }
    match path {
        "/" if !is_read => return Err(Failure::method_not_allowed("GET, HEAD")),
        "/signin" | "/signout" => return sign_in::answer(site, request, peer).await,
        _ if !is_read && request.method() != Method::POST => {
            return Err(Failure::method_not_allowed("GET, HEAD, POST"));
        }
        _ if !caller.actor.is_instance_admin() => return Ok(sign_in::ask(&request)),
        _ => {}
    }
    let mut request = request;
    request.extensions_mut().insert(caller.actor.clone());
    request.extensions_mut().insert(Arc::clone(site));
    let method = request.method().clone();
    let mut answered = match site.pages.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if answered.status().is_client_error() || answered.status().is_server_error() {
        answered = as_page(site, &method, answered);
    }
    if is_read || !answered.status().is_redirection() {
        protect(&mut answered);
    }
    Ok(answered)
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn is_fragment(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|rest| rest.strip_prefix(FRAGMENTS))
        .is_some_and(|rest| rest.starts_with('/'))
}

/// A refusal from before the door, for people.
pub fn refuse(path: &str, failure: &Failure) -> Response {
    if is_fragment(path) { sign_in::in_part(failure) } else { sign_in::refused(failure) }
}

/// Turns an answer with a problem, or a bare refusal of the router, into a page.
fn as_page(site: &Site, method: &Method, response: Response) -> Response {
    let status = response.status();
    let (mut headers, extensions) = (response.headers().clone(), response.extensions().clone());
    let kind = headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    let is = |wanted: &str| {
        kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(wanted.as_bytes()))
    };
    if is("text/html") {
        return response;
    }
    let (title, detail) = match (extensions.get::<Problem>(), status) {
        (Some(problem), _) => (problem.title.clone(), problem.detail.clone()),
        (None, StatusCode::METHOD_NOT_ALLOWED) => {
            ("Not here".to_owned(), format!("This address does not take {method}.").into())
        }
        (None, StatusCode::NOT_FOUND) => {
            ("Nothing here".to_owned(), "There is no page at this address.".into())
        }
        (None, _) => {
            let reason = status.canonical_reason().unwrap_or("The request failed");
            (reason.to_owned(), "The server could not do this.".into())
        }
    };
    let mut page = frame::error(&site.app, status, title, detail);
    page.headers_mut().extend(headers);
    page.extensions_mut().extend(extensions);
    page
}

/// What every page carries.
fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Markup as an answer.
fn html(status: StatusCode, markup: String) -> Response {
    let mut response = Response::new(Body::from(markup));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_owns_its_addresses_and_no_others() {
        for path in ["/", "/signin", "/scopes/a/links/b", "/fragments/plan", "/assets/app.js"] {
            assert!(owns(path), "{path}");
        }
        for path in [
            "/files/a/b",
            "/api/v1/status",
            "/metrics",
            "/favicon.ico",
            "/scopesx",
            "",
            "*",
            "//scopes",
        ] {
            assert!(!owns(path), "{path}");
        }
    }
}
