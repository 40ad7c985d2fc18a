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

/// As it is typed; not more than `bytes`.
fn round(bytes: u64) -> String {
    if bytes >= GIGABYTE { format!("{}GB", bytes / GIGABYTE) } else { bytes.to_string() }
}

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
        // A round figure does not change with every free byte.
        if best > GIGABYTE { best / GIGABYTE * GIGABYTE } else { best }
    });
    let command = |soft: Option<u64>| {
        let value = soft.map_or_else(|| "SIZE".to_owned(), round);
        format!("`hayloft store manage {name} --soft-max-size {value}`")
    };
    match (store.soft_max_size, best, facts.capacity) {
        // Closed on purpose.
        (None, _, _) if store.max_size == Some(0) => {}
        // Its disk cannot fill up, but it can.
        (None, Some(best), _) if store.max_size.is_some_and(|max| max < best) => {
            let command = command(store.max_size.map(|max| max - max.div_ceil(10)));
            all.push(format!(
                "{name} is a local store with a hard limit and no soft limit, so the vacuum makes no room before uploads \
                 are refused: say {command}"
            ));
        }
        (None, best, _) => {
            let command = command(best);
            all.push(format!(
            "{name} is a local store without a soft limit, so its disk can fill up: say {command}"
            ));
        }
        (Some(soft), Some(best), Some(capacity)) if soft > best => all.push(format!(
            "the soft limit of {name} ({}) leaves less than a week of uploads free on a disk of {}: say {command}",
            ByteSize(soft),
            ByteSize(capacity),
            command = command(Some(best))
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
        let too_small = |limit: Option<u64>| limit.filter(|limit| *limit < need);
        let own = too_small(self.link.policy.soft_max_size);
        let (soft, max) = (too_small(self.store.soft_max_size), too_small(self.store.max_size));
        let room = smallest([own, soft, max])?;
        let name = &self.store.name;
        // Only limits that stand in the way, and none that is not set.
        let command = if own.is_some() {
            self.edit("--soft-max-size none")
        } else {
            let unset = soft.map(|_| " --soft-max-size none");
            let larger = max.map(|_| format!(" --max-size {}", with_headroom(need)));
            format!(
                "`hayloft store manage {name}{}{}`",
                unset.unwrap_or_default(),
                larger.unwrap_or_default()
            )
        };
        let which = match room {
            room if own == Some(room) => "its soft limit for the scope",
            room if soft == Some(room) => "its soft limit",
            _ => "its hard limit",
        };
        Some(format!(
            "{name} is populated and {which} is smaller than scope {} ({} of {}): say {command}",
            self.scope(),
            ByteSize(room),
            ByteSize(need)
        ))
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

/// A limit that is not reached again with the next upload.
fn with_headroom(need: u64) -> String {
    let wanted = need.saturating_add(need / 4);
    if wanted >= GIGABYTE { format!("{}GB", wanted.div_ceil(GIGABYTE)) } else { wanted.to_string() }
}

fn smallest(limits: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    limits.into_iter().flatten().min()
}

/// Another store that takes what leaves `store`.
fn takes_overflow(topology: &Topology, scope: ScopeId, store: StoreId) -> Option<StoreId> {
    let links = upload_order(topology, scope);
    links.iter().find(|l| l.store != store && !l.policy.drain.is_on()).map(|l| l.store)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Count;
    use crate::catalogue::Holders;
    use crate::domain::{
        BackendConfig, Checksum, Credentials, Drain, LocalConfig, Policy, S3Config, Scope,
        ScopeName, ServeMode, StoreName, Timestamp,
    };

    const SCOPE: ScopeId = ScopeId(1);
    const LOCAL: StoreId = StoreId(1);
    const CLOUD: StoreId = StoreId(2);

    fn store(id: StoreId, name: &str, backend: BackendConfig) -> Store {
        Store {
            id,
            name: StoreName::new(name).expect("a name"),
            uid: String::new(),
            backend,
            instance_wide: true,
            soft_max_size: None,
            max_size: None,
            generation: 1,
            created_at: Timestamp::default(),
        }
    }

    fn s3() -> S3Config {
        S3Config {
            bucket: "bucket".to_owned(),
            prefix: String::new(),
            region: "r".to_owned(),
            endpoint: None,
            public_endpoint: None,
            path_style: false,
            storage_class: None,
            serve: ServeMode::Redirect,
            presign_ttl: 60,
            longest_ttl: 60,
            checksum: Checksum::Sha256,
            credentials: Credentials::Env,
        }
    }

    /// Scope s links local with priority 100 and cloud without.
    fn topology() -> Topology {
        let mut all = Topology::default();
        let name = ScopeName::new("s").expect("a name");
        let created_at = Timestamp::default();
        all.scopes.insert(SCOPE, Scope { id: SCOPE, name, public_read: false, created_at });
        let local = BackendConfig::Local(LocalConfig { root: "/l".into() });
        all.stores.insert(LOCAL, store(LOCAL, "local", local));
        all.stores.insert(CLOUD, store(CLOUD, "cloud", BackendConfig::S3(Box::new(s3()))));
        for (store, upload_priority) in [(LOCAL, Some(100)), (CLOUD, None)] {
            let policy = Policy::default();
            let link = Link {
                scope: SCOPE,
                store,
                upload_priority,
                download_priority: None,
                policy,
                created_at,
            };
            all.links.insert((SCOPE, store), link);
        }
        all
    }

    fn held(stores: Vec<StoreId>, files: u64) -> Vec<Holders> {
        vec![Holders { live: true, stores, count: Count { files, bytes: files * 1000 } }]
    }

    type Change = fn(&mut Topology);

    fn policy(topology: &mut Topology, store: StoreId) -> &mut Policy {
        &mut topology.links.get_mut(&(SCOPE, store)).expect("linked").policy
    }

    fn glacier(topology: &mut Topology) {
        let glacier = S3Config { storage_class: Some("GLACIER".to_owned()), ..s3() };
        let cloud = topology.stores.get_mut(&CLOUD).expect("there");
        cloud.backend = BackendConfig::S3(Box::new(glacier));
    }

    fn into(name: &str) -> Drain {
        Drain::Into(StoreName::new(name).expect("a name"))
    }

    #[test]
    fn each_configuration_that_asks_for_trouble_has_its_warning() {
        let cases: [(&str, StoreId, &[&str], Change); 11] = [
            ("nothing", LOCAL, &[], |_| {}),
            ("drain", CLOUD, &["edit-store cloud --read-only"], |t| {
                policy(t, CLOUD).drain = Drain::Anywhere;
            }),
            ("populate, soft", CLOUD, &["store manage cloud --soft-max-size none"], |t| {
                policy(t, CLOUD).populate = true;
                t.stores.get_mut(&CLOUD).expect("there").soft_max_size = Some(1 << 40);
            }),
            ("archive", CLOUD, &["GLACIER", "edit-store cloud --write-only"], glacier),
            ("remote first", CLOUD, &["default-store local"], |t| {
                t.links.get_mut(&(SCOPE, CLOUD)).expect("linked").upload_priority = Some(101);
            }),
            ("no overflow", LOCAL, &["add-store STORE"], |t| {
                policy(t, CLOUD).write_only = true;
            }),
            ("too small", CLOUD, &["smaller than scope s", "manage cloud --max-size 2500`"], |t| {
                policy(t, CLOUD).populate = true;
                t.stores.get_mut(&CLOUD).expect("there").max_size = Some(1999);
            }),
            (
                "too small by its link",
                CLOUD,
                &["smaller than scope s", "edit-store cloud --soft-max-size none`"],
                |t| {
                    policy(t, CLOUD).populate = true;
                    policy(t, CLOUD).soft_max_size = Some(1999);
                },
            ),
            ("into a soft limit", LOCAL, &["store manage cloud --soft-max-size none"], |t| {
                policy(t, LOCAL).drain = into("cloud");
                policy(t, LOCAL).read_only = true;
                t.stores.get_mut(&CLOUD).expect("there").soft_max_size = Some(1);
            }),
            ("drained", CLOUD, &["edit-store cloud --no-drain"], |t| {
                policy(t, CLOUD).drain = into("local");
                policy(t, CLOUD).read_only = true;
            }),
            ("archived only", LOCAL, &["2 files", "--no-write-only"], |t| {
                policy(t, LOCAL).write_only = true;
            }),
        ];
        for (name, at, expected, change) in cases {
            let mut topology = topology();
            change(&mut topology);
            let tally = Tally::new(&topology, SCOPE, held(vec![LOCAL], 2));
            let link = topology.link(SCOPE, at).expect("linked");
            let all = of_link(&topology, link, &tally).join("\n");
            assert_eq!(all.is_empty(), expected.is_empty(), "{name}: {all}");
            for text in expected {
                assert!(all.contains(text), "{name}: {all}");
            }
            let hard = topology.stores[&CLOUD].max_size.is_some();
            assert!(hard || !all.contains("--max-size 2"), "{name}: {all}");
        }
    }

    #[test]
    fn a_local_store_keeps_a_week_of_uploads_free() {
        let local = |soft_max_size| Store {
            soft_max_size,
            ..store(LOCAL, "local", BackendConfig::Local(LocalConfig { root: "/l".into() }))
        };
        let facts = DiskFacts { capacity: Some(1000), week: Some(100) };
        for (soft, warned) in [(None, true), (Some(901), true), (Some(900), false)] {
            assert_eq!(!of_store(&local(soft), facts).is_empty(), warned, "{soft:?}");
        }
        assert!(of_store(&local(None), facts)[0].contains("--soft-max-size 900"));
        assert!(of_store(&local(Some(1 << 50)), DiskFacts::default()).is_empty(), "unknown disk");
    }

    #[test]
    fn a_soft_limit_is_never_advised_above_the_hard_one() {
        let local = |max_size| Store {
            max_size,
            ..store(LOCAL, "local", BackendConfig::Local(LocalConfig { root: "/l".into() }))
        };
        let facts = DiskFacts { capacity: Some(70 * GIGABYTE), week: Some(8 * GIGABYTE) };
        let advice = |max: u64| of_store(&local(Some(max)), facts).join("\n");
        assert!(advice(50 * GIGABYTE).contains("--soft-max-size 45GB`"));
        assert!(!advice(50 * GIGABYTE).contains("disk"), "{}", advice(50 * GIGABYTE));
        assert!(advice(80 * GIGABYTE).contains("its disk can fill up"));
        assert!(advice(80 * GIGABYTE).contains("--soft-max-size 62GB`"));
        assert!(advice(7).contains("--soft-max-size 6`"));
    }
}
