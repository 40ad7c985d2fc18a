//! All scopes, stores and links of the instance: small, so it is kept in memory whole.

use std::collections::BTreeMap;

use super::{Link, ScopeId, ScopeName, Store, StoreId, StoreName, Timestamp};

/// A named set of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub id: ScopeId,
    pub name: ScopeName,
    pub public_read: bool,
    pub created_at: Timestamp,
}

/// A consistent picture of the configuration in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    pub scopes: BTreeMap<ScopeId, Scope>,
    pub stores: BTreeMap<StoreId, Store>,
    pub links: BTreeMap<(ScopeId, StoreId), Link>,
    /// When a link was removed, for the grace of residual replicas (SPEC 7).
    pub unlinked: BTreeMap<(ScopeId, StoreId), Timestamp>,
}

impl Topology {
    pub fn scope(&self, name: &str) -> Option<&Scope> {
        self.scopes.values().find(|s| s.name.as_str() == name)
    }

    pub fn store(&self, name: &str) -> Option<&Store> {
        self.stores.values().find(|s| s.name.as_str() == name)
    }

    pub fn link(&self, scope: ScopeId, store: StoreId) -> Option<&Link> {
        self.links.get(&(scope, store))
    }

    /// The links of a scope, by store id.
    pub fn links_of(&self, scope: ScopeId) -> impl Iterator<Item = &Link> {
        self.links.range((scope, StoreId(0))..=(scope, StoreId(u32::MAX))).map(|(_, link)| link)
    }

    /// The links to a store, by scope id.
    pub fn links_to(&self, store: StoreId) -> impl Iterator<Item = &Link> {
        self.links.values().filter(move |l| l.store == store)
    }

    /// The name of a store for messages; `?` when it was deleted meanwhile.
    pub fn store_name(&self, id: StoreId) -> String {
        self.stores.get(&id).map_or_else(|| "?".to_owned(), |s| s.name.to_string())
    }

    /// The name of a scope for messages; `?` when it was deleted meanwhile.
    pub fn scope_name(&self, id: ScopeId) -> String {
        self.scopes.get(&id).map_or_else(|| "?".to_owned(), |s| s.name.to_string())
    }

    /// Scopes in name order: the order in which the vacuum works.
    pub fn scopes_by_name(&self) -> Vec<&Scope> {
        let mut all: Vec<_> = self.scopes.values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Stores in name order.
    pub fn stores_by_name(&self) -> Vec<&Store> {
        let mut all: Vec<_> = self.stores.values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The id behind the name of a drain target.
    pub fn store_id(&self, name: &StoreName) -> Option<StoreId> {
        self.store(name.as_str()).map(|s| s.id)
    }
}
