//! Giving replicas up: decided in the write transaction, bytes afterwards (SPEC 7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Reaped, Transfer};
use crate::catalogue::CatalogueError;
use crate::domain::{Diagnosis, Event, FileId, StoreId, StoreProblem, Timestamp};
use crate::planner::{self, World};
use crate::stores::StoreError;

/// A replica that a run wants to remove, with what the rule may look at.
#[derive(Debug, Clone)]
pub struct Removal {
    pub file: FileId,
    pub store: StoreId,
    pub run: u64,
    /// When the run started.
    pub now: Timestamp,
    pub grace: Duration,
    pub unavailable: Arc<BTreeSet<StoreId>>,
    pub deferred: Arc<BTreeSet<StoreId>>,
}

/// Why a replica was kept.
#[derive(Debug, thiserror::Error)]
pub enum Kept {
    /// The row is not what the plan saw.
    #[error("the replica has changed meanwhile")]
    Changed,
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Pinned(Vec<String>),
    #[error("an upload that is under way relies on it")]
    InUse,
    /// The marker is another's: nothing is deleted there.
    #[error("{0}")]
    NotOurs(Diagnosis),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// What the stores of a file's other replicas said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confirmed {
    stores: BTreeSet<StoreId>,
    /// Stores that gave no answer in time.
    pub silent: BTreeSet<StoreId>,
    /// Stores that answered with an error, from which nothing follows about the replica.
    pub troubled: BTreeMap<StoreId, Diagnosis>,
}

impl Transfer {
    /// Asks the one rule for removal in the write transaction, commits `deleting` and removes the bytes
    /// when nobody can still read them. `Ok` once `deleting` is durable, whatever becomes of the bytes.
    /// Waits for no other store than the one that the replica leaves.
    pub async fn give_up(&self, removal: Removal, confirmed: Confirmed) -> Result<Reaped, Kept> {
        let state = self.stores.check(removal.store).await;
        if !state.allows_deletion() {
            return Err(Kept::NotOurs(state.obstacle()));
        }
        let Confirmed { stores: confirmed, .. } = confirmed;
        let (file, store) = (removal.file, removal.store);
        let deferred = removal.deferred.contains(&store);
        let pinned = self.pins.checker();
        self.catalogue
            .write(move |tx| {
                if pinned(store, file) {
                    return Err(Kept::InUse);
                }
                let Some(row) = tx.file(file)? else { return Err(Kept::Changed) };
                // The rule takes for granted that there is something to remove.
                let given_up = Event::GivenUp { run: removal.run };
                if !given_up.happens_to(row.state(store)) {
                    return Err(Kept::Changed);
                }
                let world = World {
                    topology: tx.topology(),
                    unavailable: &removal.unavailable,
                    deferred: &removal.deferred,
                    run: removal.run,
                    now: removal.now,
                    grace: removal.grace,
                };
                planner::removable(&world, &row, store, &|s| confirmed.contains(&s)).map_err(
                    |pins| Kept::Pinned(pins.iter().map(|p| p.text(tx.topology())).collect()),
                )?;
                tx.apply(file, store, given_up)?;
                Ok(())
            })
            .await?;
        // In a store that hands out URLs the bytes count until the run ends, as it was planned.
        if deferred { Ok(Reaped::Later(None)) } else { Ok(self.reap_one(store, file).await?) }
    }

    /// Asks every other store that holds the file, now and all at once; each may take `patience`.
    pub async fn confirm_others(
        &self,
        removal: &Removal,
        patience: Duration,
    ) -> Result<Confirmed, CatalogueError> {
        let mut confirmed = Confirmed::default();
        let Some(file) = self.catalogue.snapshot()?.file(removal.file)? else {
            return Ok(confirmed);
        };
        let others = file.present();
        let asked = others.filter(|s| *s != removal.store && !removal.unavailable.contains(s));
        let file = &file;
        let asked = asked.map(|store| async move {
            (store, tokio::time::timeout(patience, self.ask_for(file, store)).await)
        });
        for (store, answer) in futures_util::future::join_all(asked).await {
            match answer {
                Ok(Ok(())) => drop(confirmed.stores.insert(store)),
                // Marked, and reported with all that are.
                Ok(Err(StoreError::NotFound | StoreError::Mismatch(_))) => {}
                Ok(Err(error)) => drop(confirmed.troubled.insert(store, error.into())),
                Err(_) => {
                    let problem = StoreProblem::NoAnswer { seconds: patience.as_secs() };
                    self.stores.report(store, &StoreError::unavailable(problem));
                    confirmed.silent.insert(store);
                }
            }
        }
        Ok(confirmed)
    }

    /// Deletes a file that no scope has: all its replicas go (SPEC 7, phase 1). False when a scope
    /// has it again, or an upload that is under way relies on a replica.
    pub async fn delete_unreferenced(&self, file: FileId) -> Result<bool, CatalogueError> {
        let pinned = self.pins.checker();
        let stores = self
            .catalogue
            .write(move |tx| {
                let Some(row) = tx.file(file)?.filter(|f| f.members.is_empty()) else {
                    return Ok::<_, CatalogueError>(None);
                };
                if row.replicas.iter().any(|r| pinned(r.store, file)) {
                    return Ok(None);
                }
                for replica in &row.replicas {
                    tx.apply(file, replica.store, Event::of_orphan(replica.state))?;
                }
                let left = tx.file(file)?.map(|row| row.replicas).unwrap_or_default();
                Ok(Some(left.iter().map(|r| r.store).collect::<Vec<_>>()))
            })
            .await?;
        let Some(stores) = stores else { return Ok(false) };
        for store in stores {
            self.reap_one(store, file).await?;
        }
        Ok(true)
    }
}
