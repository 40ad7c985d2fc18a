//! When a limit will be reached, judged by the daily usage samples of a store (SPEC 2).

/// How far back growth is judged: four weeks see the rhythm of a month, and forget a move of last year.
const WINDOW: u32 = 28;
/// Fewer days of samples say nothing about growth: a week has seen a weekend.
const SHORTEST: u32 = 7;
/// A limit that far away is none to think about: ten years.
const HORIZON: u32 = 3650;

/// Bytes that are added per day, negative when the store shrinks; `None` with less than a week of
/// samples. `samples` are (days since the epoch, bytes), oldest first; days may be missing.
///
/// The median of the slopes between all pairs of days (Theil and Sen), so that a single import or
/// clean-up, which is no trend, does not pass for one.
pub fn daily_growth(samples: &[(u32, u64)]) -> Option<i64> {
    let (last, _) = *samples.last()?;
    let recent = &samples[samples.partition_point(|(day, _)| *day < last.saturating_sub(WINDOW))..];
    if last.saturating_sub(recent.first()?.0) < SHORTEST {
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

/// The day (since the epoch) on which usage reaches `limit` bytes: the last sample's when it has
/// already, `None` when it will not within ten years or the samples do not tell.
pub fn day_of_limit(samples: &[(u32, u64)], limit: u64) -> Option<u32> {
    let (last, held) = *samples.last()?;
    let room = limit.saturating_sub(held);
    if room == 0 {
        return Some(last);
    }
    let per_day = daily_growth(samples).and_then(|g| u64::try_from(g).ok()).filter(|g| *g > 0)?;
    let days = u32::try_from(room.div_ceil(per_day)).ok().filter(|days| *days <= HORIZON)?;
    last.checked_add(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(bytes: impl IntoIterator<Item = u64>) -> Vec<(u32, u64)> {
        (20_000..).zip(bytes).collect()
    }

    #[test]
    fn steady_growth_reaches_the_limit_on_the_day_it_must() {
        let samples = daily((0..=10).map(|day| day * 100));
        assert_eq!(daily_growth(&samples), Some(100));
        assert_eq!(day_of_limit(&samples, 1500), Some(20_015));
        assert_eq!(day_of_limit(&samples, 1501), Some(20_016), "a part of a day is a day");
    }

    #[test]
    fn a_reached_limit_is_reached_today_whatever_the_trend() {
        assert_eq!(day_of_limit(&daily([900]), 900), Some(20_000));
        assert_eq!(day_of_limit(&daily((0..10).map(|day| 2000 - day)), 0), Some(20_009));
    }

    #[test]
    fn neither_a_few_days_nor_a_standstill_nor_shrinking_is_a_forecast() {
        assert_eq!(day_of_limit(&[], 10), None);
        assert_eq!(day_of_limit(&daily((0..7).map(|day| day * 100)), 10_000), None);
        assert_eq!(day_of_limit(&daily([500; 20]), 10_000), None);
        assert_eq!(day_of_limit(&daily((0..20).map(|day| 5000 - day * 100)), 10_000), None);
        assert_eq!(day_of_limit(&daily(0..20), u64::MAX), None, "ten years");
    }

    #[test]
    fn one_import_is_no_trend() {
        let step = |day| if day < 9 { 0 } else { 1_000_000 };
        let samples = daily((0..28).map(|day| day * 10 + step(day)));
        let growth = daily_growth(&samples).expect("four weeks of samples");
        assert!((10..100_000).contains(&growth), "{growth}");
        let flat = daily((0..20).map(|day| if day == 12 { 9000 } else { 500 }));
        assert_eq!(day_of_limit(&flat, 10_000), None, "a bulge that went away");
    }

    #[test]
    fn only_the_last_weeks_count_and_days_may_be_missing() {
        let mut samples: Vec<_> = (0..300).map(|day| (19_000 + day, 7_000_000)).collect();
        samples.extend((0..=28).step_by(3).map(|day| (20_000 + day, u64::from(day) * 100)));
        assert_eq!(daily_growth(&samples), Some(100));
        assert_eq!(day_of_limit(&samples, 10_000), Some(20_100));
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let samples = [(0, 0), (u32::MAX - 8, u64::MAX - 1), (u32::MAX, 0)];
        assert_eq!(daily_growth(&samples).map(i64::signum), Some(-1));
        assert_eq!(day_of_limit(&samples, u64::MAX), None);
        let jump = [(0, 0), (7, u64::MAX - 1)];
        assert_eq!(day_of_limit(&jump, u64::MAX), Some(8));
    }
}
