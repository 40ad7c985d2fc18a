//! Downloads and listings (SPEC 5, 11).

use hayloft::catalogue::CatalogueError;
use hayloft::domain::{BackendConfig, Policy, ReplicaState, Timestamp};

use super::bench::{Bench, Reply};
use crate::support::{bytes, digest, s3, s3_config};

#[tokio::test]
async fn ranges_follow_rfc_9110() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/ten", b"0123456789").await.status, 201);
    assert_eq!(bench.put("/files/s/none", b"").await.status, 201);
    let whole = b"0123456789".as_slice();
    let cases = [
        ("ten", "bytes=0-3", 206, b"0123".as_slice(), Some("bytes 0-3/10")),
        ("ten", "bytes=7-", 206, b"789", Some("bytes 7-9/10")),
        ("ten", "bytes=-2", 206, b"89", Some("bytes 8-9/10")),
        ("ten", "bytes=0-99", 206, whole, Some("bytes 0-9/10")),
        ("ten", "bytes=0-1,3-4", 200, whole, None),
        ("ten", "bytes=4-2", 200, whole, None),
        ("ten", "lines=0-1", 200, whole, None),
        ("none", "bytes=-5", 200, b"", None),
        ("none", "nonsense", 200, b"", None),
    ];
    for (name, range, status, body, content_range) in cases {
        let target = format!("/files/s/{name}");
        let got = bench.ask("GET", &target).with("Range", range).send().await;
        assert_eq!((got.status, got.body.as_slice()), (status, body), "{range}");
        assert_eq!(got.header("content-range"), content_range, "{range}");
        assert_eq!(got.header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(got.header("accept-ranges"), Some("bytes"));
    }
    for (name, range, size) in
        [("ten", "bytes=10-", 10), ("ten", "bytes=-0", 10), ("none", "bytes=0-", 0)]
    {
        let target = format!("/files/s/{name}");
        let got = bench.ask("GET", &target).with("Range", range).send().await;
        assert_eq!(got.problem(), (416, "range-not-satisfiable".into()), "{range}");
        assert_eq!(got.header("content-range"), Some(format!("bytes */{size}").as_str()));
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_range_of_a_big_file_is_exact() {
    let bench = Bench::start().await;
    let body = bytes(3, 2_000_000);
    assert_eq!(bench.put("/files/s/big", &body).await.status, 201);
    for range in [0..1, 1..700_001, 999_999..2_000_000] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let got = bench.ask("GET", "/files/s/big").with("Range", &header).send().await;
        assert_eq!((got.status, got.body == body[range]), (206, true), "{header}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
    let bench = Bench::start().await;
    let put = bench.put("/files/s/a", b"0123456789").await;
    let own = put.header("etag").expect("a tag").to_owned();
    let weak = format!("W/{own}");
    let other = format!("\"{}\"", digest(b"other").to_hex());
    let plain = bench.get("/files/s/a").await;
    let modified = plain.header("last-modified").expect("a date").to_owned();
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    let cases: [(&[(&str, &str)], u16); 16] = [
        (&[("If-None-Match", &own)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", &other)], 200),
        (&[("If-Modified-Since", &modified)], 304),
        (&[("If-Modified-Since", past)], 200),
        (&[("If-None-Match", &other), ("If-Modified-Since", &modified)], 200),
        (&[("If-Match", &own)], 200),
        (&[("If-Match", &other)], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Unmodified-Since", past)], 412),
        (&[("If-Unmodified-Since", &modified)], 200),
        (&[("If-Match", &other), ("If-None-Match", &own)], 412),
        (&[("If-None-Match", &own), ("Range", "bytes=0-1")], 304),
        (&[("If-Range", &own), ("Range", "bytes=0-1")], 206),
        (&[("If-Range", &other), ("Range", "bytes=0-1")], 200),
    ];
    for (headers, status) in cases {
        for method in ["GET", "HEAD"] {
            let ask = bench.ask(method, "/files/s/a");
            let ask = headers.iter().fold(ask, |ask, (name, value)| ask.with(name, value));
            let reply = ask.send().await;
            // A range means nothing to HEAD.
            let expected = if method == "HEAD" && status == 206 { 200 } else { status };
            assert_eq!(reply.status, expected, "{method} {headers:?}");
            if status == 304 {
                assert_eq!(reply.header("etag"), Some(own.as_str()));
                assert!(reply.body.is_empty());
            }
        }
    }
    bench.stop().await;
}

/// Headers that do not depend on the time of the answer.
fn comparable(reply: &Reply) -> Vec<(String, String)> {
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    headers
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let bench = Bench::start().await;
    let body = bytes(1, 100_000);
    let ask = bench.ask("PUT", "/files/s/a").with("Content-Type", "text/html");
    assert_eq!(ask.body(&body).send().await.status, 201);
    assert_eq!(bench.put("/files/s/none", b"").await.status, 201);
    let hash = format!("/by-hash/s/{}", digest(&body).to_hex());
    for target in ["/files/s/a", "/files/s/a?download", "/files/s/none", &hash, "/files/s/missing"]
    {
        let get = bench.get(target).await;
        let head = bench.ask("HEAD", target).send().await;
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(comparable(&head), comparable(&get), "{target}");
        assert!(head.body.is_empty(), "{target}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn every_file_answer_disarms_what_it_carries() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a.html", b"<script>").await.status, 201);
    let hash = format!("/by-hash/s/{}", digest(b"<script>").to_hex());
    let targets = [
        "/files/s/a.html",
        "/files/s/missing",
        "/files/s/",
        "/files/s/a//b",
        "/by-hash/s/x",
        &hash,
    ];
    for target in targets {
        for method in ["GET", "HEAD", "PATCH"] {
            let reply = bench.ask(method, target).send().await;
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{target}");
            let policy = reply.header("content-security-policy");
            assert_eq!(policy, Some("sandbox; default-src 'none'"), "{target}");
        }
    }
    let patch = bench.ask("PATCH", "/files/s/a.html").send().await;
    assert_eq!(patch.problem(), (405, "method-not-allowed".into()));
    assert_eq!(patch.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    let download = bench.get("/files/s/a.html?download").await;
    assert_eq!(download.header("content-disposition"), Some("attachment; filename=\"a.html\""));
    bench.stop().await;
}

#[tokio::test]
async fn a_file_by_its_digest_has_the_type_of_its_newest_entry() {
    let bench = Bench::start().await;
    for (name, kind) in [("old", "text/plain"), ("new", "text/css")] {
        let ask = bench.ask("PUT", &format!("/files/s/{name}")).with("Content-Type", kind);
        assert_eq!(ask.body(b"x").send().await.status, 201);
    }
    let hash = format!("/by-hash/s/{}", digest(b"x").to_hex());
    assert_eq!(bench.get(&hash).await.header("content-type"), Some("text/css"));
    assert_eq!(bench.ask("DELETE", "/files/s/new").send().await.status, 204);
    assert_eq!(bench.get(&hash).await.header("content-type"), Some("text/plain"));
    assert_eq!(bench.ask("DELETE", "/files/s/old").send().await.status, 204);
    assert_eq!(bench.get(&hash).await.problem().0, 404, "a tombstone is no entry");
    let elsewhere = format!("/by-hash/open/{}", digest(b"x").to_hex());
    assert_eq!(bench.get(&elsewhere).await.problem().0, 404);
    assert_eq!(bench.get("/by-hash/s/12ab").await.problem(), (400, "malformed-digest".into()));
    bench.stop().await;
}

#[tokio::test]
async fn addresses_that_are_nothing_say_so() {
    let bench = Bench::start().await;
    for target in ["/nothing", "/files", "/api"] {
        assert_eq!(bench.get(target).await.problem(), (404, "not-found".into()), "{target}");
    }
    let cases = [
        ("PUT", "/files/s/", "GET, HEAD"),
        ("POST", "/files/s/a", "GET, HEAD, PUT, DELETE"),
        ("POST", "/healthz", "GET, HEAD"),
    ];
    for (method, target, allow) in cases {
        let reply = bench.ask(method, target).send().await;
        assert_eq!(reply.problem(), (405, "method-not-allowed".into()), "{method} {target}");
        assert_eq!(reply.header("allow"), Some(allow));
    }
    bench.stop().await;
}

#[tokio::test]
async fn listings_come_in_pages() {
    let bench = Bench::start().await;
    for name in ["b/1", "a", "b/2", "b/3", "c"] {
        assert_eq!(bench.put(&format!("/files/s/{name}"), name.as_bytes()).await.status, 201);
    }
    let paths = |reply: &Reply| -> Vec<String> {
        let entries = reply.json()["entries"].as_array().expect("entries").clone();
        entries.iter().map(|e| e["path"].as_str().expect("a path").to_owned()).collect()
    };
    let all = bench.get("/files/s/").await;
    assert_eq!(paths(&all), ["a", "b/1", "b/2", "b/3", "c"]);
    assert!(all.json()["next"].is_null());
    assert_eq!(all.json()["entries"][0]["digest"], digest(b"a").to_hex());
    let first = bench.get("/files/s/?prefix=b%2F&limit=2").await;
    assert_eq!(
        (paths(&first), first.json()["next"].clone()),
        (vec!["b/1".into(), "b/2".into()], "b/2".into())
    );
    let second = bench.get("/files/s/?prefix=b%2F&limit=2&after=b%2F2").await;
    assert_eq!((paths(&second), second.json()["next"].is_null()), (vec!["b/3".into()], true));
    for bad in ["limit=0", "limit=1001", "limit=x", "prefix=%FF"] {
        assert_eq!(bench.get(&format!("/files/s/?{bad}")).await.problem().0, 400, "{bad}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn the_second_store_serves_when_the_first_has_lost_the_file() {
    let bench = Bench::start().await;
    let body = b"precious";
    assert_eq!(bench.put("/files/s/a", body).await.status, 201);
    bench.store("spare", None).await;
    let policy = Policy::default();
    bench.link("s", "spare", Some(1), policy).await;
    copy(&bench, body, "spare").await;
    let hex = digest(body).to_hex();
    let lost = bench.root("main").join(&hex[..2]).join(&hex[2..4]).join(&hex);
    std::fs::remove_file(&lost).expect("the first replica");
    let got = bench.get("/files/s/a").await;
    assert_eq!((got.status, got.body.as_slice()), (200, body.as_slice()));
    let snapshot = bench.app.catalogue.snapshot().expect("a snapshot");
    let file = snapshot.file_by_digest(&digest(body)).expect("a read").expect("a file");
    assert_eq!(file.state(bench.store_id("main")), Some(ReplicaState::Missing));
    drop(snapshot);
    bench.stop().await;
}

/// Puts the bytes into another store as maintenance would.
pub async fn copy(bench: &Bench, body: &[u8], store: &str) {
    let id = bench.store_id(store);
    let open = bench.app.transfer.stores.get(id).expect("a backend");
    let put = hayloft::stores::Body::Bytes(bytes::Bytes::copy_from_slice(body));
    open.backend.put(&digest(body), body.len() as u64, put).await.expect("a copy");
    set_replica(bench, body, store).await;
}

async fn set_replica(bench: &Bench, body: &[u8], store: &str) {
    let (id, digest) = (bench.store_id(store), digest(body));
    let job = move |tx: &mut hayloft::catalogue::Tx<'_>| {
        let mut file = tx.file_by_digest(&digest)?.expect("a file");
        let now = tx.now();
        file.put_replica(hayloft::domain::Replica {
            store: id,
            state: ReplicaState::Present,
            stored_at: now,
            verified_at: Some(now),
        });
        tx.put_file(&file)
    };
    bench.app.catalogue.write::<_, CatalogueError, _>(job).await.expect("a row");
}

#[tokio::test]
async fn an_archived_file_answers_409_and_uploading_it_again_heals_it() {
    let bench = Bench::start().await;
    bench.scope("cold", false).await;
    bench.store("vault", None).await;
    bench.link("cold", "vault", Some(1), Policy::default()).await;
    assert_eq!(bench.put("/files/cold/a", b"x").await.status, 201);
    let write_only = Policy { write_only: true, ..Policy::default() };
    bench.link("cold", "vault", Some(1), write_only).await;
    let got = bench.get("/files/cold/a").await;
    assert_eq!(got.problem(), (409, "file-archived".into()));
    assert_eq!(got.json()["stores"], serde_json::json!(["vault"]));
    assert_eq!(bench.ask("HEAD", "/files/cold/a").send().await.status, 409);
    bench.link("cold", "main", Some(100), Policy::default()).await;
    assert_eq!(bench.put("/files/cold/a", b"x").await.status, 200);
    assert_eq!(bench.get("/files/cold/a").await.status, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_file_without_any_replica_answers_503() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"x").await.status, 201);
    let hex = digest(b"x").to_hex();
    let lost = bench.root("main").join(&hex[..2]).join(&hex[2..4]).join(&hex);
    std::fs::remove_file(&lost).expect("the replica");
    assert_eq!(bench.get("/files/s/a").await.problem(), (503, "file-unavailable".into()));
    assert_eq!(bench.ask("HEAD", "/files/s/a").send().await.status, 503);
    bench.stop().await;
}

#[tokio::test]
async fn a_file_in_s3_is_redirected_to_and_head_and_304_are_not() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a%20b.txt", b"x").await.status, 201);
    let s3 = s3::in_process(s3::Faults::default()).await;
    s3.make_bucket("bucket");
    let config = s3_config(&s3.endpoint, "bucket", s3::KEY, s3::SECRET);
    bench.store_of("cloud", None, BackendConfig::S3(Box::new(config))).await;
    bench.mark("cloud").await;
    bench.link("s", "cloud", Some(200), Policy::default()).await;
    copy(&bench, b"x", "cloud").await;
    let before = last_use(&bench);
    let got = bench.get("/files/s/a%20b.txt?download").await;
    assert_eq!((got.status, got.body.len()), (302, 0), "{got:?}");
    let url = got.header("location").expect("a URL");
    assert!(url.contains("X-Amz-Expires=60") && url.contains("X-Amz-Signature="), "{url}");
    assert!(url.contains("response-content-disposition=attachment"), "{url}");
    assert!(!url.contains(s3::SECRET));
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert!(last_use(&bench) > before, "a redirect is a use");
    let head = bench.ask("HEAD", "/files/s/a%20b.txt").send().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("1")));
    let tag = head.header("etag").expect("a tag").to_owned();
    let known = bench.ask("GET", "/files/s/a%20b.txt").with("If-None-Match", &tag).send().await;
    assert_eq!(known.status, 304, "304 wins over a redirect");
    let proxied = bench.get("/files/s/a%20b.txt?proxy").await;
    assert_eq!((proxied.status, proxied.body.as_slice()), (200, b"x".as_slice()));
    bench.stop().await;
}

fn last_use(bench: &Bench) -> Option<Timestamp> {
    let snapshot = bench.app.catalogue.snapshot().expect("a snapshot");
    let file = snapshot.file_by_digest(&digest(b"x")).expect("a read").expect("a file");
    bench.app.catalogue.last_uses().get(file.id)
}
