//! What an administrator should know about a configuration that is allowed (SPEC 3). Pure; every
//! warning has the remedies that mend it.

use std::cmp::Reverse;

use super::scope_totals::ScopeTotals;
use crate::domain::{
    Change, Concern, LimitOf, Link, LinkSetting, Remedy, Scope, ScopeId, ScopeName, Store, StoreId,
    StoreName, StoreSetting, Target, Topology, Warning,
};
use crate::planner::upload_order;
use crate::words::{self, Phrase};

/// What the disk and the history say about a local store, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFacts {
    /// What the store holds and what is free around it; `None` when unknown.
    pub capacity: Option<u64>,
    /// What was added in the last week; `None` without a week of samples.
    pub week: Option<u64>,
}

const GIGABYTE: u64 = 1_000_000_000;

/// As they are shown.
pub fn phrases(warnings: &[Warning]) -> Vec<Phrase> {
    warnings.iter().map(words::warning).collect()
}

/// A store's own warnings.
pub fn of_store(store: &Store, facts: DiskFacts) -> Vec<Warning> {
    if store.is_remote() {
        return Vec::new();
    }
    let best = facts.capacity.map(|capacity| best_soft_limit(capacity, facts.week));
    limit_concern(store, best, facts.capacity).into_iter().collect()
}

/// What keeps a week of uploads free.
fn best_soft_limit(capacity: u64, week: Option<u64>) -> u64 {
    // Without a history a tenth of the disk stands in for the week.
    let best = capacity.saturating_sub(week.unwrap_or(capacity / 10));
    // A round figure does not change with every free byte.
    if best > GIGABYTE { best / GIGABYTE * GIGABYTE } else { best }
}

fn limit_concern(store: &Store, best: Option<u64>, capacity: Option<u64>) -> Option<Warning> {
    let name = store.name.clone();
    let (concern, limit) = match (store.soft_max_size, best, capacity) {
        // Closed on purpose.
        (None, _, _) if store.max_size == Some(0) => return None,
        // Its disk cannot fill up, but it can.
        (None, Some(best), _) if store.max_size.is_some_and(|max| max < best) => {
            let below = store.max_size.map(|max| max - max.div_ceil(10));
            (Concern::HardLimitOnly { store: name }, below)
        }
        (None, best, _) => (Concern::DiskMayFill { store: name }, best),
        (Some(limit), Some(best), Some(disk)) if limit > best => {
            (Concern::SoftLimitTooHigh { store: name, limit, disk }, Some(best))
        }
        (Some(_), _, _) => return None,
    };
    let to = limit.map_or(Target::Chosen, Target::Size);
    let remedy = Remedy::set_store(store.name.clone(), StoreSetting::SoftMaxSize, to);
    Some(Warning { concern, remedies: vec![remedy] })
}

/// A link's warnings, those about its scope as a whole included at the link that mends them.
pub(super) fn of_link(topology: &Topology, link: &Link, totals: &ScopeTotals<'_>) -> Vec<Warning> {
    let (Some(store), Some(scope)) =
        (topology.stores.get(&link.store), topology.scopes.get(&link.scope))
    else {
        return Vec::new();
    };
    let about = About { topology, link, store, scope, totals };
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
    scope: &'a Scope,
    totals: &'a ScopeTotals<'a>,
}

impl About<'_> {
    fn names(&self) -> (ScopeName, StoreName) {
        (self.scope.name.clone(), self.store.name.clone())
    }

    fn edit(&self, setting: LinkSetting, to: Target) -> Remedy {
        let (scope, store) = self.names();
        Remedy::set_link(scope, store, setting, to)
    }

    fn drain_without_read_only(&self) -> Option<Warning> {
        let policy = &self.link.policy;
        let concern = Concern::DrainedTakesUploads { store: self.store.name.clone() };
        let remedies = vec![self.edit(LinkSetting::ReadOnly, Target::On)];
        (policy.drain.is_on() && !policy.read_only).then_some(Warning { concern, remedies })
    }

    fn populate_with_soft_limit(&self) -> Option<Warning> {
        if !self.link.policy.populate {
            return None;
        }
        let (scope, store) = self.names();
        let (limit, remedy) = if self.link.policy.soft_max_size.is_some() {
            (LimitOf::Link, self.edit(LinkSetting::SoftMaxSize, Target::Unset))
        } else {
            self.store.soft_max_size?;
            (LimitOf::Soft, without_soft_limit(store.clone()))
        };
        let concern = Concern::PopulatedNeverSheds { scope, store, limit };
        Some(Warning { concern, remedies: vec![remedy] })
    }

    fn readable_archive(&self) -> Option<Warning> {
        let s3 = self.store.s3().filter(|s3| s3.is_archive())?;
        let class = s3.storage_class.clone().unwrap_or_default();
        let concern = Concern::ArchiveIsRead { store: self.store.name.clone(), class };
        let remedies = vec![self.edit(LinkSetting::WriteOnly, Target::On)];
        (!self.link.policy.write_only).then_some(Warning { concern, remedies })
    }

    fn is_first_for_uploads(&self) -> bool {
        let first = upload_order(self.topology, self.link.scope).first().map(|l| l.store);
        first == Some(self.link.store)
    }

    fn remote_uploads(&self) -> Option<Warning> {
        let (scope, store) = self.names();
        let remedy = Remedy::DefaultStore { scope: scope.clone(), store: self.best_local() };
        let concern = Concern::RemoteFirst { scope, store };
        (self.store.is_remote() && self.is_first_for_uploads())
            .then(|| Warning { concern, remedies: vec![remedy] })
    }

    /// The local store that the scope would best upload to.
    fn best_local(&self) -> Option<StoreName> {
        let mut links: Vec<&Link> = self.topology.links_of(self.link.scope).collect();
        links.sort_by_key(|l| Reverse(l.upload_priority));
        let mut stores = links.iter().filter_map(|l| self.topology.stores.get(&l.store));
        stores.find(|s| !s.is_remote()).map(|s| s.name.clone())
    }

    /// At the first store for uploads: where the overflow would come from.
    fn no_overflow(&self) -> Option<Warning> {
        let (scope, store) = self.names();
        let alone = takes_overflow(self.topology, self.link.scope, self.link.store).is_none();
        let remedy = Remedy::LinkStore { scope: Some(scope.clone()), store: None };
        let concern = Concern::NoOverflow { scope, store };
        (self.is_first_for_uploads() && alone).then(|| Warning { concern, remedies: vec![remedy] })
    }

    fn populate_too_small(&self) -> Option<Warning> {
        if !self.link.policy.populate {
            return None;
        }
        let need = self.totals.live().bytes;
        let too_small = |limit: Option<u64>| limit.filter(|limit| *limit < need);
        let own = too_small(self.link.policy.soft_max_size);
        let (soft, max) = (too_small(self.store.soft_max_size), too_small(self.store.max_size));
        let room = smallest([own, soft, max])?;
        let (scope, store) = self.names();
        // Only limits that stand in the way, and none that is not set.
        let remedy = if own.is_some() {
            self.edit(LinkSetting::SoftMaxSize, Target::Unset)
        } else {
            let unset = soft.map(|_| Change::new(StoreSetting::SoftMaxSize, Target::Unset));
            let to = Target::Size(with_headroom(need));
            let larger = max.map(|_| Change::new(StoreSetting::MaxSize, to));
            let changes = unset.into_iter().chain(larger).collect();
            Remedy::SetStore { store: store.clone(), changes }
        };
        let limit = match room {
            room if own == Some(room) => LimitOf::Link,
            room if soft == Some(room) => LimitOf::Soft,
            _ => LimitOf::Hard,
        };
        let concern = Concern::PopulateTooSmall { scope, store, limit, room, need };
        Some(Warning { concern, remedies: vec![remedy] })
    }

    fn drain_into_soft_limit(&self) -> Option<Warning> {
        let target = self.link.policy.drain.target()?;
        let into = self.topology.store(target.as_str())?;
        let own = self.topology.link(self.link.scope, into.id)?.policy.soft_max_size;
        let limit = smallest([into.soft_max_size, own])?;
        let (scope, store) = self.names();
        let target = into.name.clone();
        let remedy = if own == Some(limit) {
            let setting = LinkSetting::SoftMaxSize;
            Remedy::set_link(scope, target.clone(), setting, Target::Unset)
        } else {
            without_soft_limit(target.clone())
        };
        let concern = Concern::DrainsIntoSoftLimit { store, target, limit };
        Some(Warning { concern, remedies: vec![remedy] })
    }

    fn drain_done(&self) -> Option<Warning> {
        let target = self.topology.store(self.link.policy.drain.target()?.as_str())?.name.clone();
        let (scope, store) = self.names();
        let unlink = Remedy::UnlinkStore { scope, store: store.clone() };
        let remedies = vec![self.edit(LinkSetting::Drain, Target::Off), unlink];
        let concern = Concern::NothingLeftToDrain { store, target };
        let is_over = self.totals.all_in(self.link.store).is_zero();
        is_over.then_some(Warning { concern, remedies })
    }

    fn archived_only(&self) -> Option<Warning> {
        let held = self.totals.live_in(self.link.store).files > 0;
        let files = self.totals.archived_only();
        let remedies = vec![self.edit(LinkSetting::WriteOnly, Target::Off)];
        let concern = Concern::OnlyInArchive { scope: self.scope.name.clone(), files };
        (self.link.policy.write_only && held && files.files > 0)
            .then_some(Warning { concern, remedies })
    }
}

fn without_soft_limit(store: StoreName) -> Remedy {
    Remedy::set_store(store, StoreSetting::SoftMaxSize, Target::Unset)
}

/// A limit that is not reached again with the next upload.
fn with_headroom(need: u64) -> u64 {
    let wanted = need.saturating_add(need / 4);
    if wanted >= GIGABYTE { wanted.next_multiple_of(GIGABYTE) } else { wanted }
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
        ServeMode, Timestamp,
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

    type Setup = fn(&mut Topology);

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

    fn said(warnings: &[Warning]) -> String {
        phrases(warnings).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_configuration_that_asks_for_trouble_has_its_warning() {
        let cases: [(&str, StoreId, &[&str], Setup); 11] = [
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
            let totals = ScopeTotals::new(&topology, SCOPE, held(vec![LOCAL], 2));
            let link = topology.link(SCOPE, at).expect("linked");
            let all = said(&of_link(&topology, link, &totals));
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
        assert!(said(&of_store(&local(None), facts)).contains("--soft-max-size 900"));
        assert!(of_store(&local(Some(1 << 50)), DiskFacts::default()).is_empty(), "unknown disk");
    }

    #[test]
    fn a_soft_limit_is_never_advised_above_the_hard_one() {
        let local = |max_size| Store {
            max_size,
            ..store(LOCAL, "local", BackendConfig::Local(LocalConfig { root: "/l".into() }))
        };
        let facts = DiskFacts { capacity: Some(70 * GIGABYTE), week: Some(8 * GIGABYTE) };
        let advice = |max: u64| said(&of_store(&local(Some(max)), facts));
        assert!(advice(50 * GIGABYTE).contains("--soft-max-size 45GB`"));
        assert!(!advice(50 * GIGABYTE).contains("disk"), "{}", advice(50 * GIGABYTE));
        assert!(advice(80 * GIGABYTE).contains("its disk can fill up"));
        assert!(advice(80 * GIGABYTE).contains("--soft-max-size 62GB`"));
        assert!(advice(7).contains("--soft-max-size 6`"));
    }
}
