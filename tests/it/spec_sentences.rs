//! Sentences of SPEC outside of its acceptance list that no other test proves.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, is_complete};
use crate::support::bytes;
use crate::support::instance::Instance;

fn has_keys(what: &str, value: &Value, keys: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{what}: {value:#}"));
    for key in keys.split(' ') {
        assert!(object.contains_key(key), "{what} has no {key}: {value:#}");
    }
}

const RUN: &str = "id dry_run outcome started_at finished_at copied moved removed retained errors";
const LINK: &str = "store backend upload_priority download_priority policy files bytes missing_files \
                    missing_bytes only_here_files tombstone_bytes state retained warnings";
const STORE: &str = "name backend location instance_wide soft_max_size max_size files bytes \
                     reserved_bytes deleting_bytes scopes health";
const FILE: &str = "scope path digest size content_type created_at last_used replicas";

/// SPEC 11: what programs read, by the commands that print it.
#[tokio::test(flavor = "multi_thread")]
async fn every_json_shape_has_its_keys() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let put = instance.put_ok("s/x", bytes(1, 100)).await;
    has_keys("PUT", &put, "scope path digest size content_type store created_at");
    let list = instance.request(Method::GET, "/files/s/").send().await.expect("an answer");
    let list: Value = serde_json::from_str(&list.text().await.expect("text")).expect("JSON");
    has_keys("a listing", &list, "entries next");
    has_keys("an entry", &list["entries"][0], "path digest size content_type created_at");
    let scope = instance.ok(&["scope", "show", "s"]);
    has_keys("scope show", &scope, "name public_read files bytes stores");
    has_keys("a link", &scope["stores"][0], LINK);
    let policy = "populate drain read_only write_only soft_max_size";
    has_keys("a policy", &scope["stores"][0]["policy"], policy);
    has_keys("store show", &instance.ok(&["store", "show", "local"]), STORE);
    let file = instance.ok(&["file", "show", "s", "x"]);
    has_keys("file show", &file, FILE);
    has_keys("a replica", &file["replicas"][0], "store state stored_at verified_at");
    let evacuation = instance.cli(&["store", "evacuation", "local", "--list"]);
    assert_eq!(evacuation.code, 1, "it cannot be given up");
    let evacuation = evacuation.json();
    has_keys("evacuation", &evacuation, "store can_be_given_up scopes");
    let of_scope =
        "scope unreadable_files unreadable_bytes lost_files lost_bytes tombstones fits files";
    has_keys("of a scope", &evacuation["scopes"][0], of_scope);
    let check = instance.ok(&["store", "check", "local"]);
    has_keys("store check", &check, "store ok steps");
    has_keys("a step", &check["steps"][0], "step ok milliseconds problem remedy");
    has_keys("verify", &instance.ok(&["verify"]), "ok lost missing corrupt counters orphans");
    let dry = instance.ok(&["vacuum", "--dry-run"]);
    has_keys("a dry run", &dry, &format!("{RUN} moves"));
    instance.ok(&["store", "manage", "local", "--soft-max-size", "0"]);
    let run = instance.cli(&["-v", "vacuum"]).json();
    has_keys("a run", &run, &format!("{RUN} moves"));
    has_keys("a sum", &run["moved"], "files bytes");
    let error = "phase scope store cause files bytes digests";
    has_keys("an error", &run["errors"][0], error);
    instance.ok(&[
        "store",
        "create",
        "far",
        "local",
        "--root",
        &instance.path("far").display().to_string(),
    ]);
    instance.ok(&["scope", "manage", "s", "add-store", "far"]);
    let dry = instance.ok(&["vacuum", "--dry-run"]);
    has_keys("a move", &dry["moves"][0], "action scope digest size from to reason");
    let status = instance.ok(&["status"]);
    has_keys(
        "status",
        &status,
        "version started_at files bytes stores last_run next_run safety warnings",
    );
    assert_eq!(
        status["safety"],
        json!({"readable_0": 0, "readable_1": 1, "readable_2_or_more": 0})
    );
    let token = instance.ok(&["token", "create", "--name", "t", "--role", "read"]);
    has_keys("token create", &token, "id name role scope token expires_at");
    for list in [["scope", "list"], ["store", "list"], ["token", "list"], ["vacuum", "history"]] {
        assert!(instance.ok(&list).is_array(), "{list:?}");
    }
    let refused = instance.refused(&["scope", "show", "nowhere"]);
    has_keys("a problem", &refused, "type title status detail");
}

/// The only object of a bucket that is one of ours.
async fn key_of(bucket: &s3::Bucket) -> String {
    let pages = bucket.list("hay/".to_owned(), None).await.expect("a listing");
    let mut keys = pages.into_iter().flat_map(|p| p.contents).map(|o| o.key);
    keys.find(|k| !k.contains("hayloft")).expect("an object")
}

/// SPEC 5: a whole body whose hash differs is aborted and the replica marked.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_s3_object_is_not_proxied_to_its_end_and_is_marked() {
    let instance = Instance::started("").await;
    let (server, name) = instance.add_cloud("cloud", &["--serve", "proxy"]).await;
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "cloud"]);
    let body = bytes(1, 700_000);
    instance.put_ok("s/x", body.clone()).await;
    let bucket = server.bucket(&name);
    let mut bad = body.to_vec();
    bad[699_999] ^= 1;
    bucket.put_object(key_of(&bucket).await, &bad).await.expect("damaged");
    let answer = instance.get("s/x").await;
    let whole = answer.bytes().await;
    assert!(whole.is_err(), "{} bytes came to an end", whole.map_or(0, |b| b.len()));
    let shown = instance.ok(&["file", "show", "s", "x"]);
    assert_eq!(shown["replicas"][0]["state"], "corrupt", "{shown:#}");
    assert_eq!(instance.get("s/x").await.status(), 503);
    instance.put_ok("s/x", body.clone()).await;
    assert_eq!(instance.fetch("s/x").await, body, "an upload of the same bytes heals it");
}

/// SPEC 4: a hit counts only after a look at the replica.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_known_bytes_is_no_hit_when_the_replica_is_gone_or_short() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let body = bytes(1, 5000);
    instance.put_ok("s/x", body.clone()).await;
    let hex = blake3::hash(&body).to_hex().to_string();
    let object = instance.local_root().join(&hex[..2]).join(&hex[2..4]).join(&hex);
    for damage in [None, Some(&body[..4999])] {
        std::fs::remove_file(&object).expect("the object");
        if let Some(short) = damage {
            std::fs::write(&object, short).expect("cut short");
        }
        let put = instance.request(Method::PUT, "/files/s/y").header("X-Blake3", &hex);
        let status = put.body(body.clone()).send().await.expect("an answer").status();
        assert!(status.is_success(), "{status}");
        assert_eq!(std::fs::read(&object).expect("written again"), body);
        assert_eq!(instance.fetch("s/x").await, body);
    }
}

/// SPEC 2: the endpoint may change only to where the store's marker is found; the identity never.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_to_no_place_without_its_marker() {
    let instance = Instance::started("").await;
    let (server, _) = instance.add_cloud("cloud", &[]).await;
    let other = crate::support::s3::in_process(crate::support::s3::Faults::default()).await;
    let refused = instance.refused(&["store", "manage", "cloud", "--endpoint", &other.endpoint]);
    assert!(refused["detail"].as_str().is_some_and(|d| !d.is_empty()), "{refused}");
    let shown = instance.ok(&["store", "show", "cloud"]);
    assert_eq!(shown["s3"]["endpoint"], server.endpoint.as_str());
    let same = server.endpoint.replace("127.0.0.1", "localhost");
    instance.ok(&["store", "manage", "cloud", "--endpoint", &same]);
    for option in ["--bucket", "--prefix", "--root"] {
        assert_eq!(instance.cli(&["store", "manage", "cloud", option, "x"]).code, 2, "{option}");
    }
}

/// SPEC 6: a read is known at once and written at the end of the server, not with each download; there
/// also when it came sooner after the upload than the granularity.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_use_outlives_the_server_that_saw_it() {
    let mut instance = Instance::new("[maintenance]\nschedule = \"off\"\n");
    instance.start().await;
    instance.ok(&["scope", "create", "s"]);
    let source = instance.path("source");
    std::fs::write(&source, "bytes").expect("written");
    let source = source.display().to_string();
    instance.ok(&["file", "put", "s", &source, "read"]);
    instance.ok(&["file", "put", "s", &source, "again"]);
    let used = || instance_last_use(&instance);
    let before = used();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let out = instance.path("out").display().to_string();
    instance.ok(&["file", "get", "s", "read", "-o", &out]);
    let read = used();
    assert!(read > before, "{read} after {before}");
    instance.stop();
    instance.start().await;
    assert_eq!(instance_last_use(&instance), read);
}

fn instance_last_use(instance: &Instance) -> String {
    let shown = instance.ok(&["file", "show", "s", "read"]);
    shown["last_used"].as_str().expect("a time").to_owned()
}

/// SPEC 7: the last 100 runs are kept.
#[tokio::test]
async fn the_history_has_the_last_100_runs() {
    let mut house = House::new();
    house.store("local").await;
    for _ in 0..103 {
        is_complete(&house.vacuum().await);
    }
    let runs = house.catalogue().snapshot().expect("snapshot").runs(500).expect("runs");
    assert_eq!(runs.len(), 100);
    let house = house.restart().await;
    let runs = house.catalogue().snapshot().expect("snapshot").runs(500).expect("runs");
    assert_eq!(runs.len(), 100);
}

/// SPEC 2: one usage sample per store and day, kept for 400 days.
#[tokio::test]
async fn usage_is_sampled_once_a_day_and_kept_for_400_days() {
    let mut house = House::new();
    let local = house.store("local").await.id;
    house.link("s", "local", Some(100), hayloft::domain::Policy::default()).await;
    house.put("s", "a", 10).await;
    for day in [100u32, 100, 101, 499, 500, 501] {
        house.catalogue().write(move |tx| tx.sample_usage(local, day)).await.expect("sampled");
    }
    let samples = house.catalogue().snapshot().expect("snapshot").samples(local).expect("samples");
    let days: Vec<_> = samples.iter().map(|(day, count)| (*day, count.bytes)).collect();
    assert_eq!(days.last(), Some(&(501, 10)));
    assert!(days.iter().all(|(day, _)| *day > 100), "{days:?}");
    assert!(days.contains(&(499, 10)), "{days:?}");
}

/// SPEC 10: a fresh instance logs a sign-in link, which works once; a grown-up one logs none.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_instance_logs_one_sign_in_link() {
    let mut instance = Instance::new("[maintenance]\nschedule = \"off\"\n");
    instance.start().await;
    let link = |log: &str| {
        let at = log.find("/signin?token=")?;
        Some(log[at..].split_whitespace().next().expect("a word").to_owned())
    };
    let mut log = instance.log();
    for _ in 0..100 {
        if link(&log).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        log = instance.log();
    }
    let target = link(&log).expect("a link");
    let opened = instance.request(Method::GET, &target).send().await.expect("an answer");
    assert!(opened.headers().contains_key("set-cookie"));
    let again = instance.request(Method::GET, &target).send().await.expect("an answer");
    assert_eq!(again.status(), 403);
    instance.stop();
    instance.start().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(instance.log().matches("/signin?token=").count(), 1);
}

/// SPEC 9: a command without a server has the catalogue for itself, and a server that starts just
/// then waits for it like commands wait for servers.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_waits_for_a_command_that_has_the_catalogue() {
    let mut instance = Instance::new("[maintenance]\nschedule = \"off\"\n");
    instance.ok(&["scope", "create", "s"]);
    let file = instance.path("data/hayloft.redb");
    let options = hayloft::catalogue::Options::default();
    let held = hayloft::catalogue::Catalogue::open(&file, &options).expect("open");
    let release = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        held.close().await.expect("closed");
        drop(held);
    };
    tokio::join!(instance.start(), release);
    assert_eq!(instance.ok(&["scope", "list"])[0]["name"], "s");
    // Another server of the same instance is told at once.
    let begun = std::time::Instant::now();
    let second = instance.cli(&["serve"]);
    assert_eq!(second.code, 1, "{}", second.stderr);
    assert!(second.stderr.contains("running already"), "{}", second.stderr);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// SPEC 12: SIGHUP reloads the log level; a bad file changes nothing and stops nothing.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_log_level() {
    let mut instance =
        Instance::new("[maintenance]\nschedule = \"off\"\n[log]\nlevel = \"info\"\n");
    instance.start().await;
    let config = instance.path("config.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let rounds = [("\"debug\"", "log level reloaded"), ("7", "stays as it was")];
    for (level, said) in rounds {
        std::fs::write(&config, text.replace("\"info\"", level)).expect("written");
        instance.signal("HUP");
        for _ in 0..200 {
            if instance.log().contains(said) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(instance.log().contains(said), "{level}: {}", instance.log());
    }
    std::fs::write(&config, text).expect("written");
    let answer = instance.request(Method::GET, "/files/nowhere/x").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let line = "/files/nowhere/x";
    assert!(instance.log().contains(line), "requests are logged at debug: {}", instance.log());
    instance.stop();
}

/// SPEC 4: replacing an entry is atomic: a reader sees the old file or the new one, whole.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_an_entry_that_is_replaced_see_the_old_file_or_the_new() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let versions: Vec<Bytes> = (0..2).map(|seed| bytes(seed, 400_000)).collect();
    instance.put_ok("s/x", versions[0].clone()).await;
    let writes = async {
        for round in 0..20 {
            instance.put_ok("s/x", versions[round % 2].clone()).await;
        }
    };
    let reads = async {
        loop {
            let read = instance.fetch("s/x").await;
            assert!(versions.contains(&read), "neither the one nor the other");
        }
    };
    tokio::select! {
        () = writes => {}
        () = reads => unreachable!("it reads for ever"),
    }
    let link = instance.link("s", "local");
    assert_eq!((&link["files"], &link["bytes"]), (&json!(1), &json!(400_000)));
}
