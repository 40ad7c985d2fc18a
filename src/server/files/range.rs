//! The `Range` header (RFC 9110 section 14): one range of bytes, or the whole.

use std::ops::Range;

use axum::http::HeaderMap;
use axum::http::header::{IF_RANGE, RANGE};

use super::tags;
use crate::domain::{Digest, Timestamp};

/// What part of a file is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedRange {
    /// No range, one that we cannot read, or several: the whole file is the right answer.
    Whole,
    /// Not empty, within the file.
    Range(Range<u64>),
    Unsatisfiable,
}

/// The part that the headers of a GET ask for. `now` is the time of the answer.
pub fn wanted(
    headers: &HeaderMap,
    size: u64,
    digest: &Digest,
    modified: Timestamp,
    now: Timestamp,
) -> RequestedRange {
    let Some(range) = headers.get(RANGE) else { return RequestedRange::Whole };
    if !is_unchanged(headers, digest, modified, now) {
        return RequestedRange::Whole;
    }
    range.to_str().map_or(RequestedRange::Whole, |text| parse(text, size))
}

/// `If-Range`: whether the client's earlier part is of the same file. Without it, yes.
fn is_unchanged(headers: &HeaderMap, digest: &Digest, modified: Timestamp, now: Timestamp) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    if let Some(same) = tags::is_exactly(text, digest) {
        return same;
    }
    // A date proves nothing about a file that may have been replaced within the same second.
    let is_strong = now.seconds() > modified.seconds() + 1;
    let date = Timestamp::from_http_date(text);
    is_strong && date.is_some_and(|date| date.seconds() == modified.seconds())
}

fn parse(text: &str, size: u64) -> RequestedRange {
    let Some((unit, set)) = text.split_once('=') else { return RequestedRange::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return RequestedRange::Whole;
    }
    let mut specs = set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    let (Some(spec), None) = (specs.next(), specs.next()) else { return RequestedRange::Whole };
    let Some((first, last)) = spec.split_once('-') else { return RequestedRange::Whole };
    match (number(first), number(last)) {
        (Some(first), _) if last.is_empty() => cut(first, u64::MAX, size),
        (Some(first), Some(last)) if first <= last => cut(first, last, size),
        (None, Some(suffix)) if first.is_empty() => suffix_of(suffix, size),
        _ => RequestedRange::Whole,
    }
}

fn cut(first: u64, last: u64, size: u64) -> RequestedRange {
    if first >= size {
        return RequestedRange::Unsatisfiable;
    }
    RequestedRange::Range(first..last.saturating_add(1).min(size))
}

fn suffix_of(suffix: u64, size: u64) -> RequestedRange {
    match (suffix, size) {
        (0, _) => RequestedRange::Unsatisfiable,
        // All of nothing; there is no way to write its Content-Range.
        (_, 0) => RequestedRange::Whole,
        _ => RequestedRange::Range(size.saturating_sub(suffix)..size),
    }
}

/// Digits only; a number too large for us is behind the end of every file.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_cut_to_the_file_and_everything_odd_is_the_whole() {
        let cases = [
            ("bytes=0-0", 10, RequestedRange::Range(0..1)),
            ("bytes=2-", 10, RequestedRange::Range(2..10)),
            ("bytes=0-99", 10, RequestedRange::Range(0..10)),
            ("bytes=9-9", 10, RequestedRange::Range(9..10)),
            ("bytes=-3", 10, RequestedRange::Range(7..10)),
            ("bytes=-30", 10, RequestedRange::Range(0..10)),
            ("Bytes = 1-2", 10, RequestedRange::Range(1..3)),
            ("bytes=1-2,", 10, RequestedRange::Range(1..3)),
            ("bytes=5-99999999999999999999999", 10, RequestedRange::Range(5..10)),
            ("bytes=10-", 10, RequestedRange::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, RequestedRange::Unsatisfiable),
            ("bytes=-0", 10, RequestedRange::Unsatisfiable),
            ("bytes=0-", 0, RequestedRange::Unsatisfiable),
            ("bytes=-1", 0, RequestedRange::Whole),
            ("bytes=0-1,3-4", 10, RequestedRange::Whole),
            ("bytes=3-2", 10, RequestedRange::Whole),
            ("bytes=a-b", 10, RequestedRange::Whole),
            ("bytes=+1-2", 10, RequestedRange::Whole),
            ("bytes=-", 10, RequestedRange::Whole),
            ("bytes", 10, RequestedRange::Whole),
            ("items=0-1", 10, RequestedRange::Whole),
        ];
        for (text, size, part) in cases {
            assert_eq!(parse(text, size), part, "{text} of {size}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_gives_a_part_outside_of_the_file(
            text in "(bytes=)?[-0-9, ]{0,24}", size in 0u64..40,
        ) {
            if let RequestedRange::Range(range) = parse(&text, size) {
                proptest::prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn a_well_formed_range_is_what_it_says(first in 0u64..50, length in 1u64..50, size in 0u64..80) {
            let last = first + length - 1;
            let expected = if first < size {
                RequestedRange::Range(first..size.min(last + 1))
            } else {
                RequestedRange::Unsatisfiable
            };
            proptest::prop_assert_eq!(parse(&format!("bytes={first}-{last}"), size), expected);
        }
    }

    #[test]
    fn if_range_needs_the_same_file() {
        let digest = Digest([1; 32]);
        let modified = Timestamp(784_111_777_500_000);
        let later = Timestamp(784_111_787_000_000);
        let of = |condition: &str, now| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, "bytes=0-0".parse().expect("a value"));
            headers.insert(IF_RANGE, condition.parse().expect("a value"));
            wanted(&headers, 10, &digest, modified, now) != RequestedRange::Whole
        };
        let own = tags::etag(&digest);
        assert!(of(&own, later));
        assert!(!of(&format!("W/{own}"), later));
        assert!(!of("\"other\"", later));
        assert!(of("Sun, 06 Nov 1994 08:49:37 GMT", later));
        assert!(!of("Sun, 06 Nov 1994 08:49:38 GMT", later));
        assert!(!of("Sun, 06 Nov 1994 08:49:37 GMT", modified), "too fresh to be sure");
        assert!(!of("nonsense", later));
    }
}
