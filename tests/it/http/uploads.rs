//! Uploads and deletions (SPEC 4).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::join_all;
use hayloft::domain::Policy;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bench::{Bench, Reply};
use crate::support::{bytes, digest};

#[tokio::test]
async fn what_is_put_is_got() {
    let bench = Bench::start().await;
    for (name, size) in [("empty", 0), ("one", 1), ("small", 16 << 10), ("big", (3 << 20) + 7)] {
        let body = bytes(size as u64, size);
        let target = format!("/files/s/d/{name}.txt");
        let ask = bench.ask("PUT", &target).with("Content-Type", "text/plain");
        let put = ask.body(&body).send().await;
        assert_eq!(put.status, 201, "{put:?}");
        let json = put.json();
        let hex = digest(&body).to_hex();
        assert_eq!(json["digest"], hex.as_str());
        assert_eq!(json["scope"], "s");
        assert_eq!(json["path"], format!("d/{name}.txt"));
        assert_eq!(json["size"], size);
        assert_eq!(json["content_type"], "text/plain");
        assert_eq!(json["store"], "main");
        assert!(json["created_at"].as_str().is_some_and(|t| t.ends_with('Z')));
        assert_eq!(put.header("etag"), Some(format!("\"{hex}\"").as_str()));
        assert_eq!(put.header("location"), Some(target.as_str()));
        let got = bench.get(&target).await;
        assert_eq!((got.status, got.body == body), (200, true), "{name}");
        assert_eq!(got.header("content-type"), Some("text/plain"));
        let hashed = bench.get(&format!("/by-hash/s/{hex}")).await;
        assert_eq!((hashed.status, hashed.body == body), (200, true), "{name} by hash");
        assert_eq!(hashed.header("content-type"), Some("text/plain"));
    }
    bench.stop().await;
}

#[tokio::test]
async fn replacing_answers_200_and_deleting_204_then_404() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"one").await.status, 201);
    assert_eq!(bench.put("/files/s/a", b"two").await.status, 200);
    assert_eq!(bench.get("/files/s/a").await.body, b"two");
    let old = digest(b"one").to_hex();
    assert_eq!(bench.get(&format!("/by-hash/s/{old}")).await.problem().0, 404);
    let deleted = bench.ask("DELETE", "/files/s/a").send().await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(bench.get("/files/s/a").await.problem(), (404, "no-such-entry".into()));
    let again = bench.ask("DELETE", "/files/s/a").send().await;
    assert_eq!(again.problem(), (404, "no-such-entry".into()));
    bench.stop().await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_stored() {
    let bench = Bench::start().await;
    let put = bench.ask("PUT", "/files/s/a").chunked(&[b"one", b"two"]).send().await;
    assert_eq!((put.status, put.json()["size"].as_u64()), (201, Some(6)));
    assert_eq!(bench.get("/files/s/a").await.body, b"onetwo");
    bench.stop().await;
}

#[tokio::test]
async fn paths_are_decoded_once_and_checked() {
    let bench = Bench::start().await;
    let long = "a".repeat(1024);
    let too_long = "a".repeat(1025);
    let encoded = "%61".repeat(1024);
    let good = [
        ("a%2Fb", "a/b"),
        ("c+d", "c+d"),
        ("e%20f", "e f"),
        ("g%2520h", "g%20h"),
        ("%C3%BC", "ü"),
        ("...", "..."),
        ("q%3Fx", "q?x"),
        ("%2561", "%61"),
        (long.as_str(), long.as_str()),
        (encoded.as_str(), long.as_str()),
    ];
    for (raw, path) in good {
        let put = bench.put(&format!("/files/s/{raw}"), b"x").await;
        assert!(matches!(put.status, 200 | 201), "{raw}: {put:?}");
        assert_eq!(put.json()["path"], path);
        let location = put.header("location").expect("a location");
        assert_eq!(bench.get(location).await.status, 200, "{location}");
    }
    let bad = [
        "a//b",
        "/a",
        "a/",
        ".",
        "..",
        "a/../b",
        "a/%2e%2e/b",
        "%2e",
        "a%00b",
        "a%0Ab",
        "a%7Fb",
        "%FF",
        "a%2F",
        "%2Fa",
        "a%",
        "100%/a",
        "a%2",
        "a%2gb",
        "a%+1",
        &too_long,
    ];
    for raw in bad {
        for method in ["PUT", "GET", "HEAD", "DELETE"] {
            let reply = bench.ask(method, &format!("/files/s/{raw}")).send().await;
            assert_eq!(reply.status, 400, "{method} {raw}");
        }
    }
    bench.stop().await;
}

fn sha256(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(Sha256::digest(body)))
}

#[tokio::test]
async fn declared_digests_are_verified() {
    let bench = Bench::start().await;
    let body = bytes(1, 200_000);
    let (good, other) = (digest(&body).to_hex(), digest(b"other").to_hex());
    let (sha, other_sha) = (sha256(&body), sha256(b"other"));
    let cases = [
        ("X-Blake3", good.as_str(), 201, ""),
        ("X-Blake3", &other, 400, "digest-mismatch"),
        ("X-Blake3", "12ab", 400, "malformed-digest"),
        ("Repr-Digest", &sha, 201, ""),
        ("Content-Digest", &sha, 201, ""),
        ("Repr-Digest", &other_sha, 400, "digest-mismatch"),
        ("Content-Digest", &other_sha, 400, "digest-mismatch"),
        ("Content-Digest", "sha-256=abc", 400, "malformed-digest"),
        ("Repr-Digest", "md5=:AAAA:", 201, ""),
    ];
    for (i, (name, value, status, kind)) in cases.into_iter().enumerate() {
        let target = format!("/files/s/{i}");
        let put = bench.ask("PUT", &target).with(name, value).body(&body).send().await;
        assert_eq!(put.status, status, "{name}: {value}");
        if status != 201 {
            assert_eq!(put.problem().1, kind);
            assert_eq!(bench.get(&target).await.status, 404, "nothing is kept");
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_body_cut_short_keeps_nothing() {
    let bench = Bench::start_with(|c| c.limits.max_upload = None).await;
    let ask = bench.ask("PUT", "/files/s/a").with("Content-Length", "100000");
    let mut stream = ask.open().await;
    stream.write_all(&bytes(7, 50_000)).await.expect("half a body");
    stream.shutdown().await.expect("an early end");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    if !answer.is_empty() {
        assert_eq!(Reply::read(&answer).problem(), (400, "incomplete-body".into()));
    }
    assert_eq!(bench.get("/files/s/a").await.status, 404);
    let store = bench.store_id("main");
    assert_eq!(bench.app.catalogue.ledger().hard_usage(store), 0, "the reservation is released");
    assert_eq!(leftovers(&bench, "main", 0).await, 0);
    bench.stop().await;
}

/// Files below the store's root, its marker aside. Unfinished ones go a moment after the answer.
async fn leftovers(bench: &Bench, store: &str, expected: usize) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).expect("a directory");
        let each = entries.map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { count(&path) } else { 1 }
        });
        each.sum()
    }
    let found = || count(&bench.root(store)) - 1;
    for _ in 0..100 {
        if found() == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    found()
}

#[tokio::test]
async fn every_refusal_has_its_status() {
    let bench = Bench::start_with(|c| c.limits.max_upload = Some(1 << 20)).await;
    bench.scope("bare", false).await;
    bench.scope("tight", false).await;
    bench.scope("sealed", false).await;
    bench.store("tiny", Some(100)).await;
    bench.link("tight", "tiny", None, Policy::default()).await;
    let read_only = Policy { read_only: true, ..Policy::default() };
    bench.link("sealed", "main", None, read_only).await;
    assert_eq!(bench.put("/files/tight/first", &[1; 60]).await.status, 201);
    let small = [2; 41].as_slice();
    let large = vec![4; (1 << 20) + 1];
    let cases = [
        ("/files/nowhere/a", small, 404, "unknown-scope"),
        ("/files/bare/a", small, 503, "no-writable-store"),
        ("/files/sealed/a", small, 503, "no-writable-store"),
        ("/files/tight/a", &[2; 101], 413, "file-too-large"),
        ("/files/tight/a", small, 507, "insufficient-storage"),
        ("/files/s/a", &large, 413, "file-too-large"),
        ("/files/s/a//b", small, 400, "malformed-path"),
    ];
    for (target, body, status, kind) in cases {
        assert_eq!(bench.put(target, body).await.problem(), (status, kind.to_owned()), "{target}");
    }
    assert_eq!(bench.put("/files/tight/fits", &[2; 40]).await.status, 201, "equal fits");
    let chunks: &[&[u8]] = &[&[3; 80], &[3; 80]];
    let grown = bench.ask("PUT", "/files/tight/b").chunked(chunks).send().await;
    assert_eq!(grown.problem(), (507, "insufficient-storage".into()));
    let over = bench.ask("PUT", "/files/s/b").chunked(&[&large]).send().await;
    assert_eq!(over.problem(), (413, "file-too-large".into()));
    bench.stop().await;
}

#[tokio::test]
async fn a_failing_store_that_would_fit_answers_503_with_retry_after() {
    let bench = Bench::start().await;
    std::fs::rename(bench.root("main"), bench.root("gone")).expect("an unmounted root");
    let put = bench.put("/files/s/a", b"x").await;
    assert_eq!(put.problem(), (503, "store-failing".into()));
    assert!(put.header("retry-after").is_some_and(|v| v.parse::<u64>().is_ok()));
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let bench = Bench::start().await;
    let tag = format!("\"{}\"", digest(b"x").to_hex());
    let cases = [
        ([("Content-Range", "bytes 0-0/2")].as_slice(), 400, "partial-upload"),
        (&[("Content-Encoding", "gzip")], 415, "content-encoding"),
        (&[("Expect", "miracles")], 417, "unknown-expectation"),
        (&[("If-Match", "bare")], 400, "malformed-condition"),
        (&[("If-Match", "*"), ("If-None-Match", &tag)], 400, "malformed-condition"),
        (&[("Content-Type", "")], 400, "malformed-content-type"),
    ];
    for (headers, status, kind) in cases {
        let ask = bench.ask("PUT", "/files/s/a");
        let ask = headers.iter().fold(ask, |ask, (name, value)| ask.with(name, value));
        let reply = ask.body(b"x").send().await;
        assert_eq!(reply.problem(), (status, kind.to_owned()), "{headers:?}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn preconditions_guard_put_and_delete() {
    let bench = Bench::start().await;
    let tag = |body: &[u8]| format!("\"{}\"", digest(body).to_hex());
    let (one, two) = (tag(b"one"), tag(b"two"));
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    let steps = [
        ("PUT", "If-Match", "*", 412),
        ("PUT", "If-None-Match", "*", 201),
        ("PUT", "If-None-Match", "*", 412),
        ("PUT", "If-Match", &two, 412),
        ("PUT", "If-None-Match", &one, 412),
        ("PUT", "If-Unmodified-Since", past, 412),
        ("PUT", "If-Match", &one, 200),
        ("DELETE", "If-Match", &two, 412),
        ("DELETE", "If-None-Match", "*", 412),
        ("DELETE", "If-Unmodified-Since", past, 412),
        ("DELETE", "If-Match", &one, 204),
        ("DELETE", "If-Match", &one, 404),
    ];
    for (method, name, value, status) in steps {
        let ask = bench.ask(method, "/files/s/a").with(name, value);
        let ask = if method == "PUT" { ask.body(b"one") } else { ask };
        let reply = ask.send().await;
        assert_eq!(reply.status, status, "{method} {name}: {value}");
        if status == 412 {
            assert_eq!(reply.problem().1, "precondition-failed");
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn an_expectation_is_met_only_when_the_upload_is_let_in() {
    let bench = Bench::start().await;
    let ask = |target| {
        let ask = bench.ask("PUT", target).with("Expect", "100-continue");
        ask.with("Content-Length", "3").with("Connection", "close")
    };
    let mut stream = ask("/files/nowhere/a").open().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("a refusal without a body");
    assert_eq!(Reply::read(&answer).problem(), (404, "unknown-scope".into()));

    let mut stream = ask("/files/s/a").open().await;
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.expect("an interim answer");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.expect("a body");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert_eq!(Reply::read(&answer).status, 201);
    bench.stop().await;
}

#[tokio::test]
async fn a_client_that_only_writes_sees_the_refusal() {
    let bench = Bench::start().await;
    let reply = bench.put("/files/nowhere/a", &vec![0; 7 << 20]).await;
    assert_eq!(reply.problem(), (404, "unknown-scope".into()));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_uploads_into_room_for_ten_exactly_ten_are_stored() {
    let bench = Bench::start().await;
    bench.scope("tight", false).await;
    bench.store("ten", Some(100_000)).await;
    bench.link("tight", "ten", None, Policy::default()).await;
    let uploads = (0..50).map(|i| {
        let bench = &bench;
        async move { bench.put(&format!("/files/tight/{i}"), &bytes(i, 10_000)).await.status }
    });
    let statuses = join_all(uploads).await;
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 507).count(), 40, "{statuses:?}");
    let store = bench.store_id("ten");
    assert_eq!(bench.app.catalogue.ledger().hard_usage(store), 100_000);
    assert_eq!(leftovers(&bench, "ten", 10).await, 10);
    bench.stop().await;
}

#[tokio::test]
async fn a_declared_file_needs_no_room_in_a_full_store_that_holds_it() {
    let bench = Bench::start().await;
    bench.scope("tight", false).await;
    bench.store("full", Some(100)).await;
    bench.link("tight", "full", None, Policy::default()).await;
    let body = [9; 100];
    assert_eq!(bench.put("/files/tight/a", &body).await.status, 201);
    assert_eq!(bench.put("/files/tight/b", &body).await.problem().0, 507, "not declared");
    let hex = digest(&body).to_hex();
    let ask = bench.ask("PUT", "/files/tight/b").with("X-Blake3", &hex);
    assert_eq!(ask.body(&body).send().await.status, 201);
    // Whoever does not have the bytes does not get them by their digest.
    let ask = bench.ask("PUT", "/files/tight/c").with("X-Blake3", &hex);
    assert_eq!(ask.body(&[8; 100]).send().await.problem(), (400, "digest-mismatch".into()));
    assert_eq!(bench.get("/files/tight/c").await.status, 404);
    bench.stop().await;
}

#[tokio::test]
async fn uploads_under_way_are_finished_at_shutdown() {
    let bench = Bench::start().await;
    let ask = bench.ask("PUT", "/files/s/a").with("Content-Length", "6");
    let mut stream = ask.open().await;
    stream.write_all(b"one").await.expect("half a body");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let rest = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(b"two").await.expect("the rest");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        Reply::read(&answer).status
    });
    bench.stop().await;
    assert_eq!(rest.await.expect("a client"), 201);
}
