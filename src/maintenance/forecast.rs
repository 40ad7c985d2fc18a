//! How stores grow and when they will reach their limits: for pages, advice and metrics, and told once
//! for each limit that comes near.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::notify::Event;
use super::view::blocking;
use super::{Maintenance, locked};
use crate::catalogue::{CatalogueError, values};
use crate::config::NotifyEvent;
use crate::domain::{ByteSize, Growth, LimitKind, ReplicaState, Store, StoreId, Timestamp};

const DAY: i64 = 86_400;

/// How a store has grown, and where that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreForecast {
    pub growth: Growth,
    /// What the disk has room for, the store's own bytes included, where that can be known.
    pub capacity: Option<u64>,
    /// The limits that it will reach.
    pub limits: Vec<LimitForecast>,
}

/// A limit that a store is going to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitForecast {
    pub store: StoreId,
    pub limit: LimitKind,
    pub limit_bytes: u64,
    /// What the store holds today.
    pub bytes: u64,
    /// Since the epoch, UTC. Today when the limit is reached.
    pub day: u32,
}

impl LimitForecast {
    /// A limit with its bytes, 0 for a disk: another limit is another story, but where a disk ends moves
    /// with every other file on it.
    fn as_told(&self) -> (u32, LimitKind, u64) {
        let bytes = if self.limit == LimitKind::Disk { 0 } else { self.limit_bytes };
        (self.store.0, self.limit, bytes)
    }
}

impl Maintenance {
    /// The limits that are going to be reached, as last computed.
    pub fn expected_limits(&self) -> Vec<LimitForecast> {
        locked(&self.expected_limits).clone()
    }

    /// Looks ahead, and tells of limits that have come near.
    pub(super) async fn look_ahead(self: &Arc<Self>) -> Result<(), CatalogueError> {
        let me = Arc::clone(self);
        let expected = blocking(move || me.foresee_limits()).await?;
        locked(&self.expected_limits).clone_from(&expected);
        let told = self.catalogue().snapshot()?.value(&values::FORECASTS_TOLD)?.unwrap_or_default();
        let today = self.now().day();
        let ahead = self.config.maintenance.limit_forecast.as_secs() / 86_400;
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let within = |o: &LimitForecast, days: u32| o.day <= today.saturating_add(days);
        let key = LimitForecast::as_told;
        // A forecast that sways about the edge is told once.
        let mut kept: BTreeSet<_> = expected
            .iter()
            .filter(|o| within(o, ahead.saturating_mul(2)) && told.contains(&key(o)))
            .map(key)
            .collect();
        let news: Vec<&LimitForecast> = expected
            .iter()
            .filter(|o| within(o, ahead) && is_worth_telling(o, today) && kept.insert(key(o)))
            .collect();
        if kept != told {
            self.catalogue().write(move |tx| tx.set_value(&values::FORECASTS_TOLD, &kept)).await?;
        }
        for one in news {
            self.tell_of(one, today);
        }
        Ok(())
    }

    fn foresee_limits(&self) -> Result<Vec<LimitForecast>, CatalogueError> {
        let settings = self.catalogue().settings();
        let stores = settings.topology.stores.values();
        let all = stores.map(|store| Ok(self.foresee(store)?.limits));
        Ok(all.collect::<Result<Vec<_>, CatalogueError>>()?.concat())
    }

    /// How a store grows; blocks on the catalogue and, for a moment, on the disk.
    pub fn foresee(&self, store: &Store) -> Result<StoreForecast, CatalogueError> {
        let snapshot = self.catalogue().snapshot()?;
        let held = snapshot.store_counts(store.id)?;
        let samples = snapshot.samples(store.id)?;
        drop(snapshot);
        let free = self.transfer.stores.free_room(store.id);
        let taken: u64 = held.values().map(|count| count.bytes).sum();
        let capacity = free.map(|free| free.saturating_add(taken));
        let bytes = held.get(&ReplicaState::Present).map_or(0, |count| count.bytes);
        let samples = samples.into_iter().map(|(day, count)| (day, count.bytes));
        let growth = Growth::new(samples, self.now().day(), bytes);
        let limits = [
            (LimitKind::Soft, store.soft_max_size),
            (LimitKind::Hard, store.max_size),
            (LimitKind::Disk, capacity),
        ];
        let limits = limits.into_iter().filter_map(|(limit, limit_bytes)| {
            let limit_bytes = limit_bytes?;
            let day = growth.day_of_limit(limit_bytes)?;
            Some(LimitForecast { store: store.id, limit, limit_bytes, bytes, day })
        });
        let limits = limits.collect();
        Ok(StoreForecast { growth, capacity, limits })
    }

    fn tell_of(&self, expected: &LimitForecast, today: u32) {
        let name = self.catalogue().settings().topology.store_name(expected.store);
        let what = match expected.limit {
            LimitKind::Soft => "its soft limit",
            LimitKind::Hard => "its hard limit",
            LimitKind::Disk => "the end of its disk",
        };
        let size = ByteSize(expected.limit_bytes);
        let on = Timestamp(i64::from(expected.day) * DAY * 1_000_000).to_string();
        let date = on.split('T').next().unwrap_or_default();
        let text = match expected.day.saturating_sub(today) {
            0 => format!("store {name} has reached {what} ({size})"),
            1 => format!("store {name} will reach {what} ({size}) by tomorrow"),
            days => format!("store {name} will reach {what} ({size}) in {days} days, on {date}"),
        };
        tracing::warn!(store = %name, limit = expected.limit.as_str(), bytes = expected.bytes,
            limit_bytes = expected.limit_bytes, date, "a store nears a limit");
        let facts = json!({
            "store": name, "limit": expected.limit, "limit_bytes": expected.limit_bytes,
            "bytes": expected.bytes, "date": date,
        });
        let kind = NotifyEvent::LimitForecast;
        self.notifier.tell(Event { kind, text, facts, at: self.now() });
    }
}

/// A soft limit that is reached is no news: the vacuum keeps the store there.
fn is_worth_telling(expected: &LimitForecast, today: u32) -> bool {
    expected.day > today || expected.limit != LimitKind::Soft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_the_same_story_when_others_write_to_it() {
        let at = |limit, limit_bytes| {
            LimitForecast { store: StoreId(1), limit, limit_bytes, bytes: 5, day: 9 }.as_told()
        };
        assert_eq!(at(LimitKind::Disk, 1000), at(LimitKind::Disk, 900));
        assert_ne!(at(LimitKind::Hard, 1000), at(LimitKind::Hard, 900));
    }
}
