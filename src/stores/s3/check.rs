//! `store check` for a bucket.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::S3Store;
use super::client::{Call, PATIENCE, next_piece, read_text};
use super::control::no_marker;
use super::diagnosis::clock_ahead;
use super::upload::memory_payload;
use crate::domain::{Diagnosis, ServeMode, StoreProblem};
use crate::stores::checklist::{Checklist, compare_markers};
use crate::stores::names::probe_name;
use crate::stores::{Marker, PresignOptions, Step, StepResult, StepSeen};

const PROBE: &[u8] = b"hayloft probe: this object may be deleted\n";
const MIDDLE: Range<usize> = 8..13;
/// Signatures are refused from 15 minutes on.
const MOST_SKEW: i64 = 300;

pub(super) async fn run(
    store: &S3Store,
    expected: Option<&Marker>,
    seen: StepSeen<'_>,
) -> Vec<StepResult> {
    let mut list = Checklist::new(seen);
    let key = format!("{}{}", store.client.prefix(), probe_name());
    let reached = list.run(Step::Marker, marker(store, expected)).await;
    if reached {
        if list.run(Step::Write, write(store, &key)).await {
            list.run(Step::ReadBack, read_back(store, &key)).await;
            list.run(Step::Range, range(store, &key)).await;
            if store.serve == ServeMode::Redirect {
                list.run(Step::Presign, presign(store, &key)).await;
            }
        }
        list.run(Step::List, list_probe(store)).await;
        list.run(Step::Multipart, multipart(store, &key)).await;
        list.run(Step::Delete, delete(store, &key)).await;
    }
    list.run(Step::Clock, clock(store)).await;
    list.into_steps()
}

async fn marker(store: &S3Store, expected: Option<&Marker>) -> Result<(), Diagnosis> {
    let found = store.fetch_marker().await?;
    compare_markers(found.as_ref(), expected, &store.location, no_marker)
}

async fn write(store: &S3Store, key: &str) -> Result<(), Diagnosis> {
    let mut call = Call::on_key(Method::PUT, key);
    call.payload = memory_payload(Bytes::from_static(PROBE));
    store.add_standard_class(&mut call.headers);
    store.add_checksum(&mut call.headers, &call.payload);
    store.client.send(&call).await?;
    let size = store.head(key).await?.map(|head| head.stat.size);
    if size == Some(PROBE.len() as u64) { Ok(()) } else { Err(StoreProblem::ProbeLate.into()) }
}

async fn read_back(store: &S3Store, key: &str) -> Result<(), Diagnosis> {
    let response = store.client.send(&Call::on_key(Method::GET, key)).await?;
    same(read_text(response, 4096, PATIENCE).await?.as_bytes(), PROBE)
}

async fn range(store: &S3Store, key: &str) -> Result<(), Diagnosis> {
    let mut call = Call::on_key(Method::GET, key);
    call.range = Some(format!("bytes={}-{}", MIDDLE.start, MIDDLE.end - 1));
    let response = store.client.send(&call).await?;
    same(read_text(response, 4096, PATIENCE).await?.as_bytes(), &PROBE[MIDDLE])
}

fn same(found: &[u8], written: &[u8]) -> Result<(), Diagnosis> {
    if found == written { Ok(()) } else { Err(StoreProblem::ProbeChangedOnWay.into()) }
}

/// Fetches a presigned URL as a client would, without our key.
async fn presign(store: &S3Store, key: &str) -> Result<(), Diagnosis> {
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
    Err(StoreProblem::PresignedTypeLost.into())
}

async fn list_probe(store: &S3Store) -> Result<(), Diagnosis> {
    Ok(store.list_objects(None, 1).await.map(drop)?)
}

/// Starts an upload, sends a part, completes it over the probe.
async fn multipart(store: &S3Store, key: &str) -> Result<(), Diagnosis> {
    let mut headers = HeaderMap::new();
    store.add_standard_class(&mut headers);
    let mut upload = store.start_upload(key, headers).await?;
    if let Err(error) = upload.send_only_part(Bytes::from_static(PROBE)).await {
        upload.abort().await;
        return Err(error.into_diagnosis());
    }
    upload.complete().await?;
    Ok(())
}

async fn delete(store: &S3Store, key: &str) -> Result<(), Diagnosis> {
    store.delete_key(key).await?;
    match store.head(key).await? {
        None => Ok(()),
        Some(_) => Err(StoreProblem::ProbeStays.into()),
    }
}

async fn clock(store: &S3Store) -> Result<(), Diagnosis> {
    let headers = store.client.ping().await?;
    match clock_ahead(&headers, store.client.signer().clock().now()) {
        ahead @ Some(s) if s.abs() > MOST_SKEW => Err(StoreProblem::ClockWrong { ahead }.into()),
        _ => Ok(()),
    }
}
