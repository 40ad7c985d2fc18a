//! The status page, and signing in and out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;

use super::access::{self, Caller};
use super::errors::Failure;
use super::html::{self, Html};
use super::query::Query;
use super::sessions;
use super::site::Site;
use crate::api::{Count, Run};
use crate::catalogue::{CatalogueError, Counter};
use crate::domain::{ByteSize, ReplicaState, Store};

pub const ASSETS: &str = "/assets/";
const STYLE: &str = include_str!("../../web/static/style.css");

/// Nothing but our own style sheet and forms: no script, no foreign host, no frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'",
);
/// A sign-in form holds one token.
const FORM_MAX: usize = 4 << 10;

pub async fn answer(
    site: &Arc<Site>,
    caller: &Caller,
    request: Request<Body>,
    peer: Option<IpAddr>,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    match parts.uri.path() {
        "/" if is_read => home(site, caller),
        "/" => Err(Failure::method_not_allowed("GET, HEAD")),
        "/signin" if is_read => by_link(site, &parts).await,
        "/signin" if parts.method == Method::POST => by_token(site, &parts, body, peer).await,
        "/signin" => Err(Failure::method_not_allowed("GET, HEAD, POST")),
        "/signout" if parts.method == Method::POST => sign_out(site, &parts).await,
        "/signout" => Err(Failure::method_not_allowed("POST")),
        path => asset(path.strip_prefix(ASSETS).unwrap_or_default(), is_read),
    }
}

fn asset(name: &str, is_read: bool) -> Result<Response, Failure> {
    if name != "style.css" {
        return Err(Failure::not_found());
    }
    if !is_read {
        return Err(Failure::method_not_allowed("GET, HEAD"));
    }
    let mut response = Response::new(Body::from(STYLE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn page(status: StatusCode, html: Html) -> Response {
    let mut response = Response::new(Body::from(html.finish()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn see_home() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn sign_in_form(status: StatusCode, message: Option<&str>) -> Response {
    let mut html = Html::new("Sign in");
    html.raw("<header><h1>Hayloft</h1></header>");
    if let Some(message) = message {
        html.raw("<p class=\"message\" role=\"alert\">").text(message).raw("</p>");
    }
    html.raw(
        "<form class=\"signin\" method=\"post\" action=\"/signin\">\
         <label for=\"token\">Admin token</label>\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required>\
         <button>Sign in</button></form>\
         <p class=\"quiet\">No token at hand? <code>hayloft token link</code> on the server gives a link \
         that signs you in once.</p>",
    );
    page(status, html)
}

// ---- signing in and out ----

async fn by_token(
    site: &Arc<Site>,
    parts: &Parts,
    body: Body,
    peer: Option<IpAddr>,
) -> Result<Response, Failure> {
    if !site.access.is_same_site(&parts.headers) {
        let detail = "the form of another web site was sent here: open this server's own page";
        return Err(Failure::new(StatusCode::FORBIDDEN, "cross-site", detail));
    }
    let secure = is_secure(site, &parts.headers);
    let body = to_bytes(body, FORM_MAX).await;
    let body = body.map_err(|_| Failure::invalid("malformed-form", "the form is too large"))?;
    let form = Query::parse(&String::from_utf8_lossy(&body))?;
    let token = form.get("token").unwrap_or_default().trim();
    let opened = match site.access.token(token, peer) {
        Ok((actor, id)) => sessions::open_for_token(&site.app, &actor, &id).await,
        Err(failure) => Err(failure),
    };
    match opened {
        Ok(secret) => Ok(with_cookie(see_home(), &secret, secure)),
        Err(failure) if failure.status() == StatusCode::UNAUTHORIZED => {
            let message = "This token is unknown, revoked or expired.";
            Ok(sign_in_form(StatusCode::UNAUTHORIZED, Some(message)))
        }
        Err(failure) if failure.status() == StatusCode::FORBIDDEN => {
            let message = "Signing in needs an admin token of the whole instance.";
            Ok(sign_in_form(StatusCode::FORBIDDEN, Some(message)))
        }
        Err(failure) => Err(failure),
    }
}

async fn by_link(site: &Arc<Site>, parts: &Parts) -> Result<Response, Failure> {
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let Some(secret) = query.get("token") else { return Ok(sign_in_form(StatusCode::OK, None)) };
    // A look ahead by a HEAD must not use the link up.
    if parts.method == Method::HEAD {
        return Ok(sign_in_form(StatusCode::OK, None));
    }
    let Some(secret) = sessions::open_for_link(&site.app, secret).await? else {
        let message = "This link was used already, or is too old.";
        return Ok(sign_in_form(StatusCode::FORBIDDEN, Some(message)));
    };
    // Not a redirect: a browser that follows one from another site leaves the strict cookie out.
    let mut html = Html::new("Signed in");
    html.refresh_to_home();
    html.raw("<p>Signed in. <a href=\"/\">Go on to the status page</a></p>");
    let secure = is_secure(site, &parts.headers);
    Ok(with_cookie(page(StatusCode::OK, html), &secret, secure))
}

async fn sign_out(site: &Arc<Site>, parts: &Parts) -> Result<Response, Failure> {
    if let Some(secret) = access::cookie(&parts.headers) {
        sessions::close(&site.app, secret).await?;
    }
    let mut response = see_home();
    let gone = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", sessions::COOKIE);
    response.headers_mut().extend(HeaderValue::try_from(gone).map(|v| (SET_COOKIE, v)));
    Ok(response)
}

/// Whether browsers reach us over TLS: here, or at a proxy that `public_url` speaks of.
fn is_secure(site: &Site, headers: &HeaderMap) -> bool {
    let config = &site.app.config;
    let public = config.public_url.as_deref();
    let is_loopback = headers.get(HOST).is_some_and(|host| {
        let host = host.as_bytes();
        host.starts_with(b"localhost") || host.starts_with(b"127.")
    });
    config.tls.is_some() || (public.is_some_and(|url| url.starts_with("https:")) && !is_loopback)
}

fn with_cookie(mut response: Response, secret: &str, secure: bool) -> Response {
    let age = sessions::LIFETIME.as_secs();
    let secure = if secure { "; Secure" } else { "" };
    let name = sessions::COOKIE;
    let cookie =
        format!("{name}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut value) = HeaderValue::try_from(cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

// ---- the status page ----

/// What the page shows, read in one snapshot.
struct Picture {
    total: Count,
    stores: Vec<(Store, BTreeMap<ReplicaState, Count>)>,
    last_run: Option<Run>,
}

fn home(site: &Arc<Site>, caller: &Caller) -> Result<Response, Failure> {
    if !caller.actor.is_instance_admin() {
        return Ok(sign_in_form(StatusCode::OK, None));
    }
    let picture = look(site)?;
    let mut html = Html::new("Status");
    html.raw("<header><h1>Hayloft</h1>");
    html.raw("<form method=\"post\" action=\"/signout\"><button>Sign out</button></form></header>");
    let total = picture.total;
    html.raw("<p>").text(&format!("{} files, {}", total.files, ByteSize(total.bytes))).raw("</p>");
    stores_table(&mut html, site, &picture);
    html.raw("<h2>Last run of the vacuum</h2>");
    match &picture.last_run {
        Some(run) => last_run(&mut html, run),
        None => {
            html.raw("<p class=\"quiet\">None yet.</p>");
        }
    }
    Ok(page(StatusCode::OK, html))
}

fn look(site: &Site) -> Result<Picture, CatalogueError> {
    let settings = site.app.catalogue.settings();
    let snapshot = site.app.catalogue.snapshot()?;
    let stores = settings.topology.stores_by_name().into_iter();
    Ok(Picture {
        total: snapshot.count(&Counter::Total)?,
        stores: stores
            .map(|store| Ok((store.clone(), snapshot.store_counts(store.id)?)))
            .collect::<Result<_, CatalogueError>>()?,
        last_run: snapshot.runs(1)?.pop(),
    })
}

fn stores_table(html: &mut Html, site: &Site, picture: &Picture) {
    html.raw("<h2>Stores</h2><div class=\"wide\"><table><thead><tr>");
    for (title, class) in [
        ("Name", ""),
        ("Location", ""),
        ("Files", "number"),
        ("Bytes", "number"),
        ("Soft limit", "number"),
        ("Limit", "number"),
        ("State", ""),
    ] {
        html.raw(&format!("<th class=\"{class}\">")).text(title).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
    let limit =
        |bytes: Option<u64>| bytes.map_or_else(|| "none".into(), |b| ByteSize(b).to_string());
    for (store, counts) in &picture.stores {
        let present = counts.get(&ReplicaState::Present).copied().unwrap_or_default();
        let state = site.app.transfer.stores.last_seen(store.id);
        html.raw("<tr><td>").text(store.name.as_str());
        html.raw("</td><td>").text(&store.backend.location());
        html.raw("</td><td class=\"number\">").text(&present.files.to_string());
        html.raw("</td><td class=\"number\">").text(&ByteSize(present.bytes).to_string());
        html.raw("</td><td class=\"number\">").text(&limit(store.soft_max_size));
        html.raw("</td><td class=\"number\">").text(&limit(store.max_size));
        match state.problem() {
            Some(problem) => html.raw("</td><td class=\"bad\">").text(problem),
            None if state.is_available() => html.raw("</td><td class=\"ok\">ok"),
            None => html.raw("</td><td class=\"quiet\">not used yet"),
        };
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div>");
}

fn last_run(html: &mut Html, run: &Run) {
    let outcome = format!("{:?}", run.outcome).to_lowercase();
    let class = if run.errors.is_empty() { "ok" } else { "bad" };
    html.raw(&format!("<p><span class=\"{class}\">")).text(&outcome).raw("</span>, ");
    let ended = run.finished_at.map_or_else(|| "not finished".to_owned(), |at| at.to_string());
    html.text(&format!("started {}, ended {ended}", run.started_at)).raw("</p><ul>");
    let counts = [("copied", run.copied), ("moved", run.moved), ("removed", run.removed)];
    for (what, count) in counts {
        let line = format!("{what}: {} files, {}", count.files, ByteSize(count.bytes));
        html.raw("<li>").text(&line).raw("</li>");
    }
    for error in run.errors.iter().take(html::FEW) {
        html.raw("<li class=\"bad\">")
            .text(&format!("{}: {}", error.phase, error.cause))
            .raw("</li>");
    }
    html.raw("</ul>");
}
