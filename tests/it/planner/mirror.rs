//! The catalogue of the tests as the naive model sees it, and the planner's moves in its words.

use std::collections::BTreeMap;

use hayloft::domain::{self, Checksum, ReplicaState, ScopeId, StoreId};
use hayloft::planner::{Action, Move};

use super::model::Model;
use super::plain::{Drain, File, Id, Link, Naive, State, Step, Store};

/// Scopes and stores by the rank of their names.
pub struct Mirror {
    scopes: BTreeMap<ScopeId, Id>,
    stores: BTreeMap<StoreId, Id>,
}

impl Mirror {
    pub fn new(model: &Model) -> Self {
        let scopes = model.topology.scopes_by_name().into_iter().map(|s| s.id).zip(0..).collect();
        let stores = model.topology.stores_by_name().into_iter().map(|s| s.id).zip(0..).collect();
        Self { scopes, stores }
    }

    pub fn scope(&self, id: ScopeId) -> Id {
        self.scopes[&id]
    }

    pub fn store(&self, id: StoreId) -> Id {
        self.stores[&id]
    }

    pub fn naive(&self, model: &Model) -> Naive {
        let topology = &model.topology;
        let young = |at| model.now.since(at) < model.grace;
        let key = |(scope, store): &(ScopeId, StoreId)| (self.scope(*scope), self.store(*store));
        let unlinked = topology.unlinked.iter().filter(|(_, at)| young(**at));
        Naive {
            stores: topology
                .stores
                .values()
                .map(|s| (self.store(s.id), plain_store(model, s)))
                .collect(),
            links: topology.links.iter().map(|(k, l)| (key(k), self.link(model, l))).collect(),
            in_grace: unlinked.map(|(k, _)| key(k)).collect(),
            files: model.files.values().map(|f| (id_of(f), self.file(model, f))).collect(),
            steps: Vec::new(),
        }
    }

    pub fn step(&self, step: &Move) -> Step {
        let from = step.from.map(|s| self.store(s));
        let file = u32::try_from(step.file.0).expect("few files");
        let (source, leaves) =
            if step.action == Action::Copy { (from, None) } else { (None, from) };
        Step { file, source, to: step.to.map(|s| self.store(s)), leaves }
    }

    fn link(&self, model: &Model, link: &domain::Link) -> Link {
        let policy = &link.policy;
        Link {
            up: link.upload_priority,
            down: link.download_priority,
            populate: policy.populate,
            drain: match &policy.drain {
                domain::Drain::No => Drain::No,
                domain::Drain::Anywhere => Drain::Anywhere,
                domain::Drain::Into(name) => {
                    Drain::Into(model.topology.store_id(name).map(|s| self.store(s)))
                }
            },
            read_only: policy.read_only,
            write_only: policy.write_only,
            soft: policy.soft_max_size,
        }
    }

    fn file(&self, model: &Model, file: &domain::File) -> File {
        let left = file.departed.iter().filter(|(run, _)| *run == model.run);
        let live = file.members.iter().filter(|m| m.live > 0);
        File {
            size: file.size,
            used: file.last_used.0,
            live: live.map(|m| self.scope(m.scope)).collect(),
            scopes: file.members.iter().map(|m| self.scope(m.scope)).collect(),
            at: file.replicas.iter().map(|r| (self.store(r.store), plain_state(r))).collect(),
            left: left.flat_map(|(_, stores)| stores).map(|s| self.store(*s)).collect(),
        }
    }
}

pub fn id_of(file: &domain::File) -> Id {
    u32::try_from(file.id.0).expect("few files")
}

fn plain_store(model: &Model, store: &domain::Store) -> Store {
    Store {
        soft: store.soft_max_size,
        max: store.max_size,
        reserved: model.reserved.get(&store.id).copied().unwrap_or(0),
        unavailable: model.unavailable.contains(&store.id),
        proves_nothing: store.s3().is_some_and(|s3| s3.checksum == Checksum::None),
        defers: model.deferred.contains(&store.id),
    }
}

fn plain_state(replica: &domain::Replica) -> State {
    match replica.state {
        ReplicaState::Present if replica.verified_at.is_none() => State::Unproven,
        ReplicaState::Present => State::Present,
        ReplicaState::Writing => State::Writing,
        ReplicaState::Deleting => State::Deleting,
        ReplicaState::Missing => State::Missing,
        ReplicaState::Corrupt => State::Corrupt,
    }
}
