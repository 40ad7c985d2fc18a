//! SPEC 7 a second time, word by word and slow: at the fixed point nothing that a policy wants may
//! still be possible.

use hayloft::domain::{Checksum, Drain, File, Link, Replica, ReplicaState, ScopeId, StoreId};
use hayloft::planner::Snapshot;

use super::model::Model;

struct Reference<'a> {
    model: &'a Model,
}

/// Fails when a policy of `model` wants a move that the rules allow.
pub fn assert_nothing_is_left_to_do(model: &Model) {
    let reference = Reference { model };
    for link in model.topology.links.values() {
        reference.link(link);
    }
    for file in model.files.values() {
        for replica in &file.replicas {
            reference.replica(file, replica);
        }
    }
}

impl Reference<'_> {
    fn link(&self, link: &Link) {
        if !self.available(link.store) {
            return;
        }
        for file in self.model.files.values().filter(|f| f.member(link.scope).is_some()) {
            if link.policy.populate {
                assert!(!self.could_populate(file, link), "{file:?} could be in {link:?}");
            } else if link.policy.drain.is_on() {
                assert!(!self.could_drain(file, link), "{file:?} could leave {link:?}");
            } else if self.over_scope_limit(link) {
                assert!(!self.could_shed(file, link), "{file:?} could be shed from {link:?}");
            }
        }
    }

    fn replica(&self, file: &File, replica: &Replica) {
        let store = replica.store;
        let linked = file.scopes().any(|s| self.model.topology.link(s, store).is_some());
        let old = file.scopes().all(|s| {
            let at = self.model.topology.unlinked.get(&(s, store));
            at.is_none_or(|at| self.model.now.since(*at) >= self.model.grace)
        });
        let present = replica.state == ReplicaState::Present && self.available(store);
        if present && !linked && old {
            assert!(!self.removable(file, store), "{file:?} could leave {store:?}, unlinked");
        }
        let Ok(usage) = self.model.usage();
        let limit = self.model.topology.stores[&store].shed_limit();
        let is_over = limit.is_some_and(|limit| usage.present(store) > limit);
        let mut links = file.scopes().filter_map(|s| self.model.topology.link(s, store));
        let left_to_drain = linked && links.all(|l| l.policy.drain.is_on());
        if present && is_over && !left_to_drain {
            assert!(!self.removable(file, store), "{file:?} could go, {store:?} is over");
            let in_need = |s: &ScopeId| self.reads(*s, store) && !self.keeps(file, *s, store);
            for scope in file.scopes().filter(in_need) {
                for target in self.targets(file, scope, store) {
                    let would_go = self.removable(&with(file, target), store);
                    assert!(!would_go, "{file:?} could move from {store:?} to {target:?}");
                }
            }
        }
    }

    fn could_populate(&self, file: &File, link: &Link) -> bool {
        file.is_live_in(link.scope)
            && !file.is_present(link.store)
            && self.has_source(file, link.scope)
            && self.fits(file, link.store)
    }

    fn could_drain(&self, file: &File, link: &Link) -> bool {
        if !file.is_present(link.store) {
            return false;
        }
        if self.removable(file, link.store) {
            return true;
        }
        let can_copy = self.has_source(file, link.scope);
        match &link.policy.drain {
            Drain::No => false,
            Drain::Anywhere => {
                can_copy
                    && !self.keeps(file, link.scope, link.store)
                    && !self.targets(file, link.scope, link.store).is_empty()
            }
            Drain::Into(name) => {
                let target = self.model.topology.store_id(name).expect("a store");
                can_copy
                    && !file.is_present(target)
                    && self.available(target)
                    && self.fits(file, target)
            }
        }
    }

    fn over_scope_limit(&self, link: &Link) -> bool {
        let Ok(usage) = self.model.usage();
        let used = usage.scope(link.scope, link.store);
        link.policy.soft_max_size.is_some_and(|limit| used > limit)
    }

    fn could_shed(&self, file: &File, link: &Link) -> bool {
        let moves = |target: StoreId| self.removable(&with(file, target), link.store);
        file.is_present(link.store)
            && (self.removable(file, link.store)
                || (self.has_source(file, link.scope)
                    && self.targets(file, link.scope, link.store).into_iter().any(moves)))
    }

    fn removable(&self, file: &File, store: StoreId) -> bool {
        let topology = &self.model.topology;
        let every = file.scopes().all(|scope| {
            let Some(link) = topology.link(scope, store) else { return true };
            let lacks = |name| topology.store_id(name).is_none_or(|z| !self.usable(file, z));
            let drained_into = topology.links_of(scope).any(|other| {
                other.store != store
                    && other.policy.drain.target() == Some(&topology.stores[&store].name)
            });
            !link.policy.populate
                && !drained_into
                && !link.policy.drain.target().is_some_and(lacks)
                && self.keeps(file, scope, store)
        });
        every && file.scopes().any(|scope| self.keeps(file, scope, store))
    }

    fn usable(&self, file: &File, store: StoreId) -> bool {
        file.is_present(store) && self.available(store)
    }

    fn keeps(&self, file: &File, scope: ScopeId, but: StoreId) -> bool {
        let drained = |s| self.model.topology.links[&(scope, s)].policy.drain.is_on();
        file.replicas.iter().any(|r| {
            r.store != but
                && self.usable(file, r.store)
                && r.verified_at.is_some()
                && self.reads(scope, r.store)
                && !drained(r.store)
        })
    }

    fn targets(&self, file: &File, scope: ScopeId, leaving: StoreId) -> Vec<StoreId> {
        let topology = &self.model.topology;
        let drained = |store| {
            file.scopes().any(|s| topology.link(s, store).is_some_and(|l| l.policy.drain.is_on()))
        };
        let stores = topology.links_of(scope).filter(|l| {
            l.store != leaving
                && !l.policy.read_only
                && !l.policy.write_only
                && !file.is_present(l.store)
                && !drained(l.store)
                && self.available(l.store)
                && self.proves(l.store)
                && self.fits(file, l.store)
        });
        stores.map(|l| l.store).collect()
    }

    fn fits(&self, file: &File, store: StoreId) -> bool {
        let Ok(usage) = self.model.usage();
        let config = &self.model.topology.stores[&store];
        let corrupt = file.state(store) == Some(ReplicaState::Corrupt);
        let hard = usage.hard(store) + if corrupt { 0 } else { file.size };
        config.max_size.is_none_or(|max| hard <= max)
            && config.soft_max_size.is_none_or(|max| usage.present(store) + file.size <= max)
            && file.scopes().all(|scope| {
                let link = self.model.topology.link(scope, store);
                let limit = link.and_then(|l| l.policy.soft_max_size);
                limit.is_none_or(|max| usage.scope(scope, store) + file.size <= max)
            })
    }

    fn has_source(&self, file: &File, scope: ScopeId) -> bool {
        file.present().any(|s| self.reads(scope, s) && self.available(s))
    }

    fn reads(&self, scope: ScopeId, store: StoreId) -> bool {
        self.model.topology.link(scope, store).is_some_and(|l| !l.policy.write_only)
    }

    fn available(&self, store: StoreId) -> bool {
        !self.model.unavailable.contains(&store)
    }

    fn proves(&self, store: StoreId) -> bool {
        self.model.topology.stores[&store].s3().is_none_or(|s3| s3.checksum != Checksum::None)
    }
}

fn with(file: &File, store: StoreId) -> File {
    let mut file = file.clone();
    let sample = file.replicas[0];
    let verified_at = Some(sample.stored_at);
    file.put_replica(Replica { store, state: ReplicaState::Present, verified_at, ..sample });
    file
}
