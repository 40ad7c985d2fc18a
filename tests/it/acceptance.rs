//! Items of SPEC 13 as an administrator and a client meet them: the real binary, its command line,
//! HTTP, a real S3 server. Items that are about planning alone are scenarios (`planner`).

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::bytes;
use crate::support::instance::{Instance, files_below};

fn object(instance: &Instance, body: &[u8]) -> PathBuf {
    let hex = blake3::hash(body).to_hex().to_string();
    instance.local_root().join(&hex[..2]).join(&hex[2..4]).join(&hex)
}

async fn kind(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    let problem: Value = serde_json::from_str(&text).expect("a problem document");
    (status, problem["type"].as_str().expect("a type").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn item_1_uploads_go_by_priority_then_name() {
    let instance = Instance::started("").await;
    for name in ["a", "b", "c", "d"] {
        let root = instance.path(name).display().to_string();
        instance.ok(&["store", "create", name, "local", "--root", &root]);
    }
    instance.ok(&["scope", "create", "s", "--no-local"]);
    for (store, priority) in [("d", "none"), ("c", "-5"), ("b", "100"), ("a", "200")] {
        instance.ok(&["scope", "manage", "s", "add-store", store, "--upload-priority", priority]);
    }
    for (round, expected) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let done = instance.put_ok(&format!("s/{round}"), bytes(round as u64, 10)).await;
        assert_eq!(done["store"], expected);
        instance.ok(&["scope", "manage", "s", "edit-store", expected, "--read-only"]);
    }
    let (status, kind) = kind(instance.put("s/none", bytes(9, 10)).await).await;
    assert_eq!((status, kind.as_str()), (503, "no-writable-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn items_2_and_4_hard_limits_and_refusals() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "100"]);
    instance.put_ok("s/sixty", bytes(1, 60)).await;
    instance.put_ok("s/forty", bytes(2, 40)).await;
    let (status, what) = kind(instance.put("s/one", bytes(3, 1)).await).await;
    assert_eq!((status, what.as_str()), (507, "insufficient-storage"));
    assert_eq!(instance.put("s/large", bytes(4, 101)).await.status(), 413);
    assert_eq!(instance.put("nowhere/x", bytes(5, 1)).await.status(), 404);
    for path in ["s/../x", "s/a//b", "s/%2e%2e/x", "s/a%00b", "s/dir/"] {
        let status = raw_put(&instance, path).await;
        assert!(status == 400 || status == 404, "{path}: {status}");
    }
    let view = instance.ok(&["store", "show", "local"]);
    assert_eq!((&view["bytes"], &view["reserved_bytes"]), (&json!(100), &json!(0)));
    let exists = instance.request(Method::PUT, "/files/s/forty").header("If-None-Match", "*");
    assert_eq!(exists.body("x").send().await.expect("answer").status(), 412);
    let differs = instance.request(Method::PUT, "/files/s/forty");
    let differs = differs.header("If-Match", format!("\"{}\"", "0".repeat(64)));
    assert_eq!(differs.body("x").send().await.expect("answer").status(), 412);
    let anonymous = reqwest::Client::new().put(format!("{}/files/s/x", instance.base));
    assert_eq!(anonymous.body("x").send().await.expect("answer").status(), 401);
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

#[tokio::test(flavor = "multi_thread")]
async fn item_3_parallel_uploads_into_room_for_ten_store_exactly_ten() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "100000"]);
    let uploads = (0..50u64).map(|i| {
        let instance = &instance;
        async move { instance.put(&format!("s/{i}"), bytes(i, 10_000)).await.status() }
    });
    let statuses = futures_util::future::join_all(uploads).await;
    let stored = statuses.iter().filter(|s| **s == StatusCode::CREATED).count();
    assert_eq!(stored, 10, "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s.as_u16(), 201 | 507)), "{statuses:?}");
    assert_eq!(instance.ok(&["store", "show", "local"])["bytes"], 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_5_a_declared_file_that_a_full_store_holds_needs_no_room() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let body = bytes(1, 1000);
    instance.put_ok("s/a", body.clone()).await;
    instance.ok(&["store", "manage", "local", "--max-size", "1000"]);
    let digest = blake3::hash(&body).to_hex().to_string();
    let again = instance.request(Method::PUT, "/files/s/b").header("X-Blake3", &digest);
    assert_eq!(again.body(body).send().await.expect("answer").status(), 201);
    let liar = instance.request(Method::PUT, "/files/s/c").header("X-Blake3", &digest);
    assert_eq!(liar.body(bytes(2, 1000)).send().await.expect("answer").status(), 400);
    assert_eq!(instance.ok(&["store", "show", "local"])["bytes"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_6_and_7_write_only_counts_on_its_own_link_only() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "a"]);
    instance.ok(&["scope", "create", "b"]);
    let body = bytes(1, 100);
    instance.put_ok("a/x", body.clone()).await;
    instance.put_ok("b/x", body.clone()).await;
    instance.ok(&["scope", "manage", "b", "edit-store", "local", "--write-only"]);
    assert_eq!(instance.get("a/x").await.status(), 200);
    let archived = instance.get("b/x").await;
    let (status, what) = kind(archived).await;
    assert_eq!((status, what.as_str()), (409, "file-archived"));
    let root = instance.path("second").display().to_string();
    instance.ok(&["store", "create", "second", "local", "--root", &root]);
    instance.ok(&["scope", "manage", "b", "add-store", "second"]);
    instance.put_ok("b/x", body).await;
    assert_eq!(instance.get("b/x").await.status(), 200, "healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_8_and_9_redirects_expire_and_errors_are_never_content() {
    let instance = Instance::started("").await;
    let (server, bucket) = instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "cloud"]);
    let body = bytes(1, 300_000);
    instance.put_ok("s/dir/x.txt", body.clone()).await;
    let head = instance.request(Method::HEAD, "/files/s/dir/x.txt").send().await.expect("head");
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "300000");
    let get = instance.get("s/dir/x.txt").await;
    assert_eq!(
        (get.status().as_u16(), &get.headers()["cache-control"]),
        (302, &"no-store".parse().expect("value"))
    );
    let url = get.headers()["location"].to_str().expect("URL");
    assert!(url.contains("X-Amz-Expires=60"), "{url}");
    assert_eq!(instance.fetch("s/dir/x.txt").await, body);
    let proxied = instance.get("s/dir/x.txt?proxy").await;
    assert_eq!(
        (proxied.status().as_u16(), proxied.bytes().await.expect("body")),
        (200, body.clone())
    );
    let range = instance.request(Method::GET, "/files/s/dir/x.txt?proxy");
    let range = range.header("Range", "bytes=5-9").send().await.expect("answer");
    assert_eq!(
        (range.status().as_u16(), range.bytes().await.expect("body")),
        (206, body.slice(5..10))
    );
    let objects = server.bucket(&bucket).list("hay/".to_owned(), None).await.expect("list");
    let keys: Vec<_> = objects.iter().flat_map(|p| &p.contents).map(|o| o.key.clone()).collect();
    let key = keys.iter().find(|k| !k.contains("hayloft")).expect("the object");
    server.bucket(&bucket).delete_object(key).await.expect("deleted behind our back");
    assert_eq!(instance.get("s/dir/x.txt?proxy").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_10_a_vanished_replica_is_passed_over_and_marked() {
    let instance = Instance::started("").await;
    let root = instance.path("twin").display().to_string();
    instance.ok(&["store", "create", "twin", "local", "--root", &root]);
    instance.ok(&["scope", "create", "s", "--store", "twin"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "twin", "--populate"]);
    let body = bytes(1, 5000);
    instance.put_ok("s/x", body.clone()).await;
    instance.vacuum();
    std::fs::remove_file(object(&instance, &body)).expect("the object");
    assert_eq!(instance.fetch("s/x").await, body);
    let shown = instance.ok(&["file", "show", "s", "x"]);
    let states: Vec<_> = shown["replicas"].as_array().expect("replicas").iter().collect();
    assert!(states.iter().any(|r| r["store"] == "local" && r["state"] == "missing"), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_15_and_26_unmet_policies_exit_1_and_local_phases_run() {
    let instance = Instance::started("").await;
    instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    instance.put_ok("s/x", bytes(1, 1000)).await;
    instance.ok(&["store", "manage", "cloud", "--max-size", "10"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "local", "--drain-to", "cloud"]);
    let run = instance.cli(&["vacuum"]);
    assert_eq!((run.code, &run.json()["outcome"]), (1, &json!("incomplete")), "{}", run.stdout);
    let error = &run.json()["errors"][0];
    assert_eq!((&error["files"], &error["bytes"]), (&json!(1), &json!(1000)), "{error:#}");
    assert_eq!(instance.get("s/x").await.status(), 200, "the file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_28_an_emptied_or_unmounted_store_marks_nothing_missing() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.put_ok("s/x", bytes(1, 1000)).await;
    let away = instance.path("away");
    std::fs::rename(instance.local_root(), &away).expect("unmounted");
    std::fs::create_dir(instance.local_root()).expect("the empty mount point");
    assert_eq!(instance.get("s/x").await.status(), 503);
    assert_eq!(instance.put("s/y", bytes(2, 10)).await.status(), 503);
    let run = instance.cli(&["vacuum"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(files_below(&instance.local_root()).is_empty(), "no write");
    std::fs::remove_dir(instance.local_root()).expect("empty");
    std::fs::rename(&away, instance.local_root()).expect("mounted again");
    let shown = instance.ok(&["file", "show", "s", "x"]);
    assert_eq!(shown["replicas"][0]["state"], "present");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(instance.vacuum()["outcome"], "complete");
    assert_eq!(instance.get("s/x").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_31_to_33_stores_and_links_go_only_when_nothing_needs_them() {
    let instance = Instance::started("").await;
    let root = instance.path("only").display().to_string();
    instance.ok(&["store", "create", "only", "local", "--root", &root, "--no-instance-wide"]);
    instance.ok(&["scope", "create", "a", "--store", "only"]);
    instance.ok(&["scope", "create", "b"]);
    instance.refused(&["scope", "manage", "b", "add-store", "only"]);
    let body = bytes(1, 1000);
    instance.put_ok("a/x", body.clone()).await;
    let refused = instance.refused(&["store", "delete", "local"]);
    assert!(refused["detail"].as_str().expect("detail").contains("drain"), "{refused}");
    instance.refused(&["scope", "manage", "a", "remove-store", "local"]);
    let report = instance.path("lost").display().to_string();
    instance.ok(&["store", "delete", "local", "--force", "--report", &report]);
    let lost = std::fs::read_to_string(&report).expect("the report");
    assert!(lost.contains(&blake3::hash(&body).to_hex().to_string()), "{lost}");
    assert!(object(&instance, &body).exists(), "the bytes are left behind");
    let (status, what) = kind(instance.get("a/x").await).await;
    assert_eq!((status, what.as_str()), (503, "file-unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn item_34_reservations_are_never_leaked() {
    use tokio::io::AsyncWriteExt;
    let mut instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let address = instance.base.strip_prefix("http://").expect("http").to_owned();
    let request = format!(
        "PUT /files/s/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 5000000\r\n\r\n",
        instance.bearer()
    );
    let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connect");
    socket.write_all(request.as_bytes()).await.expect("write");
    socket.write_all(&bytes(1, 2_000_000)).await.expect("write");
    await_reserved(&instance, 5_000_000).await;
    drop(socket);
    await_reserved(&instance, 0).await;
    let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connect");
    socket.write_all(request.as_bytes()).await.expect("write");
    await_reserved(&instance, 5_000_000).await;
    instance.kill();
    instance.start().await;
    await_reserved(&instance, 0).await;
    assert_eq!(instance.get("s/big").await.status(), 404);
    let temp = instance.local_root().join(".hayloft-tmp");
    assert!(files_below(&temp).is_empty(), "{:?}", files_below(&temp));
}

async fn await_reserved(instance: &Instance, bytes: u64) {
    for _ in 0..100 {
        if instance.ok(&["store", "show", "local"])["reserved_bytes"] == bytes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {bytes}: {:#}", instance.ok(&["store", "show", "local"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn item_35_deleted_files_come_back_within_their_grace() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let body = bytes(1, 1000);
    instance.put_ok("s/x", body.clone()).await;
    let gone = instance.request(Method::DELETE, "/files/s/x").send().await.expect("answer");
    assert_eq!(gone.status(), 204);
    assert_eq!(instance.get("s/x").await.status(), 404);
    assert_eq!(instance.link("s", "local")["tombstone_bytes"], 1000);
    instance.vacuum();
    instance.ok(&["file", "undelete", "s", "x"]);
    assert_eq!(instance.fetch("s/x").await, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_35_after_the_grace_the_bytes_go() {
    let instance = Instance::new("[maintenance]\nschedule = \"off\"\ngrace = \"0s\"\n");
    instance.ok(&["scope", "create", "s"]);
    let source = instance.path("source");
    std::fs::write(&source, b"some bytes").expect("write");
    instance.ok(&["file", "put", "s", &source.display().to_string(), "x"]);
    instance.ok(&["file", "delete", "s", "x"]);
    assert!(object(&instance, b"some bytes").exists());
    instance.vacuum();
    assert!(!object(&instance, b"some bytes").exists());
    assert_eq!(instance.ok(&["status"])["files"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_36_no_secret_is_shown_anywhere() {
    let instance = Instance::started("").await;
    instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "cloud"]);
    instance.put_ok("s/x", bytes(1, 100)).await;
    let url = instance.get("s/x").await.headers()["location"].to_str().expect("URL").to_owned();
    let signature = url.split("X-Amz-Signature=").nth(1).expect("signed");
    let signature = signature.split('&').next().expect("signature");
    let mut shown = String::new();
    for args in [
        &["status"][..],
        &["store", "show", "cloud"],
        &["store", "list"],
        &["store", "check", "cloud"],
        &["check-config"],
    ] {
        let answer = instance.cli(args);
        shown += &(answer.stdout + &answer.stderr);
    }
    let audit = instance.request(Method::GET, "/api/v1/audit").send().await.expect("answer");
    shown += &audit.text().await.expect("text");
    shown += &instance.log();
    for secret in [crate::support::weed::SECRET, signature, &instance.bearer()] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn item_39_workspaces_that_disagree_change_nothing() {
    let instance = Instance::started("").await;
    let file = instance.path("workspaces.json");
    let row = |workspace: &str, store: &str| json!({"scope": "imported", "workspace": workspace, "default_file_store": store, "other_file_stores": []});
    let root = instance.path("x").display().to_string();
    instance.ok(&["store", "create", "x", "local", "--root", &root]);
    std::fs::write(&file, json!([row("one", "local"), row("two", "x")]).to_string())
        .expect("write");
    let name = file.display().to_string();
    let refused = instance.refused(&["import", "workspaces", &name]);
    let detail = refused["detail"].as_str().expect("detail");
    assert!(detail.contains("one") && detail.contains("two"), "{detail}");
    assert_eq!(instance.ok(&["scope", "list"]), json!([]));
    std::fs::write(&file, json!([row("one", "x"), row("two", "x")]).to_string()).expect("write");
    instance.ok(&["import", "workspaces", &name]);
    assert_eq!(instance.link("imported", "x")["upload_priority"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_message_and_changes_nothing() {
    let instance = Instance::started("").await;
    let secret = instance.path("secret");
    std::fs::write(&secret, "wrong").expect("write");
    let secret = secret.display().to_string();
    let dead = [
        "store",
        "create",
        "dead",
        "s3",
        "--bucket",
        "bucket",
        "--endpoint",
        "http://127.0.0.1:9",
        "--access-key-id",
        "k",
        "--secret-access-key-file",
        &secret,
    ];
    let refused = instance.refused(&dead);
    assert!(refused["detail"].as_str().expect("detail").contains("127.0.0.1:9"), "{refused}");
    assert_eq!(instance.cli(&["scope", "create", "true"]).code, 2);
    instance.ok(&["scope", "create", "s"]);
    let unknown = instance.refused(&[
        "scope",
        "manage",
        "s",
        "edit-store",
        "local",
        "--policy",
        r#"{"colour":1}"#,
    ]);
    assert!(unknown["detail"].as_str().expect("detail").contains("colour"), "{unknown}");
    instance.refused(&["scope", "manage", "s", "edit-store", "local", "--drain-to", "local"]);
    instance.refused(&["scope", "manage", "s", "edit-store", "local", "--populate", "--drain"]);
    let nested = instance.local_root().join("inner").display().to_string();
    instance.refused(&["store", "create", "inner", "local", "--root", &nested]);
    instance.refused(&["store", "manage", "local", "--soft-max-size", "10", "--max-size", "5"]);
    assert_eq!(instance.cli(&["store", "manage", "local", "--max-size", "ten"]).code, 2);
    assert_eq!(instance.ok(&["store", "list"]).as_array().map(Vec::len), Some(1));
    let cut = instance.request(Method::PUT, "/files/s/x").header("X-Blake3", "zz").body("x");
    assert_eq!(cut.send().await.expect("answer").status(), 400);
    assert_eq!(instance.get("s/x").await.status(), 404);
}
