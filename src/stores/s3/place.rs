//! URLs of a bucket, path style or virtual-hosted, at one endpoint.

use reqwest::Url;
use s3::signing::uri_encode;

use super::diagnosis::CallError;
use crate::domain::StoreProblem;

/// A bucket at an endpoint.
#[derive(Debug)]
pub(super) struct Place {
    /// Everything before the key, without the last slash.
    base: String,
    /// The bucket and the host that it stands before, when it is named there.
    bucket_host: Option<(String, String)>,
}

impl Place {
    /// `endpoint` is a base URL; `None` is AWS in `region`. An address given by number has no
    /// sub-domains, so it is always used path style.
    pub(super) fn new(
        endpoint: Option<&str>,
        region: &str,
        bucket: &str,
        path_style: bool,
    ) -> Result<Self, CallError> {
        let aws = format!("https://s3.{region}.amazonaws.com");
        let text = endpoint.unwrap_or(&aws);
        let refuse = |why: &str| {
            let (endpoint, why) = (text.to_owned(), why.to_owned());
            CallError::wide(StoreProblem::EndpointUnusable { endpoint, why })
        };
        let mut url = Url::parse(text).map_err(|e| refuse(&format!("is not a URL ({e})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("is neither http nor https"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(refuse("has a query, a fragment or a user name"));
        }
        let by_name = url.domain().map(str::to_owned);
        let mut bucket_host = None;
        let base = match by_name {
            Some(domain) if !path_style => {
                url.set_host(Some(&format!("{bucket}.{domain}")))
                    .map_err(|_| refuse("does not go with this bucket name; use path style"))?;
                bucket_host = Some((bucket.to_owned(), domain));
                url.as_str().trim_end_matches('/').to_owned()
            }
            _ => format!("{}/{}", url.as_str().trim_end_matches('/'), uri_encode(bucket, true)),
        };
        Ok(Self { base, bucket_host })
    }

    /// The bucket's URL.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The bucket and the host that it stands before; `None` when it is named in the path.
    pub(super) fn bucket_host(&self) -> Option<(&str, &str)> {
        self.bucket_host.as_ref().map(|(bucket, host)| (bucket.as_str(), host.as_str()))
    }

    /// The URL of a key. Refused for a prefix that URLs cannot carry (`.` and `..` segments).
    pub(super) fn object(&self, key: &str, query: &[(&str, &str)]) -> Result<Url, CallError> {
        let path = uri_encode(key, false);
        let text = format!("{}/{path}{}", self.base, query_string(query));
        let url = Url::parse(&text).map_err(|e| unusable(key, &e.to_string()))?;
        if url.path().ends_with(&path) {
            Ok(url)
        } else {
            Err(unusable(key, "it has a segment `.` or `..`"))
        }
    }

    /// The URL of the bucket itself.
    pub(super) fn bucket(&self, query: &[(&str, &str)]) -> Result<Url, CallError> {
        Url::parse(&format!("{}{}", self.base, query_string(query)))
            .map_err(|e| unusable("", &e.to_string()))
    }
}

fn unusable(key: &str, why: &str) -> CallError {
    let (key, why) = (key.to_owned(), why.to_owned());
    CallError::wide(StoreProblem::PrefixUnusable { key, why })
}

fn query_string(query: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(&uri_encode(name, true));
        text.push('=');
        text.push_str(&uri_encode(value, true));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: Option<&str>, path_style: bool, key: &str) -> String {
        let place = Place::new(endpoint, "eu-west-1", "buck", path_style).expect("a place");
        place.object(key, &[("a b", "c&d")]).expect("a URL").to_string()
    }

    #[test]
    fn both_styles_and_aws_itself_have_urls() {
        let cases = [
            (None, false, "https://buck.s3.eu-west-1.amazonaws.com/p%20q/x?a%20b=c%26d"),
            (None, true, "https://s3.eu-west-1.amazonaws.com/buck/p%20q/x?a%20b=c%26d"),
            (Some("http://h.org:9000/s3/"), true, "http://h.org:9000/s3/buck/p%20q/x?a%20b=c%26d"),
            (Some("http://127.0.0.1:9"), false, "http://127.0.0.1:9/buck/p%20q/x?a%20b=c%26d"),
        ];
        for (endpoint, path_style, expected) in cases {
            assert_eq!(url(endpoint, path_style, "p q/x"), expected);
        }
    }

    #[test]
    fn keys_that_urls_would_change_are_refused() {
        let place = Place::new(None, "r", "buck", true).expect("a place");
        assert!(place.object("a/../b", &[]).is_err());
        assert!(place.object("a//b", &[]).is_ok());
        assert!(Place::new(Some("s3.example.org"), "r", "buck", true).is_err());
    }
}
