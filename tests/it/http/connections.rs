//! What happens below a request: TLS, broken bodies.

use std::path::Path;
use std::time::{Duration, Instant};

use hayloft::config::Tls;
use hayloft::ops::{Actor, tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::{Bench, WRITER};
use crate::support::{bytes, digest};

/// A self-signed certificate for `localhost`, made for these tests.
fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

#[tokio::test]
async fn files_travel_over_tls() {
    hayloft::stores::install_crypto_provider();
    let bench = Bench::start_with(|config| {
        config.tls = Some(Tls { certificate: fixture("cert.pem"), key: fixture("key.pem") });
    })
    .await;
    let pem = std::fs::read(fixture("cert.pem")).expect("a certificate");
    let root = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    let client = reqwest::Client::builder().add_root_certificate(root).build().expect("a client");
    let url = format!("https://localhost:{}/files/s/a", bench.address.port());
    let body = bytes(1, 3_000_000);
    let put = client.put(&url).bearer_auth(WRITER).body(body.clone()).send().await.expect("sent");
    assert_eq!(put.status(), 201);
    let got = client.get(&url).bearer_auth(WRITER).send().await.expect("sent");
    assert!(got.bytes().await.expect("a body") == body);
    // Plain HTTP on the same port is no request.
    let mut plain = bench.ask("GET", "/healthz").open().await;
    let mut said = Vec::new();
    plain.read_to_end(&mut said).await.ok();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start_and_is_named() {
    let bench = Bench::start().await;
    let mut config = (*bench.app.config).clone();
    config.admin_socket = bench.socket.with_extension("two");
    config.tls = Some(Tls { certificate: fixture("cert.pem"), key: fixture("missing.pem") });
    let bound = hayloft::server::Server::bind(bench.app.clone(), config.into()).await;
    let error = format!("{:#}", bound.expect_err("no key"));
    assert!(error.contains("tls.key") && error.contains("missing.pem"), "{error}");
    bench.stop().await;
}

#[tokio::test]
async fn a_replica_cut_short_is_never_content() {
    let bench = Bench::start().await;
    let body = bytes(1, 3_000_000);
    assert_eq!(bench.put("/files/s/a", &body).await.status, 201);
    let hex = digest(&body).to_hex();
    let object = bench.root("main").join(&hex[..2]).join(&hex[2..4]).join(&hex);
    std::fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("writable");
    let file = std::fs::OpenOptions::new().write(true).open(&object).expect("the replica");
    file.set_len(1_000_000).expect("damaged");
    // Found out before a byte is sent: another replica would have been tried.
    let reply = bench.get("/files/s/a").await;
    assert_eq!(reply.problem(), (503, "file-unavailable".to_owned()));
    bench.stop().await;
}

#[tokio::test]
async fn a_sign_in_link_works_once() {
    let bench = Bench::start().await;
    let admin = Actor::instance_admin("socket");
    let link = tokens::sign_in_link(&bench.app, &admin).await.expect("a link");
    let target = link.url.split_once("/signin").expect("a link").1;
    let target = format!("/signin{target}");
    let head = bench.ask_as(None, "HEAD", &target).send().await;
    assert_eq!((head.status, head.header("set-cookie")), (200, None), "a preview uses nothing up");
    let opened = bench.ask_as(None, "GET", &target).send().await;
    assert_eq!(opened.status, 200);
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    let cookie = cookie.split(';').next().expect("a pair");
    let page = bench.ask_as(None, "GET", "/").with("Cookie", cookie).send().await;
    assert!(String::from_utf8_lossy(&page.body).contains("Sign out"));
    assert_eq!(bench.ask_as(None, "GET", &target).send().await.status, 403);
    let secret = cookie.split_once('=').expect("a value").1;
    let as_link = bench.ask_as(None, "GET", &format!("/signin?token={secret}")).send().await;
    assert_eq!(as_link.status, 403, "a session is no link");
    let again = bench.ask_as(None, "GET", "/files/s/").with("Cookie", cookie).send().await;
    assert_eq!(again.status, 200, "and it lives on");
    bench.stop().await;
}

#[tokio::test]
async fn last_uses_of_tokens_are_written_at_the_end() {
    let bench = Bench::start().await;
    assert_eq!(bench.get("/files/s/missing").await.status, 404);
    let app = bench.app.clone();
    let used = || app.catalogue.settings().tokens["writer"].last_used;
    assert_eq!(used(), None, "a request costs no commit");
    bench.stop().await;
    assert!(used().is_some());
}

#[tokio::test]
async fn a_taken_port_leaves_no_socket_behind() {
    let bench = Bench::start().await;
    let mut config = (*bench.app.config).clone();
    config.admin_socket = bench.socket.with_extension("two");
    config.listen = bench.address;
    let bound = hayloft::server::Server::bind(bench.app.clone(), config.clone().into()).await;
    let error = format!("{:#}", bound.expect_err("taken"));
    assert!(error.contains(&bench.address.to_string()), "{error}");
    assert!(!config.admin_socket.exists());
    bench.stop().await;
}

#[tokio::test]
async fn a_location_is_where_clients_reach_the_file() {
    let bench =
        Bench::start_with(|c| c.public_url = Some("https://files.example".to_owned())).await;
    let put = bench.put("/files/s/a%20b%2Fc", b"x").await;
    assert_eq!(put.header("location"), Some("https://files.example/files/s/a%20b/c"));
    let foreign = bench.ask_as(None, "POST", "/signin").with("Origin", "https://files.example");
    assert_eq!(foreign.body(b"token=x").send().await.status, 401, "our own page");
    bench.stop().await;
}

/// The median time that `times` exchanges on one connection take.
async fn median(stream: &mut TcpStream, request: &[u8], answer: usize, times: usize) -> Duration {
    let mut took = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..times {
        let begun = Instant::now();
        stream.write_all(request).await.expect("a request");
        let mut got = 0;
        while got < answer {
            let more = stream.read(&mut buffer).await.expect("an answer");
            assert!(more > 0, "closed after {got} bytes");
            got += more;
        }
        took.push(begun.elapsed());
    }
    took.sort();
    took[times / 2]
}

#[tokio::test]
async fn small_answers_on_a_kept_connection_wait_for_nothing() {
    const SIZE: usize = 100;
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", &bytes(1, SIZE)).await.status, 201);
    // Two at once: the second answer must not wait until the client says that it has the first.
    let request = format!("{}\r\n", bench.ask("GET", "/files/s/a").head);
    let mut stream = TcpStream::connect(bench.address).await.expect("a connection");
    let mut head = vec![0; 64 << 10];
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut whole = 0;
    let ends = |said: &[u8]| said.windows(4).position(|w| w == b"\r\n\r\n");
    while ends(&head[..whole]).is_none_or(|end| whole < end + 4 + SIZE) {
        whole += stream.read(&mut head[whole..]).await.expect("an answer");
    }
    let one = median(&mut stream, request.as_bytes(), whole, 41).await;
    let both = median(&mut stream, request.repeat(2).as_bytes(), 2 * whole, 41).await;
    // A delayed acknowledgement costs 40 ms; a busy machine delays one and two alike.
    let limit = one * 4 + Duration::from_millis(20);
    assert!(both < limit, "{both:?} for two answers at once, {one:?} for one");
    bench.stop().await;
}
