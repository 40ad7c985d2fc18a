//! What mends a cause, as a value.

use super::report::{Cause, Limit, Obstacle};
use crate::domain::{
    LinkSetting, Remedy, ScopeName, StoreId, StoreName, StoreSetting, Target, Topology,
};

impl Cause {
    /// What an administrator can do; `scope` and `store` are those that were worked on. `None` when
    /// only time, or nothing that is known, helps.
    pub fn remedy(
        &self,
        scope: Option<&ScopeName>,
        store: Option<&StoreName>,
        topology: &Topology,
    ) -> Option<Remedy> {
        let link = || Some(Remedy::LinkStore { scope: scope.cloned(), store: None });
        match self {
            Self::Unavailable => Some(Remedy::CheckStore { store: store?.clone() }),
            Self::NoRoom { limit } => limit.raise(store?, topology),
            // The store that came closest would do, but for its state.
            Self::NoTarget { store, obstacle: Obstacle::Unavailable } => {
                check_store(*store, topology)
            }
            Self::NoTarget { .. } => link(),
            Self::NamedTarget { target, obstacle: Obstacle::Unavailable } => {
                check_store((*target)?, topology)
            }
            Self::NamedTarget { target, obstacle: Obstacle::NoRoom { limit } } => {
                limit.raise(&topology.stores.get(target.as_ref()?)?.name, topology)
            }
            Self::StillOver(over) if over.no_target > 0 => link(),
            Self::StillOver(_) => Some(raise_soft_limit(scope, store?.clone())),
            Self::NamedTarget { .. }
            | Self::NoSource
            | Self::OnlyWriteOnly
            | Self::Unsettled
            | Self::Pinned { .. }
            | Self::Stranded
            | Self::Failed { .. }
            | Self::Refused { .. } => None,
        }
    }
}

impl Limit {
    fn raise(self, store: &StoreName, topology: &Topology) -> Option<Remedy> {
        match self {
            Self::Max => {
                Some(Remedy::set_store(store.clone(), StoreSetting::MaxSize, Target::Chosen))
            }
            Self::Soft => Some(raise_soft_limit(None, store.clone())),
            Self::Scope { scope } => {
                let scope = topology.scopes.get(&scope)?;
                Some(raise_soft_limit(Some(&scope.name), store.clone()))
            }
        }
    }
}

/// What helps with a store that cannot be used.
pub fn check_store(store: StoreId, topology: &Topology) -> Option<Remedy> {
    Some(Remedy::CheckStore { store: topology.stores.get(&store)?.name.clone() })
}

/// The limit of a scope in a store, or that of the store itself.
fn raise_soft_limit(scope: Option<&ScopeName>, store: StoreName) -> Remedy {
    match scope {
        Some(scope) => {
            Remedy::set_link(scope.clone(), store, LinkSetting::SoftMaxSize, Target::Chosen)
        }
        None => Remedy::set_store(store, StoreSetting::SoftMaxSize, Target::Chosen),
    }
}
