//! Items 24 to 35: nothing is lost, whatever fails and whoever errs.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{await_reserved, disk, fill, incomplete, json_of, kind, object, places, set_link};
use crate::support::instance::{Instance, files_below};
use crate::support::{bytes, s3};

#[tokio::test(flavor = "multi_thread")]
async fn item_25_a_corrupted_source_is_never_copied_and_another_is_used() {
    let instance = Instance::started("").await;
    for name in ["twin", "target"] {
        disk(&instance, name, &[]);
    }
    instance.ok(&["scope", "create", "s", "--store", "twin"]);
    set_link(&instance, "s", "twin", &["--populate"]);
    let [name] = fill(&instance, "s", [5000]).await;
    instance.vacuum();
    // The first in download order rots on its disk: the size stays.
    let rotten = instance.local_root().join(&name);
    let sound = std::fs::read(&rotten).expect("the object");
    let mut bad = sound.clone();
    bad[2500] ^= 1;
    overwrite(&rotten, &bad);
    set_link(&instance, "s", "local", &["--download-priority", "9"]);
    instance.ok(&["scope", "manage", "s", "add-store", "target", "--populate"]);
    instance.cli(&["vacuum"]);
    let copied = std::fs::read(instance.path("target").join(&name)).expect("copied");
    assert!(copied == sound, "damage is never propagated");
    assert_eq!(places(&instance, "f0"), "target twin", "the rotten one has good twins and goes");
    assert!(!rotten.exists());
    assert_eq!(instance.fetch("s/f0").await, sound);
}

/// Objects are read-only for everyone: replaces the bytes under the same name.
fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).expect("the object");
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_26_with_s3_down_the_local_phases_run_and_the_exit_code_is_1() {
    let instance = Instance::started("").await;
    let provider = s3::in_process(s3::Faults::default()).await;
    provider.make_bucket("cloud");
    instance.add_s3("cloud", "cloud", &provider, &[]);
    disk(&instance, "new", &[]);
    instance.ok(&["scope", "create", "s", "--store", "cloud", "--store", "new"]);
    set_link(&instance, "s", "cloud", &["--populate"]);
    let [_, _] = fill(&instance, "s", [100, 200]).await;
    set_link(&instance, "s", "local", &["--drain-to", "new", "--read-only"]);
    drop(provider);
    let run = incomplete(&instance);
    assert_eq!(run["moved"], json!({"files": 2, "bytes": 300}), "{run:#}");
    assert_eq!([places(&instance, "f0"), places(&instance, "f1")], ["new", "new"]);
    let errors = run["errors"].as_array().expect("errors");
    assert!(errors.iter().any(|e| e["store"] == "cloud"), "{errors:#?}");
}

/// A file of exactly our shape that no row names, `hours` old.
fn plant(root: &Path, seed: u64, hours: u32) -> std::path::PathBuf {
    let body = bytes(seed, 20);
    let hex = blake3::hash(&body).to_hex().to_string();
    let path = root.join(&hex[..2]).join(&hex[2..4]).join(&hex);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(&path, &body).expect("written");
    age(&path, hours);
    path
}

fn age(path: &Path, hours: u32) {
    let when = std::time::SystemTime::now() - Duration::from_hours(hours.into());
    let file = std::fs::File::options().read(true).open(path).expect("the file");
    file.set_modified(when).expect("touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_27_an_orphan_of_23_h_is_kept_of_25_h_deleted_and_foreign_names_are_untouched() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    fill(&instance, "s", [100]).await;
    let root = instance.local_root();
    let (young, old) = (plant(&root, 100, 23), plant(&root, 101, 25));
    let mut foreign = vec![root.join("notes.txt"), old.with_extension("part")];
    foreign.push(old.parent().expect("a parent").join("README"));
    for path in &foreign {
        std::fs::write(path, "not ours").expect("written");
        age(path, 1000);
    }
    instance.vacuum();
    assert!(young.exists() && !old.exists());
    assert!(foreign.iter().all(|path| path.exists()));
    assert_eq!(instance.get("s/f0").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_27_the_brake_a_wrong_marker_and_adoption_keep_every_orphan() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    fill(&instance, "s", [100]).await;
    let root = instance.local_root();
    let orphans: Vec<_> = (200..301).map(|seed| plant(&root, seed, 25)).collect();
    let left = || orphans.iter().filter(|path| path.exists()).count();
    let run = incomplete(&instance);
    assert!(run["errors"].to_string().contains("store sweep local --confirm"), "{run:#}");
    assert_eq!(left(), 101, "more than 100 and more than 5%: nothing goes unasked");
    // Somebody else's marker, or one of a later life of this store: no sweep, asked or not.
    let marker = marker_of(&root);
    let text = std::fs::read_to_string(&marker).expect("the marker");
    let ours: Value = serde_json::from_str(&text).expect("JSON");
    let mut foreign = ours.clone();
    foreign["instance"] = json!("0123456789abcdef");
    let mut newer = ours;
    newer["generation"] = json!(newer["generation"].as_u64().expect("a generation") + 5);
    for wrong in [foreign, newer] {
        overwrite(&marker, wrong.to_string().as_bytes());
        incomplete(&instance);
        instance.refused(&["store", "sweep", "local", "--confirm"]);
        assert_eq!(left(), 101);
    }
    let report = instance.ok(&["store", "reconcile", "local"]);
    assert_eq!(report["adopted"], 101, "{report:#}");
    instance.vacuum();
    let swept = instance.ok(&["store", "sweep", "local", "--confirm"]);
    assert_eq!((&swept["deleted"], left()), (&json!(0), 101), "adopted objects are never swept");
    // The first of them is the file when somebody uploads it.
    instance.put_ok("s/known", bytes(200, 20)).await;
    instance.vacuum();
    assert_eq!(instance.fetch("s/known").await, bytes(200, 20));
}

fn marker_of(root: &Path) -> std::path::PathBuf {
    let names = files_below(root);
    let marker = names.iter().find(|n| !n.contains('/') && n.contains("hayloft"));
    root.join(marker.unwrap_or_else(|| panic!("no marker: {names:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn item_28_an_unmounted_root_marks_nothing_missing_and_gets_no_write() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.put_ok("s/x", bytes(1, 1000)).await;
    let away = instance.path("away");
    std::fs::rename(instance.local_root(), &away).expect("unmounted");
    std::fs::create_dir(instance.local_root()).expect("the empty mount point");
    assert_eq!(instance.get("s/x").await.status(), 503);
    assert_eq!(instance.put("s/y", bytes(2, 10)).await.status(), 503);
    incomplete(&instance);
    instance.cli(&["verify"]);
    assert!(files_below(&instance.local_root()).is_empty(), "no write");
    std::fs::remove_dir(instance.local_root()).expect("empty");
    std::fs::rename(&away, instance.local_root()).expect("mounted again");
    assert_eq!(places(&instance, "x"), "local");
    tokio::time::sleep(Duration::from_millis(100)).await;
    instance.vacuum();
    assert_eq!(instance.get("s/x").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_28_an_emptied_bucket_marks_nothing_missing_and_gets_no_write() {
    let instance = Instance::started("").await;
    let (server, name) = instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--store", "cloud"]);
    set_link(&instance, "s", "cloud", &["--populate"]);
    fill(&instance, "s", [100]).await;
    instance.vacuum();
    let bucket = server.bucket(&name);
    let keys = || async {
        let pages = bucket.list(String::new(), None).await.expect("a listing");
        pages.into_iter().flat_map(|p| p.contents).map(|o| o.key).collect::<Vec<_>>()
    };
    for key in keys().await {
        bucket.delete_object(&key).await.expect("emptied");
    }
    instance.put_ok("s/later", bytes(9, 50)).await;
    incomplete(&instance);
    assert_eq!([places(&instance, "f0"), places(&instance, "later")], ["cloud local", "local"]);
    assert_eq!(keys().await, Vec::<String>::new(), "no write");
    assert_eq!(
        instance.link("s", "cloud")["missing_files"],
        1,
        "only the one that was never there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn item_30_a_dry_run_equals_the_next_real_run_and_changes_nothing() {
    let instance = Instance::started("").await;
    for name in ["far", "mirror"] {
        disk(&instance, name, &[]);
    }
    instance.ok(&["scope", "create", "s", "--store", "far"]);
    fill(&instance, "s", [100; 6]).await;
    instance.ok(&["scope", "manage", "s", "add-store", "mirror", "--populate"]);
    instance.ok(&["store", "manage", "local", "--soft-max-size", "300"]);
    // A read that is not yet written to the catalogue counts.
    instance.fetch("s/f0").await;
    let state = || {
        let views =
            [&["scope", "show", "s"][..], &["store", "list"], &["vacuum", "history"], &["verify"]];
        let mut all: Vec<Value> = views.map(|args| instance.ok(args)).to_vec();
        all.extend((0..6).map(|i| instance.ok(&["file", "show", "s", &format!("f{i}")])));
        (
            all,
            files_below(instance.dir.path()),
            std::fs::read(marker_of(&instance.local_root())).ok(),
        )
    };
    let before = state();
    let dry = instance.ok(&["vacuum", "--dry-run"]);
    assert_eq!((&dry["id"], &dry["dry_run"]), (&Value::Null, &json!(true)));
    assert_eq!(state(), before);
    let run = instance.vacuum();
    let sorted = |run: &Value| {
        let moves = run["moves"].as_array().expect("moves").iter().map(ToString::to_string);
        let mut moves: Vec<_> = moves.collect();
        moves.sort();
        moves
    };
    assert!(sorted(&dry).len() > 6, "{dry:#}");
    assert_eq!(sorted(&dry), sorted(&run));
    for sum in ["copied", "moved", "removed", "retained"] {
        assert_eq!(dry[sum], run[sum], "{sum}");
    }
    assert!(places(&instance, "f0").contains("local"), "it was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_31_instance_wide_is_checked_on_add_and_on_flip() {
    let instance = Instance::started("").await;
    disk(&instance, "only", &["--no-instance-wide"]);
    instance.ok(&["scope", "create", "a", "--store", "only"]);
    instance.ok(&["scope", "create", "b"]);
    let refused = instance.refused(&["scope", "manage", "b", "add-store", "only"]);
    assert!(refused["detail"].as_str().expect("detail").contains("only"), "{refused}");
    instance.ok(&["store", "manage", "only", "--instance-wide"]);
    instance.ok(&["scope", "manage", "b", "add-store", "only"]);
    let refused = instance.refused(&["store", "manage", "only", "--no-instance-wide"]);
    let detail = refused["detail"].as_str().expect("detail");
    assert_eq!(refused["scopes"], json!(["a", "b"]), "scopes named: {detail}");
    assert_eq!(instance.ok(&["store", "show", "only"])["instance_wide"], true);
    instance.ok(&["scope", "manage", "b", "remove-store", "only"]);
    instance.ok(&["store", "manage", "only", "--no-instance-wide"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_32_delete_is_refused_with_counts_and_by_force_reports_what_then_answers_503() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "a"]);
    let body = bytes(1, 1000);
    instance.put_ok("a/x", body.clone()).await;
    let refused = instance.refused(&["store", "delete", "local"]);
    let detail = refused["detail"].as_str().expect("detail");
    assert!(detail.contains("drain") && detail.contains('1'), "{refused}");
    assert_eq!((&refused["files"], &refused["bytes"]), (&json!(1), &json!(1000)), "{refused}");
    let report = instance.path("lost").display().to_string();
    instance.ok(&["store", "delete", "local", "--force", "--report", &report]);
    let lost = std::fs::read_to_string(&report).expect("the report");
    assert!(lost.contains(&blake3::hash(&body).to_hex().to_string()), "{lost}");
    assert!(object(&instance, &body).exists(), "the bytes are left behind");
    let (status, what) = kind(instance.get("a/x").await).await;
    assert_eq!((status, what.as_str()), (503, "file-unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn item_33_remove_store_is_refused_when_the_other_replica_is_write_only() {
    let instance = Instance::started("").await;
    for name in ["vault", "twin"] {
        disk(&instance, name, &[]);
    }
    instance.ok(&["scope", "create", "s", "--store", "vault"]);
    set_link(&instance, "s", "vault", &["--populate", "--write-only"]);
    fill(&instance, "s", [100]).await;
    instance.vacuum();
    let refused = instance.refused(&["scope", "manage", "s", "remove-store", "local"]);
    assert!(refused["detail"].as_str().expect("detail").contains('1'), "{refused}");
    // A deleted file is protected like the others, as long as it can come back.
    let deleted = instance.request(Method::DELETE, "/files/s/f0").send().await.expect("answer");
    assert_eq!(deleted.status(), 204);
    instance.refused(&["scope", "manage", "s", "remove-store", "local"]);
    instance.ok(&["file", "undelete", "s", "f0"]);
    instance.ok(&["scope", "manage", "s", "add-store", "twin", "--populate"]);
    instance.vacuum();
    instance.ok(&["scope", "manage", "s", "remove-store", "local"]);
    assert_eq!(instance.get("s/f0").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_34_reservations_are_never_leaked_by_a_broken_body_a_bad_digest_or_kill_9() {
    let mut instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "5000000"]);
    let address = instance.base.strip_prefix("http://").expect("http").to_owned();
    let request = |length: &str| {
        let bearer = instance.bearer();
        format!(
            "PUT /files/s/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n{length}\r\n\r\n"
        )
    };
    let (known, unknown) =
        (request("Content-Length: 5000000"), request("Transfer-Encoding: chunked"));
    let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connect");
    socket.write_all(known.as_bytes()).await.expect("write");
    socket.write_all(&bytes(1, 2_000_000)).await.expect("write");
    await_reserved(&instance, 5_000_000).await;
    drop(socket);
    await_reserved(&instance, 0).await;
    // A size that is not declared reserves as it grows.
    let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connect");
    socket.write_all(unknown.as_bytes()).await.expect("write");
    socket.write_all(b"f4240\r\n").await.expect("write");
    socket.write_all(&bytes(2, 1_000_000)).await.expect("write");
    await_reserved_at_least(&instance, 1_000_000).await;
    drop(socket);
    await_reserved(&instance, 0).await;
    let wrong = instance.request(Method::PUT, "/files/s/x").header("X-Blake3", "0".repeat(64));
    assert_eq!(wrong.body(bytes(3, 1000)).send().await.expect("answer").status(), 400);
    await_reserved(&instance, 0).await;
    let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connect");
    socket.write_all(known.as_bytes()).await.expect("write");
    await_reserved(&instance, 5_000_000).await;
    instance.kill();
    instance.start().await;
    await_reserved(&instance, 0).await;
    assert_eq!(instance.get("s/big").await.status(), 404);
    let temp = instance.local_root().join(".hayloft-tmp");
    assert!(files_below(&temp).is_empty(), "{:?}", files_below(&temp));
    instance.put_ok("s/all", bytes(4, 5_000_000)).await;
}

async fn await_reserved_at_least(instance: &Instance, bytes: u64) {
    for _ in 0..100 {
        let view = instance.ok(&["store", "show", "local"]);
        if view["reserved_bytes"].as_u64() >= Some(bytes) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never reserved: {:#}", instance.ok(&["store", "show", "local"]));
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
    let listed = instance.request(Method::GET, "/files/s/").send().await.expect("answer");
    let listed = json_of(listed).await;
    assert_eq!(listed["entries"], json!([]), "not in listings");
    let link = instance.link("s", "local");
    assert_eq!(
        (&link["files"], &link["bytes"], &link["tombstone_bytes"]),
        (&json!(0), &json!(0), &json!(1000))
    );
    instance.vacuum();
    instance.ok(&["file", "undelete", "s", "x"]);
    assert_eq!(instance.fetch("s/x").await, body);
    // A replaced file comes back the same way.
    instance.put_ok("s/x", bytes(2, 10)).await;
    instance.vacuum();
    assert!(object(&instance, &body).exists());
    instance.ok(&["file", "delete", "s", "x"]);
    instance.ok(&["file", "undelete", "s", "x"]);
    assert_eq!(instance.fetch("s/x").await, bytes(2, 10), "the latest of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_35_after_the_grace_the_bytes_go_unless_an_upload_resurrects_them() {
    let instance = Instance::new("[maintenance]\nschedule = \"off\"\ngrace = \"0s\"\n");
    instance.ok(&["scope", "create", "s"]);
    let put = |content: &str, path: &str| {
        let source = instance.path("source");
        std::fs::write(&source, content).expect("write");
        instance.ok(&["file", "put", "s", &source.display().to_string(), path]);
    };
    put("some bytes", "x");
    put("resurrected", "y");
    instance.ok(&["file", "delete", "s", "x"]);
    instance.ok(&["file", "delete", "s", "y"]);
    put("resurrected", "z");
    assert!(object(&instance, b"some bytes").exists());
    instance.vacuum();
    assert!(!object(&instance, b"some bytes").exists());
    assert!(object(&instance, b"resurrected").exists());
    assert_eq!(instance.ok(&["status"])["files"], 1);
    instance.refused(&["file", "undelete", "s", "x"]);
}
