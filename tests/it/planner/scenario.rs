//! The line format of `tests/scenarios/NAME/input.txt`:
//!
//! ```text
//! # what the scenario proves
//! store NAME [max=N] [soft=N] [s3] [redirect] [checksum=none]
//! scope NAME
//! link SCOPE STORE [up=N] [down=N] [populate] [drain | drain=STORE] [read_only] [write_only] [soft=N]
//! file NAME SIZE [used=N] in=SCOPE[:tombstone],… at=STORE[:missing|:corrupt|:unverified|:writing],…
//! unlinked SCOPE STORE HOURS     reserved STORE N     unavailable STORE
//! failing STORE                  copies into it fail in the first run
//! relink SCOPE STORE …           a link that replaces the first one after the first run is over
//! ```
//! Files are created in the order of their lines, one an hour; `used` is the hour of the last use.
//! A scope twice in `in=` has two entries. The present is hour 1000, the grace is 24 hours.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use hayloft::domain::{
    BackendConfig, Checksum, Credentials, Digest, Drain, File, FileId, Link, LocalConfig, Policy,
    Replica, ReplicaState, S3Config, Scope, ScopeId, ScopeName, ServeMode, Store, StoreId,
    StoreName, Timestamp,
};

use super::model::Model;

#[derive(Debug, Default)]
pub struct Scenario {
    pub title: Vec<String>,
    pub model: Model,
    pub names: BTreeMap<FileId, String>,
    /// Stores that take no copy in the first run.
    pub failing: BTreeSet<StoreId>,
    /// Changes after the run in which nothing is left to do.
    pub later: Vec<Link>,
}

pub fn hour(n: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_hours(n))
}

/// The words and `key=value` pairs of a line.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn at(&self, i: usize) -> &'a str {
        self.0.get(i).copied().unwrap_or_else(|| panic!("word {i} is missing: {:?}", self.0))
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
    }

    fn number<T: FromStr>(&self, key: &str) -> Option<T> {
        self.value(key).map(number)
    }
}

fn number<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}

impl Scenario {
    pub fn parse(text: &str) -> Self {
        let mut scenario = Self::default();
        scenario.model.run = 1;
        scenario.model.now = hour(1000);
        scenario.model.grace = Duration::from_hours(24);
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            match line.strip_prefix('#') {
                Some(comment) => scenario.title.push(comment.trim().to_owned()),
                None => scenario.line(&Words(line.split_whitespace().collect())),
            }
        }
        scenario
    }

    fn line(&mut self, words: &Words<'_>) {
        match words.at(0) {
            "store" => self.store(words),
            "scope" => self.scope(words),
            "link" => {
                let link = self.link(words);
                self.model.topology.links.insert((link.scope, link.store), link);
            }
            "relink" => {
                let link = self.link(words);
                self.later.push(link);
            }
            "file" => self.file(words),
            "unlinked" => {
                let key = (self.scope_id(words.at(1)), self.store_id(words.at(2)));
                let at = hour(1000 - number::<u64>(words.at(3)));
                self.model.topology.unlinked.insert(key, at);
            }
            "reserved" => {
                self.model.reserved.insert(self.store_id(words.at(1)), number(words.at(2)));
            }
            "unavailable" => {
                self.model.unavailable.insert(self.store_id(words.at(1)));
            }
            "failing" => {
                self.failing.insert(self.store_id(words.at(1)));
            }
            other => panic!("unknown line {other}"),
        }
    }

    fn store_id(&self, name: &str) -> StoreId {
        self.model.topology.store(name).unwrap_or_else(|| panic!("no store {name}")).id
    }

    fn scope_id(&self, name: &str) -> ScopeId {
        self.model.topology.scope(name).unwrap_or_else(|| panic!("no scope {name}")).id
    }

    fn store(&mut self, words: &Words<'_>) {
        let id = StoreId(u32::try_from(self.model.topology.stores.len()).expect("few") + 1);
        let remote = words.has("s3") || words.has("redirect") || words.value("checksum").is_some();
        if words.has("redirect") {
            self.model.deferred.insert(id);
        }
        let unproven = words.value("checksum") == Some("none");
        let store = Store {
            id,
            name: StoreName::new(words.at(1)).expect("a store name"),
            uid: String::new(),
            backend: if remote { s3(unproven) } else { local(words.at(1)) },
            instance_wide: true,
            soft_max_size: words.number("soft"),
            max_size: words.number("max"),
            generation: 1,
            created_at: hour(0),
        };
        self.model.topology.stores.insert(id, store);
    }

    fn scope(&mut self, words: &Words<'_>) {
        let id = ScopeId(u32::try_from(self.model.topology.scopes.len()).expect("few") + 1);
        let name = ScopeName::new(words.at(1)).expect("a scope name");
        let scope = Scope { id, name, public_read: false, created_at: hour(0) };
        self.model.topology.scopes.insert(id, scope);
    }

    fn link(&self, words: &Words<'_>) -> Link {
        let drain = match words.value("drain") {
            Some(name) => Drain::Into(StoreName::new(name).expect("a store name")),
            None if words.has("drain") => Drain::Anywhere,
            None => Drain::No,
        };
        Link {
            scope: self.scope_id(words.at(1)),
            store: self.store_id(words.at(2)),
            upload_priority: words.number("up"),
            download_priority: words.number("down"),
            policy: Policy {
                populate: words.has("populate"),
                drain,
                read_only: words.has("read_only"),
                write_only: words.has("write_only"),
                soft_max_size: words.number("soft"),
            },
            created_at: hour(0),
        }
    }

    fn file(&mut self, words: &Words<'_>) {
        let n = self.model.files.len() as u64 + 1;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        let mut file = File {
            id: FileId(n),
            digest: Digest(digest),
            size: number(words.at(2)),
            created_at: hour(n),
            last_used: words.number("used").map_or(hour(n), hour),
            replicas: Vec::new(),
            members: Vec::new(),
            departed: None,
        };
        for scope in words.value("in").unwrap_or_default().split(',').filter(|s| !s.is_empty()) {
            match scope.split_once(':') {
                None => file.adjust_member(self.scope_id(scope), 1, 0),
                Some((scope, "tombstone")) => file.adjust_member(self.scope_id(scope), 0, 1),
                Some((_, other)) => panic!("unknown kind of entry {other}"),
            }
        }
        for replica in words.value("at").unwrap_or_default().split(',').filter(|s| !s.is_empty()) {
            file.put_replica(self.replica(replica));
        }
        self.names.insert(file.id, words.at(1).to_owned());
        self.model.files.insert(file.id, file);
    }

    fn replica(&self, text: &str) -> Replica {
        let (store, mark) = text.split_once(':').unwrap_or((text, ""));
        let state = match mark {
            "" | "unverified" => ReplicaState::Present,
            "missing" => ReplicaState::Missing,
            "corrupt" => ReplicaState::Corrupt,
            "writing" => ReplicaState::Writing,
            other => panic!("unknown mark {other}"),
        };
        let verified_at = (mark != "unverified").then(|| hour(1));
        Replica { store: self.store_id(store), state, stored_at: hour(1), verified_at }
    }
}

pub fn local(name: &str) -> BackendConfig {
    BackendConfig::Local(LocalConfig { root: format!("/{name}").into() })
}

pub fn s3(unproven: bool) -> BackendConfig {
    BackendConfig::S3(Box::new(S3Config {
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        region: "here".to_owned(),
        endpoint: None,
        public_endpoint: None,
        path_style: false,
        storage_class: None,
        serve: ServeMode::Redirect,
        presign_ttl: 60,
        longest_ttl: 60,
        checksum: if unproven { Checksum::None } else { Checksum::Sha256 },
        credentials: Credentials::Env,
    }))
}
