//! Query strings and form bodies.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::errors::Failure;

/// The pairs of `application/x-www-form-urlencoded` text. `+` is a space here, unlike in paths.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Self(decoded.collect::<Result<_, Failure>>()?))
    }

    /// The first value of `name`; empty when it has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All pairs; of several values of one name the first comes last.
    pub fn into_pairs(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter().rev()
    }

    /// Whether a switch is on: `?name`, or with any value that does not say no.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "false" | "0" | "no" | "off"))
    }
}

fn decode(text: &str) -> Result<String, Failure> {
    let spaced: Cow<'_, str> =
        if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let bad = |_| Failure::invalid("malformed-query", "the query is not UTF-8 after decoding");
    Ok(decoded.map_err(bad)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_once() {
        let query = Query::parse("a=1%202+3&download&&b=%2525&a=9").expect("a query");
        assert_eq!(query.get("a"), Some("1 2 3"));
        assert_eq!(query.get("b"), Some("%25"));
        assert!(query.is_set("download") && !query.is_set("proxy"));
        let said = Query::parse("proxy=false&download=true").expect("a query");
        assert!(said.is_set("download") && !said.is_set("proxy"));
        assert!(Query::parse("a=%ff").is_err());
    }
}
