//! When the next run is due: pure, from times and the configuration.

use jiff::Zoned;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::config::Schedule;
use crate::domain::Timestamp;

/// The wall clock time of day of this machine's time zone; `None` for times no calendar has.
pub fn local_time(at: Timestamp) -> Option<Time> {
    Some(zoned(at, TimeZone::system())?.time())
}

fn zoned(at: Timestamp, zone: TimeZone) -> Option<Zoned> {
    Some(jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned(zone))
}

/// When a run is due, seen at `now`: `None` when the schedule is off.
pub fn next(schedule: Schedule, last_finished: Timestamp, now: Timestamp) -> Option<Timestamp> {
    next_in(schedule, last_finished, now, TimeZone::system())
}

fn next_in(
    schedule: Schedule,
    last_finished: Timestamp,
    now: Timestamp,
    zone: TimeZone,
) -> Option<Timestamp> {
    match schedule {
        Schedule::Off => None,
        Schedule::Every(pause) => Some(last_finished.after(pause).max(now)),
        Schedule::Daily(time) => {
            let from = zoned(now, zone)?;
            let today = from.with().time(time).build().ok()?;
            let next = if today > from {
                today
            } else {
                let tomorrow = from.date().tomorrow().ok()?;
                from.with().date(tomorrow).time(time).build().ok()?
            };
            Some(Timestamp(next.timestamp().as_microsecond()))
        }
    }
}

/// Whether a slot has passed since the last run, while the process was away [38].
pub fn is_overdue(schedule: Schedule, last_finished: Timestamp, now: Timestamp) -> bool {
    is_overdue_in(schedule, last_finished, now, TimeZone::system())
}

fn is_overdue_in(
    schedule: Schedule,
    last_finished: Timestamp,
    now: Timestamp,
    zone: TimeZone,
) -> bool {
    next_in(schedule, last_finished, last_finished, zone).is_some_and(|slot| slot <= now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    #[test]
    fn a_daily_run_is_due_at_its_local_time_today_or_tomorrow() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let daily = Schedule::Daily(Time::constant(2, 0, 0, 0));
        let next = |now| next_in(daily, Timestamp(0), at(now), zone.clone());
        assert_eq!(next("2026-11-22T23:30:00Z"), Some(at("2026-11-23T00:00:00Z")));
        assert_eq!(next("2026-11-23T00:00:00Z"), Some(at("2026-11-24T00:00:00Z")));
    }

    #[test]
    fn an_interval_counts_from_the_end_of_the_last_run() {
        let every = Schedule::Every(Duration::from_hours(6));
        let (last, now) = (at("2026-11-22T10:00:00Z"), at("2026-11-22T11:00:00Z"));
        assert_eq!(next(every, last, now), Some(at("2026-11-22T16:00:00Z")));
        assert_eq!(next(every, Timestamp(0), now), Some(now), "missed ones are due at once");
        assert_eq!(next(Schedule::Off, last, now), None);
    }

    #[test]
    fn a_run_is_overdue_when_a_slot_has_passed_unless_the_schedule_is_off() {
        let zone = || TimeZone::fixed(jiff::tz::offset(0));
        let is_overdue = |schedule, last, now| is_overdue_in(schedule, at(last), at(now), zone());
        let daily = Schedule::Daily(Time::constant(2, 0, 0, 0));
        // Off at night, and switched on a little earlier each day.
        assert!(is_overdue(daily, "2026-11-22T07:10:00Z", "2026-11-23T07:00:00Z"));
        assert!(!is_overdue(daily, "2026-11-22T02:05:00Z", "2026-11-22T23:00:00Z"));
        assert!(is_overdue(daily, "2026-11-22T02:05:00Z", "2026-11-23T02:00:00Z"));
        let every = Schedule::Every(Duration::from_hours(6));
        assert!(is_overdue(every, "2026-11-22T02:00:00Z", "2026-11-22T08:00:00Z"));
        assert!(!is_overdue(every, "2026-11-22T02:00:00Z", "2026-11-22T07:59:59Z"));
        assert!(!is_overdue(Schedule::Off, "2026-11-22T02:00:00Z", "2027-11-22T02:00:00Z"));
    }
}
