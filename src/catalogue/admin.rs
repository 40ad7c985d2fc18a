//! Writes about the configuration, access, runs and single values.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::tx::Tx;
use super::{CatalogueError, records, values};
use crate::api::{Role, Run};
use crate::domain::{Digest, Link, Scope, ScopeId, Store, StoreId, Timestamp};

/// A token as stored: its secret only as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub role: Role,
    /// None: the whole instance.
    pub scope: Option<ScopeId>,
    /// BLAKE3 of the secret part.
    pub secret: Digest,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub last_used: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionKind {
    /// A one-time sign-in link.
    Link,
    /// A browser session.
    Session,
}

/// A sign-in link or a browser session, found by the BLAKE3 of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub kind: SessionKind,
    pub who: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A change in the audit list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub at: Timestamp,
    pub who: String,
    pub what: String,
    pub subject: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// Until when presigned URLs of earlier processes may still be read (SPEC 7, deferred deletes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UrlHorizon {
    /// A server is (or died while) handing out URLs.
    pub serving: bool,
    pub until: Timestamp,
}

/// Audit rows kept; older ones go as new ones come.
const AUDIT_KEPT: u64 = 10_000;
/// Runs kept (SPEC 7).
const RUNS_KEPT: u64 = 100;

fn small_id(id: u64) -> Result<u32, CatalogueError> {
    u32::try_from(id).map_err(|_| CatalogueError::Corrupt("ids are used up".to_owned()))
}

impl Tx<'_> {
    pub fn new_scope_id(&mut self) -> Result<ScopeId, CatalogueError> {
        small_id(self.next_id(&values::NEXT_SCOPE)?).map(ScopeId)
    }

    pub fn new_store_id(&mut self) -> Result<StoreId, CatalogueError> {
        small_id(self.next_id(&values::NEXT_STORE)?).map(StoreId)
    }

    pub fn put_scope(&mut self, scope: Scope) -> Result<(), CatalogueError> {
        self.scopes.insert(scope.id.0, records::encode_scope(&scope)?.as_slice())?;
        self.settings_mut().topology.scopes.insert(scope.id, scope);
        Ok(())
    }

    /// Forgets a scope; its entries and links must be gone.
    pub fn delete_scope(&mut self, id: ScopeId) -> Result<(), CatalogueError> {
        self.scopes.remove(id.0)?;
        self.settings_mut().topology.scopes.remove(&id);
        let gone: Vec<_> =
            self.topology().unlinked.keys().filter(|(scope, _)| *scope == id).copied().collect();
        gone.into_iter().try_for_each(|(scope, store)| self.forget_unlink(scope, store))
    }

    pub fn put_store(&mut self, store: Store) -> Result<(), CatalogueError> {
        self.stores.insert(store.id.0, records::encode_store(&store)?.as_slice())?;
        self.settings_mut().topology.stores.insert(store.id, store);
        Ok(())
    }

    /// Forgets a store; its links and replica rows must be gone.
    pub fn delete_store(&mut self, id: StoreId) -> Result<(), CatalogueError> {
        self.stores.remove(id.0)?;
        self.settings_mut().topology.stores.remove(&id);
        self.samples.retain_in((id.0, 0)..(id.0 + 1, 0), |_, _| false)?;
        let (first, last) = ([0; 32], [0xff; 32]);
        self.adopted.retain_in((id.0, &first)..=(id.0, &last), |_, _| false)?;
        let gone: Vec<_> =
            self.topology().unlinked.keys().filter(|(_, store)| *store == id).copied().collect();
        gone.into_iter().try_for_each(|(scope, store)| self.forget_unlink(scope, store))
    }

    pub fn put_link(&mut self, link: Link) -> Result<(), CatalogueError> {
        let key = (link.scope.0, link.store.0);
        self.links.insert(key, records::encode_link(&link)?.as_slice())?;
        self.forget_unlink(link.scope, link.store)?;
        self.settings_mut().topology.links.insert((link.scope, link.store), link);
        Ok(())
    }

    /// Removes a link and notes when, for the grace of residual replicas.
    pub fn delete_link(&mut self, scope: ScopeId, store: StoreId) -> Result<(), CatalogueError> {
        let now = self.now();
        self.links.remove((scope.0, store.0))?;
        self.unlinked.insert((scope.0, store.0), now.0)?;
        let topology = &mut self.settings_mut().topology;
        topology.links.remove(&(scope, store));
        topology.unlinked.insert((scope, store), now);
        Ok(())
    }

    fn forget_unlink(&mut self, scope: ScopeId, store: StoreId) -> Result<(), CatalogueError> {
        if self.unlinked.remove((scope.0, store.0))?.is_some() {
            self.settings_mut().topology.unlinked.remove(&(scope, store));
        }
        Ok(())
    }

    /// A token as this transaction sees it.
    pub fn token(&self, id: &str) -> Option<&Token> {
        self.settings.tokens.get(id)
    }

    pub fn put_token(&mut self, token: Token) -> Result<(), CatalogueError> {
        self.tokens.insert(token.id.as_str(), records::encode_json(&token)?.as_slice())?;
        self.settings_mut().tokens.insert(token.id.clone(), token);
        Ok(())
    }

    /// False when there was no such token.
    pub fn delete_token(&mut self, id: &str) -> Result<bool, CatalogueError> {
        let found = self.tokens.remove(id)?.is_some();
        if found {
            self.settings_mut().tokens.remove(id);
        }
        Ok(found)
    }

    /// Revokes every token of a scope.
    pub fn delete_tokens_of(&mut self, scope: ScopeId) -> Result<(), CatalogueError> {
        let of_scope = self.settings.tokens.values().filter(|t| t.scope == Some(scope));
        let ids: Vec<String> = of_scope.map(|t| t.id.clone()).collect();
        ids.iter().try_for_each(|id| self.delete_token(id).map(drop))
    }

    pub fn put_session(
        &mut self,
        secret: &Digest,
        session: &Session,
    ) -> Result<(), CatalogueError> {
        self.dirty = true;
        let now = self.now();
        // Expired ones go as new ones come, so that the table stays small.
        self.sessions.retain(|_, bytes| {
            records::decode_json::<Session>(bytes).is_ok_and(|s| s.expires_at > now)
        })?;
        self.sessions.insert(&secret.0, records::encode_json(session)?.as_slice())?;
        Ok(())
    }

    /// Forgets sessions and links that have expired.
    pub fn expire_sessions(&mut self) -> Result<(), CatalogueError> {
        let now = self.now();
        let expired = |bytes: &[u8]| {
            records::decode_json::<Session>(bytes).is_ok_and(|s| s.expires_at <= now)
        };
        let any = self.sessions.iter()?.any(|row| row.is_ok_and(|(_, v)| expired(v.value())));
        if any {
            self.dirty = true;
            self.sessions.retain(|_, bytes| !expired(bytes))?;
        }
        Ok(())
    }

    /// Removes and returns a session or link: whoever gets it has used it up.
    pub fn take_session(&mut self, secret: &Digest) -> Result<Option<Session>, CatalogueError> {
        self.dirty = true;
        let taken = self.sessions.remove(&secret.0)?;
        taken.map(|v| records::decode_json(v.value())).transpose()
    }

    pub fn append_audit(&mut self, record: &AuditRecord) -> Result<(), CatalogueError> {
        let id = self.next_id(&values::NEXT_AUDIT)?;
        self.audit.insert(id, records::encode_json(record)?.as_slice())?;
        self.audit.retain_in(..=id.saturating_sub(AUDIT_KEPT), |_, _| false)?;
        Ok(())
    }

    pub fn new_run_id(&mut self) -> Result<u64, CatalogueError> {
        self.next_id(&values::NEXT_RUN)
    }

    /// Writes a run; only the last 100 are kept.
    pub fn put_run(&mut self, id: u64, run: &Run) -> Result<(), CatalogueError> {
        self.dirty = true;
        self.runs.insert(id, records::encode_json(run)?.as_slice())?;
        self.runs.retain_in(..=id.saturating_sub(RUNS_KEPT), |_, _| false)?;
        Ok(())
    }
}
