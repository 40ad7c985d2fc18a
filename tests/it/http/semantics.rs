//! Requests and what RFC 9110 and 9112 make of them: a table of ranges, conditions, methods, odd
//! paths, and one of bytes that are no request, or two at once.

use std::time::Duration;

use hayloft::domain::{BackendConfig, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::{Bench, Reply, WRITER};
use crate::support::{bytes, digest, s3, s3_config};

/// `-` before a header: it must be absent. `*` as its value: whatever it is.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a [(&'a str, &'a str)]);

const NONE: &[(&str, &str)] = &[];
/// What every answer of the file routes carries.
const DISARMED: [(&str, &str); 2] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox; default-src 'none'"),
];

fn check(reply: &Reply, expected: &[(&str, &str)], what: &str) {
    for (name, value) in expected {
        let found = name.strip_prefix('-').map_or(reply.header(name), |name| reply.header(name));
        match (name.starts_with('-'), *value) {
            (true, _) => assert_eq!(found, None, "{what}: {name}"),
            (false, "*") => assert!(found.is_some(), "{what}: {name} is absent"),
            (false, value) => assert_eq!(found, Some(value), "{what}: {name}"),
        }
    }
}

/// The reply to the request of a row, which has the row's status and headers, and what was asked.
async fn answered(bench: &Bench, row: &Row<'_>) -> (Reply, String) {
    let (method, target, headers, status, expected) = row;
    let what = format!("{method} {target} {headers:?}");
    let ask = bench.ask(method, target);
    let ask = headers.iter().fold(ask, |ask, (name, value)| ask.with(name, value));
    let reply = ask.send().await;
    assert_eq!(reply.status, *status, "{what}: {reply:?}");
    check(&reply, expected, &what);
    (reply, what)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn each_request_has_its_status_and_headers() {
    let bench = Bench::start().await;
    let body = b"0123456789";
    let put = bench.ask("PUT", "/files/s/ten").with("Content-Type", "text/css").body(body);
    assert_eq!(put.send().await.status, 201);
    assert_eq!(bench.put("/files/s/none", b"").await.status, 201);
    let (own, other) =
        (format!("\"{}\"", digest(body).to_hex()), format!("\"{}\"", "0".repeat(64)));
    let two_tags = format!("{other}, {own}");
    let hash = format!("/by-hash/s/{}", digest(body).to_hex());
    let absent = format!("/by-hash/s/{}", "0".repeat(64));
    let long = format!("/files/s/{}", "a".repeat(1025));
    let part = [
        ("content-range", "bytes 2-4/10"),
        ("content-length", "3"),
        ("etag", &own),
        ("content-type", "text/css"),
    ];
    let whole = [
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        ("-content-range", ""),
        ("last-modified", "*"),
        ("etag", &own),
    ];
    let same = [
        ("etag", own.as_str()),
        ("last-modified", "*"),
        ("-content-length", ""),
        ("-content-type", ""),
    ];
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    let future = "Fri, 31 Dec 2100 23:59:59 GMT";
    let outside = [("content-range", "bytes */10")];
    let all_cut = [("content-range", "bytes 0-9/10")];
    let saved = [("content-disposition", "attachment; filename=\"ten\"")];
    let problem = [("content-type", "application/problem+json"), ("-etag", "")];
    let rows: &[Row<'_>] = &[
        // Ranges: one is cut out, what cannot be understood is ignored, what lies outside is 416.
        ("GET", "/files/s/ten", NONE, 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "bytes=2-4")], 206, &part),
        ("GET", "/files/s/ten", &[("Range", "BYTES=2-4")], 206, &part),
        ("GET", &hash, &[("Range", "bytes=2-4")], 206, &part),
        ("GET", "/files/s/ten?download", &[("Range", "bytes=2-4")], 206, &saved),
        ("GET", "/files/s/ten", &[("Range", "bytes=0-18446744073709551615")], 206, &all_cut),
        ("GET", "/files/s/ten", &[("Range", "bytes=-99")], 206, &all_cut),
        ("GET", "/files/s/ten", &[("Range", "bytes=10-10")], 416, &outside),
        ("GET", "/files/s/ten", &[("Range", "bytes=-0")], 416, &outside),
        ("GET", "/files/s/none", &[("Range", "bytes=0-0")], 416, &[("content-range", "bytes */0")]),
        ("GET", "/files/s/ten", &[("Range", "bytes=0-0,-1")], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "bytes=5-4")], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "bytes 2-4")], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "seconds=2-4")], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "")], 200, &whole),
        ("HEAD", "/files/s/ten", &[("Range", "bytes=2-4")], 200, &whole),
        ("HEAD", "/files/s/ten", &[("Range", "bytes=99-")], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "bytes=2-4"), ("If-Range", &own)], 206, &part),
        ("GET", "/files/s/ten", &[("Range", "bytes=2-4"), ("If-Range", &other)], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "bytes=2-4"), ("If-Range", long_ago)], 200, &whole),
        ("GET", "/files/s/ten", &[("Range", "bytes=99-"), ("If-Range", &other)], 200, &whole),
        ("GET", "/files/s/absent", &[("Range", "bytes=0-1")], 404, &problem),
        // Conditions, in their order: If-Match, If-None-Match, then dates, then the range.
        ("GET", "/files/s/ten", &[("If-None-Match", &own)], 304, &same),
        ("GET", "/files/s/ten", &[("If-None-Match", &two_tags)], 304, &same),
        ("GET", "/files/s/ten", &[("If-None-Match", &other), ("If-None-Match", &own)], 304, &same),
        ("HEAD", "/files/s/ten", &[("If-None-Match", "*")], 304, &same),
        ("GET", &hash, &[("If-None-Match", &own)], 304, &same),
        (
            "GET",
            "/files/s/ten",
            &[("If-None-Match", &other), ("If-Modified-Since", future)],
            200,
            &whole,
        ),
        ("GET", "/files/s/ten", &[("If-Modified-Since", future)], 304, &same),
        ("GET", "/files/s/ten", &[("If-Modified-Since", long_ago)], 200, &whole),
        ("GET", "/files/s/ten", &[("If-Modified-Since", "yesterday")], 200, &whole),
        ("GET", "/files/s/ten", &[("If-Match", &other)], 412, &problem),
        ("GET", "/files/s/ten", &[("If-Match", &two_tags)], 200, &whole),
        ("GET", "/files/s/ten", &[("If-Unmodified-Since", long_ago)], 412, &problem),
        ("GET", "/files/s/ten", &[("If-Unmodified-Since", "yesterday")], 200, &whole),
        ("GET", "/files/s/ten", &[("If-Match", &own), ("If-None-Match", &own)], 304, &same),
        ("GET", "/files/s/ten", &[("If-None-Match", "no quotes")], 400, &problem),
        ("GET", "/files/s/ten", &[("If-None-Match", &own), ("Range", "bytes=99-")], 304, &same),
        ("GET", "/files/s/absent", &[("If-None-Match", "*")], 404, &problem),
        ("GET", "/files/s/absent", &[("If-Match", "*")], 404, &problem),
        ("DELETE", "/files/s/ten", &[("If-Match", &other)], 412, &problem),
        ("PUT", "/files/s/ten", &[("If-None-Match", "*"), ("Content-Length", "0")], 412, &problem),
        // Methods.
        ("POST", "/files/s/ten", NONE, 405, &[("allow", "GET, HEAD, PUT, DELETE")]),
        ("PATCH", "/files/s/ten", NONE, 405, &[("allow", "GET, HEAD, PUT, DELETE")]),
        ("OPTIONS", "/files/s/ten", NONE, 405, &[("allow", "GET, HEAD, PUT, DELETE")]),
        ("TRACE", "/files/s/ten", NONE, 405, &[("allow", "GET, HEAD, PUT, DELETE")]),
        ("BREW", "/files/s/ten", NONE, 405, &[("allow", "GET, HEAD, PUT, DELETE")]),
        ("DELETE", "/files/s/", NONE, 405, &[("allow", "GET, HEAD")]),
        ("PUT", &hash, NONE, 405, &[("allow", "GET, HEAD")]),
        ("DELETE", &hash, NONE, 405, &[("allow", "GET, HEAD")]),
        ("get", "/files/s/ten", NONE, 405, &[("allow", "GET, HEAD, PUT, DELETE")]),
        ("HEAD", "/files/s/absent", NONE, 404, &problem),
        (
            "HEAD",
            "/files/s/",
            NONE,
            200,
            &[("content-type", "application/json"), ("content-length", "*")],
        ),
        // Paths and encodings.
        ("GET", "/files/s/t%65n", NONE, 200, &whole),
        ("GET", "/files/s/t%2565n", NONE, 404, &problem),
        ("GET", "/files/s/TEN", NONE, 404, &problem),
        ("GET", "/files/s/ten/", NONE, 400, &problem),
        ("GET", "/files/s//ten", NONE, 400, &problem),
        ("GET", "/files/s/../s/ten", NONE, 400, &problem),
        ("GET", "/files/s/%2E%2E/ten", NONE, 400, &problem),
        ("GET", "/files/s/..%2Ften", NONE, 400, &problem),
        ("GET", "/files/s/ten%00", NONE, 400, &problem),
        ("GET", "/files/s/%C0%AE%C0%AE/ten", NONE, 400, &problem),
        ("GET", "/files/s/ten%", NONE, 400, &problem),
        ("GET", "/files/s/ten%zz", NONE, 400, &problem),
        ("GET", "/files/s/ten;v=1", NONE, 404, &problem),
        ("GET", "/files/s/a\\..\\ten", NONE, 404, &problem),
        ("GET", "/files//ten", NONE, 404, &problem),
        ("GET", "/files/S/ten", NONE, 404, &problem),
        ("GET", "/files/%73/ten", NONE, 404, &problem),
        ("GET", "//files/s/ten", NONE, 404, &problem),
        ("GET", "/files/../files/s/ten", NONE, 404, &problem),
        ("GET", &long, NONE, 400, &problem),
        ("GET", "/files/s/ten?download=%FF", NONE, 400, &problem),
        ("GET", "/files/s/ten?unknown=1&proxy=false", NONE, 200, &whole),
        ("GET", &absent, NONE, 404, &problem),
        ("GET", "/by-hash/s/", NONE, 400, &problem),
        ("GET", "/by-hash/s/../../files/s/ten", NONE, 400, &problem),
        // Content negotiation there is none: what was stored is what comes.
        (
            "GET",
            "/files/s/ten",
            &[("Accept", "image/png"), ("Accept-Encoding", "gzip, br")],
            200,
            &[("content-type", "text/css"), ("-content-encoding", "")],
        ),
    ];
    for row in rows {
        let (reply, what) = answered(&bench, row).await;
        let (method, target, _, status, _) = row;
        if target.starts_with("/files/") || target.starts_with("/by-hash/") {
            check(&reply, &DISARMED, &what);
        }
        let empty = *method == "HEAD" || *status == 304;
        assert_eq!(reply.body.is_empty(), empty, "{what}");
        match *status {
            206 if reply.header("content-length") == Some("3") => assert_eq!(reply.body, b"234"),
            200 if target.contains("/ten") && !empty => assert_eq!(reply.body, body, "{what}"),
            400.. if !empty => assert_eq!(reply.problem().0, *status, "{what}"),
            _ => {}
        }
    }
    assert_eq!(bench.get("/files/s/ten").await.body, body, "nobody changed it");
    bench.stop().await;
}

#[tokio::test]
async fn each_request_for_a_file_in_s3_has_its_status_and_headers() {
    let bench = Bench::start().await;
    let body = b"0123456789";
    assert_eq!(bench.put("/files/s/ten", body).await.status, 201);
    let provider = s3::in_process(s3::Faults::default()).await;
    provider.make_bucket("bucket");
    let config = s3_config(&provider.endpoint, "bucket", s3::KEY, s3::SECRET);
    bench.store_of("cloud", None, BackendConfig::S3(Box::new(config))).await;
    bench.mark("cloud").await;
    bench.link("s", "cloud", Some(200), Policy::default()).await;
    super::reads::copy(&bench, body, "cloud").await;
    let own = format!("\"{}\"", digest(body).to_hex());
    let hash = format!("/by-hash/s/{}", digest(body).to_hex());
    let away = [("location", "*"), ("cache-control", "no-store"), ("content-length", "0")];
    let here = [("-location", ""), ("content-length", "10"), ("etag", own.as_str())];
    let part = [("-location", ""), ("content-range", "bytes 2-4/10"), ("content-length", "3")];
    let rows: &[Row<'_>] = &[
        ("GET", "/files/s/ten", NONE, 302, &away),
        ("GET", &hash, NONE, 302, &away),
        ("GET", "/files/s/ten?download", NONE, 302, &away),
        ("GET", "/files/s/ten?proxy=false", NONE, 302, &away),
        // The provider cuts the range: the client repeats it there.
        ("GET", "/files/s/ten", &[("Range", "bytes=2-4")], 302, &away),
        ("GET", "/files/s/ten", &[("Range", "bytes=99-")], 416, &[("content-range", "bytes */10")]),
        ("GET", "/files/s/ten", &[("If-None-Match", &own)], 304, &[("-location", "")]),
        ("GET", "/files/s/ten", &[("If-Match", "\"other\"")], 412, &[("-location", "")]),
        ("HEAD", "/files/s/ten", NONE, 200, &here),
        ("HEAD", "/files/s/ten", &[("Range", "bytes=2-4")], 200, &here),
        ("HEAD", &hash, NONE, 200, &here),
        ("GET", "/files/s/ten?proxy", NONE, 200, &here),
        ("GET", "/files/s/ten?proxy=1", &[("Range", "bytes=2-4")], 206, &part),
        (
            "GET",
            "/files/s/ten?proxy",
            &[("Range", "bytes=99-")],
            416,
            &[("content-range", "bytes */10")],
        ),
    ];
    for row in rows {
        let (reply, what) = answered(&bench, row).await;
        let (method, _, _, status, _) = row;
        check(&reply, &DISARMED, &what);
        match (*method, *status) {
            ("GET", 200) => assert_eq!(reply.body, body, "{what}"),
            ("GET", 206) => assert_eq!(reply.body, b"234", "{what}"),
            ("GET", 400..) => {}
            _ => assert!(reply.body.is_empty(), "{what}"),
        }
    }
    bench.stop().await;
}

/// Longer than a busy machine stands still; what is sent in time must not run into it.
const PATIENCE: Duration = Duration::from_secs(3);

/// A bench on which a connection that waits for more is soon closed.
async fn impatient() -> Bench {
    Bench::start_with(|config| {
        config.limits.header_timeout = PATIENCE;
        config.limits.idle_timeout = PATIENCE;
        config.limits.body_timeout = PATIENCE;
    })
    .await
}

/// Sends bytes as they are; all that comes back until the server closes.
async fn raw(bench: &Bench, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(bench.address).await.expect("a connection");
    stream.write_all(sent).await.ok();
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("the server closes").ok();
    String::from_utf8_lossy(&said).into_owned()
}

/// The statuses of all answers in what a server said.
fn statuses(said: &str) -> Vec<u16> {
    let answers = said.split("HTTP/1.").skip(1);
    answers.map(|a| a.get(2..5).and_then(|s| s.parse().ok()).unwrap_or(0)).collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn what_is_no_request_is_refused_and_what_means_two_things_means_one() {
    let bench = impatient().await;
    assert_eq!(bench.put("/files/s/a", b"old").await.status, 201);
    let auth = format!("Host: x\r\nAuthorization: Bearer {WRITER}\r\n");
    let put = |name: &str, rest: &str| format!("PUT /files/s/{name} HTTP/1.1\r\n{auth}{rest}");
    let get = format!("GET /files/s/a HTTP/1.1\r\n{auth}\r\n");
    let no_length = put("n", "\r\n");
    // What follows lies within the length, and behind the last chunk.
    let length = format!("Content-Length: {}\r\n", 5 + get.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let cases: Vec<(&str, String, &[u16])> = vec![
        // Framing: Transfer-Encoding wins over Content-Length, and nothing after it is trusted.
        ("CL, TE", put("clte", &format!("{length}{chunked}\r\n0\r\n\r\n{get}")), &[201]),
        ("TE, CL", put("tecl", &format!("{chunked}{length}\r\n0\r\n\r\n{get}")), &[201]),
        ("two lengths", put("cl2", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), &[400]),
        ("a list of lengths", put("cl3", "Content-Length: 3, 4\r\n\r\nabcd"), &[400]),
        (
            "the same length twice",
            put("cl4", "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
            &[201],
        ),
        ("a signed length", put("cl5", "Content-Length: +3\r\n\r\nabc"), &[400]),
        ("a negative length", put("cl6", "Content-Length: -3\r\n\r\nabc"), &[400]),
        ("a hexadecimal length", put("cl7", "Content-Length: 0x3\r\n\r\nabc"), &[400]),
        (
            "a length beyond 64 bits",
            put("cl8", "Content-Length: 99999999999999999999\r\n\r\n"),
            &[400],
        ),
        ("a coding we do not know", put("te1", "Transfer-Encoding: gzip\r\n\r\nabc"), &[400]),
        (
            "chunked not last",
            put("te2", "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
            &[400],
        ),
        ("chunked in disguise", put("te3", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), &[400]),
        (
            "a chunk without a size",
            put("ch1", "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
            &[400],
        ),
        (
            "a chunk size beyond 64 bits",
            put("ch2", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
            &[400],
        ),
        (
            "a chunk longer than its size",
            put("ch3", "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"),
            &[400],
        ),
        (
            "chunks with bare line feeds",
            put("ch4", "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n"),
            &[400],
        ),
        ("neither length nor coding", no_length, &[201]),
        // Lines.
        (
            "a folded header",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}X-A: b\r\n c\r\n\r\n"),
            &[400],
        ),
        (
            "a space before the colon",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}X-A : b\r\n\r\n"),
            &[400],
        ),
        (
            "a header without a name",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}: b\r\n\r\n"),
            &[400],
        ),
        (
            "a NUL in a header",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}X-A: b\0c\r\n\r\n"),
            &[400],
        ),
        (
            "a bare carriage return",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}X-A: b\rc\r\n\r\n"),
            &[400],
        ),
        // Section 2.2 lets a recipient take a lone line feed for the end of a line.
        ("bare line feeds", get.replace("\r\n", "\n"), &[200]),
        ("a request in lower case", get.replace("HTTP/1.1", "http/1.1"), &[400]),
        ("three spaces", get.replacen(' ', "   ", 1), &[400]),
        (
            "a fragment of another protocol",
            "\x16\x03\x01\x02\x00\x01\x00\x01\n\n\r\n\r\n".to_owned(),
            &[400],
        ),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        ("HTTP/3.0", get.replace("HTTP/1.1", "HTTP/3.0"), &[400]),
        // Who is meant.
        (
            "no host",
            format!("GET /files/s/a HTTP/1.1\r\nAuthorization: Bearer {WRITER}\r\n\r\n"),
            &[400],
        ),
        ("two hosts", get.replacen("\r\n\r\n", "\r\nHost: y\r\n\r\n", 1), &[400]),
        (
            "HTTP/1.0 needs no host",
            format!("GET /files/s/a HTTP/1.0\r\nAuthorization: Bearer {WRITER}\r\n\r\n"),
            &[200],
        ),
        ("a whole URL", get.replace(" /files", " http://x/files"), &[200]),
        (
            "CONNECT",
            "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_owned(),
            &[404],
        ),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), &[404]),
        // Too much.
        (
            "a target of 40 kB",
            get.replace("/files/s/a", &format!("/files/s/{}", "a".repeat(40_000))),
            &[431],
        ),
        (
            "a header of 40 kB",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}X-A: {}\r\n\r\n", "b".repeat(40_000)),
            &[431],
        ),
        (
            "200 headers",
            format!("GET /files/s/a HTTP/1.1\r\n{auth}{}\r\n", "X-A: b\r\n".repeat(200)),
            &[431],
        ),
    ];
    // All at once: most end only when the server's patience does.
    let said = cases.iter().map(|(_, sent, expected)| {
        // Behind a request that is refused, a good one: nobody knows where it begins.
        let more = if *expected == [400] { get.as_str() } else { "" };
        let sent = format!("{sent}{more}");
        async {
            let sent = sent;
            raw(&bench, sent.as_bytes()).await
        }
    });
    let said = futures_util::future::join_all(said).await;
    for ((what, _, expected), said) in cases.iter().zip(said) {
        let answers = statuses(&said);
        // A second answer would be one to a request that was smuggled in.
        assert!(!expected.is_empty() || said.is_empty(), "{what}: {said}");
        assert_eq!(&answers, expected, "{what}: {said}");
    }
    for name in ["cl2", "cl3", "cl5", "te1", "te2", "te3", "ch1", "ch2", "ch3", "ch4"] {
        assert_eq!(bench.get(&format!("/files/s/{name}")).await.status, 404, "{name} is kept");
    }
    for name in ["clte", "tecl", "n"] {
        assert_eq!(bench.get(&format!("/files/s/{name}")).await.body, b"", "{name}");
    }
    let store = bench.store_id("main");
    assert_eq!(bench.app.catalogue.ledger().reserved(store), 0);
    bench.stop().await;
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_their_order() {
    let bench = impatient().await;
    let head = format!("Host: x\r\nAuthorization: Bearer {WRITER}\r\n");
    let packet = format!(
        "PUT /files/s/p HTTP/1.1\r\n{head}Content-Length: 3\r\n\r\nabc\
         GET /files/s/p HTTP/1.1\r\n{head}\r\n\
         GET /files/s/absent HTTP/1.1\r\n{head}\r\n\
         DELETE /files/s/p HTTP/1.1\r\n{head}Connection: close\r\n\r\n\
         GET /files/s/p HTTP/1.1\r\n{head}\r\n"
    );
    let said = raw(&bench, packet.as_bytes()).await;
    assert_eq!(statuses(&said), [201, 200, 404, 204], "{said}");
    // A refused body does not become the next request.
    let packet = format!(
        "PUT /files/nowhere/p HTTP/1.1\r\n{head}Content-Length: 56\r\n\r\n\
         DELETE /files/s/victim HTTP/1.1\r\nHost: xxxxxxxxxxxxxxxx\r\n\r\n\
         GET /files/s/absent HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    );
    assert_eq!(bench.put("/files/s/victim", b"x").await.status, 201);
    let said = raw(&bench, packet.as_bytes()).await;
    assert_eq!(statuses(&said).first(), Some(&404), "{said}");
    assert_eq!(bench.get("/files/s/victim").await.status, 200);
    bench.stop().await;
}

#[tokio::test]
async fn clients_that_break_off_harm_nobody() {
    let bench = impatient().await;
    let body = bytes(1, 4 << 20);
    assert_eq!(bench.put("/files/s/big", &body).await.status, 201);
    for round in 0..20 {
        // Half a header, half a body, half an answer, an answer never read.
        let mut half = TcpStream::connect(bench.address).await.expect("a connection");
        half.write_all(b"GET /files/s/big HT").await.expect("half a line");
        drop(half);
        let target = format!("/files/s/{round}");
        let mut upload = bench.ask("PUT", &target).with("Content-Length", "1000000").open().await;
        upload.write_all(&body[..1000]).await.expect("a beginning");
        drop(upload);
        let mut download = bench.ask("GET", "/files/s/big").open().await;
        let mut some = [0; 1000];
        download.read_exact(&mut some).await.expect("a beginning");
        // Closing with unread bytes resets the connection.
        drop(download);
    }
    // A client that only says that it will send no more is still answered.
    let mut closed = bench.ask("GET", "/files/s/big").open().await;
    closed.shutdown().await.expect("half closed");
    let mut said = Vec::new();
    closed.read_to_end(&mut said).await.expect("an answer");
    assert_eq!(Reply::read(&said).body.len(), body.len());
    let store = bench.store_id("main");
    for _ in 0..1000 {
        if bench.app.catalogue.ledger().reserved(store) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.app.catalogue.ledger().reserved(store), 0, "every promise is taken back");
    assert_eq!(bench.app.catalogue.ledger().hard_usage(store), body.len() as u64);
    bench.stop().await;
}
