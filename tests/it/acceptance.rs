//! The acceptance list of SPEC 13 as an administrator and a client meet it: the real binary, its
//! command line, HTTP, real disks and a real S3 server. `tests/README.md` says which test proves which
//! item; items that are about planning alone have their scenarios there.

mod operations;
mod policies;
mod safety;
mod uploads;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::bytes;
use crate::support::instance::Instance;

/// Where the store `local` keeps these bytes.
fn object(instance: &Instance, body: &[u8]) -> PathBuf {
    instance.local_root().join(name_of(body))
}

fn name_of(body: &[u8]) -> String {
    let hex = blake3::hash(body).to_hex().to_string();
    format!("{}/{}/{hex}", &hex[..2], &hex[2..4])
}

async fn json_of(answer: reqwest::Response) -> Value {
    let text = answer.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("not JSON ({e}): {text}"))
}

/// Status and kind of a problem document.
async fn kind(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem = json_of(answer).await;
    (status, problem["type"].as_str().expect("a type").to_owned())
}

/// A local store in a directory of the instance, named like it.
fn disk(instance: &Instance, name: &str, options: &[&str]) {
    let root = instance.path(name).display().to_string();
    let mut args = vec!["store", "create", name, "local", "--root", &root];
    args.extend(options);
    instance.ok(&args);
}

fn set_link(instance: &Instance, scope: &str, store: &str, options: &[&str]) {
    let mut args = vec!["scope", "manage", scope, "edit-store", store];
    args.extend(options);
    instance.ok(&args);
}

/// Uploads files `f0`, `f1`, … of these sizes, each with other bytes; the names of their objects.
async fn fill<const N: usize>(instance: &Instance, scope: &str, sizes: [usize; N]) -> [String; N] {
    let mut names = Vec::new();
    for (i, size) in sizes.into_iter().enumerate() {
        let body = bytes(1000 + i as u64, size);
        names.push(name_of(&body));
        instance.put_ok(&format!("{scope}/f{i}"), body).await;
    }
    names.try_into().expect("as many")
}

/// The stores with a present replica of a file of scope `s`, by name.
fn places(instance: &Instance, path: &str) -> String {
    places_in(instance, "s", path)
}

fn places_in(instance: &Instance, scope: &str, path: &str) -> String {
    let shown = instance.ok(&["file", "show", scope, path]);
    let replicas = shown["replicas"].as_array().expect("replicas");
    let present = replicas.iter().filter(|r| r["state"] == "present");
    let mut names: Vec<_> = present.map(|r| r["store"].as_str().expect("a name")).collect();
    names.sort_unstable();
    names.join(" ")
}

/// A run that must end `incomplete` with exit code 1.
fn incomplete(instance: &Instance) -> Value {
    let run = instance.cli(&["-v", "vacuum"]);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    let run = run.json();
    assert_eq!(run["outcome"], "incomplete", "{run:#}");
    run
}

/// Waits until the store `local` has promised so many bytes.
async fn await_reserved(instance: &Instance, bytes: u64) {
    for _ in 0..100 {
        if instance.ok(&["store", "show", "local"])["reserved_bytes"] == bytes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {bytes}: {:#}", instance.ok(&["store", "show", "local"]));
}

/// Sends a path that an HTTP library would tidy up, and returns the status.
async fn raw_put(instance: &Instance, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = instance.base.strip_prefix("http://").expect("http");
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("connect");
    let bearer = instance.bearer();
    let request = format!(
        "PUT /files/{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\nContent-Length: 1\r\n\
         Connection: close\r\n\r\nx"
    );
    socket.write_all(request.as_bytes()).await.expect("write");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("read");
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}
