//! Slow and greedy clients (SPEC 10).

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::{Bench, Reply};

/// For limits that a test lets pass.
const SHORT: Duration = Duration::from_millis(300);
/// For limits that a test must keep to: a busy machine stands still for a while.
const AMPLE: Duration = Duration::from_secs(4);

/// All that the server says until it closes.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said));
    closed.await.expect("the server closes").ok();
    said
}

#[tokio::test]
async fn a_client_that_says_nothing_or_only_half_a_header_is_dropped() {
    let bench = Bench::start_with(|config| config.limits.header_timeout = SHORT).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(bench.address).await.expect("a connection");
    assert!(until_closed(&mut silent).await.is_empty());
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    let mut slow = TcpStream::connect(bench.address).await.expect("a connection");
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.expect("a beginning");
    let begun = Instant::now();
    // Drop by drop: each byte comes in time, the header does not.
    while slow.write_all(b"a").await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is let go on for ever");
        tokio::time::sleep(SHORT / 10).await;
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_kept_connection_waits_for_the_idle_limit() {
    let (header, idle) = (AMPLE / 2, AMPLE * 3 / 2);
    let bench = Bench::start_with(|config| {
        config.limits.header_timeout = header;
        config.limits.idle_timeout = idle;
    })
    .await;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", bench.address);
    let mut stream = TcpStream::connect(bench.address).await.expect("a connection");
    let mut buffer = [0; 4096];
    let mut last = Instant::now();
    for wait in [header.mul_f64(1.1), header.mul_f64(1.1), Duration::ZERO] {
        last = Instant::now();
        stream.write_all(request.as_bytes()).await.expect("a request");
        let got = stream.read(&mut buffer).await.expect("an answer");
        assert!(buffer[..got].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(wait).await;
    }
    assert!(until_closed(&mut stream).await.is_empty());
    assert!(last.elapsed() >= idle, "{:?}", last.elapsed());
    bench.stop().await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let bench = Bench::start_with(|config| config.limits.body_timeout = SHORT).await;
    let begun = Instant::now();
    let mut stream = bench.ask("PUT", "/files/s/a").with("Content-Length", "100").open().await;
    stream.write_all(b"begun").await.expect("a beginning");
    let said = until_closed(&mut stream).await;
    assert_eq!(Reply::read(&said).problem(), (408, "body-stalled".into()));
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    let store = bench.store_id("main");
    assert_eq!(bench.app.catalogue.ledger().hard_usage(store), 0);
    bench.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_in_time_is_taken() {
    let bench = Bench::start_with(|config| config.limits.body_timeout = AMPLE).await;
    let ask = bench.ask("PUT", "/files/s/a").with("Content-Length", "6");
    let mut stream = ask.with("Connection", "close").open().await;
    // Longer than the limit in all.
    for byte in b"abcdef" {
        tokio::time::sleep(AMPLE / 5).await;
        stream.write_all(&[*byte]).await.expect("a byte");
    }
    assert_eq!(Reply::read(&until_closed(&mut stream).await).status, 201);
    bench.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped() {
    let limit = AMPLE / 2;
    let bench = Bench::start_with(|config| config.limits.body_timeout = limit).await;
    let body = vec![5; 32 << 20];
    assert_eq!(bench.put("/files/s/big", &body).await.status, 201);
    let mut stream = bench.ask("GET", "/files/s/big").open().await;
    tokio::time::sleep(4 * limit).await;
    let said = until_closed(&mut stream).await;
    assert!(said.len() < body.len(), "cut off after {} bytes", said.len());
    bench.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let bench = Bench::start_with(|config| config.limits.max_connections = 2).await;
    let first = TcpStream::connect(bench.address).await.expect("a connection");
    let second = TcpStream::connect(bench.address).await.expect("a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let waiting = bench.ask("GET", "/healthz").send();
    let mut waiting = std::pin::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.as_mut()).await;
    assert!(early.is_err(), "both places are taken");
    drop(first);
    assert_eq!(waiting.await.status, 200);
    drop(second);
    bench.stop().await;
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let bench = Bench::start().await;
    let config = std::sync::Arc::clone(&bench.app.config);
    let again = hayloft::server::Server::bind(bench.app.clone(), config.clone()).await;
    assert!(again.is_err_and(|e| format!("{e:#}").contains("another server")));
    let app = bench.app.clone();
    let socket = bench.socket.clone();
    // A server that was killed leaves its socket behind.
    let dead = socket.with_extension("dead");
    std::fs::rename(&socket, &dead).expect("put aside");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    assert!(socket.exists());
    hayloft::server::Server::bind(app, config).await.expect("replaced");
    bench.stop().await;
}

#[tokio::test]
async fn a_header_beyond_all_measure_is_refused() {
    let bench = Bench::start().await;
    let reply = bench.ask("GET", "/healthz").with("X-Long", &"a".repeat(64 << 10)).send().await;
    assert_eq!(reply.status, 431);
    let fits = bench.ask("GET", "/healthz").with("X-Long", &"a".repeat(16 << 10)).send().await;
    assert_eq!(fits.status, 200);
    bench.stop().await;
}
