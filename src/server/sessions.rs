//! Browser sessions and one-time sign-in links. Only their digests are stored.

use std::time::Duration;

use super::errors::Failure;
use crate::api::Role;
use crate::app::App;
use crate::catalogue::{CatalogueError, Session, SessionKind, Token};
use crate::ops::tokens::digest_of_secret;
use crate::ops::{Actor, Grant};
use crate::random;

/// The cookie's name.
pub const COOKIE: &str = "hayloft_session";
/// A session ends after this long, used or not.
pub const LIFETIME: Duration = Duration::from_hours(24);
/// Says in `Session::who` that the session ends with this token.
const BY_TOKEN: &str = "token-id:";

/// The instance admin behind a session cookie; `None` when it is unknown or over.
pub fn actor(app: &App, secret: &str) -> Result<Option<Actor>, CatalogueError> {
    let Some(session) = app.catalogue.snapshot()?.session(&digest_of_secret(secret))? else {
        return Ok(None);
    };
    let live = match session.kind {
        SessionKind::Session => app.catalogue.clock().now() < session.expires_at,
        SessionKind::Link => false,
    };
    let who = match session.who.strip_prefix(BY_TOKEN) {
        _ if !live => None,
        Some(id) => of_admin(app, id).map(|token| format!("session of token {token}")),
        None => Some("session by link".to_owned()),
    };
    Ok(who.map(|who| Actor::instance_admin(&who)))
}

/// The token that opened a session, named, if it would still open one.
fn of_admin(app: &App, id: &str) -> Option<String> {
    let settings = app.catalogue.settings();
    let now = app.catalogue.clock().now();
    let token = settings.tokens.get(id)?;
    let lives = token.expires_at.is_none_or(|expires| now < expires);
    let is_admin = lives && token.role == Role::Admin && token.scope.is_none();
    is_admin.then(|| named(token))
}

/// A token for the list of changes. Names are chosen by those who make tokens, ids are not.
pub fn named(token: &Token) -> String {
    format!("{} ({})", token.name, token.id)
}

/// Opens a session for the holder of an instance admin's token; returns the cookie's secret.
pub async fn open_for_token(app: &App, actor: &Actor, id: &str) -> Result<String, Failure> {
    if actor.grant != (Grant::Role { role: Role::Admin, scope: None }) {
        return Err(Failure::forbidden("signing in needs an admin token of the whole instance"));
    }
    Ok(open(app, format!("{BY_TOKEN}{id}")).await?)
}

/// Uses up a sign-in link; `None` when it is unknown, used or void.
pub async fn open_for_link(app: &App, secret: &str) -> Result<Option<String>, CatalogueError> {
    let digest = digest_of_secret(secret);
    let link = app
        .catalogue
        .write(move |tx| {
            let now = tx.now();
            // A session's secret is no link: it stays.
            let taken = tx.take_session(&digest)?;
            match taken {
                Some(session) if session.kind == SessionKind::Session => {
                    tx.put_session(&digest, &session)?;
                    Ok(None)
                }
                other => Ok::<_, CatalogueError>(other.filter(|link| now < link.expires_at)),
            }
        })
        .await?;
    match link {
        Some(_) => open(app, "link".to_owned()).await.map(Some),
        None => Ok(None),
    }
}

/// Ends a session.
pub async fn close(app: &App, secret: &str) -> Result<(), CatalogueError> {
    let digest = digest_of_secret(secret);
    app.catalogue.write(move |tx| tx.take_session(&digest).map(|_| ())).await
}

async fn open(app: &App, who: String) -> Result<String, CatalogueError> {
    let secret = random::hex(32);
    let digest = digest_of_secret(&secret);
    app.catalogue
        .write(move |tx| {
            let (created_at, expires_at) = (tx.now(), tx.now().after(LIFETIME));
            let kind = SessionKind::Session;
            let session = Session { kind, who: who.clone(), created_at, expires_at };
            tx.put_session(&digest, &session)
        })
        .await?;
    Ok(secret)
}
