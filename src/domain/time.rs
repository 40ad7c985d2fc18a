//! Instants and durations, as values; only `clock.rs` reads the clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since the Unix epoch, UTC; RFC 3339 with microseconds in text and JSON (SPEC 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant plus `d`, saturating.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant less `d`, saturating.
    #[must_use]
    pub fn before(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this instant; zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, for HTTP headers (RFC 9110 section 5.6.7).
    pub fn http_date(self) -> String {
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&self.jiff())
            .unwrap_or_default()
    }

    /// Reads an HTTP date; `None` when it is not one.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
        Some(Self(zoned.as_microsecond()))
    }

    /// `2026-11-22 14:39 UTC`, for people.
    pub fn to_minute(self) -> String {
        let text = self.to_string();
        match (text.get(..10), text.get(11..16)) {
            (Some(day), Some(time)) => format!("{day} {time} UTC"),
            _ => text,
        }
    }

    /// Days since the epoch, UTC.
    pub fn day(self) -> u32 {
        u32::try_from(self.seconds().div_euclid(86_400)).unwrap_or(0)
    }

    /// Seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.jiff())
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(s: &str) -> Result<Self, jiff::Error> {
        Ok(Self(s.parse::<jiff::Timestamp>()?.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads `90s`, `10m`, `24h`, `90d`, or a bare number of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|_| factor > 0)
        .and_then(|n| n.checked_mul(factor))
        // A thousand years: everything above is a typing error and would overflow timestamps.
        .filter(|n| *n <= 1000 * 366 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is not a duration: write 90s, 10m, 24h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        let t = Timestamp(1_700_000_000_000_001);
        assert_eq!(t.to_string(), "2023-11-14T22:13:20.000001Z");
        assert_eq!(t.to_string().parse::<Timestamp>().ok(), Some(t));
        assert_eq!(Timestamp(1_700_000_000_000_000).to_string(), "2023-11-14T22:13:20.000000Z");
    }

    #[test]
    fn http_dates_survive_a_round_trip() {
        let t = Timestamp(784_111_777_000_000);
        assert_eq!(t.http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Timestamp::from_http_date(&t.http_date()), Some(t));
        assert_eq!(Timestamp::from_http_date("yesterday"), None);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert!(
            parse_duration("h").is_err()
                && parse_duration("-1s").is_err()
                && parse_duration("1w2").is_err()
        );
    }
}
