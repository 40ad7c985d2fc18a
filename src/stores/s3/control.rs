//! Requests without bodies to speak of: HEAD, delete, list, and the marker.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::S3Store;
use super::client::{Call, PATIENCE, Payload, read_text};
use super::diagnosis::{CallError, Kind};
use super::upload::STORAGE_CLASS;
use crate::domain::{Digest, StoreProblem, Timestamp};
use crate::stores::names::{object_name, parse_object_name};
use crate::stores::{Listed, Marker, ObjectStat, Page};

/// 1000 keys of 1 KiB, each three times as long when encoded, and their surroundings.
const LISTING_BYTES: usize = 8 << 20;
const MARKER_BYTES: usize = 64 << 10;
const META: [&str; 4] = [
    "x-amz-meta-hayloft-format",
    "x-amz-meta-hayloft-instance",
    "x-amz-meta-hayloft-store",
    "x-amz-meta-hayloft-generation",
];

/// What HEAD says of a key.
pub(super) struct Head {
    pub stat: ObjectStat,
    pub headers: HeaderMap,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Listing {
    #[serde(rename = "Contents", default)]
    pub contents: Vec<ListedKey>,
    #[serde(rename = "IsTruncated", default)]
    pub truncated: bool,
    #[serde(rename = "EncodingType", default)]
    encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListedKey {
    #[serde(rename = "Key", default)]
    pub key: String,
    #[serde(rename = "Size", default)]
    size: u64,
    #[serde(rename = "LastModified", default)]
    modified: String,
}

impl S3Store {
    /// `None` for 404, which does not yet say that the bucket is there: see `require_marker`.
    pub(super) async fn head(&self, key: &str) -> Result<Option<Head>, CallError> {
        let response = match self.client.send(&Call::on_key(Method::HEAD, key)).await {
            Ok(response) => response,
            Err(t) if t.kind == Kind::Absent => return Ok(None),
            Err(t) => return Err(t),
        };
        let headers = response.headers().clone();
        let size = header(&headers, CONTENT_LENGTH.as_str()).and_then(|v| v.parse().ok());
        let Some(size) = size else {
            return Err(CallError::object("the provider's HEAD names no size"));
        };
        let modified = header(&headers, "last-modified").and_then(Timestamp::from_http_date);
        let stat = ObjectStat { size, modified };
        Ok(Some(Head { stat, headers }))
    }

    /// `Ok` when the marker is there, so that an absent key is really absent.
    pub(super) async fn require_marker(&self) -> Result<(), CallError> {
        if self.head(&self.marker_key()).await?.is_some() {
            return Ok(());
        }
        // Tells a bucket that is not there from one that was emptied.
        self.list_keys("", 1).await?;
        Err(CallError::wide(no_marker(self.location.to_string())))
    }

    pub(super) async fn delete_key(&self, key: &str) -> Result<(), CallError> {
        match self.client.send(&Call::on_key(Method::DELETE, key)).await {
            Ok(_) => Ok(()),
            // Providers answer 204 here; a 404 may be the bucket's.
            Err(t) if t.kind == Kind::Absent => self.list_keys("", 1).await.map(drop),
            Err(t) => Err(t),
        }
    }

    /// One page of keys after `start_after` (a full key, or empty), at most `limit` <= 1000.
    pub(super) async fn list_keys(
        &self,
        start_after: &str,
        limit: usize,
    ) -> Result<Listing, CallError> {
        let limit = limit.clamp(1, 1000).to_string();
        let mut query = vec![
            ("encoding-type", "url"),
            ("list-type", "2"),
            ("max-keys", limit.as_str()),
            ("prefix", self.client.prefix()),
        ];
        if !start_after.is_empty() {
            query.push(("start-after", start_after));
        }
        let response = self.client.send(&Call::on_bucket(&query)).await?;
        let text = read_text(response, LISTING_BYTES, PATIENCE).await?;
        let mut listing: Listing = self.parse(&text, "ListBucketResult")?;
        if listing.encoding.as_deref() == Some("url") {
            for object in &mut listing.contents {
                // Form encoding: a space may come as `+`, a plus sign comes as %2B.
                let spaced = object.key.replace('+', " ");
                object.key = percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
            }
        }
        Ok(listing)
    }

    pub(super) async fn list_objects(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page, CallError> {
        let limit = limit.clamp(1, 1000);
        let prefix = self.client.prefix();
        let mut page = Page::default();
        let mut start = after.map_or_else(String::new, |d| format!("{prefix}{}", object_name(d)));
        loop {
            let listing = self.list_keys(&start, 1000.min(limit + 1)).await?;
            let last = listing.contents.last().map(|o| o.key.clone());
            for object in listing.contents {
                page.objects.extend(listed(&object, prefix));
            }
            if page.objects.len() >= limit {
                let more = page.objects.len() > limit || listing.truncated;
                page.objects.truncate(limit);
                page.next = page.objects.last().filter(|_| more).map(|o| o.digest);
                return Ok(page);
            }
            // Behind "g" come foreign names only.
            match last.filter(|k| listing.truncated && *k < format!("{prefix}g")) {
                Some(last) if last > start => start = last,
                Some(_) => {
                    return Err(CallError::object("the provider lists in circles"));
                }
                None => return Ok(page),
            }
        }
    }

    pub(super) async fn fetch_marker(&self) -> Result<Option<Marker>, CallError> {
        match self.look_for_marker().await {
            Err(error) => Err(self.explain(error).await),
            found => found,
        }
    }

    async fn look_for_marker(&self) -> Result<Option<Marker>, CallError> {
        let key = self.marker_key();
        let Some(head) = self.head(&key).await? else {
            return self.list_keys("", 1).await.map(|_| None);
        };
        if let Some(marker) = marker_of(&head.headers) {
            return Ok(Some(marker));
        }
        // The provider, or whoever copied the object, dropped its metadata.
        let call = Call::on_key(Method::GET, &key);
        let response = self.client.send(&call).await?;
        let text = read_text(response, MARKER_BYTES, PATIENCE).await?;
        if !text.trim_start().starts_with('{') {
            return Err(self.no_s3("the marker is no JSON"));
        }
        serde_json::from_str(&text).map(Some).map_err(|e| {
            let (marker, error) = (key, e.to_string());
            CallError::wide(StoreProblem::MarkerUnreadable { marker, error })
        })
    }

    pub(super) async fn store_marker(&self, marker: &Marker) -> Result<(), CallError> {
        let mut text = serde_json::to_string_pretty(marker)
            .map_err(|e| CallError::object(format!("encoding the marker: {e}")))?;
        text.push('\n');
        let key = self.marker_key();
        let bytes = Bytes::from(text);
        let sha256 = Sha256::digest(&bytes).into();
        let mut call = Call::on_key(Method::PUT, &key);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.add_standard_class(&mut call.headers);
        let values = [
            marker.format.to_string(),
            marker.instance.clone(),
            marker.store.clone(),
            marker.generation.to_string(),
        ];
        for (name, value) in META.into_iter().zip(values) {
            // What headers cannot carry stays in the body, from where it is read then.
            if let Ok(value) = HeaderValue::from_str(&value) {
                call.headers.insert(HeaderName::from_static(name), value);
            }
        }
        call.payload = Payload::Memory { bytes, sha256, _share: None };
        self.client.send(&call).await?;
        Ok(())
    }

    /// Marker and probes are STANDARD. It is said only to providers that were told a class for the
    /// objects, since others may know no classes at all.
    pub(super) fn add_standard_class(&self, headers: &mut HeaderMap) {
        if self.storage_class.is_some() {
            headers.insert(STORAGE_CLASS, HeaderValue::from_static("STANDARD"));
        }
    }
}

/// The object behind a key of our shape. A date that cannot be read is none: it is not to make the
/// object old.
fn listed(object: &ListedKey, prefix: &str) -> Option<Listed> {
    let digest = object.key.strip_prefix(prefix).and_then(parse_object_name)?;
    Some(Listed { digest, size: object.size, modified: object.modified.parse().ok() })
}

fn marker_of(headers: &HeaderMap) -> Option<Marker> {
    let [format, instance, store, generation] = META.map(|name| header(headers, name));
    Some(Marker {
        format: format?.parse().ok()?,
        instance: instance?.to_owned(),
        store: store?.to_owned(),
        generation: generation?.parse().ok()?,
    })
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl S3Store {
    /// Reads an XML answer whose root element is `root`: the page of a captive portal, say, is not an
    /// empty listing.
    pub(super) fn parse<'a, T: Deserialize<'a>>(
        &self,
        text: &'a str,
        root: &str,
    ) -> Result<T, CallError> {
        if text.contains("<ListAllMyBucketsResult") {
            return Err(CallError::wide(StoreProblem::BucketHostIgnored)
                .known_by("it answered with the list of all buckets"));
        }
        let parsed = if text.contains(&format!("<{root}")) {
            quick_xml::de::from_str(text).map_err(|e| e.to_string())
        } else {
            Err(format!("no {root}"))
        };
        parsed.map_err(|e| self.no_s3(&format!("the answer cannot be understood: {e}")))
    }

    fn no_s3(&self, evidence: &str) -> CallError {
        let at = self.client.place().base().to_owned();
        CallError::wide(StoreProblem::NotS3 { at }).known_by(evidence)
    }
}

pub(super) fn no_marker(location: String) -> StoreProblem {
    StoreProblem::NoMarkerInBucket { location }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_cannot_be_read_makes_no_object_old() {
        let digest = Digest([7; 32]);
        let key = |modified: &str| ListedKey {
            key: format!("hay/{}", object_name(&digest)),
            size: 3,
            modified: modified.to_owned(),
        };
        for odd in ["", "Sun, 22 Nov 2026 10:00:00 GMT", "1790000000"] {
            let found = listed(&key(odd), "hay/").expect("an object");
            assert_eq!((found.digest, found.size, found.modified), (digest, 3, None), "{odd}");
        }
        let found = listed(&key("2026-11-22T10:00:00.000Z"), "hay/").expect("an object");
        assert!(found.modified.is_some());
    }
}
