//! How a store grows and when it will reach a limit, judged by its daily usage samples (SPEC 2).

use serde::{Deserialize, Serialize};

/// How far back growth is judged: four weeks see the rhythm of a month, and forget a move of last year.
const WINDOW: u32 = 28;
/// Fewer days of samples say nothing about growth: a week has seen a weekend.
const SHORTEST: u32 = 7;
/// A limit that far away is none to think about: ten years.
const HORIZON: u32 = 3650;

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

/// The bytes that a store held day by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// (day since the epoch, bytes), oldest first; days may be missing.
    past: Vec<(u32, u64)>,
    today: u32,
    held: u64,
}

impl Growth {
    /// From the samples of past days, oldest first, and what is held today.
    pub fn new(samples: impl IntoIterator<Item = (u32, u64)>, today: u32, held: u64) -> Self {
        let past = samples.into_iter().filter(|(day, _)| *day < today).collect();
        Self { past, today, held }
    }

    pub fn today(&self) -> u32 {
        self.today
    }

    /// Bytes held today.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// The samples of the last `days` days and of today.
    pub fn last(&self, days: u32) -> Vec<(u32, u64)> {
        let first = self.past.partition_point(|(day, _)| day.saturating_add(days) < self.today);
        let past = self.past.get(first..).unwrap_or_default().iter().copied();
        past.chain([(self.today, self.held)]).collect()
    }

    /// Bytes that came since the last sample that is at least `days` old; `None` without one.
    pub fn added_in(&self, days: u32) -> Option<u64> {
        let then = self.past.iter().rfind(|(day, _)| day.saturating_add(days) <= self.today);
        then.map(|(_, bytes)| self.held.saturating_sub(*bytes))
    }

    /// Bytes that are added per day, negative when the store shrinks; `None` with less than a week of
    /// samples.
    ///
    /// The median of the slopes between all pairs of days (Theil and Sen), so that a single import or
    /// clean-up, which is no trend, does not pass for one.
    pub fn per_day(&self) -> Option<i64> {
        let recent = self.last(WINDOW);
        if self.today.saturating_sub(recent.first()?.0) < SHORTEST {
            return None;
        }
        let slopes = recent.iter().enumerate().flat_map(|(i, (from, before))| {
            recent[i + 1..].iter().filter(move |(day, _)| day > from).map(move |(to, after)| {
                (i128::from(*after) - i128::from(*before)) / i128::from(to - from)
            })
        });
        let mut slopes: Vec<i128> = slopes.collect();
        let middle = slopes.len() / 2;
        let (_, median, _) = slopes.select_nth_unstable(middle);
        Some(i64::try_from(*median).unwrap_or(if *median < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The day (since the epoch) on which usage reaches `limit` bytes: today when it has already,
    /// `None` when it will not within ten years or the samples do not tell.
    pub fn day_of_limit(&self, limit: u64) -> Option<u32> {
        let room = limit.saturating_sub(self.held);
        if room == 0 {
            return Some(self.today);
        }
        let per_day = self.per_day().and_then(|g| u64::try_from(g).ok()).filter(|g| *g > 0)?;
        let days = u32::try_from(room.div_ceil(per_day)).ok().filter(|days| *days <= HORIZON)?;
        self.today.checked_add(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last sample is today's.
    fn growth(mut samples: Vec<(u32, u64)>) -> Growth {
        let (today, held) = samples.pop().expect("a sample");
        Growth::new(samples, today, held)
    }

    fn daily(bytes: impl IntoIterator<Item = u64>) -> Growth {
        growth((20_000..).zip(bytes).collect())
    }

    #[test]
    fn steady_growth_reaches_the_limit_on_the_day_it_must() {
        let samples = daily((0..=10).map(|day| day * 100));
        assert_eq!(samples.per_day(), Some(100));
        assert_eq!(samples.day_of_limit(1500), Some(20_015));
        assert_eq!(samples.day_of_limit(1501), Some(20_016), "a part of a day is a day");
    }

    #[test]
    fn a_reached_limit_is_reached_today_whatever_the_trend() {
        assert_eq!(daily([900]).day_of_limit(900), Some(20_000));
        assert_eq!(daily((0..10).map(|day| 2000 - day)).day_of_limit(0), Some(20_009));
    }

    #[test]
    fn neither_a_few_days_nor_a_standstill_nor_shrinking_is_a_forecast() {
        assert_eq!(daily((0..7).map(|day| day * 100)).day_of_limit(10_000), None);
        assert_eq!(daily([500; 20]).day_of_limit(10_000), None);
        assert_eq!(daily((0..20).map(|day| 5000 - day * 100)).day_of_limit(10_000), None);
        assert_eq!(daily(0..20).day_of_limit(u64::MAX), None, "ten years");
    }

    #[test]
    fn one_import_is_no_trend() {
        let step = |day| if day < 9 { 0 } else { 1_000_000 };
        let samples = daily((0..28).map(|day| day * 10 + step(day)));
        let per_day = samples.per_day().expect("four weeks of samples");
        assert!((10..100_000).contains(&per_day), "{per_day}");
        let flat = daily((0..20).map(|day| if day == 12 { 9000 } else { 500 }));
        assert_eq!(flat.day_of_limit(10_000), None, "a bulge that went away");
    }

    #[test]
    fn only_the_last_weeks_count_and_days_may_be_missing() {
        let mut samples: Vec<_> = (0..300).map(|day| (19_000 + day, 7_000_000)).collect();
        samples.extend((0..=28).step_by(3).map(|day| (20_000 + day, u64::from(day) * 100)));
        let samples = growth(samples);
        assert_eq!(samples.per_day(), Some(100));
        assert_eq!(samples.day_of_limit(10_000), Some(20_100));
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let samples = growth(vec![(0, 0), (u32::MAX - 8, u64::MAX - 1), (u32::MAX, 0)]);
        assert_eq!(samples.per_day().map(i64::signum), Some(-1));
        assert_eq!(samples.day_of_limit(u64::MAX), None);
        let jump = growth(vec![(0, 0), (7, u64::MAX - 1)]);
        assert_eq!(jump.day_of_limit(u64::MAX), Some(8));
    }

    #[test]
    fn what_came_in_a_week_is_counted_from_the_youngest_sample_that_is_as_old() {
        let samples = daily((0..10).map(|day| 1000 + day * day));
        assert_eq!(samples.added_in(7), Some(81 - 4));
        assert_eq!(samples.last(1), [(20_008, 1064), (20_009, 1081)]);
        assert_eq!(daily(0..7).added_in(7), None);
    }
}
