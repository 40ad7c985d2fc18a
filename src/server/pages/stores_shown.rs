//! How pages speak of a store: how full it is, how it fares, when it will be full.

use std::sync::Arc;

use super::chart::{self, Fill};
use super::frame::Visit;
use super::show;
use crate::api::{Preview, StoreView};
use crate::app::App;
use crate::domain::{LimitKind, Timestamp};
use crate::maintenance::{Freshness, PreviewRequest, StoreForecast};
use crate::ops;
use crate::ops::OpError;

/// Days of growth in a chart.
const CHARTED_DAYS: u32 = 8 * 7;

/// What the next run would move, for the bars of the stores. A dry run may take seconds, so a page
/// shows what is known and has its part with the bars filled in when there is news.
pub struct Ahead {
    plan: Option<Arc<Preview>>,
    /// Whether it is to be looked at anew.
    pub is_old: bool,
    /// Why it cannot be looked at now.
    pub problem: Option<String>,
}

impl Ahead {
    /// For a page: what is known, or, for browsers without scripts that ask for it by `?look`, the
    /// answer of now.
    pub async fn of(app: &Arc<App>, visit: &Visit) -> Result<Self, OpError> {
        if visit.query.is_set("look") {
            return Self::now(app, visit).await;
        }
        let known = ops::vacuum::known_preview(app, &visit.actor)?;
        let is_old = known.as_ref().is_none_or(|known| !known.is_fresh);
        Ok(Self { plan: known.map(|known| known.preview), is_old, problem: None })
    }

    /// For the part that fills the bars in: waits for the answer.
    pub async fn now(app: &Arc<App>, visit: &Visit) -> Result<Self, OpError> {
        let wanted = PreviewRequest::Sums(Freshness::Recent);
        let (plan, problem) = match ops::vacuum::preview(app, &visit.actor, wanted).await {
            Ok(plan) => (Some(plan), None),
            Err(error) => {
                let known = ops::vacuum::known_preview(app, &visit.actor)?;
                (known.map(|known| known.preview), Some(error.to_string()))
            }
        };
        Ok(Self { plan, is_old: false, problem })
    }

    /// When it was looked at.
    pub fn at(&self) -> Option<Timestamp> {
        self.plan.as_ref().map(|plan| plan.at)
    }

    /// A store's bar. Markup.
    pub fn bar(&self, store: &StoreView, capacity: Option<u64>) -> String {
        let effect = self.plan.as_ref().map(|plan| plan.store(store.name.as_str()));
        let effect = effect.unwrap_or_default();
        let fill = Fill {
            used: store.bytes,
            reserved: store.reserved_bytes.saturating_add(store.writing_bytes),
            deleting: store.deleting_bytes,
            coming: effect.incoming.bytes,
            going: effect.outgoing.bytes,
            soft: store.soft_max_size,
            hard: store.max_size,
            capacity,
        };
        fill.bar()
    }
}

/// One word for a store's health; also the class of its mark.
pub fn health(store: &StoreView) -> &'static str {
    match store.health.state.as_str() {
        "ok" => "ok",
        "unavailable" => "unavailable",
        "foreign" => "foreign",
        _ => "unknown",
    }
}

/// `612.0 GB of 800.0 GB`, and what the figure means.
pub fn room(store: &StoreView, capacity: Option<u64>) -> String {
    let used = show::bytes(store.bytes);
    match (store.soft_max_size, store.max_size, capacity) {
        (Some(soft), Some(hard), _) if soft != hard => {
            format!("{used} of {} (at most {})", show::bytes(soft), show::bytes(hard))
        }
        (Some(limit), _, _) | (None, Some(limit), _) => format!("{used} of {}", show::bytes(limit)),
        (None, None, Some(disk)) => format!("{used} on a disk with room for {}", show::bytes(disk)),
        (None, None, None) => format!("{used}, no limit"),
    }
}

/// How the store has grown in the last weeks. Markup.
pub fn chart(store: &StoreView, forecast: &StoreForecast) -> String {
    let limit = store.soft_max_size.or(store.max_size);
    chart::growth(&forecast.growth.last(CHARTED_DAYS), limit)
}

/// Growth in words.
pub fn pace(per_day: i64) -> String {
    let size = show::bytes(per_day.unsigned_abs());
    match per_day {
        0 => "no growth".to_owned(),
        1.. => format!("+{size} a day"),
        _ => format!("−{size} a day"),
    }
}

/// When the nearest limit will be reached, in words.
pub fn forecast(forecast: &StoreForecast) -> Option<String> {
    let next = forecast.limits.iter().min_by_key(|limit| limit.day)?;
    let what = match next.limit {
        LimitKind::Soft => "soft limit",
        LimitKind::Hard => "hard limit",
        LimitKind::Disk => "disk's end",
    };
    Some(match next.day.checked_sub(forecast.growth.today()) {
        None | Some(0) => format!("at its {what}, or above it"),
        Some(1) => format!("reaches its {what} tomorrow"),
        Some(days) => {
            format!("reaches its {what} on {} (in {days} days)", show::day(next.day))
        }
    })
}
