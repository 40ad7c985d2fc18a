//! Signing in with a token or a one-time link, and out.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::http::header::{HOST, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;

use super::super::access;
use super::super::errors::Failure;
use super::super::query::Query;
use super::super::sessions;
use super::super::site::Site;
use super::{frame, html, is_fragment, is_read, owns, protect, show};
use crate::words::Phrase;

/// A sign-in form holds one token and one address.
const FORM_MAX: usize = 8 << 10;

#[derive(Template)]
#[template(path = "sign_in.html", config = "web/askama.toml")]
struct Door<'a> {
    message: Option<Phrase>,
    /// Where the visitor was going.
    next: &'a str,
    /// Set when they are in.
    go_on: Option<&'a str>,
    /// Signing in does not help.
    is_shut: bool,
}

impl Door<'_> {
    fn response(&self, status: StatusCode) -> Response {
        let markup =
            self.render().unwrap_or_else(|_| "<!doctype html><title>Hayloft</title>".into());
        let mut response = html(status, markup);
        protect(&mut response);
        response
    }
}

/// An empty door.
const DOOR: Door<'static> = Door { message: None, next: "/", go_on: None, is_shut: false };

/// What a stranger gets instead of a page.
pub fn ask(request: &Request<Body>) -> Response {
    let target = request.uri().path_and_query().map_or("/", |p| p.as_str());
    if is_fragment(request.uri().path()) {
        let over = Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", "The session is over.");
        return in_part(&over);
    }
    if !is_read(request.method()) {
        let message = Some("The session is over: sign in, then send the form again.".into());
        return Door { message, ..DOOR }.response(StatusCode::UNAUTHORIZED);
    }
    Door { next: inside(target), ..DOOR }.response(StatusCode::OK)
}

/// A refusal of somebody who may be a stranger: a page without anything of the instance.
pub fn refused(failure: &Failure) -> Response {
    let status = failure.status();
    let is_shut = !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
    let door = Door { message: Some(failure.detail().clone()), is_shut, ..DOOR };
    failure.add_headers_to(door.response(status))
}

#[derive(Template)]
#[template(path = "refused_part.html", config = "web/askama.toml")]
struct Part<'a> {
    message: &'a Phrase,
    is_over: bool,
}

/// The same inside a page that is shown already.
pub fn in_part(failure: &Failure) -> Response {
    let is_over = failure.status() == StatusCode::UNAUTHORIZED;
    let markup = Part { message: failure.detail(), is_over }.render().unwrap_or_default();
    let mut response = html(failure.status(), markup);
    protect(&mut response);
    failure.add_headers_to(response)
}

/// An address of the page to go on to: nobody is led elsewhere.
fn inside(target: &str) -> &str {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let plain = target.starts_with('/') && !target.starts_with("//") && !target.contains('\\');
    let out = matches!(path, "/signin" | "/signout") || path.starts_with("/fragments");
    if plain && owns(path) && !out { target } else { "/" }
}

pub async fn answer(
    site: &Arc<Site>,
    request: Request<Body>,
    peer: Option<IpAddr>,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let is_sign_in = parts.uri.path() == "/signin";
    match (is_sign_in, &parts.method) {
        (true, &Method::GET | &Method::HEAD) => by_link(site, &parts).await,
        (true, &Method::POST) => by_token(site, &parts, body, peer).await,
        (true, _) => Err(Failure::method_not_allowed("GET, HEAD, POST")),
        (false, &Method::POST) => sign_out(site, &parts).await,
        (false, _) => Err(Failure::method_not_allowed("POST")),
    }
}

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
    let next = inside(form.get("next").unwrap_or("/"));
    let opened = match site.access.token(token, peer) {
        Ok((actor, id)) => sessions::open_for_token(&site.app, &actor, &id).await,
        Err(failure) => Err(failure),
    };
    let failure = match opened {
        Ok(secret) => return Ok(with_cookie(frame::see(next), &secret, secure)),
        Err(failure) => failure,
    };
    let status = failure.status();
    let message = match status {
        StatusCode::UNAUTHORIZED => "This token is unknown, revoked or expired.".into(),
        StatusCode::FORBIDDEN => "Signing in needs an admin token of the whole instance.".into(),
        StatusCode::TOO_MANY_REQUESTS => failure.detail().clone(),
        _ => return Err(failure),
    };
    let page = Door { message: Some(message), next, ..DOOR }.response(status);
    // The challenges of a 401 would bring up a dialog of the browser's own.
    Ok(if status == StatusCode::TOO_MANY_REQUESTS { failure.add_headers_to(page) } else { page })
}

async fn by_link(site: &Arc<Site>, parts: &Parts) -> Result<Response, Failure> {
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let empty = Door { next: inside(query.get("next").unwrap_or("/")), ..DOOR };
    // A look ahead by a HEAD must not use the link up.
    let Some(secret) = query.get("token").filter(|_| parts.method != Method::HEAD) else {
        return Ok(empty.response(StatusCode::OK));
    };
    let Some(secret) = sessions::open_for_link(&site.app, secret).await? else {
        let message = Some("This link was used already, or is too old.".into());
        return Ok(Door { message, ..DOOR }.response(StatusCode::FORBIDDEN));
    };
    // Not a redirect: a browser that follows one from another site leaves the strict cookie out.
    let page = Door { go_on: Some("/"), ..DOOR }.response(StatusCode::OK);
    Ok(with_cookie(page, &secret, is_secure(site, &parts.headers)))
}

async fn sign_out(site: &Arc<Site>, parts: &Parts) -> Result<Response, Failure> {
    if let Some(secret) = access::cookie(&parts.headers) {
        sessions::close(&site.app, secret).await?;
    }
    let mut response = frame::see("/");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_out_of_the_house() {
        for good in ["/", "/vacuum", "/browse/a?prefix=b%2Fc", "/?done=saved"] {
            assert_eq!(inside(good), good);
        }
        for bad in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/signout",
            "/files/a/b",
            "",
        ] {
            assert_eq!(inside(bad), "/", "{bad}");
        }
    }
}
