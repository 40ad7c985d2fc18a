//! Sizes in bytes, as people write and read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes. Text takes `80GB` (decimal), `80GiB` (binary), `500MB` and plain bytes;
/// JSON is an integer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// A size that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write plain bytes, 500MB, 80GB or 80GiB")]
pub struct SizeError(pub String);

const UNITS: [(&str, u64); 12] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("b", 1),
    ("", 1),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let bad = || SizeError(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(split);
        let factor =
            UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, f)| *f).ok_or_else(bad)?;
        decimal_times(number, factor).map(Self).ok_or_else(bad)
    }
}

/// `"1.5" * 1000` in integers, so that no size passes through a float.
fn decimal_times(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 15 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let total = whole.checked_mul(scale)?.checked_add(fraction)?.checked_mul(u128::from(factor))?;
    (total % scale == 0).then(|| u64::try_from(total / scale).ok()).flatten()
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, divisor) = match self.0 {
            0..1_000 => return f.pad(&format!("{} B", self.0)),
            1_000..1_000_000 => ("kB", 1_000),
            1_000_000..1_000_000_000 => ("MB", 1_000_000),
            1_000_000_000..1_000_000_000_000 => ("GB", 1_000_000_000),
            _ => ("TB", 1_000_000_000_000u64),
        };
        let tenths = u128::from(self.0) * 10 / u128::from(divisor);
        f.pad(&format!("{}.{} {unit}", tenths / 10, tenths % 10))
    }
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Count {
    pub files: u64,
    pub bytes: u64,
}

impl Count {
    pub fn new(files: u64, bytes: u64) -> Self {
        Self { files, bytes }
    }

    /// Adds one file of `bytes`.
    pub fn add(&mut self, bytes: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Adds all that `other` counts.
    pub fn add_all(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// Reads a limit: a size, or `none` for no limit.
pub fn parse_limit(text: &str) -> Result<Option<ByteSize>, SizeError> {
    if text.trim().eq_ignore_ascii_case("none") { Ok(None) } else { text.parse().map(Some) }
}

/// `1 file`, `2 files`.
pub fn plural(count: u64, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}

/// What a parser says about a number, without the names of this program's types.
pub fn plain_types(message: &str) -> String {
    let types = [
        ("expected usize", "expected a whole number from 0 on"),
        ("expected u64", "expected a whole number from 0 on"),
        ("expected i32", "expected a whole number of at most 32 bits"),
    ];
    let plain = |text: String, (ours, theirs): (&str, &str)| text.replace(ours, theirs);
    types.into_iter().fold(message.to_owned(), plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        let cases = [
            ("0", 0),
            ("80GB", 80_000_000_000),
            ("80GiB", 80 << 30),
            ("500MB", 500_000_000),
            ("1.5 kB", 1500),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in
            ["", "GB", "-1", "1.", ".5", "1.0005kB1", "1.00005kB", "18446744073709551616", "1e3"]
        {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(parse_limit("none"), Ok(None));
    }

    #[test]
    fn sizes_print_short() {
        assert_eq!(ByteSize(999).to_string(), "999 B");
        assert_eq!(ByteSize(83_000_000_000).to_string(), "83.0 GB");
    }
}
