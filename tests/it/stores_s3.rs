//! What only an S3 store can show: retries, refusals, uploads in parts, presigned URLs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hayloft::domain::{
    Checksum, Diagnosis, OutsideAdvice, S3Config, ServeMode, SettingAdvice, StoreAdvice,
    StoreProblem, StoreSetting,
};
use hayloft::stores::{Backend, Body, PresignOptions, S3Store, StoreError};

use crate::conformance::{get, marker, open, put, seaweed_config};
use crate::support::{
    body_of, bytes, digest, object_name, read_all, s3, s3_config, stream_of, weed,
};

const MIB: usize = 1 << 20;

/// An in-process server with one bucket and a marked store in it.
async fn faulty_s3() -> (s3::InProcess, S3Config, Arc<dyn Backend>) {
    let server = s3::in_process(s3::Faults::default()).await;
    server.make_bucket("bucket");
    let config = s3_config(&server.endpoint, "bucket", s3::KEY, s3::SECRET);
    let store = open(&config);
    store.write_marker(&marker()).await.expect("marked");
    (server, config, store)
}

#[tokio::test]
async fn refusals_and_broken_connections_are_tried_again() {
    let (server, _, store) = faulty_s3().await;
    let big = bytes(2, 17 * MIB);
    for (refuse, drop) in [(2, 0), (0, 2), (3, 4)] {
        server.faults.refuse_every.store(refuse, Ordering::SeqCst);
        server.faults.drop_every.store(drop, Ordering::SeqCst);
        for n in 0..2 {
            let content = bytes(n, 1000);
            let digest = put(&*store, &content).await;
            assert!(get(&*store, &digest).await == content);
            store.delete(&digest).await.expect("deleted");
        }
        let digest = put(&*store, &big).await;
        assert!(get(&*store, &digest).await == big);
    }
    server.faults.drop_every.store(0, Ordering::SeqCst);
    server.faults.refuse_every.store(0, Ordering::SeqCst);
    assert_eq!(server.dangling_uploads(), 0);
}

#[tokio::test]
async fn a_provider_that_only_refuses_is_unavailable_after_a_few_attempts() {
    let (server, _, store) = faulty_s3().await;
    server.faults.refuse_every.store(1, Ordering::SeqCst);
    let before = server.faults.requests("");
    let stat = store.stat(&digest(b"x")).await;
    assert!(matches!(stat, Err(StoreError::Unavailable(_))), "{stat:?}");
    assert_eq!(server.faults.requests("") - before, 5);
}

#[tokio::test]
async fn a_small_put_is_one_put_and_one_head() {
    let (server, _, store) = faulty_s3().await;
    server.faults.log.lock().expect("unpoisoned").clear();
    put(&*store, &bytes(1, 65_536)).await;
    assert_eq!(server.faults.requests("PUT"), 1);
    assert_eq!(server.faults.requests("HEAD"), 1);
    assert_eq!(server.faults.requests(""), 2);
}

#[tokio::test]
async fn a_refused_big_put_leaves_no_upload_behind() {
    let (server, _, store) = faulty_s3().await;
    let other = bytes(1, 20 * MIB);
    let put = store.put(&digest(b"promised"), other.len() as u64, body_of(&other)).await;
    assert!(matches!(put, Err(StoreError::Mismatch(_))), "{put:?}");
    assert_eq!(server.dangling_uploads(), 0);
    // The same for a put that is dropped while parts are on their way.
    let parts = stream_of(other.slice(..19 * MIB)).chain(stream::pending());
    let found = digest(&other);
    let put = store.put(&found, other.len() as u64, Body::Stream(Box::pin(parts)));
    let mut put = Box::pin(put);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut put).await.is_err());
    assert!(server.dangling_uploads() > 0, "an upload was begun");
    drop(put);
    for _ in 0..50 {
        if server.dangling_uploads() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the upload was not aborted");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_resumed_or_fails() {
    let (server, _, store) = faulty_s3().await;
    let content = bytes(1, 2 * MIB);
    let digest = put(&*store, &content).await;
    server.faults.cut_bodies_after.store(300_000, Ordering::SeqCst);
    assert!(get(&*store, &digest).await == content, "resumed with ranges");
    server.faults.cut_bodies_after.store(1, Ordering::SeqCst);
    let cut = read_all(store.get(&digest, None).await.expect("begun")).await;
    assert!(matches!(cut, Err(StoreError::Unavailable(_))), "{:?}", cut.map(|b| b.len()));
}

type Judge = fn(&StoreError) -> bool;

#[tokio::test]
async fn an_error_answer_is_never_content() {
    let (server, _, store) = faulty_s3().await;
    let digest = put(&*store, &bytes(1, 1000)).await;
    let cases: [(u16, &str, Judge); 6] = [
        (403, "InvalidObjectState", |e| matches!(e, StoreError::Archived)),
        (403, "AccessDenied", |e| matches!(e, StoreError::Unavailable(_))),
        (404, "NoSuchBucket", |e| matches!(e, StoreError::Unavailable(_))),
        (
            301,
            "PermanentRedirect",
            |e| matches!(e, StoreError::Unavailable(d) if matches!(d.problem, StoreProblem::RegionIsNot { .. })),
        ),
        (
            403,
            "RequestTimeTooSkewed",
            |e| matches!(e, StoreError::Unavailable(d) if matches!(d.problem, StoreProblem::ClockWrong { .. })),
        ),
        (507, "QuotaExceeded", |e| matches!(e, StoreError::Full(_))),
    ];
    for (status, code, is_right) in cases {
        server.faults.answer(status, &format!("<Error><Code>{code}</Code></Error>"));
        let error = store.get(&digest, None).await.map(drop).expect_err("no content");
        assert!(is_right(&error), "{code}: {error:?}");
    }
    server.faults.answer(200, "<html>Please sign in</html>");
    let page = store.list(None, 10).await;
    assert!(matches!(page, Err(StoreError::Unavailable(_))), "{page:?}");
    server.faults.answer(200, "another length than the range");
    assert!(store.get(&digest, Some(1..5)).await.is_err());
}

#[tokio::test]
async fn an_emptied_or_missing_bucket_is_unavailable_not_empty() {
    let (server, config, store) = faulty_s3().await;
    let digest = put(&*store, &bytes(1, 1000)).await;
    let bucket = server.bucket_path("bucket");
    std::fs::remove_dir_all(&bucket).expect("removed");
    std::fs::create_dir(&bucket).expect("made again");
    let stat = store.stat(&digest).await;
    let no_marker = |d: &Diagnosis| matches!(d.problem, StoreProblem::NoMarkerInBucket { .. });
    assert!(matches!(&stat, Err(StoreError::Unavailable(d)) if no_marker(d)), "{stat:?}");
    assert_eq!(store.read_marker().await.expect("the bucket answers"), None);
    let gone = open(&S3Config { bucket: "gone".to_owned(), ..config });
    let calls = [
        gone.stat(&digest).await.map(drop),
        gone.get(&digest, None).await.map(drop),
        gone.read_marker().await.map(drop),
        gone.list(None, 10).await.map(drop),
    ];
    for call in calls {
        assert!(
            matches!(&call, Err(StoreError::Unavailable(d)) if matches!(d.problem, StoreProblem::NoBucket { .. })),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn a_marker_without_metadata_is_read_from_its_body() {
    let (server, _, store) = faulty_s3().await;
    let path = server.bucket_path("bucket").join("hay/.hayloft-store");
    let text = std::fs::read(&path).expect("plain JSON");
    std::fs::remove_file(&path).expect("removed");
    for entry in std::fs::read_dir(server.bucket_path("")).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::remove_file(path).expect("metadata removed");
        }
    }
    std::fs::write(&path, text).expect("written");
    assert_eq!(store.read_marker().await.expect("answers"), Some(marker()));
}

#[tokio::test]
async fn a_server_without_upload_listings_has_nothing_to_clean() {
    let (_server, _, store) = faulty_s3().await;
    assert_eq!(store.clean_unfinished(Duration::ZERO).await.expect("no error"), 0);
}

#[tokio::test]
async fn reading_back_removes_what_was_damaged_on_the_way() {
    let (server, config, _) = faulty_s3().await;
    let store = open(&S3Config { checksum: Checksum::Readback, ..config.clone() });
    let content = bytes(1, 1000);
    let found = put(&*store, &content).await;
    store.delete(&found).await.expect("deleted");
    // The PUT is swallowed and the HEAD lies; the GET then has other bytes.
    server.faults.answer(200, "");
    server.faults.answer(200, &"x".repeat(1000));
    server.faults.answer(200, &"x".repeat(1000));
    let damaged = store.put(&found, 1000, body_of(&content)).await;
    assert!(matches!(damaged, Err(StoreError::Failed(_))), "{damaged:?}");
    assert_eq!(server.faults.requests("DELETE"), 2);
    let unproved = open(&S3Config { checksum: Checksum::None, ..config });
    let stored = unproved.put(&found, 1000, body_of(&content)).await.expect("stored");
    assert!(!stored.verified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presigned_urls_carry_type_and_disposition_and_expire() {
    let (config, _) = seaweed_config().await;
    let store = open(&config);
    let content = bytes(1, 1000);
    let digest = put(&*store, &content).await;
    let disposition = "attachment; filename*=UTF-8''na%C3%AFve%20a%2Bb.txt";
    let options = |ttl| PresignOptions {
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        content_disposition: Some(disposition.to_owned()),
        ttl,
    };
    let url = store.presign_get(&digest, options(None)).await.expect("signed").expect("a URL");
    assert!(url.contains("X-Amz-Expires=60") && !url.contains(weed::SECRET), "{url}");
    let answer = reqwest::get(&url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["content-disposition"], disposition);
    assert_eq!(answer.bytes().await.expect("a body"), content);
    let tampered = url.replace("text%2Fplain", "text%2Fhtml");
    assert_eq!(reqwest::get(&tampered).await.expect("an answer").status(), 403);
    let short = Some(Duration::from_secs(1));
    let url = store.presign_get(&digest, options(short)).await.expect("signed").expect("a URL");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 403);
    let public = Some("https://files.example.org".to_owned());
    let store = open(&S3Config { public_endpoint: public, ..config.clone() });
    let url = store.presign_get(&digest, options(None)).await.expect("signed").expect("a URL");
    assert!(url.starts_with(&format!("https://files.example.org/{}/hay/", config.bucket)));
    let proxied = open(&S3Config { serve: ServeMode::Proxy, ..config });
    assert_eq!(proxied.presign_get(&digest, options(None)).await.expect("answers"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_s3_configuration_is_said() {
    let (config, _) = seaweed_config().await;
    let stored = |id: &str, secret: &str| hayloft::domain::Credentials::Stored {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned(),
    };
    let correct = |setting| StoreAdvice::Settings(SettingAdvice::Correct(setting));
    let cases = [
        (
            S3Config { credentials: stored(weed::KEY, "wrongsecret"), ..config.clone() },
            "secret access key",
            StoreAdvice::Settings(SettingAdvice::KeyAgain),
        ),
        (
            S3Config { credentials: stored("nobody", weed::SECRET), ..config.clone() },
            "access key id",
            correct(StoreSetting::AccessKeyId),
        ),
        (
            S3Config { bucket: "no-such-bucket".to_owned(), ..config.clone() },
            "bucket",
            StoreAdvice::Outside(OutsideAdvice::CreateBucket),
        ),
        (
            S3Config { endpoint: Some("http://127.0.0.1:1".to_owned()), ..config.clone() },
            "endpoint",
            StoreAdvice::Settings(SettingAdvice::HostAndPort),
        ),
        (
            S3Config { endpoint: Some("http://nowhere.invalid".to_owned()), ..config },
            "endpoint",
            correct(StoreSetting::Endpoint),
        ),
    ];
    for (config, word, advice) in cases {
        let store = open(&config);
        let error = store.read_marker().await.expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, StoreError::Unavailable(_)) && text.contains(word), "{text}");
        assert!(!text.contains("wrongsecret") && !text.contains(weed::SECRET), "{text}");
        assert!(!format!("{store:?} {config:?}").contains("secret_access"), "{store:?}");
        // SeaweedFS makes a bucket that is missing when it is written to.
        if word != "bucket" {
            let content = bytes(1, 10);
            let put = store.put(&digest(&content), 10, body_of(&content)).await;
            assert!(matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
        }
        let steps = store.check(None, &|_| ()).await;
        let found = steps[0].found.as_ref().expect("a problem");
        assert_eq!(found.advice()[0], advice, "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_get_the_storage_class_and_the_marker_does_not() {
    let (config, name) = seaweed_config().await;
    let store = open(&S3Config { storage_class: Some("STANDARD_IA".to_owned()), ..config });
    store.write_marker(&marker()).await.expect("marked");
    let small = put(&*store, &bytes(1, 1000)).await;
    let big = put(&*store, &bytes(2, 17 * MIB)).await;
    let bucket = weed::shared().bucket(&name);
    let class = async |key: String| {
        let (head, _) = bucket.head_object(&key).await.expect("there");
        head.storage_class.unwrap_or_else(|| "STANDARD".to_owned())
    };
    assert_eq!(class(format!("hay/{}", object_name(&small))).await, "STANDARD_IA");
    assert_eq!(class(format!("hay/{}", object_name(&big))).await, "STANDARD_IA");
    assert_eq!(class("hay/.hayloft-store".to_owned()).await, "STANDARD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_uploads_are_aborted_and_foreign_ones_are_not() {
    let (config, name) = seaweed_config().await;
    let store = open(&config);
    let bucket = weed::shared().bucket(&name);
    let ours = format!("hay/{}", object_name(&digest(b"x")));
    for key in [ours.as_str(), "hay/foreign", "elsewhere"] {
        bucket.initiate_multipart_upload(key, "text/plain").await.expect("begun");
    }
    let cleaned = [Duration::from_hours(1), Duration::ZERO, Duration::ZERO];
    for (age, expected) in cleaned.into_iter().zip([0, 1, 0]) {
        assert_eq!(store.clean_unfinished(age).await.expect("cleaned"), expected, "{age:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_too_big_for_memory_are_sent_from_files() {
    let server = s3::in_process(s3::Faults::default()).await;
    server.make_bucket("bucket");
    let config = s3_config(&server.endpoint, "bucket", s3::KEY, s3::SECRET);
    let store = S3Store::open(&config).expect("opens").with_smallest_part(17 << 20);
    // Every third request fails, so that parts are read from their files more than once.
    server.faults.refuse_every.store(3, Ordering::SeqCst);
    let content = bytes(1, 40 * MIB + 1);
    let found = put(&store, &content).await;
    assert!(get(&store, &found).await == content);
    store.delete(&found).await.expect("deleted");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, &content).expect("written");
    let body = Body::Verified(file.path().to_owned());
    store.put(&found, content.len() as u64, body).await.expect("stored");
    assert!(get(&store, &found).await == content);
    assert!(file.path().exists(), "the caller's file stays");
}
