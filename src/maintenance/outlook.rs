//! When stores will reach their limits, judged by the samples of the last weeks: for metrics, and
//! told once for each limit that comes near.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::gather::blocking;
use super::notify::Event;
use super::timer::day_of;
use super::{Maintenance, sane};
use crate::catalogue::CatalogueError;
use crate::config::NotifyEvent;
use crate::domain::{ByteSize, ReplicaState, Store, StoreId, Timestamp, day_of_limit};
use crate::transfer::HealthState;

/// The single value that names the limits that were told of.
const TOLD: &str = "forecasts_told";
const DAY: i64 = 86_400;

/// What a store can be too full for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    Soft,
    Hard,
    /// What the store holds and what is free on its disk.
    Disk,
}

impl LimitKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Disk => "disk",
        }
    }
}

/// A limit that a store is going to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    pub store: StoreId,
    pub limit: LimitKind,
    pub limit_bytes: u64,
    /// What the store holds today.
    pub bytes: u64,
    /// Since the epoch, UTC. Today when the limit is reached.
    pub day: u32,
}

impl Outlook {
    /// A limit with its bytes, 0 for a disk: another limit is another story, but where a disk ends moves
    /// with every other file on it.
    fn as_told(&self) -> (u32, LimitKind, u64) {
        let bytes = if self.limit == LimitKind::Disk { 0 } else { self.limit_bytes };
        (self.store.0, self.limit, bytes)
    }
}

/// The limits that were told of.
type Told = BTreeSet<(u32, LimitKind, u64)>;

impl Maintenance {
    /// The limits that are going to be reached, as last computed.
    pub fn outlook(&self) -> Vec<Outlook> {
        sane(&self.outlook).clone()
    }

    /// Looks ahead, and tells of limits that have come near.
    pub(super) async fn look_ahead(self: &Arc<Self>) -> Result<(), CatalogueError> {
        let me = Arc::clone(self);
        let outlook = blocking(move || me.compute_outlook()).await?;
        sane(&self.outlook).clone_from(&outlook);
        let told: Told = self.catalogue().snapshot()?.meta(TOLD)?.unwrap_or_default();
        let today = day_of(self.now());
        let ahead = self.config.maintenance.limit_forecast.as_secs() / 86_400;
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let within = |o: &Outlook, days: u32| o.day <= today.saturating_add(days);
        let key = Outlook::as_told;
        // A forecast that sways about the edge is told once.
        let mut kept: Told = outlook
            .iter()
            .filter(|o| within(o, ahead.saturating_mul(2)) && told.contains(&key(o)))
            .map(key)
            .collect();
        let news: Vec<&Outlook> = outlook
            .iter()
            .filter(|o| within(o, ahead) && is_worth_telling(o, today) && kept.insert(key(o)))
            .collect();
        if kept != told {
            self.catalogue().write(move |tx| tx.put_meta(TOLD, &kept)).await?;
        }
        for one in news {
            self.tell_of(one, today);
        }
        Ok(())
    }

    fn compute_outlook(&self) -> Result<Vec<Outlook>, CatalogueError> {
        let settings = self.catalogue().settings();
        let today = day_of(self.now());
        let mut all = Vec::new();
        for store in settings.topology.stores.values() {
            let snapshot = self.catalogue().snapshot()?;
            let bytes = snapshot.store_counts(store.id)?;
            let bytes = bytes.get(&ReplicaState::Present).map_or(0, |count| count.bytes);
            let mut samples = snapshot.samples(store.id)?;
            drop(snapshot);
            samples.retain(|(day, _)| *day < today);
            let mut samples: Vec<_> = samples.iter().map(|(day, c)| (*day, c.bytes)).collect();
            samples.push((today, bytes));
            for (limit, limit_bytes) in self.limits(store, bytes) {
                if let Some(day) = day_of_limit(&samples, limit_bytes) {
                    all.push(Outlook { store: store.id, limit, limit_bytes, bytes, day });
                }
            }
        }
        Ok(all)
    }

    fn limits(&self, store: &Store, bytes: u64) -> Vec<(LimitKind, u64)> {
        let well = !matches!(self.transfer.stores.last_seen(store.id), HealthState::Unavailable(_));
        let open = self.transfer.stores.get(store.id).ok().filter(|_| well);
        let free = open.and_then(|open| open.backend.free_space().ok().flatten());
        [
            (LimitKind::Soft, store.soft_max_size),
            (LimitKind::Hard, store.max_size),
            (LimitKind::Disk, free.map(|free| free.saturating_add(bytes))),
        ]
        .into_iter()
        .filter_map(|(kind, limit)| Some((kind, limit?)))
        .collect()
    }

    fn tell_of(&self, outlook: &Outlook, today: u32) {
        let name = self.catalogue().settings().topology.store_name(outlook.store);
        let what = match outlook.limit {
            LimitKind::Soft => "its soft limit",
            LimitKind::Hard => "its hard limit",
            LimitKind::Disk => "the end of its disk",
        };
        let size = ByteSize(outlook.limit_bytes);
        let on = Timestamp(i64::from(outlook.day) * DAY * 1_000_000).to_string();
        let date = on.split('T').next().unwrap_or_default();
        let text = match outlook.day.saturating_sub(today) {
            0 => format!("store {name} has reached {what} ({size})"),
            1 => format!("store {name} will reach {what} ({size}) by tomorrow"),
            days => format!("store {name} will reach {what} ({size}) in {days} days, on {date}"),
        };
        tracing::warn!(store = %name, limit = outlook.limit.as_str(), bytes = outlook.bytes,
            limit_bytes = outlook.limit_bytes, date, "a store nears a limit");
        let facts = json!({
            "store": name, "limit": outlook.limit, "limit_bytes": outlook.limit_bytes,
            "bytes": outlook.bytes, "date": date,
        });
        let kind = NotifyEvent::LimitForecast;
        self.notifier.tell(Event { kind, text, facts, at: self.now() });
    }
}

/// A soft limit that is reached is no news: the vacuum keeps the store there.
fn is_worth_telling(outlook: &Outlook, today: u32) -> bool {
    outlook.day > today || outlook.limit != LimitKind::Soft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_the_same_story_when_others_write_to_it() {
        let at = |limit, limit_bytes| {
            Outlook { store: StoreId(1), limit, limit_bytes, bytes: 5, day: 9 }.as_told()
        };
        assert_eq!(at(LimitKind::Disk, 1000), at(LimitKind::Disk, 900));
        assert_ne!(at(LimitKind::Hard, 1000), at(LimitKind::Hard, 900));
    }
}
