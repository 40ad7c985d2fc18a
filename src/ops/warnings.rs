//! What an administrator should know about a configuration that is allowed (SPEC 3). Pure; every
//! warning names the command that mends it.

use std::cmp::Reverse;

use super::tally::Tally;
use crate::domain::{ByteSize, Link, ScopeId, Store, StoreId, Topology};
use crate::planner::upload_order;

/// What the disk and the history say about a local store, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFacts {
    /// What the store holds and what is free around it; `None` when unknown.
    pub capacity: Option<u64>,
    /// What was added in the last week; `None` without a week of samples.
    pub week: Option<u64>,
}

const GIGABYTE: u64 = 1_000_000_000;

/// A store's own warnings.
pub fn of_store(store: &Store, facts: DiskFacts) -> Vec<String> {
    let mut all = Vec::new();
    if store.is_remote() {
        return all;
    }
    let name = &store.name;
    let best = facts.capacity.map(|capacity| {
        // Without a history a tenth of the disk stands in for the week.
        let best = capacity.saturating_sub(facts.week.unwrap_or(capacity / 10));
        // A round figure is easier to type, and does not change with every free byte.
        if best > GIGABYTE { best / GIGABYTE * GIGABYTE } else { best }
    });
    let value = match best {
        Some(best) if best >= GIGABYTE => format!("{}GB", best / GIGABYTE),
        Some(best) => best.to_string(),
        None => "SIZE".to_owned(),
    };
    let command = format!("`hayloft store manage {name} --soft-max-size {value}`");
    match (store.soft_max_size, best, facts.capacity) {
        (None, _, _) => all.push(format!(
            "{name} is a local store without a soft limit, so its disk can fill up: say {command}"
        )),
        (Some(soft), Some(best), Some(capacity)) if soft > best => all.push(format!(
            "the soft limit of {name} ({}) leaves less than a week of uploads free on a disk of {}: say {command}",
            ByteSize(soft),
            ByteSize(capacity)
        )),
        (Some(_), _, _) => {}
    }
    all
}

/// A link's warnings, those about its scope as a whole included at the link that mends them.
pub(super) fn of_link(topology: &Topology, link: &Link, tally: &Tally<'_>) -> Vec<String> {
    let Some(store) = topology.stores.get(&link.store) else { return Vec::new() };
    let about = About { topology, link, store, tally };
    [
        about.drain_without_read_only(),
        about.populate_with_soft_limit(),
        about.readable_archive(),
        about.remote_uploads(),
        about.no_overflow(),
        about.populate_too_small(),
        about.drain_into_soft_limit(),
        about.drain_done(),
        about.archived_only(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

struct About<'a> {
    topology: &'a Topology,
    link: &'a Link,
    store: &'a Store,
    tally: &'a Tally<'a>,
}

impl About<'_> {
    fn scope(&self) -> String {
        self.topology.scope_name(self.link.scope)
    }

    fn edit(&self, options: &str) -> String {
        format!("`hayloft scope manage {} edit-store {} {options}`", self.scope(), self.store.name)
    }

    fn drain_without_read_only(&self) -> Option<String> {
        let policy = &self.link.policy;
        (policy.drain.is_on() && !policy.read_only).then(|| {
            format!(
                "{} is drained and still takes uploads: say {}",
                self.store.name,
                self.edit("--read-only")
            )
        })
    }

    fn populate_with_soft_limit(&self) -> Option<String> {
        if !self.link.policy.populate {
            return None;
        }
        let name = &self.store.name;
        if self.link.policy.soft_max_size.is_some() {
            let command = self.edit("--soft-max-size none");
            return Some(format!(
                "{name} is populated and has a soft limit for scope {}: populated files are never shed; say {command}",
                self.scope()
            ));
        }
        self.store.soft_max_size.is_some().then(|| {
            format!(
                "{name} is populated by scope {} and has a soft limit: populated files are never shed; say \
                 `hayloft store manage {name} --soft-max-size none`",
                self.scope()
            )
        })
    }

    fn readable_archive(&self) -> Option<String> {
        let s3 = self.store.s3().filter(|s3| s3.is_archive())?;
        (!self.link.policy.write_only).then(|| {
            format!(
                "{} has storage class {}, whose objects cannot be read at once: say {}",
                self.store.name,
                s3.storage_class.as_deref().unwrap_or_default(),
                self.edit("--write-only")
            )
        })
    }

    fn is_first_for_uploads(&self) -> bool {
        let first = upload_order(self.topology, self.link.scope).first().map(|l| l.store);
        first == Some(self.link.store)
    }

    fn remote_uploads(&self) -> Option<String> {
        (self.store.is_remote() && self.is_first_for_uploads()).then(|| {
            let local = self.best_local().unwrap_or_else(|| "LOCAL".to_owned());
            format!(
                "uploads of scope {} go straight to the remote store {}: say `hayloft scope manage {} default-store {local}`",
                self.scope(),
                self.store.name,
                self.scope()
            )
        })
    }

    /// The local store that the scope would best upload to.
    fn best_local(&self) -> Option<String> {
        let mut links: Vec<&Link> = self.topology.links_of(self.link.scope).collect();
        links.sort_by_key(|l| Reverse(l.upload_priority));
        let mut stores = links.iter().filter_map(|l| self.topology.stores.get(&l.store));
        stores.find(|s| !s.is_remote()).map(|s| s.name.to_string())
    }

    /// At the first store for uploads: where the overflow would come from.
    fn no_overflow(&self) -> Option<String> {
        let alone = takes_overflow(self.topology, self.link.scope, self.link.store).is_none();
        (self.is_first_for_uploads() && alone).then(|| {
            format!(
                "scope {} has no store that could take what does not fit into {}: say `hayloft scope manage {} \
                 add-store STORE`",
                self.scope(),
                self.store.name,
                self.scope()
            )
        })
    }

    fn populate_too_small(&self) -> Option<String> {
        if !self.link.policy.populate {
            return None;
        }
        let need = self.tally.live().bytes;
        let room = smallest([
            self.store.max_size,
            self.store.soft_max_size,
            self.link.policy.soft_max_size,
        ])?;
        (room < need).then(|| {
            let name = &self.store.name;
            format!(
                "{name} is populated and smaller than scope {} ({} of {}): say `hayloft store manage {name} --max-size \
                 {need} --soft-max-size none`",
                self.scope(),
                ByteSize(room),
                ByteSize(need)
            )
        })
    }

    fn drain_into_soft_limit(&self) -> Option<String> {
        let target = self.link.policy.drain.target()?;
        let into = self.topology.store(target.as_str())?;
        let own = self.topology.link(self.link.scope, into.id)?.policy.soft_max_size;
        let limit = smallest([into.soft_max_size, own])?;
        let command = if own == Some(limit) {
            format!(
                "hayloft scope manage {} edit-store {target} --soft-max-size none",
                self.scope()
            )
        } else {
            format!("hayloft store manage {target} --soft-max-size none")
        };
        Some(format!(
            "{} is drained into {target}, whose soft limit of {} holds files back: say `{command}`",
            self.store.name,
            ByteSize(limit)
        ))
    }

    fn drain_done(&self) -> Option<String> {
        let target = self.link.policy.drain.target()?;
        self.tally.all_in(self.link.store).is_zero().then(|| {
            format!(
                "{} is drained into {target} and nothing is left to drain: say {}, or `hayloft scope manage {} \
                 remove-store {}`",
                self.store.name,
                self.edit("--no-drain"),
                self.scope(),
                self.store.name
            )
        })
    }

    fn archived_only(&self) -> Option<String> {
        let held = self.tally.live_in(self.link.store).files > 0;
        let count = self.tally.archived_only();
        (self.link.policy.write_only && held && count.files > 0).then(|| {
            format!(
                "{} of scope {} ({}) have their only replica in a write_only store: restore them there and say {}, or \
                 upload them again",
                super::plural(count.files, "file"),
                self.scope(),
                ByteSize(count.bytes),
                self.edit("--no-write-only")
            )
        })
    }
}

fn smallest(limits: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    limits.into_iter().flatten().min()
}

/// Another store that takes what leaves `store`.
fn takes_overflow(topology: &Topology, scope: ScopeId, store: StoreId) -> Option<StoreId> {
    let links = upload_order(topology, scope);
    links.iter().find(|l| l.store != store && !l.policy.drain.is_on()).map(|l| l.store)
}
