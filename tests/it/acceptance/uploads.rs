//! Items 1 to 10: where a file goes, where it comes from, and what is refused.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{await_reserved, disk, json_of, kind, object, raw_put, set_link};
use crate::support::bytes;
use crate::support::instance::{Instance, files_below};

#[tokio::test(flavor = "multi_thread")]
async fn item_01_uploads_go_to_200_then_100_then_minus_5_then_null_by_name() {
    let instance = Instance::started("").await;
    // Names in the opposite order, so that only two nulls are left to the name.
    for name in ["e", "d", "c", "b", "a"] {
        disk(&instance, name, &[]);
    }
    instance.ok(&["scope", "create", "s", "--no-local"]);
    let order = [("e", "200"), ("d", "100"), ("c", "-5"), ("a", "none"), ("b", "none")];
    for (store, priority) in order.into_iter().rev() {
        instance.ok(&["scope", "manage", "s", "add-store", store, "--upload-priority", priority]);
    }
    for (round, (expected, _)) in order.into_iter().enumerate() {
        let done = instance.put_ok(&format!("s/{round}"), bytes(round as u64, 10)).await;
        assert_eq!(done["store"], expected);
        set_link(&instance, "s", expected, &["--read-only"]);
    }
    let (status, kind) = kind(instance.put("s/none", bytes(9, 10)).await).await;
    assert_eq!((status, kind.as_str()), (503, "no-writable-store"));
}

/// The store that `file explain` says would serve a download.
fn serving(instance: &Instance) -> String {
    let told = instance.ok(&["file", "explain", "s", "x"]);
    let replicas = told["explained"].as_array().expect("replicas").clone();
    let serving: Vec<_> = replicas.iter().filter(|r| r["serves"] == true).collect();
    assert_eq!(serving.len(), 1, "{told:#}");
    serving[0]["store"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn item_01_a_download_tie_is_broken_by_upload_priority_and_null_null_by_name() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s", "--no-local"]);
    for name in ["a", "b", "c"] {
        disk(&instance, name, &[]);
        instance.ok(&["scope", "manage", "s", "add-store", name, "--populate"]);
    }
    let body = bytes(1, 500);
    instance.put_ok("s/x", body.clone()).await;
    instance.vacuum();
    let cases = [
        // (download, upload) of a, b, c
        ([("none", "none"), ("none", "none"), ("none", "none")], "a"),
        ([("none", "none"), ("none", "1"), ("none", "2")], "c"),
        ([("5", "1"), ("5", "2"), ("none", "100")], "b"),
        ([("none", "100"), ("-5", "none"), ("-6", "3")], "b"),
        ([("none", "7"), ("none", "7"), ("none", "-1")], "a"),
    ];
    for (links, expected) in cases {
        for (store, (download, upload)) in ["a", "b", "c"].into_iter().zip(links) {
            let options = ["--download-priority", download, "--upload-priority", upload];
            set_link(&instance, "s", store, &options);
        }
        assert_eq!(serving(&instance), expected, "{links:?}");
    }
    // And that is where a download comes from: the others, whose bytes are gone, are not asked.
    for other in ["b", "c"] {
        let hex = blake3::hash(&body).to_hex().to_string();
        let path = instance.path(other).join(&hex[..2]).join(&hex[2..4]).join(&hex);
        std::fs::remove_file(path).expect("the object");
    }
    assert_eq!(instance.fetch("s/x").await, body);
    let shown = instance.ok(&["file", "show", "s", "x"]);
    let replicas = shown["replicas"].as_array().expect("replicas");
    assert!(replicas.iter().all(|r| r["state"] == "present"), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_02_total_plus_size_equal_to_the_limit_is_accepted_and_one_more_refused() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "100"]);
    instance.put_ok("s/sixty", bytes(1, 60)).await;
    let (status, what) = kind(instance.put("s/over", bytes(3, 41)).await).await;
    assert_eq!((status, what.as_str()), (507, "insufficient-storage"));
    instance.put_ok("s/forty", bytes(2, 40)).await;
    let (status, what) = kind(instance.put("s/one", bytes(3, 1)).await).await;
    assert_eq!((status, what.as_str()), (507, "insufficient-storage"));
    instance.put_ok("s/nothing", bytes(4, 0)).await;
    let view = instance.ok(&["store", "show", "local"]);
    assert_eq!((&view["bytes"], &view["reserved_bytes"]), (&json!(100), &json!(0)));
}

/// Bytes of all files below a directory, markers and the like aside.
fn bytes_below(root: &Path) -> u64 {
    let files = files_below(root).into_iter().filter(|name| !name.contains("hayloft"));
    files.filter_map(|name| std::fs::metadata(root.join(name)).ok()).map(|m| m.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn item_03_of_50_parallel_uploads_into_room_for_10_exactly_10_are_stored_and_never_more() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "100000"]);
    let uploads = (0..50u64).map(|i| {
        let instance = &instance;
        async move { instance.put(&format!("s/{i}"), bytes(i, 10_000)).await.status() }
    });
    let uploads = futures_util::future::join_all(uploads);
    let watching = async {
        let mut looks = 0;
        loop {
            let view = instance.request(Method::GET, "/api/v1/stores/local").send().await;
            let view = json_of(view.expect("an answer")).await;
            let keys = ["bytes", "reserved_bytes", "writing_bytes", "deleting_bytes"];
            let used: u64 = keys.iter().map(|k| view[k].as_u64().expect("a number")).sum();
            assert!(used <= 100_000, "{view:#}");
            assert!(bytes_below(&instance.local_root()) <= 100_000);
            looks += 1;
            tokio::task::yield_now().await;
            if looks > 100_000 {
                return;
            }
        }
    };
    let statuses = tokio::select! {
        statuses = uploads => statuses,
        () = watching => panic!("the uploads never end"),
    };
    let stored = statuses.iter().filter(|s| **s == StatusCode::CREATED).count();
    assert_eq!(stored, 10, "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s.as_u16(), 201 | 507)), "{statuses:?}");
    let view = instance.ok(&["store", "show", "local"]);
    assert_eq!((&view["bytes"], &view["files"]), (&json!(100_000), &json!(10)));
    await_reserved(&instance, 0).await;
    assert_eq!(bytes_below(&instance.local_root()), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_04_each_refusal_has_its_status_and_keeps_nothing() {
    let instance = Instance::started("").await;
    disk(&instance, "tight", &["--max-size", "100"]);
    disk(&instance, "gone", &[]);
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "tight"]);
    instance.ok(&["scope", "create", "bare", "--no-local"]);
    instance.ok(&["scope", "create", "failing", "--no-local", "--store", "gone"]);
    instance.ok(&["scope", "create", "sealed", "--no-local", "--store", "tight"]);
    set_link(&instance, "sealed", "tight", &["--write-only"]);
    std::fs::rename(instance.path("gone"), instance.path("away")).expect("unmounted");
    instance.put_ok("s/there", bytes(1, 60)).await;
    let cases = [
        ("s/full", 41, 507, "insufficient-storage"),
        ("s/large", 101, 413, "file-too-large"),
        ("bare/x", 1, 503, "no-writable-store"),
        ("sealed/x", 1, 503, "no-writable-store"),
        ("failing/x", 1, 503, "store-failing"),
        ("nowhere/x", 1, 404, "unknown-scope"),
    ];
    for (path, size, status, what) in cases {
        let answer = instance.put(path, bytes(size, usize::try_from(size).expect("small"))).await;
        assert_eq!(answer.headers().contains_key("retry-after"), what == "store-failing", "{path}");
        assert_eq!(kind(answer).await, (status, what.to_owned()), "{path}");
    }
    let other = format!("\"{}\"", "0".repeat(64));
    let conditions = [
        ("If-None-Match", "*", "s/there", 412, "precondition-failed"),
        ("If-Match", other.as_str(), "s/there", 412, "precondition-failed"),
        ("If-Match", "*", "s/absent", 412, "precondition-failed"),
        ("X-Blake3", "zz", "s/x", 400, "malformed-digest"),
        ("X-Blake3", &other[1..65], "s/x", 400, "digest-mismatch"),
    ];
    for (name, value, path, status, what) in conditions {
        let ask = instance.request(Method::PUT, &format!("/files/{path}")).header(name, value);
        let answer = ask.body("x").send().await.expect("an answer");
        assert_eq!(kind(answer).await, (status, what.to_owned()), "{name} {path}");
    }
    for path in ["s/a//b", "s/%2e%2e/x", "s/a%00b", "s/dir/", "s/%ff", "s/.", "s/a/../b"] {
        assert_eq!(raw_put(&instance, path).await, 400, "{path}");
    }
    let anonymous = reqwest::Client::new().put(format!("{}/files/s/x", instance.base));
    assert_eq!(anonymous.body("x").send().await.expect("answer").status(), 401);
    let reader = instance.ok(&["token", "create", "--name", "r", "--role", "read"]);
    let reader = reader["token"].as_str().expect("a token").to_owned();
    let put = reqwest::Client::new().put(format!("{}/files/s/x", instance.base));
    assert_eq!(put.bearer_auth(reader).body("x").send().await.expect("answer").status(), 403);
    let view = instance.ok(&["store", "show", "tight"]);
    assert_eq!((&view["files"], &view["reserved_bytes"]), (&json!(1), &json!(0)));
    assert_eq!(instance.ok(&["scope", "show", "s"])["files"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_05_a_declared_file_that_a_full_store_holds_needs_no_room() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let body = bytes(1, 1000);
    instance.put_ok("s/a", body.clone()).await;
    instance.ok(&["store", "manage", "local", "--max-size", "1000"]);
    assert_eq!(instance.put("s/b", body.clone()).await.status(), 507, "not declared");
    let digest = blake3::hash(&body).to_hex().to_string();
    let again = instance.request(Method::PUT, "/files/s/b").header("X-Blake3", &digest);
    assert_eq!(again.body(body).send().await.expect("answer").status(), 201);
    let liar = instance.request(Method::PUT, "/files/s/c").header("X-Blake3", &digest);
    assert_eq!(liar.body(bytes(2, 1000)).send().await.expect("answer").status(), 400);
    assert_eq!(instance.get("s/c").await.status(), 404);
    assert_eq!(instance.ok(&["store", "show", "local"])["bytes"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_06_write_only_and_read_only_on_the_link_of_b_leave_a_alone() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "a"]);
    instance.ok(&["scope", "create", "b"]);
    let body = bytes(1, 100);
    instance.put_ok("a/x", body.clone()).await;
    instance.put_ok("b/x", body.clone()).await;
    set_link(&instance, "b", "local", &["--write-only"]);
    assert_eq!(instance.get("b/x").await.status(), 409);
    assert_eq!(instance.put("b/y", bytes(2, 10)).await.status(), 503);
    assert_eq!(instance.fetch("a/x").await, body);
    instance.put_ok("a/y", bytes(2, 10)).await;
    set_link(&instance, "b", "local", &["--no-write-only", "--read-only"]);
    assert_eq!(instance.fetch("b/x").await, body);
    assert_eq!(instance.put("b/y", bytes(3, 10)).await.status(), 503);
    instance.put_ok("a/z", bytes(3, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn item_07_an_archived_file_answers_409_and_uploading_it_again_heals_it() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let body = bytes(1, 100);
    instance.put_ok("s/x", body.clone()).await;
    set_link(&instance, "s", "local", &["--write-only"]);
    let answer = instance.get("s/x").await;
    assert_eq!(answer.status(), 409);
    let problem = json_of(answer).await;
    assert_eq!(problem["type"], "file-archived");
    assert_eq!(problem["stores"], json!(["local"]));
    disk(&instance, "second", &[]);
    instance.ok(&["scope", "manage", "s", "add-store", "second"]);
    assert_eq!(instance.get("s/x").await.status(), 409, "a place to be is not yet a replica");
    instance.put_ok("s/x", body.clone()).await;
    assert_eq!(instance.fetch("s/x").await, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_08_head_of_an_s3_file_is_no_redirect_and_get_is_a_302_that_expires_after_60_s() {
    let instance = Instance::started("").await;
    instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "cloud"]);
    let body = bytes(1, 300_000);
    instance.put_ok("s/dir/x.txt", body.clone()).await;
    let head = instance.request(Method::HEAD, "/files/s/dir/x.txt").send().await.expect("head");
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "300000");
    assert!(!head.headers().contains_key("location"));
    let get = instance.get("s/dir/x.txt").await;
    assert_eq!(
        (get.status().as_u16(), &get.headers()["cache-control"]),
        (302, &"no-store".parse().expect("value"))
    );
    let url = get.headers()["location"].to_str().expect("URL").to_owned();
    assert!(url.contains("X-Amz-Expires=60&") || url.ends_with("X-Amz-Expires=60"), "{url}");
    let direct = reqwest::get(&url).await.expect("an answer");
    assert_eq!(direct.headers()["content-type"], "application/octet-stream");
    assert_eq!(direct.bytes().await.expect("body"), body, "the URL alone suffices");
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
}

#[tokio::test(flavor = "multi_thread")]
async fn item_09_an_s3_error_is_never_content() {
    let instance = Instance::started("").await;
    let (server, bucket) = instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "cloud"]);
    instance.put_ok("s/x", bytes(1, 3000)).await;
    let objects = server.bucket(&bucket).list("hay/".to_owned(), None).await.expect("list");
    let keys: Vec<_> = objects.iter().flat_map(|p| &p.contents).map(|o| o.key.clone()).collect();
    let key = keys.iter().find(|k| !k.contains("hayloft")).expect("the object");
    server.bucket(&bucket).delete_object(key).await.expect("deleted behind our back");
    // The command follows the redirect and meets the provider's error page.
    let out = instance.path("out");
    let got = instance.cli(&["file", "get", "s", "x", "-o", &out.display().to_string()]);
    assert_eq!(got.code, 1, "{}", got.stdout);
    assert!(!out.exists(), "nothing is written");
    assert_eq!(kind(instance.get("s/x?proxy").await).await, (503, "file-unavailable".to_owned()));
    let part = instance.request(Method::GET, "/files/s/x?proxy").header("Range", "bytes=0-9");
    let part = part.send().await.expect("an answer");
    assert_eq!(part.status(), 503);
    assert!(!part.text().await.expect("text").contains("NoSuchKey"));
}

#[tokio::test(flavor = "multi_thread")]
async fn item_10_when_the_first_stores_replica_is_gone_the_second_serves_and_the_first_is_marked() {
    let instance = Instance::started("").await;
    disk(&instance, "twin", &[]);
    instance.ok(&["scope", "create", "s", "--store", "twin"]);
    set_link(&instance, "s", "twin", &["--populate"]);
    let body = bytes(1, 5000);
    instance.put_ok("s/x", body.clone()).await;
    instance.vacuum();
    std::fs::remove_file(object(&instance, &body)).expect("the object");
    assert_eq!(instance.fetch("s/x").await, body);
    let shown = instance.ok(&["file", "show", "s", "x"]);
    let state = |store: &str| {
        let replicas = shown["replicas"].as_array().expect("replicas");
        replicas.iter().find(|r| r["store"] == store).map(|r| r["state"].clone())
    };
    assert_eq!(state("local"), Some(json!("missing")), "{shown:#}");
    assert_eq!(state("twin"), Some(json!("present")), "{shown:#}");
}
