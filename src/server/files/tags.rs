//! Entity tags, and the conditions that clients put on them (RFC 9110 section 13).

use axum::http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use axum::http::{HeaderMap, HeaderName};

use crate::domain::{Digest, Timestamp};
use crate::server::errors::Failure;
use crate::transfer::Condition;

/// `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    Any,
    /// Tags that are no digests of ours can match nothing and are left out.
    List(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub weak: bool,
    pub digest: Digest,
}

/// The tag of a file: its digest in quotes.
pub fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// One entity tag at the start of `text`, and what follows it.
fn one(text: &str) -> Option<(Option<Tag>, &str)> {
    let (weak, quoted) = match text.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
    Some((opaque.parse().ok().map(|digest| Tag { weak, digest }), rest))
}

/// Whether a header value is one entity tag and nothing else, and whether it stands for exactly
/// these bytes; `None` when it is no tag.
pub fn is_exactly(text: &str, digest: &Digest) -> Option<bool> {
    let (tag, _) = one(text.trim()).filter(|(_, rest)| rest.is_empty())?;
    Some(tag.is_some_and(|tag| !tag.weak && tag.digest == *digest))
}

fn list(text: &str) -> Option<Tags> {
    if text.trim() == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(Tags::List(tags));
        }
        let (tag, after) = one(rest)?;
        tags.extend(tag);
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// The tags in a header; `Ok(None)` when it is absent.
pub fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Failure> {
    let mut lines = headers.get_all(name).iter().peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    let bad = || {
        let detail = format!("{name} is neither * nor a list of entity tags in quotes");
        Failure::invalid("malformed-condition", detail)
    };
    let texts: Result<Vec<&str>, _> = lines.map(|line| line.to_str()).collect();
    list(&texts.map_err(|_| bad())?.join(",")).map(Some).ok_or_else(bad)
}

impl Tags {
    /// Strong comparison: a weak tag matches nothing.
    fn matches_strongly(&self, digest: &Digest) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|t| !t.weak && t.digest == *digest),
        }
    }

    fn matches_weakly(&self, digest: &Digest) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|t| t.digest == *digest),
        }
    }
}

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluation {
    Proceed,
    NotModified,
    Failed,
}

/// True when there is anything to evaluate.
pub fn is_conditional(headers: &HeaderMap) -> bool {
    let names = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE];
    names.iter().any(|name| headers.contains_key(name))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    headers.get(name).and_then(|v| v.to_str().ok()).and_then(Timestamp::from_http_date)
}

/// Evaluates the conditions of a read in the order of RFC 9110 section 13.2.2.
pub fn evaluate(
    headers: &HeaderMap,
    digest: &Digest,
    modified: Timestamp,
) -> Result<Evaluation, Failure> {
    match tags(headers, &IF_MATCH)? {
        Some(wanted) if !wanted.matches_strongly(digest) => return Ok(Evaluation::Failed),
        Some(_) => {}
        None => {
            let since = date(headers, &IF_UNMODIFIED_SINCE);
            if since.is_some_and(|since| modified.seconds() > since.seconds()) {
                return Ok(Evaluation::Failed);
            }
        }
    }
    let unchanged = match tags(headers, &IF_NONE_MATCH)? {
        Some(known) => known.matches_weakly(digest),
        None => date(headers, &IF_MODIFIED_SINCE)
            .is_some_and(|since| modified.seconds() <= since.seconds()),
    };
    Ok(if unchanged { Evaluation::NotModified } else { Evaluation::Proceed })
}

/// The condition of a PUT or DELETE. `current` is asked for the digest and time of what is there,
/// when a date has to be turned into a digest so that the commit can check it again.
pub fn condition(
    headers: &HeaderMap,
    current: impl FnOnce() -> Result<Option<(Digest, Timestamp)>, Failure>,
) -> Result<Condition, Failure> {
    match (tags(headers, &IF_MATCH)?, tags(headers, &IF_NONE_MATCH)?) {
        (Some(_), Some(_)) => Err(Failure::invalid(
            "malformed-condition",
            "If-Match and If-None-Match contradict each other: send one of them",
        )),
        (Some(Tags::Any), None) => Ok(Condition::Present),
        (Some(Tags::List(tags)), None) => {
            let strong = tags.into_iter().filter(|t| !t.weak).map(|t| t.digest);
            Ok(Condition::OneOf(strong.collect()))
        }
        (None, Some(Tags::Any)) => Ok(Condition::Absent),
        (None, Some(Tags::List(tags))) => {
            Ok(Condition::NotOneOf(tags.into_iter().map(|t| t.digest).collect()))
        }
        (None, None) => {
            let Some(since) = date(headers, &IF_UNMODIFIED_SINCE) else {
                return Ok(Condition::None);
            };
            match current()? {
                Some((_, modified)) if modified.seconds() > since.seconds() => {
                    Err(Failure::precondition())
                }
                Some((digest, _)) => Ok(Condition::OneOf(vec![digest])),
                None => Ok(Condition::None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(784_111_777_500_000);

    fn map(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.clone(), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn conditions_of_a_read_follow_rfc_9110() {
        let digest = Digest([7; 32]);
        let (own, other) = (etag(&digest), etag(&Digest([8; 32])));
        let weak = format!("W/{own}");
        let both = format!("{other}, {own}");
        let (now, before) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT");
        let cases: [(&[(HeaderName, &str)], Evaluation); 13] = [
            (&[(IF_NONE_MATCH, &own)], Evaluation::NotModified),
            (&[(IF_NONE_MATCH, &weak)], Evaluation::NotModified),
            (&[(IF_NONE_MATCH, &both)], Evaluation::NotModified),
            (&[(IF_NONE_MATCH, "*")], Evaluation::NotModified),
            (&[(IF_NONE_MATCH, &other)], Evaluation::Proceed),
            (&[(IF_NONE_MATCH, &other), (IF_MODIFIED_SINCE, now)], Evaluation::Proceed),
            (&[(IF_MODIFIED_SINCE, now)], Evaluation::NotModified),
            (&[(IF_MODIFIED_SINCE, before)], Evaluation::Proceed),
            (&[(IF_MATCH, &weak)], Evaluation::Failed),
            (&[(IF_MATCH, &own), (IF_UNMODIFIED_SINCE, before)], Evaluation::Proceed),
            (&[(IF_UNMODIFIED_SINCE, before)], Evaluation::Failed),
            (&[(IF_MATCH, &other), (IF_NONE_MATCH, &own)], Evaluation::Failed),
            (&[(IF_MATCH, "\"foreign\""), (IF_NONE_MATCH, &own)], Evaluation::Failed),
        ];
        for (headers, verdict) in cases {
            let found = evaluate(&map(headers), &digest, NOW).expect("well-formed");
            assert_eq!(found, verdict, "{headers:?}");
        }
        let bad = evaluate(&map(&[(IF_MATCH, "no-quotes")]), &digest, NOW);
        assert!(bad.is_err_and(|f| f.status() == 400));
    }

    #[test]
    fn a_date_on_a_write_becomes_the_digest_of_what_is_there() {
        let digest = Digest([7; 32]);
        let current = || Ok(Some((digest, NOW)));
        let at = |text| map(&[(IF_UNMODIFIED_SINCE, text)]);
        let held = condition(&at("Sun, 06 Nov 1994 08:49:37 GMT"), current).expect("holds");
        assert_eq!(held, Condition::OneOf(vec![digest]));
        let changed = condition(&at("Sun, 06 Nov 1994 08:49:36 GMT"), current);
        assert!(changed.is_err_and(|f| f.status() == 412));
    }
}
