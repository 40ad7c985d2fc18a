//! Tokens and sign-in links (SPEC 10). Secrets are kept as digests only.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::audit::Change;
use super::{Actor, OpError, find_scope};
use crate::api::{Role, SignInLink, TokenCreate, TokenCreated, TokenView};
use crate::app::App;
use crate::catalogue::{Session, SessionKind, Token, values};
use crate::domain::{Digest, ScopeId, Timestamp, Topology, parse_duration};
use crate::random;

/// Random bytes of a token's id and of a secret.
const ID: usize = 4;
const SECRET: usize = 32;
const LONGEST_NAME: usize = 100;
/// How long a sign-in link waits to be used.
const LINK_LIFE: Duration = Duration::from_hours(24);

/// What is stored in place of a secret.
pub fn digest_of_secret(secret: &str) -> Digest {
    Digest(*blake3::hash(secret.as_bytes()).as_bytes())
}

/// Tokens by creation; a scope admin sees those of the scope.
pub async fn list(app: &Arc<App>, actor: &Actor) -> Result<Vec<TokenView>, OpError> {
    actor.require_some_admin()?;
    let settings = app.catalogue.settings();
    let mut tokens: Vec<&Token> =
        settings.tokens.values().filter(|t| manages(actor, t.scope)).collect();
    tokens.sort_by_key(|t| (t.created_at, t.id.clone()));
    let all = tokens.into_iter().map(|t| view(&settings.topology, t)).collect();
    std::future::ready(Ok(all)).await
}

fn view(topology: &Topology, token: &Token) -> TokenView {
    TokenView {
        id: token.id.clone(),
        name: token.name.clone(),
        role: token.role,
        scope: token.scope.and_then(|id| topology.scopes.get(&id)).map(|s| s.name.clone()),
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used: token.last_used,
    }
}

/// Whether the actor may manage tokens of that reach.
fn manages(actor: &Actor, scope: Option<ScopeId>) -> bool {
    match scope {
        Some(scope) => actor.may(Role::Admin, scope),
        None => actor.is_instance_admin(),
    }
}

/// Makes a token. The answer is the only place where it is ever shown.
pub async fn create(
    app: &Arc<App>,
    actor: &Actor,
    request: &TokenCreate,
) -> Result<TokenCreated, OpError> {
    actor.require_some_admin()?;
    let name = check_name(&request.name)?;
    let life = request.expires.as_deref().map(parse_duration).transpose();
    let life = life.map_err(|e| OpError::field_invalid("expires", format!("expires: {e}")))?;
    if life.is_some_and(|life| life.is_zero()) {
        let detail = "expires: a token that lives for no time is of no use: write 24h or 90d, or \
                      leave it out for one that lasts";
        return Err(OpError::field_invalid("expires", detail));
    }
    let (id, secret) = (random::hex(ID), random::hex(SECRET));
    let text = format!("hl_{id}_{secret}");
    let (actor, request, secret) = (actor.clone(), request.clone(), digest_of_secret(&secret));
    let token = app
        .catalogue
        .write(move |tx| {
            let scope = request.scope.as_ref().map(|s| find_scope(tx.topology(), s).map(|s| s.id));
            let scope = scope.transpose()?;
            if !manages(&actor, scope) {
                return Err(OpError::Forbidden(
                    "a scope admin makes tokens of that scope only: name the scope".into(),
                ));
            }
            let token = Token {
                id: id.clone(),
                name: name.clone(),
                role: request.role,
                scope,
                secret,
                created_at: tx.now(),
                expires_at: life.map(|life| tx.now().after(life)),
                last_used: None,
            };
            Change::new("token.create", format!("token {id} ({name})"))
                .after(json!({
                    "role": token.role,
                    "scope": request.scope,
                    "expires_at": token.expires_at,
                }))
                .record(tx, &actor)?;
            tx.put_token(token.clone())?;
            Ok(token)
        })
        .await?;
    let shown = view(&app.catalogue.settings().topology, &token);
    Ok(TokenCreated {
        id: shown.id,
        name: shown.name,
        role: shown.role,
        scope: shown.scope,
        token: text,
        expires_at: shown.expires_at,
    })
}

fn check_name(name: &str) -> Result<String, OpError> {
    let name = name.trim();
    let good = !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control);
    if good {
        Ok(name.to_owned())
    } else {
        let detail = format!(
            "a token needs a name of 1 to {LONGEST_NAME} characters without control characters"
        );
        Err(OpError::field_invalid("name", detail))
    }
}

/// Ends a token.
pub async fn revoke(app: &Arc<App>, actor: &Actor, id: &str) -> Result<(), OpError> {
    actor.require_some_admin()?;
    let settings = app.catalogue.settings();
    // Whoever may not see a token is told that there is none.
    let token = settings.tokens.get(id).filter(|t| manages(actor, t.scope));
    let token = token.ok_or_else(|| OpError::not_found("token", id))?;
    let (actor, id, name) = (actor.clone(), token.id.clone(), token.name.clone());
    let role = token.role;
    app.catalogue
        .write(move |tx| {
            if !tx.delete_token(&id)? {
                return Err(OpError::not_found("token", id.clone()));
            }
            Change::new("token.revoke", format!("token {id} ({name})"))
                .before(json!({ "role": role }))
                .record(tx, &actor)?;
            Ok(())
        })
        .await
}

/// A link that signs one browser in as instance admin, once, within 24 hours.
pub async fn sign_in_link(app: &Arc<App>, actor: &Actor) -> Result<SignInLink, OpError> {
    actor.require_instance_admin()?;
    let secret = random::hex(SECRET);
    let expires_at = issue(app, actor, &secret, Issue::Always).await?;
    let expires_at =
        expires_at.ok_or_else(|| OpError::Internal("no sign-in link was issued".to_owned()))?;
    Ok(SignInLink { url: sign_in_url(app, &secret), expires_at })
}

/// The link that a fresh instance logs at its first start; `None` ever after.
pub async fn first_sign_in_link(app: &Arc<App>) -> Result<Option<SignInLink>, OpError> {
    let actor = Actor::instance_admin("hayloft");
    let secret = random::hex(SECRET);
    let issued = issue(app, &actor, &secret, Issue::OnlyFirst).await?;
    Ok(issued.map(|expires_at| SignInLink { url: sign_in_url(app, &secret), expires_at }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Issue {
    Always,
    OnlyFirst,
}

async fn issue(
    app: &Arc<App>,
    actor: &Actor,
    secret: &str,
    when: Issue,
) -> Result<Option<Timestamp>, OpError> {
    let (actor, key) = (actor.clone(), digest_of_secret(secret));
    app.catalogue
        .write(move |tx| {
            let issued = tx.value(&values::FIRST_LINK)?.unwrap_or(false);
            if when == Issue::OnlyFirst && issued {
                return Ok(None);
            }
            let (created_at, expires_at) = (tx.now(), tx.now().after(LINK_LIFE));
            let who = format!("sign-in link of {}", actor.who);
            tx.put_session(
                &key,
                &Session { kind: SessionKind::Link, who, created_at, expires_at },
            )?;
            if !issued {
                tx.set_value(&values::FIRST_LINK, &true)?;
            }
            Change::new("token.link", "sign-in link")
                .after(json!({ "expires_at": expires_at }))
                .record(tx, &actor)?;
            Ok::<_, OpError>(Some(expires_at))
        })
        .await
}

fn sign_in_url(app: &App, secret: &str) -> String {
    format!("{}/signin?token={secret}", app.base_url())
}
