//! The real program against servers that misbehave in ways that ours does not.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hayloft::api::Run;
use serde_json::json;

use crate::support::ports;

/// Serves `router` on a free port until the test process ends; returns its URL.
fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    listener.set_nonblocking(true).expect("non-blocking");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("serve");
        });
    });
    url
}

/// A URL where nobody listens.
fn nobody() -> String {
    format!("http://127.0.0.1:{}/", ports::claim())
}

fn hayloft(server: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hayloft"));
    command.args(words).env("HAYLOFT_SERVER", server).env("HAYLOFT_TOKEN", "sesame");
    command.env_remove("HAYLOFT_CONFIG").stdin(Stdio::null());
    command
}

fn output(server: &str, words: &[&str]) -> Output {
    hayloft(server, words).output().expect("run hayloft")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn etag(content: &[u8]) -> (header::HeaderName, String) {
    (header::ETAG, format!("\"{}\"", blake3::hash(content).to_hex()))
}

fn names_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("read the directory").count()
}

#[test]
fn a_download_with_other_bytes_fails_and_leaves_nothing() {
    let damaged = || async { ([etag(b"what was uploaded")], "something else") };
    let url = serve(Router::new().route("/files/media/x", get(damaged)));
    let dir = tempfile::tempdir().expect("temporary directory");
    let target = dir.path().join("x");
    let out = output(&url, &["file", "get", "media", "x", "-o", &target.to_string_lossy()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(errors(&out).contains("not those of the file"), "{}", errors(&out));
    assert_eq!(names_in(dir.path()), 0);
}

#[test]
fn a_download_that_is_cut_short_fails_and_leaves_the_old_file() {
    let cut = || async {
        let chunks = [Ok("half of it"), Err(std::io::Error::other("cut"))];
        let body = axum::body::Body::from_stream(futures_util::stream::iter(chunks));
        ([etag(b"all of it")], body)
    };
    let url = serve(Router::new().route("/files/media/x", get(cut)));
    let dir = tempfile::tempdir().expect("temporary directory");
    let target = dir.path().join("x");
    std::fs::write(&target, "old").expect("write");
    let out = output(&url, &["file", "get", "media", "x", "-o", &target.to_string_lossy()]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(std::fs::read(&target).expect("read"), b"old");
    assert_eq!(names_in(dir.path()), 1);
}

const CONTENT: &str = "the content";

#[test]
fn a_file_is_saved_under_the_longest_name_that_the_disk_takes() {
    let whole = || async { ([etag(CONTENT.as_bytes())], CONTENT) };
    let url = serve(Router::new().route("/files/media/x", get(whole)));
    let dir = tempfile::tempdir().expect("temporary directory");
    let target = dir.path().join("n".repeat(255));
    let out = output(&url, &["file", "get", "media", "x", "-o", &target.to_string_lossy()]);
    assert_eq!(out.status.code(), Some(0), "{}", errors(&out));
    assert_eq!(std::fs::read(&target).expect("read"), CONTENT.as_bytes());
    assert_eq!(names_in(dir.path()), 1);
}

/// A server that redirects to `target`, and streams the file itself when asked to.
fn redirecting(target: String) -> String {
    let answer = move |query: axum::extract::RawQuery| {
        let target = target.clone();
        async move {
            let etag = etag(CONTENT.as_bytes());
            match query.0.as_deref() {
                Some("proxy") => ([etag], CONTENT).into_response(),
                _ => (StatusCode::FOUND, [etag, (header::LOCATION, target)]).into_response(),
            }
        }
    };
    serve(Router::new().route("/files/media/x", get(answer)))
}

#[test]
fn the_target_of_a_redirect_never_sees_the_token() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tokens);
    let target = serve(Router::new().route(
        "/object",
        get(move |headers: HeaderMap| {
            seen.fetch_add(headers.get_all(header::AUTHORIZATION).iter().count(), Ordering::SeqCst);
            async { CONTENT }
        }),
    ));
    let out = output(&redirecting(format!("{target}/object")), &["file", "get", "media", "x"]);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), CONTENT.as_bytes()));
    assert_eq!(tokens.load(Ordering::SeqCst), 0);
}

#[test]
fn a_redirect_that_leads_nowhere_is_read_through_the_server_and_not_shown() {
    let target = format!("{}?X-Amz-Signature=secret", nobody());
    let out = output(&redirecting(target), &["file", "get", "media", "x"]);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), CONTENT.as_bytes()));
    assert!(errors(&out).contains("through the server"), "{}", errors(&out));
    assert!(!errors(&out).contains("secret"), "{}", errors(&out));
}

#[test]
fn an_error_page_at_the_target_of_a_redirect_is_never_content() {
    let refused = || async { (StatusCode::FORBIDDEN, "<Error/>") };
    let target = serve(Router::new().route("/object", get(refused)));
    let out = output(&redirecting(format!("{target}/object")), &["file", "get", "media", "x"]);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), CONTENT.as_bytes()));
}

fn run(outcome: &str) -> serde_json::Value {
    let finished = if outcome == "running" { json!(null) } else { json!("2026-11-22T10:00:01Z") };
    json!({
        "id": 7, "dry_run": false, "outcome": outcome, "started_at": "2026-11-22T10:00:00Z",
        "finished_at": finished, "copied": {"files": 0, "bytes": 0},
        "moved": {"files": 1, "bytes": 5}, "removed": {"files": 0, "bytes": 0},
        "retained": {"files": 0, "bytes": 0}, "errors": [],
    })
}

fn in_progress() -> Response {
    let problem = json!({
        "type": "run-in-progress", "title": "A run is at work", "status": 409,
        "detail": "run 7 is at work", "run": 7,
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::CONFLICT, kind, problem.to_string()).into_response()
}

/// A server at work on run 7; its first stream of events ends early, the second says the end.
fn vacuuming(outcome: &'static str) -> (String, Arc<AtomicUsize>) {
    let streams = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&streams);
    let events = move || {
        let first = opened.fetch_add(1, Ordering::SeqCst) == 0;
        let (name, run) =
            if first { ("progress", run("running")) } else { ("finished", run(outcome)) };
        async move { format!("event: {name}\ndata: {run}\n\n") }
    };
    let ended = Arc::clone(&streams);
    let show = move || {
        let now = if ended.load(Ordering::SeqCst) < 2 { "running" } else { outcome };
        async move { run(now).to_string() }
    };
    let router = Router::new()
        .route("/api/v1/vacuum/runs", post(|| async { in_progress() }))
        .route("/api/v1/vacuum/runs/7", get(show))
        .route("/api/v1/vacuum/runs/7/events", get(events));
    (serve(router), streams)
}

#[test]
fn vacuum_attaches_to_the_running_run_and_takes_a_broken_stream_up_again() {
    let (url, streams) = vacuuming("complete");
    let out = output(&url, &["vacuum"]);
    assert_eq!(out.status.code(), Some(0), "{}", errors(&out));
    assert!(errors(&out).contains("Run 7 is at work already"), "{}", errors(&out));
    assert!(String::from_utf8_lossy(&out.stdout).contains("Run 7: complete; copied -, moved 1"));
    assert_eq!(streams.load(Ordering::SeqCst), 2);
}

#[test]
fn an_incomplete_run_is_printed_on_standard_output_and_is_exit_code_1() {
    let (url, _) = vacuuming("incomplete");
    let out = output(&url, &["--json", "vacuum"]);
    assert_eq!(out.status.code(), Some(1));
    let run: Run = serde_json::from_slice(&out.stdout).expect("a run");
    assert_eq!(run.id, Some(7));
    assert!(out.stderr.is_empty(), "{}", errors(&out));
}

#[test]
fn an_interrupt_without_a_terminal_detaches() {
    let router = Router::new()
        .route("/api/v1/vacuum/runs", post(|| async { in_progress() }))
        .route("/api/v1/vacuum/runs/7/events", get(std::future::pending::<String>));
    let url = serve(router);
    let mut child = hayloft(&url, &["vacuum"]).stderr(Stdio::piped()).spawn().expect("run hayloft");
    let mut said = [0; 32];
    let mut stderr = child.stderr.take().expect("its standard error");
    let length = stderr.read(&mut said).expect("the first words");
    assert!(String::from_utf8_lossy(&said[..length]).contains("Run 7"));
    // It follows the events by now, or will find the signal handled when it does.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("the last words");
    assert_eq!(child.wait().expect("wait").code(), Some(1));
    assert!(rest.contains("Run 7 goes on"), "{rest}");
}

#[test]
fn a_connection_that_breaks_in_mid_command_is_an_error_and_no_reason_to_work_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let socket = dir.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection);
        }
    });
    let data = dir.path().join("data");
    let config = dir.path().join("config.toml");
    let text = format!("data_dir = {data:?}\nadmin_socket = {socket:?}\n");
    std::fs::write(&config, text).expect("write");
    let out = Command::new(env!("CARGO_BIN_EXE_hayloft"))
        .args(["scope", "list"])
        .env("HAYLOFT_CONFIG", &config)
        .env_remove("HAYLOFT_SERVER")
        .output()
        .expect("run hayloft");
    assert_eq!(out.status.code(), Some(1));
    assert!(errors(&out).contains("the server on the admin socket"), "{}", errors(&out));
    assert!(!data.exists(), "the catalogue was opened");
}

#[test]
fn a_page_of_another_program_is_not_taken_for_an_answer() {
    let html = || async { (StatusCode::BAD_GATEWAY, "<html>") };
    let url = serve(Router::new().route("/api/v1/scopes", get(html)));
    let out = output(&url, &["--json", "scope", "list"]);
    assert_eq!(out.status.code(), Some(1));
    let problem: hayloft::api::Problem =
        serde_json::from_slice(&out.stderr).expect("a problem document");
    assert_eq!(problem.status, 502);
}
