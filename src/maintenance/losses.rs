//! Notices replicas that were found missing or damaged, whoever found them: by the counters of the
//! catalogue, so that a thousand of them are one piece of news.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Maintenance;
use super::notify::Event;
use crate::catalogue::{CatalogueError, Snapshot};
use crate::config::NotifyEvent;
use crate::domain::{Digest, File, ReplicaState, StoreId, Timestamp, Topology};

/// The single value that says which losses were told of.
const TOLD: &str = "losses_told";
/// What a failing disk loses piece by piece is told of this often.
const CALM: Duration = Duration::from_hours(1);
/// Files looked at for scopes and digests.
const LOOKED_AT: usize = 1000;
const SHOWN: usize = 10;

/// The losses of a store when they were last told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    missing: u64,
    corrupt: u64,
    at: i64,
}

/// A store that has lost more.
struct Loss {
    store: StoreId,
    before: Told,
    now: Told,
    files: Vec<File>,
}

impl Maintenance {
    /// Tells of stores with more missing or damaged replicas than were told of.
    pub(super) async fn note_losses(&self) -> Result<(), CatalogueError> {
        let _one_at_a_time = self.noticing.lock().await;
        let now = self.now();
        let snapshot = self.catalogue().snapshot()?;
        let told: BTreeMap<u32, Told> = snapshot.meta(TOLD)?.unwrap_or_default();
        let (mut kept, mut losses) = (BTreeMap::new(), Vec::new());
        for store in self.catalogue().settings().topology.stores.keys().copied() {
            let before = told.get(&store.0).copied().unwrap_or_default();
            let counts = snapshot.store_counts(store)?;
            let files = |state| counts.get(&state).map_or(0, |count| count.files);
            let missing = files(ReplicaState::Missing);
            let corrupt = files(ReplicaState::Corrupt);
            let seen = Told { missing, corrupt, at: now.0 };
            let is_more = missing > before.missing || corrupt > before.corrupt;
            let is_calm = now.since(Timestamp(before.at)) >= CALM;
            let next = if is_more && is_calm {
                losses.push(Loss { store, before, now: seen, files: marked(&snapshot, store)? });
                seen
            } else {
                // What was healed and is lost again is news.
                let (missing, corrupt) = (missing.min(before.missing), corrupt.min(before.corrupt));
                Told { missing, corrupt, at: before.at }
            };
            if next != Told::default() {
                kept.insert(store.0, next);
            }
        }
        drop(snapshot);
        if kept != told {
            self.catalogue().write(move |tx| tx.put_meta(TOLD, &kept)).await?;
        }
        let settings = self.catalogue().settings();
        for loss in &losses {
            self.tell_of_loss(loss, &settings.topology, now);
        }
        Ok(())
    }

    fn tell_of_loss(&self, loss: &Loss, topology: &Topology, at: Timestamp) {
        let Loss { store, before, now, files } = loss;
        let name = topology.store_name(*store);
        let missing = now.missing.saturating_sub(before.missing);
        let corrupt = now.corrupt.saturating_sub(before.corrupt);
        let scopes: BTreeSet<String> = files
            .iter()
            .flat_map(|file| file.members.iter().map(|member| topology.scope_name(member.scope)))
            .collect();
        let alone = files.iter().filter(|file| file.replicas.iter().all(|r| !is_sound(r.state)));
        let alone = alone.count();
        let mut text =
            format!("store {name} has lost replicas: {missing} missing, {corrupt} damaged");
        if now.missing + now.corrupt > missing + corrupt {
            text = format!("{text} ({} in all)", now.missing + now.corrupt);
        }
        if alone > 0 {
            let have = if alone == 1 { "has" } else { "have" };
            text = format!("{text}; {alone} of its files {have} no other replica");
        }
        text = format!("{text}: run `hayloft verify --repair`");
        let digests: Vec<Digest> = files.iter().take(SHOWN).map(|file| file.digest).collect();
        let scopes: Vec<String> = scopes.into_iter().collect();
        tracing::error!(store = %name, missing, corrupt, scopes = scopes.join(","),
            "replicas were lost");
        let facts = json!({
            "store": name, "missing": missing, "corrupt": corrupt,
            "missing_in_all": now.missing, "corrupt_in_all": now.corrupt,
            "without_other_replica": alone, "scopes": scopes, "digests": digests,
        });
        let kind = NotifyEvent::ReplicaLost;
        self.notifier.tell(&self.tasks, Event { kind, text, facts, at });
    }
}

fn is_sound(state: ReplicaState) -> bool {
    state == ReplicaState::Present
}

/// Files whose replica in the store is missing or damaged, some of each.
fn marked(snapshot: &Snapshot, store: StoreId) -> Result<Vec<File>, CatalogueError> {
    let mut files = snapshot.marked(ReplicaState::Missing, store, None, LOOKED_AT)?;
    files.extend(snapshot.marked(ReplicaState::Corrupt, store, None, LOOKED_AT)?);
    Ok(files)
}
