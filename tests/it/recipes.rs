//! The five recipes of SPEC 13, end to end: the real binary, its command line, a real S3 server.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::support::bytes;
use crate::support::instance::Instance;

/// Uploads `count` files of `size` bytes into scope `s`.
async fn upload(instance: &Instance, count: u64, size: usize) -> BTreeMap<String, Bytes> {
    let mut all = BTreeMap::new();
    for i in 0..count {
        let path = format!("s/f{i:03}");
        let body = bytes(i, size);
        instance.put_ok(&path, body.clone()).await;
        all.insert(path, body);
    }
    all
}

async fn assert_all_readable(instance: &Instance, files: &BTreeMap<String, Bytes>) {
    for (path, body) in files {
        assert_eq!(instance.fetch(path).await, *body, "{path}");
    }
    let report = instance.ok(&["verify", "--read"]);
    assert_eq!(report["ok"], true, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recipe_1_overflow_moves_the_least_recently_used() {
    let instance = Instance::started("").await;
    instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    let files = upload(&instance, 10, 1000).await;
    instance.ok(&["store", "manage", "local", "--soft-max-size", "4000"]);
    // A read makes the oldest file recent; HEAD does not [21].
    instance.fetch("s/f000").await;
    let head = instance.request(reqwest::Method::HEAD, "/files/s/f001").send().await;
    assert_eq!(head.expect("an answer").status(), 200);
    let plan = instance.ok(&["vacuum", "--dry-run"]);
    let run = instance.vacuum();
    assert_eq!(run["moved"]["files"], 6);
    assert_eq!(sorted(&plan["moves"]), sorted(&run["moves"]), "dry run and real run [30]");
    instance.assert_settled();
    assert_eq!(instance.link("s", "local")["files"], 4);
    assert_eq!(instance.link("s", "cloud")["files"], 6);
    assert_eq!(instance.get("s/f000").await.status(), 200, "was read");
    assert_eq!(instance.get("s/f001").await.status(), 302);
    assert_all_readable(&instance, &files).await;
}

fn sorted(moves: &serde_json::Value) -> Vec<String> {
    let mut all: Vec<_> =
        moves.as_array().expect("moves").iter().map(ToString::to_string).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn recipe_2_with_populate_shedding_is_a_local_delete() {
    let instance = Instance::started("").await;
    instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "cloud", "--populate"]);
    let files = upload(&instance, 10, 1000).await;
    let run = instance.vacuum();
    assert_eq!(run["copied"]["files"], 10);
    instance.ok(&["store", "manage", "local", "--soft-max-size", "4000"]);
    let run = instance.vacuum();
    assert_eq!((&run["copied"]["files"], &run["moved"]["files"]), (&0.into(), &0.into()));
    assert_eq!(run["removed"]["files"], 6);
    instance.assert_settled();
    assert_eq!(instance.link("s", "cloud")["missing_files"], 0);
    assert_all_readable(&instance, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipe_3_a_write_only_backup_is_filled_and_never_read() {
    let instance = Instance::started("").await;
    instance.add_cloud("backup", &[]).await;
    instance.ok(&["scope", "create", "s", "--store", "backup"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "backup", "--populate", "--write-only"]);
    let files = upload(&instance, 5, 1000).await;
    assert_eq!(instance.vacuum()["copied"]["files"], 5);
    instance.assert_settled();
    for path in files.keys() {
        assert_eq!(instance.get(path).await.status(), 200, "from the local store");
    }
    // A file that only the archive has is archived, and uploading it again heals it [7].
    let digest = blake3::hash(&files["s/f000"]).to_hex().to_string();
    let object = instance.local_root().join(&digest[..2]).join(&digest[2..4]).join(&digest);
    std::fs::remove_file(object).expect("the object");
    assert_eq!(instance.get("s/f000").await.status(), 409);
    instance.put_ok("s/f000", files["s/f000"].clone()).await;
    assert_eq!(instance.get("s/f000").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipe_4_leaves_a_cloud_account_with_nothing_left_behind() {
    let instance = Instance::started("").await;
    let (server, bucket) = instance.add_cloud("cloud", &["--presign-ttl", "10s"]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    let files = upload(&instance, 10, 1000).await;
    instance.ok(&["store", "manage", "local", "--soft-max-size", "3000", "--max-size", "10000"]);
    instance.vacuum();
    assert_eq!(instance.link("s", "cloud")["files"], 7);
    let stay = instance.cli(&["store", "evacuation", "cloud"]);
    assert_eq!((stay.code, &stay.json()["can_be_given_up"]), (1, &false.into()));
    assert_eq!(stay.json()["scopes"][0]["unreadable_files"], 7);
    // An issued URL must outlive the removal of its object.
    let url = instance.get("s/f000").await.headers()["location"].to_str().expect("URL").to_owned();

    instance.ok(&["scope", "manage", "s", "edit-store", "cloud", "--read-only"]);
    instance.ok(&["store", "manage", "local", "--soft-max-size", "none", "--max-size", "none"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "local", "--populate"]);
    assert_eq!(instance.vacuum()["copied"]["files"], 7);
    let go = instance.ok(&["store", "evacuation", "cloud"]);
    assert_eq!(go["can_be_given_up"], true);
    instance.ok(&["scope", "manage", "s", "edit-store", "local", "--no-populate"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "cloud", "--drain-to", "local"]);
    assert_eq!(instance.vacuum()["removed"]["files"], 7);
    instance.assert_settled();
    assert_eq!(instance.link("s", "cloud")["state"], "drained");
    let read = reqwest::get(&url).await.expect("an answer");
    assert_eq!(read.bytes().await.expect("a body"), files["s/f000"], "the URL still works");

    instance.ok(&["scope", "manage", "s", "remove-store", "cloud"]);
    let early = instance.refused(&["store", "delete", "cloud"]);
    assert!(early["detail"].as_str().expect("detail").contains("20"), "names the time: {early}");
    tokio::time::sleep(Duration::from_secs(14)).await;
    instance.ok(&["store", "delete", "cloud"]);
    let left = server.bucket(&bucket).list(String::new(), None).await.expect("a listing");
    let left: Vec<_> = left.iter().flat_map(|p| &p.contents).map(|o| &o.key).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_all_readable(&instance, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipe_5_an_old_disk_is_drained_into_a_new_one() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let files = upload(&instance, 10, 1000).await;
    let root = instance.path("new disk").display().to_string();
    instance.ok(&["store", "create", "new", "local", "--root", &root]);
    instance.ok(&["scope", "manage", "s", "add-store", "new", "--upload-priority", "200"]);
    instance.ok(&[
        "scope",
        "manage",
        "s",
        "edit-store",
        "local",
        "--drain-to",
        "new",
        "--read-only",
    ]);
    let run = instance.vacuum();
    assert_eq!(run["moved"]["files"], 10);
    instance.assert_settled();
    assert_eq!(instance.link("s", "local")["state"], "drained");
    assert_all_readable(&instance, &files).await;
    instance.ok(&["scope", "manage", "s", "remove-store", "local"]);
    instance.ok(&["store", "delete", "local"]);
}

/// Two kills at each of several moments of a run: nothing is lost, nothing is double [24].
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_during_a_run_loses_nothing() {
    let mut instance = Instance::started("").await;
    instance.add_cloud("cloud", &["--presign-ttl", "10s"]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    let files = upload(&instance, 60, 40_000).await;
    instance.ok(&["store", "manage", "local", "--soft-max-size", "0"]);
    for milliseconds in [5, 20, 60, 120] {
        instance.ok(&["vacuum", "--detach"]);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        instance.kill();
        instance.start().await;
        assert_all_readable(&instance, &files).await;
    }
    let run = instance.vacuum();
    assert_eq!(run["errors"], serde_json::json!([]));
    instance.assert_settled();
    assert_eq!(instance.link("s", "cloud")["files"], 60);
    assert_all_readable(&instance, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_without_a_server_too() {
    let mut instance = Instance::started("").await;
    instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    let files = upload(&instance, 3, 1000).await;
    instance.stop();
    instance.ok(&["store", "manage", "local", "--soft-max-size", "0"]);
    assert_eq!(instance.vacuum()["moved"]["files"], 3);
    instance.assert_settled();
    let out = instance.path("out").display().to_string();
    instance.ok(&["file", "get", "s", "f001", "-o", &out]);
    assert_eq!(std::fs::read(&out).expect("the file"), files["s/f001"]);
    instance.start().await;
    assert_all_readable(&instance, &files).await;
}
