//! The five recipes of SPEC 13, end to end: the real binary, its command line, a real S3 server.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hayloft::clock::Clock;
use hayloft::domain::Timestamp;

use crate::support::bytes;
use crate::support::instance::{Instance, files_below};

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

/// The digest that an object of ours is named after.
fn object_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())).then_some(name)
}

/// How long the URLs of recipe 4 live: longer than a run and a command take on a busy machine.
const TTL: Duration = Duration::from_secs(30);
/// How much longer their objects stay at most: clocks differ a little.
const MARGIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn recipe_4_leaves_a_cloud_account_with_nothing_left_behind() {
    let instance = Instance::started("").await;
    let (server, bucket) = instance.add_cloud("cloud", &["--presign-ttl", "30s"]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    let files = upload(&instance, 10, 1000).await;
    instance.ok(&["store", "manage", "local", "--soft-max-size", "3000", "--max-size", "10000"]);
    instance.vacuum();
    assert_eq!(instance.link("s", "cloud")["files"], 7);
    let stay = instance.cli(&["store", "evacuation", "cloud"]);
    assert_eq!((stay.code, &stay.json()["can_be_given_up"]), (1, &false.into()));
    assert_eq!(stay.json()["scopes"][0]["unreadable_files"], 7);

    instance.ok(&["scope", "manage", "s", "edit-store", "cloud", "--read-only"]);
    instance.ok(&["store", "manage", "local", "--soft-max-size", "none", "--max-size", "none"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "local", "--populate"]);
    assert_eq!(instance.vacuum()["copied"]["files"], 7);
    let go = instance.ok(&["store", "evacuation", "cloud"]);
    assert_eq!(go["can_be_given_up"], true);
    instance.ok(&["scope", "manage", "s", "edit-store", "local", "--no-populate"]);
    let edit = ["scope", "manage", "s", "edit-store", "cloud"];
    instance.ok(&[&edit[..], &["--drain-to", "local", "--download-priority", "1"]].concat());
    // An issued URL outlives the removal of its object, and the store waits for it.
    let issued = Clock::System.now();
    let url = instance.get("s/f000").await.headers()["location"].to_str().expect("URL").to_owned();
    assert_eq!(instance.vacuum()["removed"]["files"], 7);
    let read = reqwest::get(&url).await.expect("an answer");
    assert_eq!(read.bytes().await.expect("a body"), files["s/f000"], "the URL still works");
    instance.ok(&["scope", "manage", "s", "remove-store", "cloud"]);
    let early = instance.refused(&["store", "delete", "cloud"]);
    let named = early["due"].as_str().unwrap_or_else(|| panic!("names no time: {early}"));
    assert!(early["detail"].as_str().is_some_and(|d| d.contains(named)), "{early}");
    let due: Timestamp = named.parse().expect("a time");
    assert!(due >= issued.after(TTL) && due <= Clock::System.now().after(TTL + MARGIN), "{early}");
    while instance.cli(&["store", "delete", "cloud"]).code != 0 {
        assert!(Clock::System.now() < due.after(Duration::from_mins(1)), "it is never deleted");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(Clock::System.now() >= due);
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

/// Kills at several moments of a run, and of the one that goes on with it: nothing is lost, nothing
/// is double [24].
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_during_a_run_loses_nothing() {
    // The bandwidth makes a run of the first files last three seconds.
    let mut instance = Instance::new("[maintenance]\nschedule = \"off\"\nbandwidth = \"1MB\"\n");
    instance.start_and_sign_in().await;
    let (server, bucket) = instance.add_cloud("cloud", &["--presign-ttl", "10s"]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    let mut files = upload(&instance, 60, 50_000).await;
    instance.ok(&["store", "manage", "local", "--soft-max-size", "0"]);
    let mut killed_at_work = 0;
    for (kill, milliseconds) in [5, 20, 60, 120, 5, 20, 60, 120].into_iter().enumerate() {
        for i in 0..6 {
            let (path, body) =
                (format!("s/k{kill}-{i}"), bytes(100 * (kill as u64 + 1) + i, 50_000));
            instance.put_ok(&path, body.clone()).await;
            files.insert(path, body);
        }
        let id = instance.ok(&["vacuum", "--detach"])["id"].to_string();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        let killed = Clock::System.now();
        instance.kill();
        instance.start().await;
        assert_all_readable(&instance, &files).await;
        let run = instance.ok(&["vacuum", "show", &id]);
        let end = run["finished_at"].as_str().map(|at| at.parse::<Timestamp>().expect("a time"));
        killed_at_work += usize::from(end.is_none_or(|end| end > killed));
    }
    assert!(killed_at_work > 0, "every run had ended before its kill");
    assert_eq!(instance.vacuum()["errors"], serde_json::json!([]));
    instance.assert_settled();
    assert_all_readable(&instance, &files).await;
    assert_eq!(instance.link("s", "cloud")["files"], files.len());
    assert_eq!(instance.ok(&["verify", "--read"])["orphans"], serde_json::json!([]));
    let listed = server.bucket(&bucket).list(String::new(), None).await.expect("a listing");
    let keys: Vec<_> = listed.iter().flat_map(|p| &p.contents).map(|o| o.key.as_str()).collect();
    let objects = keys.iter().filter(|key| object_name(key).is_some()).count();
    assert_eq!((objects, keys.len()), (files.len(), files.len() + 1), "and the marker: {keys:?}");
    let here = files_below(&instance.local_root());
    assert!(here.iter().all(|name| object_name(name).is_none()), "{here:?}");
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
