//! Who asks (SPEC 10): credentials become an `ops::Actor`. The token path reads memory only.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::ConstantTimeEq;

use super::attempts::{Attempts, Peer};
use super::errors::Failure;
use super::sessions;
use super::token_uses::TokenUses;
use crate::api::Role;
use crate::app::App;
use crate::catalogue::{Settings, Token};
use crate::domain::{Remedy, Scope, Timestamp};
use crate::ops::tokens::digest_of_secret;
use crate::ops::{Actor, Grant};
use crate::words::Phrase;

/// Every token begins with this: `hl_<id>_<secret>`.
const TOKEN_PREFIX: &str = "hl_";

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The admin socket, or the command line in this process.
    Socket,
    Bearer,
    /// Sent by browsers unasked, like cookies.
    Basic,
    Session,
    Nothing,
}

/// Whoever makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub actor: Actor,
    pub via: Via,
}

impl Caller {
    pub fn socket() -> Self {
        Self { actor: Actor::instance_admin("socket"), via: Via::Socket }
    }

    fn anonymous() -> Self {
        Self { actor: Actor::anonymous(), via: Via::Nothing }
    }

    /// 401 to strangers, 403 to those whom we know.
    pub fn refusal(&self) -> Failure {
        if self.actor.is_anonymous() {
            Failure::unauthorized("this needs a token: send it as `Authorization: Bearer …`")
        } else {
            Failure::forbidden("the token does not allow this")
        }
    }
}

/// What a request to the files of a scope needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// GET and HEAD of a path or digest that the caller knows: `public_read` is enough.
    ReadKnown,
    List,
    Write,
}

/// The scope, if the caller may do in it what they ask. A caller who may not cannot tell an unknown
/// scope from a closed one.
pub fn admit<'s>(
    settings: &'s Settings,
    caller: &Caller,
    name: &str,
    need: Need,
) -> Result<&'s Scope, Failure> {
    let role = match need {
        Need::ReadKnown | Need::List => Role::Read,
        Need::Write => Role::Write,
    };
    let everywhere = match caller.actor.grant {
        Grant::Role { role: has, scope: None } => has >= role,
        Grant::Role { scope: Some(_), .. } | Grant::Anonymous => false,
    };
    let Some(scope) = settings.topology.scope(name) else {
        return Err(if everywhere { Failure::unknown_scope() } else { caller.refusal() });
    };
    let public = need == Need::ReadKnown && scope.public_read;
    if public || caller.actor.may(role, scope.id) { Ok(scope) } else { Err(caller.refusal()) }
}

/// Checks credentials.
#[derive(Debug)]
pub struct Access {
    app: Arc<App>,
    attempts: Attempts,
    pub uses: TokenUses,
}

impl Access {
    pub fn new(app: Arc<App>) -> Self {
        Self { app, attempts: Attempts::default(), uses: TokenUses::default() }
    }

    /// The caller behind a request's headers. Bad credentials are an error, none are not.
    pub fn identify(&self, headers: &HeaderMap, peer: Peer) -> Result<Caller, Failure> {
        if let Some(value) = headers.get(AUTHORIZATION) {
            let (text, via) = offered_token(value)?;
            return Ok(Caller { actor: self.token(&text, peer)?.0, via });
        }
        let Some(secret) = cookie(headers) else { return Ok(Caller::anonymous()) };
        // An expired session is no attack: its owner is a stranger again.
        let actor = sessions::actor(&self.app, secret)?;
        Ok(actor.map_or_else(Caller::anonymous, |actor| Caller { actor, via: Via::Session }))
    }

    /// The actor of a token, and the token's id.
    pub fn token(&self, text: &str, peer: Peer) -> Result<(Actor, String), Failure> {
        let settings = self.app.catalogue.settings();
        let parts = text.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let known = parts.and_then(|(id, secret)| Some((settings.tokens.get(id)?, secret)));
        let id = known.map(|(token, _)| token.id.as_str());
        self.attempts.check(peer, id)?;
        let now = self.app.catalogue.clock().now();
        let Some(token) = known.filter(|(t, secret)| is_good(t, secret, now)).map(|(t, _)| t)
        else {
            self.attempts.failed(peer, id);
            return Err(Failure::unauthorized(
                Phrase::new("the token is unknown, revoked or expired: make a new one with ")
                    .command(Remedy::CreateToken),
            ));
        };
        self.uses.note(&token.id, now);
        let grant = Grant::Role { role: token.role, scope: token.scope };
        Ok((Actor { who: format!("token:{}", sessions::named(token)), grant }, token.id.clone()))
    }

    /// Refuses a change that another site makes a browser send with its owner's credentials.
    pub fn refuse_cross_site(
        &self,
        method: &Method,
        headers: &HeaderMap,
        via: Via,
    ) -> Result<(), Failure> {
        let rides_along = match via {
            Via::Basic | Via::Session => true,
            Via::Socket | Via::Bearer | Via::Nothing => false,
        };
        if method.is_safe() || !rides_along || self.is_same_site(headers) {
            return Ok(());
        }
        let detail = "another web site asked for this change: use the page of this server, or a \
                      Bearer token";
        Err(Failure::new(StatusCode::FORBIDDEN, "cross-site", detail))
    }

    /// Whether the request comes from our own page, or from no page at all.
    pub fn is_same_site(&self, headers: &HeaderMap) -> bool {
        // No page can forge this one, and no proxy changes it as it may change Host.
        match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(b"same-origin") => return true,
            Some(b"none") | None => {}
            Some(_) => return false,
        }
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.app.config.public_url.as_deref().is_some_and(|url| origin_of(url) == origin) {
            return true;
        }
        let host = headers.get(HOST).and_then(|h| h.to_str().ok());
        let of_origin = origin.split_once("://").map(|(_, rest)| rest);
        host.is_some() && of_origin == host
    }
}

/// `https://host:port` of a URL.
fn origin_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

fn is_good(token: &Token, secret: &str, now: Timestamp) -> bool {
    let equal: bool = digest_of_secret(secret).0.ct_eq(&token.secret.0).into();
    equal && token.expires_at.is_none_or(|expires| now < expires)
}

/// The token in an `Authorization` header.
fn offered_token(value: &HeaderValue) -> Result<(String, Via), Failure> {
    let unreadable = || {
        Failure::unauthorized("the Authorization header is none of `Bearer TOKEN` and `Basic …`")
    };
    let text = value.to_str().map_err(|_| unreadable())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(unreadable)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok((rest.to_owned(), Via::Bearer));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let pair = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or_else(unreadable)?;
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    // Programs that know one secret only put it before the colon.
    let token = if password.is_empty() { user } else { password };
    Ok((token.to_owned(), Via::Basic))
}

/// The session secret in the cookies.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok());
    pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == sessions::COOKIE)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_bearer_and_basic() {
        let read = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a header value");
            offered_token(&value).map_err(|f| f.status().as_u16())
        };
        assert_eq!(read("Bearer hl_a_b"), Ok(("hl_a_b".to_owned(), Via::Bearer)));
        let basic = format!("basic {}", BASE64.encode("anyone:hl_a_b"));
        assert_eq!(read(&basic), Ok(("hl_a_b".to_owned(), Via::Basic)));
        let alone = format!("Basic {}", BASE64.encode("hl_a_b:"));
        assert_eq!(read(&alone), Ok(("hl_a_b".to_owned(), Via::Basic)));
        for bad in ["Bearer", "Basic %%%", "Digest x=y", ""] {
            assert_eq!(read(bad), Err(401), "{bad}");
        }
    }

    #[test]
    fn an_origin_ends_before_the_path() {
        assert_eq!(origin_of("https://a.example:8700/x/y"), "https://a.example:8700");
        assert_eq!(origin_of("https://a.example"), "https://a.example");
    }
}
