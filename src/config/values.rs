//! Values of the configuration as people write them. Every error says what is allowed.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Time;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::{ByteSize, parse_duration, parse_limit};

/// An address to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        let allowed = "write \"127.0.0.1:8700\" or \"[::1]:8700\": an IP address and a port";
        de::Error::custom(format!("{text:?} is not an address to listen on: {allowed}"))
    })
}

/// When maintenance starts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    Off,
    /// So long after the last run finished.
    Every(Duration),
    /// At this local time of day.
    Daily(Time),
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Daily(Time::constant(2, 0, 0, 0))
    }
}

/// Hours of the day, local time; may span midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Time,
    /// The first moment outside.
    pub until: Time,
}

impl Window {
    pub fn contains(&self, time: Time) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&time)
        } else {
            time >= self.from || time < self.until
        }
    }
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two_digits = |s: &str| s.len() <= 2 && s.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn show_time(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        if let Some(every) = text.strip_prefix("every ") {
            return match parse_duration(every)? {
                short if short < Duration::from_mins(1) => {
                    Err(format!("{text:?} is too often: at least every 1m"))
                }
                every => Ok(Self::Every(every)),
            };
        }
        time_of_day(text).map(Self::Daily).ok_or_else(|| {
            format!("{text:?} is not a schedule: write \"02:00\", \"every 6h\" or \"off\"")
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Every(d) => write!(f, "every {}", show_duration(*d)),
            Self::Daily(time) => f.write_str(&show_time(*time)),
        }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('-')
            .and_then(|(from, until)| {
                Some(Self { from: time_of_day(from)?, until: time_of_day(until)? })
            })
            .filter(|w| w.from != w.until)
            .ok_or_else(|| {
                format!("{text:?} is not a window of hours: write \"22:00-06:00\" or \"none\"")
            })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", show_time(self.from), show_time(self.until))
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The largest unit that says it exactly.
pub fn show_duration(d: Duration) -> String {
    let seconds = d.as_secs();
    [(86_400 * 7, 86_400, "d"), (3600, 3600, "h"), (60, 60, "m")]
        .iter()
        .find(|(from, unit, _)| seconds >= *from && seconds.is_multiple_of(*unit))
        .map_or_else(
            || format!("{seconds}s"),
            |(_, unit, name)| format!("{}{name}", seconds / unit),
        )
}

/// The largest unit that says it exactly.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 8] = [
        (1 << 40, "TiB"),
        (1_000_000_000_000, "TB"),
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1000, "kB"),
    ];
    UNITS
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// Text or a bare number, both handed over as text.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text such as \"24h\" or \"20MB\", or a number")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Text, E> {
                Ok(Text(v.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Text, E> {
                Ok(Text(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Text, E> {
                Ok(Text(v.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, Text, de, parse_duration};

    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::show_duration(*d))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        parse_duration(&Text::deserialize(d)?.0).map_err(de::Error::custom)
    }
}

pub mod size {
    use super::{ByteSize, Deserialize, Deserializer, Serializer, Text, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub fn serialize<S: Serializer>(bytes: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::show_size(*bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        Text::deserialize(d)?.0.parse().map(|ByteSize(b)| b).map_err(de::Error::custom)
    }
}

pub mod limit {
    use super::{Deserialize, Deserializer, Serializer, Text, de, parse_limit};

    #[expect(clippy::ref_option, reason = "serde hands over a reference")]
    pub fn serialize<S: Serializer>(limit: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&limit.map_or_else(|| "none".to_owned(), super::show_size))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
        let limit = parse_limit(&Text::deserialize(d)?.0)
            .map_err(|e| de::Error::custom(format!("{e}, or none")))?;
        Ok(limit.map(|b| b.0))
    }
}

pub mod window {
    use super::{Deserialize, Deserializer, Serializer, Window, de};

    #[expect(clippy::ref_option, reason = "serde hands over a reference")]
    pub fn serialize<S: Serializer>(window: &Option<Window>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&window.map_or_else(|| "none".to_owned(), |w| w.to_string()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Window>, D::Error> {
        let text = String::deserialize(d)?;
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        text.parse().map(Some).map_err(de::Error::custom)
    }
}

pub fn log_level<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    crate::logging::filter(&text).map_err(de::Error::custom)?;
    Ok(text)
}

pub fn notify_url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    // The text may hold a secret and is not repeated in the error.
    check_url(&text).map_err(de::Error::custom)?;
    Ok(text)
}

pub fn hidden_url<S: Serializer>(url: &str, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&without_secrets(url))
}

/// Scheme and host, the rest as an ellipsis.
pub fn without_secrets(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => format!("{}://{}/…", url.scheme(), url.host_str().unwrap_or_default()),
        Err(_) => "…".to_owned(),
    }
}

/// Checks that `text` is the URL of a web server.
pub fn check_url(text: &str) -> Result<(), &'static str> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err("not a URL: write https://HOST/… or http://HOST/…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_a_time_an_interval_or_off() {
        assert_eq!("off".parse(), Ok(Schedule::Off));
        assert_eq!("every 6h".parse(), Ok(Schedule::Every(Duration::from_hours(6))));
        assert_eq!("02:00".parse(), Ok(Schedule::default()));
        for bad in ["", "24:00", "2", "02:60", "every", "every 0s", "every 5x", "+2:00", "002:00"] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_window_may_span_midnight() {
        let window: Window = "22:00-06:00".parse().expect("window");
        let at = |h| Time::constant(h, 0, 0, 0);
        assert!(window.contains(at(22)) && window.contains(at(0)) && window.contains(at(5)));
        assert!(!window.contains(at(6)) && !window.contains(at(21)));
        let day: Window = "08:00-17:00".parse().expect("window");
        assert!(day.contains(at(8)) && !day.contains(at(17)) && !day.contains(at(0)));
        assert!("06:00-06:00".parse::<Window>().is_err());
    }

    #[test]
    fn durations_and_sizes_are_shown_exactly() {
        for (text, seconds) in [("24h", 86_400), ("90s", 90), ("0s", 0), ("7d", 604_800)] {
            assert_eq!(show_duration(Duration::from_secs(seconds)), text);
        }
        for (text, bytes) in [("32MiB", 32 << 20), ("20MB", 20_000_000), ("0", 0), ("1001", 1001)] {
            assert_eq!(show_size(bytes), text);
        }
    }

    #[test]
    fn what_follows_the_host_of_a_notify_url_is_hidden() {
        assert_eq!(
            without_secrets("https://u:p@hooks.example.org/T0/secret"),
            "https://hooks.example.org/…"
        );
    }
}
