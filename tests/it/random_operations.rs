//! Random lives of an instance with real parts: uploads, deletions, other policies and limits, time,
//! failing stores and cancelled runs. The naive model of the planner's tests looks at the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hayloft::domain::{Digest, FileId, FilePath, Policy, ScopeId, StoreId};
use hayloft::planner::download_order;
use hayloft::stores::Backend;
use hayloft::transfer::{Condition, Declared, UploadRequest};

use crate::house::{HOUR, House, body, drain, drain_into, limit, populate, sorted};
use crate::planner::mirror::Mirror;
use crate::planner::model::Model;
use crate::support::faulty::{Fault, Operation, When};
use crate::support::{self, Dice};

const STORES: [&str; 4] = ["a", "b", "c", "d"];
const SCOPES: [&str; 3] = ["x", "y", "z"];

struct Life {
    house: House,
    dice: Dice,
    seed: u64,
    uploads: u64,
    /// What each store may hold: its hard limit, or what it held when that was lowered.
    bounds: BTreeMap<StoreId, u64>,
}

impl Life {
    async fn begin(seed: u64) -> Self {
        let mut house = House::new();
        for store in STORES {
            house.store(store).await;
        }
        for scope in SCOPES {
            house.link(scope, "a", Some(100), Policy::default()).await;
            house.link(scope, "b", Some(10), Policy::default()).await;
        }
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { house, dice, seed, uploads: 0, bounds: BTreeMap::new() }
    }

    /// The catalogue as the planner's tests know one.
    fn model(&self) -> Model {
        let catalogue = self.house.catalogue();
        let snapshot = catalogue.snapshot().expect("snapshot");
        let files = snapshot.files(None, 10_000).expect("files");
        Model {
            topology: catalogue.settings().topology.clone(),
            files: files.into_iter().map(|f| (f.id, f)).collect(),
            run: u64::MAX,
            now: self.house.clock.now(),
            grace: self.house.config.maintenance.grace,
            ..Model::default()
        }
    }

    /// A new file, or bytes that were uploaded before; it may be refused.
    async fn upload(&mut self) {
        self.house.clock.advance(Duration::from_secs(1));
        self.uploads += 1;
        let fresh = self.dice.roll(4) > 0;
        let n = if fresh { self.uploads } else { 1 + self.dice.roll(self.uploads) };
        let bytes = body(&format!("{n}"), usize::try_from(n * 37 % 60).expect("small"));
        let scope = self.dice.pick(&SCOPES);
        let request = UploadRequest {
            scope: self.house.scope(scope),
            path: FilePath::new(format!("f{}", self.dice.roll(30))).expect("path"),
            size: (self.dice.roll(3) > 0).then_some(bytes.len() as u64),
            content_type: "text/plain".to_owned(),
            declared: Declared::default(),
            condition: Condition::None,
        };
        // Full and failing stores refuse: that nothing leaks then is seen later.
        if let Ok(admission) = self.house.transfer.admit(request).await {
            drop(self.house.transfer.receive(admission, support::stream_of(bytes)).await);
        }
    }

    async fn delete(&mut self) {
        let scope = self.house.scope(self.dice.pick(&SCOPES));
        let path = FilePath::new(format!("f{}", self.dice.roll(30))).expect("path");
        let removed = self.house.catalogue().write(move |tx| tx.remove_entry(scope, &path)).await;
        removed.expect("removed");
    }

    /// Another policy that SPEC 3 does not refuse: store a is never drained and takes uploads.
    async fn relink(&mut self) {
        let (scope, store) = (self.dice.pick(&SCOPES), self.dice.pick(&STORES));
        let special = store != "a";
        let target_is_linked = self.model().topology.store("a").is_some_and(|a| {
            let scope = self.house.scope(scope);
            self.model().topology.link(scope, a.id).is_some()
        });
        let policy = match self.dice.roll(9) {
            0 if special => populate(),
            1 if special => drain(),
            2 if special && target_is_linked => drain_into("a"),
            3 => limit(self.dice.roll(200)),
            4 if special => Policy { write_only: true, ..Policy::default() },
            5 if special => Policy { read_only: true, ..Policy::default() },
            _ => Policy::default(),
        };
        let priority = i32::try_from(self.dice.roll(5)).expect("small");
        self.house.link(scope, store, Some(priority), policy).await;
    }

    /// SPEC 9: every file of the scope keeps a readable replica.
    async fn unlink(&mut self) {
        let (scope, store) = (self.dice.pick(&SCOPES), self.dice.pick(&STORES[1..]));
        let mut model = self.model();
        let key = (self.house.scope(scope), self.house.shelf(store).id);
        if model.topology.links.remove(&key).is_none() {
            return;
        }
        let unread = |f: &&hayloft::domain::File| {
            f.member(key.0).is_some() && download_order(&model.topology, key.0, f).is_empty()
        };
        if model.files.values().find(unread).is_none() {
            self.house.unlink(scope, store).await;
        }
    }

    async fn limit(&mut self) {
        let store = self.dice.pick(&STORES);
        let soft = (self.dice.roll(3) == 0).then(|| self.dice.roll(300));
        let max = (self.dice.roll(3) == 0).then(|| self.dice.roll(600));
        self.house.limit_store(store, soft, max.map(|max| max.max(soft.unwrap_or(0)))).await;
        let id = self.house.shelf(store).id;
        match self.model().topology.stores[&id].max_size {
            Some(max) => self.bounds.insert(id, max.max(self.held(id))),
            None => self.bounds.remove(&id),
        };
    }

    fn held(&self, store: StoreId) -> u64 {
        let model = self.model();
        let mirror = Mirror::new(&model);
        mirror.naive(&model).hard(mirror.store(store))
    }

    /// Stores that fail for a while. No fault damages what is stored.
    fn break_some(&mut self) {
        use Operation as O;
        let operations = [O::Put, O::Get, O::Stat, O::Delete, O::ReadMarker, O::List];
        let faults = [Fault::Unavailable, Fault::Failed, Fault::LoseAnswer, Fault::Full];
        for name in STORES {
            if self.dice.roll(3) == 0 {
                let (operation, fault) = (self.dice.pick(&operations), self.dice.pick(&faults));
                let nth = 1 + self.dice.roll(6);
                let when = if self.dice.roll(3) == 0 { When::Always } else { When::Nth(nth) };
                self.house.shelf(name).faulty.inject(operation, when, fault);
            }
        }
    }

    fn heal(&self) {
        self.house.shelves.values().for_each(|shelf| shelf.faulty.heal());
    }

    /// Files with the scopes that can read them.
    fn readers(&self) -> BTreeSet<(FileId, ScopeId)> {
        let model = self.model();
        let reads = |f: &hayloft::domain::File| {
            let scopes = f.scopes().filter(|s| !download_order(&model.topology, *s, f).is_empty());
            scopes.map(|scope| (f.id, scope)).collect::<Vec<_>>()
        };
        model.files.values().flat_map(reads).collect()
    }

    /// Whoever could read a file and still has it can read it.
    fn assert_nobody_lost_a_file(&self, before: &BTreeSet<(FileId, ScopeId)>) {
        let after = self.readers();
        let model = self.model();
        for (id, scope) in before.difference(&after) {
            let file = model.files.get(id).filter(|f| f.member(*scope).is_some());
            assert!(file.is_none(), "seed {}: {scope:?} lost {file:?}", self.seed);
        }
    }

    async fn assert_sound(&self) {
        let report = self.house.maintenance.verify(false, false).await.expect("verify");
        assert!(report.counters.is_empty(), "seed {}: {report:#?}", self.seed);
        assert!(
            report.lost.is_empty() && report.missing.is_empty(),
            "seed {}: {report:#?}",
            self.seed
        );
        for (store, bound) in &self.bounds {
            let held = self.held(*store);
            assert!(held <= *bound, "seed {}: {held} of {bound} in {store:?}", self.seed);
        }
        for shelf in self.house.shelves.values() {
            let reserved = self.house.catalogue().ledger().reserved(shelf.id);
            assert_eq!(reserved, 0, "seed {}: a reservation leaks", self.seed);
        }
    }

    async fn troubled_run(&mut self) {
        let before = self.readers();
        self.break_some();
        if self.dice.roll(2) == 0 {
            self.house.vacuum().await;
        } else {
            let run = self.house.maintenance.start().await.expect("started");
            let id = run.id.expect("id");
            for _ in 0..self.dice.roll(40) {
                tokio::task::yield_now().await;
                if self.dice.roll(8) == 0 {
                    self.upload().await;
                }
            }
            // It may have ended already.
            drop(self.house.maintenance.cancel(id).await);
            self.house.end_of(id).await;
        }
        self.heal();
        self.assert_nobody_lost_a_file(&before);
    }

    /// An undisturbed run does what the dry run said; true when that was nothing.
    async fn run(&mut self) -> bool {
        let before = self.readers();
        let dry = self.house.dry().await;
        let run = self.house.vacuum().await;
        let what = (self.seed, &dry.errors, &run.errors, run.outcome);
        assert_eq!(sorted(&dry), sorted(&run), "{what:#?}");
        self.assert_nobody_lost_a_file(&before);
        sorted(&run).is_empty()
    }

    /// No store held more for a moment than it may, since the last look.
    fn assert_no_limit_was_passed(&self) {
        for shelf in self.house.shelves.values() {
            let (most, bound) = (shelf.memory.take_peak(), self.bounds.get(&shelf.id));
            let fits = bound.is_none_or(|bound| most <= *bound);
            assert!(fits, "seed {}: {most} of {bound:?} in {:?}", self.seed, shelf.id);
        }
    }

    async fn act(&mut self) {
        match self.dice.roll(16) {
            0..=4 => self.upload().await,
            5 => self.delete().await,
            6 => self.house.clock.advance(HOUR * u32::try_from(self.dice.roll(30)).expect("small")),
            7..=9 => self.relink().await,
            10 => self.unlink().await,
            11 => self.limit().await,
            12 | 13 => self.troubled_run().await,
            14 => {
                self.run().await;
            }
            _ => self.assert_sound().await,
        }
        self.assert_no_limit_was_passed();
    }

    /// Every readable file has its bytes, in each of its stores.
    async fn assert_bytes(&self) {
        let model = self.model();
        for file in model.files.values() {
            let holders: Vec<_> = file.present().collect();
            assert!(!holders.is_empty(), "seed {}: {file:?} is lost", self.seed);
            for shelf in self.house.shelves.values().filter(|s| holders.contains(&s.id)) {
                let bytes = shelf.memory.get(&file.digest, None).await.expect("get");
                let bytes = support::read_all(bytes).await.expect("read");
                let digest: Digest = support::digest(&bytes);
                assert_eq!(digest, file.digest, "seed {}", self.seed);
            }
        }
    }

    async fn end(mut self) {
        let mut runs = 0;
        while !self.run().await {
            self.assert_no_limit_was_passed();
            runs += 1;
            assert!(runs < 20, "seed {} never settles", self.seed);
        }
        self.assert_sound().await;
        self.assert_bytes().await;
        let model = self.model();
        let left = Mirror::new(&model).naive(&model).run();
        assert_eq!(left, [], "seed {}: the rules ask for more", self.seed);
        let report = self.house.maintenance.verify(true, false).await.expect("verify");
        assert!(report.orphans.is_empty(), "seed {}: {report:#?}", self.seed);
    }
}

/// `HAYLOFT_TEST_STORMS` says how many.
#[tokio::test]
async fn lives_full_of_changes_and_failures_keep_the_rules_and_settle() {
    let lives =
        std::env::var("HAYLOFT_TEST_STORMS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    for seed in 1..=lives {
        let mut life = Life::begin(seed).await;
        for _ in 0..60 {
            life.act().await;
        }
        life.end().await;
    }
}
