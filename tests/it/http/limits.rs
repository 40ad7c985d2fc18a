//! Slow and greedy clients (SPEC 10).

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::{Bench, Reply};

const SHORT: Duration = Duration::from_millis(300);

async fn impatient() -> Bench {
    Bench::start_with(|config| {
        config.limits.header_timeout = SHORT;
        config.limits.idle_timeout = 2 * SHORT;
        config.limits.body_timeout = SHORT;
    })
    .await
}

/// How long until the server closes, and what it said.
async fn until_closed(stream: &mut TcpStream) -> (Duration, Vec<u8>) {
    let begun = Instant::now();
    let mut said = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said));
    closed.await.expect("the server closes").ok();
    (begun.elapsed(), said)
}

#[tokio::test]
async fn a_client_that_says_nothing_or_only_half_a_header_is_dropped() {
    let bench = impatient().await;
    let mut silent = TcpStream::connect(bench.address).await.expect("a connection");
    let (after, said) = until_closed(&mut silent).await;
    assert!(after >= SHORT.mul_f64(0.9) && said.is_empty(), "{after:?}");
    let mut slow = TcpStream::connect(bench.address).await.expect("a connection");
    let begun = Instant::now();
    // Drop by drop: each byte comes in time, the header does not.
    for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaa" {
        if slow.write_all(&[*byte]).await.is_err() || begun.elapsed() > 10 * SHORT {
            break;
        }
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!(until_closed(&mut slow).await.0 < SHORT);
    assert!(begun.elapsed() < 5 * SHORT, "{:?}", begun.elapsed());
    bench.stop().await;
}

#[tokio::test]
async fn a_kept_connection_waits_for_the_idle_limit() {
    let bench = impatient().await;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", bench.address);
    let mut stream = TcpStream::connect(bench.address).await.expect("a connection");
    let mut buffer = [0; 4096];
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.expect("a request");
        let got = stream.read(&mut buffer).await.expect("an answer");
        assert!(buffer[..got].starts_with(b"HTTP/1.1 200"));
        // Longer than the header limit.
        tokio::time::sleep(SHORT.mul_f64(1.3)).await;
    }
    let (after, _) = until_closed(&mut stream).await;
    assert!(after < 2 * SHORT, "{after:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let bench = impatient().await;
    let mut stream = bench.ask("PUT", "/files/s/a").with("Content-Length", "100").open().await;
    stream.write_all(b"begun").await.expect("a beginning");
    let (after, said) = until_closed(&mut stream).await;
    assert_eq!(Reply::read(&said).problem(), (408, "body-stalled".into()));
    assert!(after >= SHORT.mul_f64(0.9) && after < 20 * SHORT, "{after:?}");
    let store = bench.store_id("main");
    assert_eq!(bench.app.catalogue.ledger().hard_usage(store), 0);
    bench.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_in_time_is_taken() {
    let bench = impatient().await;
    let ask = bench.ask("PUT", "/files/s/a").with("Content-Length", "6");
    let mut stream = ask.with("Connection", "close").open().await;
    for byte in b"abcdef" {
        tokio::time::sleep(SHORT / 2).await;
        stream.write_all(&[*byte]).await.expect("a byte");
    }
    let (_, said) = until_closed(&mut stream).await;
    assert_eq!(Reply::read(&said).status, 201);
    bench.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped() {
    let bench = impatient().await;
    let body = vec![5; 32 << 20];
    assert_eq!(bench.put("/files/s/big", &body).await.status, 201);
    let mut stream = bench.ask("GET", "/files/s/big").open().await;
    tokio::time::sleep(6 * SHORT).await;
    let (_, said) = until_closed(&mut stream).await;
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
