//! Notices replicas that were found missing or damaged, whoever found them: by the counters of the
//! catalogue, so that a thousand of them are one piece of news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Maintenance;
use super::notify::Event;
use super::view::blocking;
use crate::catalogue::values::ToldLosses;
use crate::catalogue::{Catalogue, CatalogueError, values};
use crate::config::NotifyEvent;
use crate::domain::{Digest, File, ReplicaState, ScopeId, StoreId, Timestamp, Topology};

/// What a failing disk loses piece by piece is told of this often.
const BETWEEN_ALERTS: Duration = Duration::from_hours(1);
/// Files looked at in one go.
const PAGE: usize = 1000;
const SHOWN: usize = 10;

/// A store that has lost more.
struct Loss {
    store: StoreId,
    before: ToldLosses,
    now: ToldLosses,
    marked: Marked,
}

/// The files whose replicas in a store are missing or damaged.
#[derive(Debug, Default)]
struct Marked {
    scopes: BTreeSet<ScopeId>,
    /// Those that no other store has.
    alone: u64,
    /// The first few.
    digests: Vec<Digest>,
}

impl Maintenance {
    /// Tells of stores with more missing or damaged replicas than were told of.
    pub(super) async fn note_losses(&self) -> Result<(), CatalogueError> {
        let _one_at_a_time = self.noticing.lock().await;
        let now = self.now();
        let told = self.catalogue().snapshot()?.value(&values::LOSSES_TOLD)?.unwrap_or_default();
        let (mut kept, mut losses) = (BTreeMap::new(), Vec::new());
        for store in self.catalogue().settings().topology.stores.keys().copied() {
            let before = told.get(&store.0).copied().unwrap_or_default();
            let counts = self.catalogue().snapshot()?.store_counts(store)?;
            let files = |state| counts.get(&state).map_or(0, |count| count.files);
            let missing = files(ReplicaState::Missing);
            let corrupt = files(ReplicaState::Corrupt);
            let seen = ToldLosses { missing, corrupt, at: now.0 };
            let is_more = missing > before.missing || corrupt > before.corrupt;
            let is_due = now.since(Timestamp(before.at)) >= BETWEEN_ALERTS;
            let next = if is_more && is_due {
                let catalogue = Arc::clone(self.catalogue());
                let marked = blocking(move || marked(&catalogue, store)).await?;
                losses.push(Loss { store, before, now: seen, marked });
                seen
            } else {
                // What was healed and is lost again is news.
                let (missing, corrupt) = (missing.min(before.missing), corrupt.min(before.corrupt));
                ToldLosses { missing, corrupt, at: before.at }
            };
            if next != ToldLosses::default() {
                kept.insert(store.0, next);
            }
        }
        if kept != told {
            self.catalogue().write(move |tx| tx.set_value(&values::LOSSES_TOLD, &kept)).await?;
        }
        let settings = self.catalogue().settings();
        for loss in &losses {
            self.tell_of_loss(loss, &settings.topology, now);
        }
        Ok(())
    }

    fn tell_of_loss(&self, loss: &Loss, topology: &Topology, at: Timestamp) {
        let Loss { store, before, now, marked } = loss;
        let name = topology.store_name(*store);
        let missing = now.missing.saturating_sub(before.missing);
        let corrupt = now.corrupt.saturating_sub(before.corrupt);
        let alone = marked.alone;
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
        let mut scopes: Vec<_> = marked.scopes.iter().map(|id| topology.scope_name(*id)).collect();
        scopes.sort();
        tracing::error!(store = %name, missing, corrupt, scopes = scopes.join(","),
            "replicas were lost");
        let facts = json!({
            "store": name, "missing": missing, "corrupt": corrupt,
            "missing_in_all": now.missing, "corrupt_in_all": now.corrupt,
            "without_other_replica": alone, "scopes": scopes, "digests": marked.digests,
        });
        let kind = NotifyEvent::ReplicaLost;
        self.notifier.tell(Event { kind, text, facts, at });
    }
}

/// Goes through all of them, page by page.
fn marked(catalogue: &Catalogue, store: StoreId) -> Result<Marked, CatalogueError> {
    let mut marked = Marked::default();
    for state in [ReplicaState::Missing, ReplicaState::Corrupt] {
        let mut after = None;
        loop {
            let page = catalogue.snapshot()?.marked(state, store, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            marked.scopes.extend(page.iter().flat_map(File::scopes));
            marked.alone +=
                page.iter().filter(|file| file.present().next().is_none()).count() as u64;
            let room = SHOWN.saturating_sub(marked.digests.len());
            marked.digests.extend(page.iter().take(room).map(|file| file.digest));
        }
    }
    Ok(marked)
}
