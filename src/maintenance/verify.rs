//! `verify`: recount, ask every store for every replica, list orphans; heal with `--repair` (SPEC 9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::api::{Count, CounterFinding, FileName, VerifyFinding, VerifyReport, VerifyTotals};
use crate::catalogue::{Catalogue, CatalogueError, Counter, Tx, contributions};
use crate::domain::{Event, File, FileId, ReplicaState, StoreId, Topology, plural};
use crate::planner;
use crate::stores::StoreError;
use crate::transfer::Intent;

use super::recheck::is_sound;
use super::view::blocking;
use super::{Maintenance, SweepError};

/// Files looked at between two snapshots.
const PAGE: usize = 256;
/// Replicas asked for, or read, at once.
const AT_ONCE: usize = 16;
/// Findings of one kind that are listed; `totals` covers all.
const LISTED: usize = 10_000;
/// Names of a file that are told.
const NAMES: usize = 10;

/// A counter that is wrong, as found in one consistent view.
#[derive(Debug)]
struct Wrong {
    counter: Counter,
    recorded: Count,
    counted: Count,
}

/// What `verify` looks at besides the catalogue.
struct Round {
    /// Stores that can be asked now.
    available: BTreeSet<StoreId>,
    read: bool,
    repair: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Health {
    Sound,
    Missing,
    Corrupt(&'static str),
    /// Its store cannot be asked.
    Unknown,
    /// On its way in or out.
    Passing,
}

impl Maintenance {
    /// Checks the whole instance. What is found missing or corrupt is marked; `repair` copies it
    /// again from other replicas and corrects counters, and lists only what is still wrong then.
    pub async fn verify(&self, read: bool, repair: bool) -> Result<VerifyReport, CatalogueError> {
        let mut report = VerifyReport::default();
        let looked = self.look_at_stores().await;
        let settings = self.catalogue().settings();
        let state = |id: &StoreId| self.transfer.stores.last_seen(*id);
        let all = settings.topology.stores.keys();
        let available = all.filter(|id| state(id).is_available()).copied().collect();
        let names = settings.topology.stores_by_name();
        let round = Round { available, read, repair };
        let away = names.iter().filter(|s| !round.available.contains(&s.id));
        report.unavailable = away.map(|s| s.name.to_string()).collect();
        self.check_counters(&round, &mut report).await?;
        for store in &looked.usable {
            self.recheck(*store).await?;
        }
        let mut after = None;
        loop {
            let page = self.catalogue().snapshot()?.files(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            self.check_files(page, &round, &mut report).await?;
        }
        for store in &looked.usable {
            self.list_orphans(*store, &mut report).await?;
        }
        let VerifyTotals { lost, missing, corrupt, orphans: _ } = report.totals;
        report.ok = lost + missing + corrupt == 0 && report.counters.is_empty();
        Ok(report)
    }

    async fn check_counters(
        &self,
        round: &Round,
        report: &mut VerifyReport,
    ) -> Result<(), CatalogueError> {
        let catalogue = Arc::clone(self.catalogue());
        let wrong = blocking(move || recount(&catalogue)).await?;
        let settings = self.catalogue().settings();
        for one in &wrong {
            let counter = name_of(&one.counter, &settings.topology);
            tracing::error!(counter, recorded = ?one.recorded, counted = ?one.counted,
                "a counter is wrong");
        }
        if round.repair && !wrong.is_empty() {
            report.repaired += wrong.len() as u64;
            return self.correct(wrong).await;
        }
        for Wrong { counter, recorded, counted } in wrong {
            let name = name_of(&counter, &settings.topology);
            let pairs = [
                ("files", recorded.files, counted.files),
                ("bytes", recorded.bytes, counted.bytes),
            ];
            for (unit, recorded, counted) in pairs.into_iter().filter(|(_, r, c)| r != c) {
                report.counters.push(CounterFinding {
                    counter: format!("{name}: {unit}"),
                    recorded: i64::try_from(recorded).unwrap_or(i64::MAX),
                    counted: i64::try_from(counted).unwrap_or(i64::MAX),
                });
            }
        }
        Ok(())
    }

    /// Counters change by exact amounts, so that the error found then is the error now.
    async fn correct(&self, wrong: Vec<Wrong>) -> Result<(), CatalogueError> {
        let by = |now: u64, recorded: u64, counted: u64| {
            now.saturating_add(counted).saturating_sub(recorded)
        };
        self.catalogue()
            .write(move |tx| {
                for Wrong { counter, recorded, counted } in &wrong {
                    let now = tx.count(counter)?;
                    let files = by(now.files, recorded.files, counted.files);
                    let bytes = by(now.bytes, recorded.bytes, counted.bytes);
                    tx.set_counter(counter.clone(), Count { files, bytes });
                }
                Ok(())
            })
            .await
    }

    async fn check_files(
        &self,
        page: Vec<File>,
        round: &Round,
        report: &mut VerifyReport,
    ) -> Result<(), CatalogueError> {
        report.checked_files += page.len() as u64;
        let files = &page;
        let mut replicas = Vec::new();
        for (i, file) in files.iter().enumerate() {
            replicas.extend(file.replicas.iter().map(|r| (i, r.store)));
        }
        let checks = replicas.into_iter().map(|(i, store)| async move {
            let file = &files[i];
            let health = self.check_replica(file, store, round).await?;
            Ok::<_, CatalogueError>((file, store, health))
        });
        let mut checks = stream::iter(checks).buffer_unordered(AT_ONCE);
        let mut bad = BTreeMap::<FileId, (&File, Vec<(StoreId, Health)>)>::new();
        while let Some(check) = checks.next().await {
            let (file, store, health) = check?;
            report.checked_replicas += u64::from(health != Health::Unknown);
            report.unchecked_replicas += u64::from(health == Health::Unknown);
            match health {
                Health::Passing => {
                    let deleting = file.state(store) == Some(ReplicaState::Deleting);
                    report.pending_deletes += u64::from(deleting);
                }
                Health::Missing | Health::Corrupt(_) => {
                    bad.entry(file.id).or_insert((file, Vec::new())).1.push((store, health));
                }
                Health::Sound => report.read_bytes += if round.read { file.size } else { 0 },
                Health::Unknown => {}
            }
        }
        drop(checks);
        for (file, replicas) in bad.into_values() {
            self.enter_bad(file, replicas, round, report).await?;
        }
        for file in page.iter().filter(|f| !f.members.is_empty()) {
            self.enter_lost(file.id, report)?;
        }
        Ok(())
    }

    async fn check_replica(
        &self,
        file: &File,
        store: StoreId,
        round: &Round,
    ) -> Result<Health, CatalogueError> {
        const MARKED: &str = "marked corrupt: its bytes are not those of the file";
        match file.state(store) {
            Some(ReplicaState::Present) if !round.available.contains(&store) => Ok(Health::Unknown),
            Some(ReplicaState::Present) => self.check_present(file, store, round).await,
            Some(ReplicaState::Missing) => Ok(Health::Missing),
            Some(ReplicaState::Corrupt) => Ok(Health::Corrupt(MARKED)),
            Some(ReplicaState::Writing | ReplicaState::Deleting) | None => Ok(Health::Passing),
        }
    }

    async fn check_present(
        &self,
        file: &File,
        store: StoreId,
        round: &Round,
    ) -> Result<Health, CatalogueError> {
        if !self.transfer.confirm(file, store).await {
            // Marked by now, if the store answered.
            let row = self.catalogue().snapshot()?.file(file.id)?;
            return Ok(match row.and_then(|f| f.state(store)) {
                Some(ReplicaState::Missing) => Health::Missing,
                Some(ReplicaState::Corrupt) => Health::Corrupt("its size is not the file's"),
                Some(ReplicaState::Present) => Health::Unknown,
                Some(ReplicaState::Writing | ReplicaState::Deleting) | None => Health::Passing,
            });
        }
        let settings = self.catalogue().settings();
        let mut links = settings.topology.links_to(store).peekable();
        let is_read = links.peek().is_none() || links.any(|l| !l.policy.write_only);
        if !round.read || !is_read {
            return Ok(Health::Sound);
        }
        let Ok(open) = self.transfer.stores.get(store) else { return Ok(Health::Unknown) };
        match is_sound(open.backend.as_ref(), file).await {
            Ok(true) | Err(StoreError::Archived) => Ok(Health::Sound),
            Ok(false) | Err(StoreError::Mismatch(_)) => {
                self.transfer.mark(file.id, store, Event::FoundCorrupt).await?;
                Ok(Health::Corrupt("its bytes are not those of the file"))
            }
            Err(error) => {
                let (store, digest) = (self.transfer.stores.name(store), file.digest);
                tracing::warn!(store, %digest, %error, "a replica could not be read");
                Ok(Health::Unknown)
            }
        }
    }

    async fn enter_bad(
        &self,
        file: &File,
        replicas: Vec<(StoreId, Health)>,
        round: &Round,
        report: &mut VerifyReport,
    ) -> Result<(), CatalogueError> {
        for (store, health) in replicas {
            if round.repair && self.heal(file.id, store, round).await? {
                report.repaired += 1;
                continue;
            }
            let (list, total, detail) = match health {
                Health::Corrupt(detail) => {
                    (&mut report.corrupt, &mut report.totals.corrupt, detail)
                }
                _ => {
                    (&mut report.missing, &mut report.totals.missing, "the store does not have it")
                }
            };
            *total += 1;
            self.enter(list, file, Some(store), detail)?;
        }
        Ok(())
    }

    fn enter_lost(&self, id: FileId, report: &mut VerifyReport) -> Result<(), CatalogueError> {
        let Some(file) = self.catalogue().snapshot()?.file(id)? else { return Ok(()) };
        if !file.members.is_empty() && file.present().next().is_none() {
            let detail = if file.members.iter().any(|member| member.live > 0) {
                "no replica is left: upload the file again"
            } else {
                "deleted, and no replica is left to bring it back from"
            };
            report.totals.lost += 1;
            self.enter(&mut report.lost, &file, None, detail)?;
        }
        Ok(())
    }

    fn enter(
        &self,
        list: &mut Vec<VerifyFinding>,
        file: &File,
        store: Option<StoreId>,
        detail: &str,
    ) -> Result<(), CatalogueError> {
        let settings = self.catalogue().settings();
        let store = store.map(|id| settings.topology.store_name(id));
        tracing::warn!(digest = %file.digest, store, detail, "verify found something wrong");
        if list.len() < LISTED {
            let snapshot = self.catalogue().snapshot()?;
            let mut entries = Vec::new();
            for scope in file.scopes() {
                let name = settings.topology.scope_name(scope);
                let room = NAMES.saturating_sub(entries.len());
                let paths = snapshot.paths_of(scope, file.id, room)?.into_iter();
                entries.extend(paths.map(|p| FileName { scope: name.clone(), path: p.into() }));
            }
            let detail = detail.to_owned();
            list.push(VerifyFinding { digest: file.digest, store, detail, entries });
        }
        Ok(())
    }

    /// Takes a replica back that was marked corrupt and whose bytes are right when they are read
    /// again, or copies the file again. False when neither can be done.
    async fn heal(
        &self,
        id: FileId,
        store: StoreId,
        round: &Round,
    ) -> Result<bool, CatalogueError> {
        if !round.available.contains(&store) {
            return Ok(false);
        }
        let Some(file) = self.catalogue().snapshot()?.file(id)? else { return Ok(false) };
        if round.read && file.state(store) == Some(ReplicaState::Corrupt) {
            let Ok(open) = self.transfer.stores.get(store) else { return Ok(false) };
            if is_sound(open.backend.as_ref(), &file).await.is_ok_and(|sound| sound) {
                let read_right = move |tx: &mut Tx<'_>| tx.apply(id, store, Event::ReadRight);
                return Ok(self.catalogue().write(read_right).await?.is_some());
            }
        }
        self.copy_again(&file, store, round).await
    }

    /// Copies the file again into a store that should have it. False when nothing can be read or
    /// the store takes nothing.
    async fn copy_again(
        &self,
        file: &File,
        to: StoreId,
        round: &Round,
    ) -> Result<bool, CatalogueError> {
        let settings = self.catalogue().settings();
        let topology = &settings.topology;
        let via = file.scopes().find(|scope| {
            let open = topology.link(*scope, to).is_some_and(|l| !l.policy.read_only);
            let sources = planner::download_order(topology, *scope, file);
            open && sources.iter().any(|s| *s != to && round.available.contains(s))
        });
        let Some(via) = via else { return Ok(false) };
        let intent = Intent { file: file.id, digest: file.digest, size: file.size, to, via };
        let granted = self.transfer.intend(vec![intent]).await?;
        let Some(Ok(granted)) = granted.into_iter().next() else { return Ok(false) };
        match self.transfer.fulfil(&granted, || {}, &|source| source).await {
            Ok(()) => Ok(true),
            Err(error) => {
                let (scope, store) = (topology.scope_name(via), topology.store_name(to));
                tracing::warn!(scope, store, digest = %file.digest, %error,
                    "a replica could not be healed");
                Ok(false)
            }
        }
    }

    async fn list_orphans(
        &self,
        store: StoreId,
        report: &mut VerifyReport,
    ) -> Result<(), CatalogueError> {
        let settings = self.catalogue().settings();
        let name = settings.topology.store_name(store);
        let Ok(open) = self.transfer.stores.get(store) else { return Ok(()) };
        let survey = match self.survey(store, &open.backend, self.now(), None).await {
            Ok(survey) => survey,
            Err(SweepError::Catalogue(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(store = %name, %error, "the orphans of a store cannot be listed");
                report.unavailable.push(name);
                return Ok(());
            }
        };
        report.totals.orphans += survey.orphans;
        let room = LISTED.saturating_sub(report.orphans.len());
        let orphans = survey.first.into_iter().take(room).map(|o| VerifyFinding {
            digest: o.digest,
            store: Some(name.clone()),
            entries: Vec::new(),
            detail: format!("{} that no row names", plural(o.size, "byte")),
        });
        report.orphans.extend(orphans);
        Ok(())
    }
}

/// Counts everything anew, in one consistent view without any I/O beside it.
fn recount(catalogue: &Catalogue) -> Result<Vec<Wrong>, CatalogueError> {
    let snapshot = catalogue.snapshot()?;
    let mut sums = BTreeMap::<Counter, Count>::new();
    let mut after = None;
    loop {
        let page = snapshot.files(after, 1000)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for (counter, count) in page.iter().flat_map(contributions) {
            let sum = sums.entry(counter).or_default();
            sum.files = sum.files.saturating_add(count.files);
            sum.bytes = sum.bytes.saturating_add(count.bytes);
        }
    }
    let recorded = snapshot.counters()?;
    let all: BTreeSet<&Counter> = sums.keys().chain(recorded.keys()).collect();
    let wrong = all.into_iter().filter_map(|counter| {
        let recorded = recorded.get(counter).copied().unwrap_or_default();
        let counted = sums.get(counter).copied().unwrap_or_default();
        let wrong = || Wrong { counter: counter.clone(), recorded, counted };
        (recorded != counted).then(wrong)
    });
    Ok(wrong.collect())
}

fn name_of(counter: &Counter, topology: &Topology) -> String {
    match counter {
        Counter::Total => "files of the instance".to_owned(),
        Counter::Store(store, state) => {
            format!("store {}, {state:?} replicas", topology.store_name(*store)).to_lowercase()
        }
        Counter::Holders { scope, live, stores } => {
            let names: Vec<_> = stores.iter().map(|s| topology.store_name(*s)).collect();
            let kind = if *live { "files" } else { "deleted files" };
            format!("scope {}, {kind} in [{}]", topology.scope_name(*scope), names.join(", "))
        }
    }
}
