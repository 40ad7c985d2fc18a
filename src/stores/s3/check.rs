//! `store check` for a bucket.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::S3Store;
use super::client::{Call, PATIENCE, next_piece, read_text};
use super::trouble::{skew, span};
use super::upload::memory_payload;
use crate::domain::ServeMode;
use crate::stores::checklist::{Checklist, Finding, compare_markers};
use crate::stores::names::probe_name;
use crate::stores::{CheckStep, Marker, PresignOptions, StepSeen};

const PROBE: &[u8] = b"hayloft probe: this object may be deleted\n";
const MIDDLE: Range<usize> = 8..13;
/// Signatures are refused from 15 minutes on.
const MOST_SKEW: i64 = 300;

pub(super) async fn run(
    store: &S3Store,
    expected: Option<&Marker>,
    seen: StepSeen<'_>,
) -> Vec<CheckStep> {
    let mut list = Checklist::new(seen);
    let key = format!("{}{}", store.client.prefix(), probe_name());
    let reached = list.run("marker", marker(store, expected)).await;
    if reached {
        if list.run("write", write(store, &key)).await {
            list.run("read_back", read_back(store, &key)).await;
            list.run("range", range(store, &key)).await;
            if store.serve == ServeMode::Redirect {
                list.run("presign", presign(store, &key)).await;
            }
        }
        list.run("list", list_probe(store)).await;
        list.run("multipart", multipart(store, &key)).await;
        list.run("delete", delete(store, &key)).await;
    }
    list.run("clock", clock(store)).await;
    list.into_steps()
}

async fn marker(store: &S3Store, expected: Option<&Marker>) -> Result<(), Finding> {
    let found = store.fetch_marker().await?;
    compare_markers(found.as_ref(), expected)
}

async fn write(store: &S3Store, key: &str) -> Result<(), Finding> {
    let mut call = Call::on_key(Method::PUT, key);
    call.payload = memory_payload(Bytes::from_static(PROBE));
    store.add_standard_class(&mut call.headers);
    store.add_checksum(&mut call.headers, &call.payload);
    store.client.send(&call).await?;
    let size = store.head(key).await?.map(|head| head.stat.size);
    if size == Some(PROBE.len() as u64) {
        Ok(())
    } else {
        Err(Finding::new(
            "HEAD does not show the probe that was just written",
            "the provider must show objects at once: choose another one",
        ))
    }
}

async fn read_back(store: &S3Store, key: &str) -> Result<(), Finding> {
    let response = store.client.send(&Call::on_key(Method::GET, key)).await?;
    same(read_text(response, 4096, PATIENCE).await?.as_bytes(), PROBE)
}

async fn range(store: &S3Store, key: &str) -> Result<(), Finding> {
    let mut call = Call::on_key(Method::GET, key);
    call.range = Some(format!("bytes={}-{}", MIDDLE.start, MIDDLE.end - 1));
    let response = store.client.send(&call).await?;
    same(read_text(response, 4096, PATIENCE).await?.as_bytes(), &PROBE[MIDDLE])
}

fn same(found: &[u8], written: &[u8]) -> Result<(), Finding> {
    if found == written {
        Ok(())
    } else {
        Err(Finding::new(
            "the probe came back with other bytes",
            "a proxy or the provider changes what it carries: check the endpoint",
        ))
    }
}

/// Fetches a presigned URL as a client would, without our key.
async fn presign(store: &S3Store, key: &str) -> Result<(), Finding> {
    let options = PresignOptions {
        content_type: Some("application/x-hayloft-probe".to_owned()),
        content_disposition: Some("attachment; filename=\"probe\"".to_owned()),
        ttl: Some(Duration::from_mins(1)),
    };
    let url = store.presigned(key, &options)?;
    let mut response = store.client.fetch(&url).await?;
    let content_type = response.headers().get("content-type").cloned();
    let mut body = Vec::new();
    while let Some(piece) = next_piece(&mut response, PATIENCE).await? {
        body.extend_from_slice(&piece);
    }
    same(&body, PROBE)?;
    if content_type.is_some_and(|t| t == "application/x-hayloft-probe") {
        return Ok(());
    }
    Err(Finding::new(
        "presigned URLs lose the content type that was signed into them",
        "serve this store by proxy (--serve proxy)",
    ))
}

async fn list_probe(store: &S3Store) -> Result<(), Finding> {
    Ok(store.list_objects(None, 1).await.map(drop)?)
}

/// Starts an upload, sends a part, completes it over the probe.
async fn multipart(store: &S3Store, key: &str) -> Result<(), Finding> {
    let mut headers = HeaderMap::new();
    store.add_standard_class(&mut headers);
    let mut upload = store.start_upload(key, headers).await?;
    if let Err(error) = upload.send_only_part(Bytes::from_static(PROBE)).await {
        upload.abort().await;
        return Err(Finding::from_error(&error));
    }
    upload.complete().await?;
    Ok(())
}

async fn delete(store: &S3Store, key: &str) -> Result<(), Finding> {
    store.delete_key(key).await?;
    match store.head(key).await? {
        None => Ok(()),
        Some(_) => Err(Finding::new(
            "the probe is still there after it was deleted",
            "the provider or an object lock keeps deleted objects: allow deletion below the prefix",
        )),
    }
}

async fn clock(store: &S3Store) -> Result<(), Finding> {
    let headers = store.client.ping().await?;
    match skew(&headers) {
        Some(s) if s.abs() > MOST_SKEW => Err(Finding::new(
            format!(
                "this machine's clock is {} {} the Date of the provider's answer",
                span(s),
                if s > 0 { "ahead of" } else { "behind" }
            ),
            "set this machine's clock and keep it right by NTP: signatures are refused from 15 minutes on",
        )),
        _ => Ok(()),
    }
}
