//! How pages speak of a store: how full it is, how it fares, when it will be full.

use super::chart::Fill;
use super::show;
use crate::api::StoreView;
use crate::app::App;
use crate::ops::status::Growth;

/// A store's bar, with what the next run would move as far as that is known.
pub fn fill(app: &App, store: &StoreView, capacity: Option<u64>) -> Fill {
    let plan = app.maintenance.cached_preview();
    let effect = plan.map(|plan| plan.store(store.name.as_str())).unwrap_or_default();
    Fill {
        used: store.bytes,
        reserved: store.reserved_bytes.saturating_add(store.writing_bytes),
        deleting: store.deleting_bytes,
        coming: effect.incoming.bytes,
        going: effect.outgoing.bytes,
        soft: store.soft_max_size,
        hard: store.max_size,
        capacity,
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
pub fn forecast(growth: &Growth, today: u32) -> Option<String> {
    let (what, day) = growth.limit_day?;
    Some(match day.checked_sub(today) {
        None | Some(0) => format!("at its {what}, or above it"),
        Some(1) => format!("reaches its {what} tomorrow"),
        Some(days) => {
            format!("reaches its {what} on {} (in {days} days)", show::day(day))
        }
    })
}
