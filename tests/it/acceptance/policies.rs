//! Items 11 to 23: what a run does, as the command line tells it and as the disks show it.

use serde_json::{Value, json};

use super::{disk, fill, incomplete, places, set_link};
use crate::support::bytes;
use crate::support::instance::{Instance, files_below};
use crate::support::s3;

fn counts(run: &Value) -> [u64; 4] {
    ["copied", "moved", "removed", "retained"].map(|k| run[k]["files"].as_u64().expect("a count"))
}

/// An instance with a scope `s` whose stores are `names`, local directories; the first takes the
/// uploads.
async fn house(names: &[&str]) -> Instance {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s", "--no-local"]);
    for (i, name) in names.iter().enumerate() {
        disk(&instance, name, &[]);
        let priority = if i == 0 { "100" } else { "none" };
        instance.ok(&["scope", "manage", "s", "add-store", name, "--upload-priority", priority]);
    }
    instance
}

#[tokio::test(flavor = "multi_thread")]
async fn item_11_populate_reaches_a_write_only_store_and_without_a_source_it_is_an_error() {
    let instance = house(&["near", "vault"]).await;
    set_link(&instance, "s", "vault", &["--populate", "--write-only"]);
    let [a, b] = fill(&instance, "s", [100, 200]).await;
    std::fs::remove_file(instance.path("near").join(&b)).expect("the only replica");
    assert_eq!(instance.get("s/f1").await.status(), 503, "noticed");
    let run = incomplete(&instance);
    assert_eq!(counts(&run)[0], 1, "the rest is done: {run:#}");
    let errors = run["errors"].as_array().expect("errors");
    let digest = b.rsplit('/').next().expect("a name");
    let about = errors.iter().find(|e| e["phase"] == "populate").expect("an error");
    assert_eq!((&about["store"], &about["digests"]), (&json!("vault"), &json!([digest])));
    assert_eq!(
        (places(&instance, "f0"), files_below(&instance.path("vault")).contains(&a)),
        ("near vault".to_owned(), true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn item_12_populate_near_a_limit_skips_the_big_takes_the_small_and_says_so_once() {
    let instance = house(&["near", "small"]).await;
    instance.ok(&["store", "manage", "small", "--max-size", "100"]);
    set_link(&instance, "s", "small", &["--populate"]);
    fill(&instance, "s", [40, 101, 61, 60]).await;
    let run = incomplete(&instance);
    assert_eq!(counts(&run), [2, 0, 0, 0]);
    let expected = ["near small", "near", "near", "near small"];
    for (i, stores) in expected.into_iter().enumerate() {
        assert_eq!(places(&instance, &format!("f{i}")), stores, "f{i}");
    }
    let errors = run["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "one summary error: {errors:#?}");
    assert_eq!((&errors[0]["files"], &errors[0]["bytes"]), (&json!(2), &json!(162)));
}

#[tokio::test(flavor = "multi_thread")]
async fn item_13_populate_with_a_soft_limit_sheds_nothing_reports_it_and_says_the_same_again() {
    let instance = house(&["near", "mirror"]).await;
    set_link(&instance, "s", "mirror", &["--populate"]);
    fill(&instance, "s", [80]).await;
    instance.vacuum();
    instance.ok(&["store", "manage", "mirror", "--soft-max-size", "50"]);
    let first = incomplete(&instance);
    let second = incomplete(&instance);
    assert_eq!(counts(&first), [0; 4]);
    assert_eq!((&first["errors"], counts(&second)), (&second["errors"], [0; 4]));
    assert_eq!(places(&instance, "f0"), "mirror near");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_14_a_drain_with_a_twin_transfers_nothing_and_a_named_one_copies_to_z_all_the_same() {
    let instance = house(&["x", "y", "z"]).await;
    fill(&instance, "s", [100]).await;
    set_link(&instance, "s", "y", &["--populate"]);
    instance.vacuum();
    set_link(&instance, "s", "y", &["--no-populate"]);
    set_link(&instance, "s", "x", &["--drain-to", "z", "--read-only"]);
    let named = instance.vacuum();
    assert_eq!((counts(&named), places(&instance, "f0")), ([0, 1, 0, 0], "y z".to_owned()));
    set_link(&instance, "s", "x", &["--no-drain"]);
    set_link(&instance, "s", "z", &["--drain", "--read-only"]);
    let run = instance.vacuum();
    assert_eq!((counts(&run), places(&instance, "f0")), ([0, 0, 1, 0], "y".to_owned()));
    assert_eq!(run["moves"][0]["action"], "remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_15_a_drain_into_a_full_a_read_only_or_a_missing_z_is_an_error_and_keeps_the_file() {
    let instance = house(&["x", "z"]).await;
    fill(&instance, "s", [1000]).await;
    set_link(&instance, "s", "x", &["--drain-to", "z", "--read-only"]);
    let fails = |why: &str| {
        let run = incomplete(&instance);
        assert_eq!((counts(&run), places(&instance, "f0")), ([0; 4], "x".to_owned()), "{why}");
        let error = &run["errors"][0];
        assert_eq!((&error["phase"], &error["store"]), (&json!("drain"), &json!("x")), "{why}");
        assert_eq!((&error["files"], &error["bytes"]), (&json!(1), &json!(1000)), "{why}");
        assert_eq!(instance.cli(&["vacuum", "--dry-run"]).code, 1, "{why}");
    };
    instance.ok(&["store", "manage", "z", "--max-size", "999"]);
    fails("full");
    instance.ok(&["store", "manage", "z", "--max-size", "none"]);
    instance.refused(&["scope", "manage", "s", "edit-store", "z", "--read-only"]);
    set_link(&instance, "s", "z", &["--read-only", "--force"]);
    fails("read_only");
    instance.refused(&["scope", "manage", "s", "remove-store", "z"]);
    instance.ok(&["scope", "manage", "s", "remove-store", "z", "--force"]);
    fails("missing");
    assert_eq!(instance.get("s/f0").await.status(), 200);
    instance.ok(&["scope", "manage", "s", "add-store", "z"]);
    assert_eq!(counts(&instance.vacuum()), [0, 1, 0, 0]);
}

/// Three runs, of which the last two move nothing; where the files are after them.
fn three_runs(instance: &Instance, files: &[(&str, &str)]) -> Vec<String> {
    let look = || files.iter().map(|(s, f)| super::places_in(instance, s, f)).collect::<Vec<_>>();
    instance.cli(&["vacuum"]);
    let after = look();
    for _ in 0..2 {
        let run = instance.cli(&["-v", "vacuum"]).json();
        assert_eq!(run["moves"], json!([]), "{run:#}");
        assert_eq!(look(), after);
    }
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn item_16_two_draining_stores_of_one_scope_do_not_swap_and_a_draining_target_is_refused() {
    let instance = house(&["p", "q"]).await;
    fill(&instance, "s", [100]).await;
    set_link(&instance, "s", "p", &["--drain"]);
    let refused = instance.refused(&["scope", "manage", "s", "edit-store", "q", "--drain-to", "p"]);
    assert!(refused["detail"].as_str().expect("detail").contains('p'), "{refused}");
    set_link(&instance, "s", "q", &["--drain"]);
    assert_eq!(three_runs(&instance, &[("s", "f0")]), ["p"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_16_two_scopes_that_drain_into_each_others_stores_are_stable() {
    let instance = Instance::started("").await;
    for name in ["p", "q"] {
        disk(&instance, name, &[]);
    }
    instance.ok(&["scope", "create", "a", "--no-local", "--store", "p", "--store", "q"]);
    instance.ok(&["scope", "create", "b", "--no-local", "--store", "q", "--store", "p"]);
    for (scope, first) in [("a", "p"), ("b", "q")] {
        set_link(&instance, scope, first, &["--upload-priority", "100"]);
    }
    // One file of each, and one of both.
    fill(&instance, "a", [100]).await;
    instance.put_ok("b/own", bytes(50, 100)).await;
    instance.put_ok("a/both", bytes(51, 100)).await;
    instance.put_ok("b/both", bytes(51, 100)).await;
    for drain in [["--drain"].as_slice(), &["--drain-to"]] {
        for (scope, from, to) in [("a", "p", "q"), ("b", "q", "p")] {
            let mut options = drain.to_vec();
            options.extend((drain == ["--drain-to"]).then_some(to));
            set_link(&instance, scope, from, &options);
        }
        let places = three_runs(&instance, &[("a", "f0"), ("b", "own"), ("a", "both")]);
        if drain == ["--drain-to"] {
            assert_eq!(places, ["q", "p", "p q"], "each where its scope wants it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn item_17_a_drains_a_shared_store_b_keeps_reading_and_scope_show_a_says_retained() {
    let instance = Instance::started("").await;
    for scope in ["a", "b"] {
        instance.ok(&["scope", "create", scope]);
        instance.put_ok(&format!("{scope}/x"), bytes(1, 1000)).await;
    }
    disk(&instance, "y", &[]);
    instance.ok(&["scope", "manage", "a", "add-store", "y"]);
    set_link(&instance, "a", "local", &["--drain", "--read-only"]);
    let run = instance.vacuum();
    assert_eq!(counts(&run), [1, 0, 0, 1], "copied although the source stays, retained");
    assert_eq!(super::places_in(&instance, "a", "x"), "local y");
    let link = instance.link("a", "local");
    assert_eq!(link["retained"], json!([{"scope": "b", "files": 1, "bytes": 1000}]), "{link:#}");
    assert_eq!(link["state"], "draining");
    assert_eq!(instance.fetch("b/x").await, bytes(1, 1000));
    instance.assert_settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn item_18_what_a_drains_and_b_populates_stays() {
    let instance = Instance::started("").await;
    disk(&instance, "y", &[]);
    for scope in ["a", "b"] {
        instance.ok(&["scope", "create", scope, "--store", "y"]);
        instance.put_ok(&format!("{scope}/x"), bytes(1, 1000)).await;
    }
    set_link(&instance, "b", "local", &["--populate"]);
    set_link(&instance, "a", "local", &["--drain", "--read-only"]);
    let run = instance.vacuum();
    assert_eq!(super::places_in(&instance, "a", "x"), "local y");
    assert_eq!(counts(&run)[2..], [0, 1], "{run:#}");
    instance.assert_settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn item_19_draining_a_write_only_store_issues_no_get() {
    let instance = Instance::started("").await;
    let provider = s3::in_process(s3::Faults::default()).await;
    provider.make_bucket("vault");
    instance.add_s3("vault", "vault", &provider, &[]);
    instance.ok(&["scope", "create", "s", "--store", "vault"]);
    set_link(&instance, "s", "vault", &["--populate", "--write-only"]);
    let [_, lost] = fill(&instance, "s", [100, 200]).await;
    instance.vacuum();
    // The second file has no other replica any more: its bytes are behind a restore.
    std::fs::remove_file(instance.local_root().join(lost)).expect("the object");
    assert_eq!(instance.get("s/f1").await.status(), 409);
    provider.faults.log.lock().expect("unpoisoned").clear();
    set_link(&instance, "s", "vault", &["--no-populate", "--drain", "--read-only"]);
    let run = incomplete(&instance);
    let log = provider.faults.log.lock().expect("unpoisoned").clone();
    let hex = |line: &str| line.split(['/', '?', ' ']).any(|part| part.len() == 64);
    let reads: Vec<_> = log.iter().filter(|l| l.starts_with("GET") && hex(l)).collect();
    assert!(reads.is_empty(), "{reads:?}");
    assert!(log.iter().any(|l| l.starts_with("DELETE") && hex(l)), "{log:?}");
    assert_eq!(
        (places(&instance, "f0").as_str(), places(&instance, "f1").as_str()),
        ("local", "vault")
    );
    let told = run["errors"].to_string();
    assert!(told.contains("restore") && told.contains("write_only"), "the remedy: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_20_a_scope_limit_counts_a_shared_file_in_both_and_a_store_limit_is_one_lru() {
    let instance = Instance::started("").await;
    disk(&instance, "far", &[]);
    for scope in ["a", "b"] {
        instance.ok(&["scope", "create", scope, "--store", "far"]);
    }
    // 100 bytes of both, then 100 of each.
    instance.put_ok("a/both", bytes(1, 100)).await;
    instance.put_ok("b/both", bytes(1, 100)).await;
    instance.put_ok("a/own", bytes(2, 100)).await;
    instance.put_ok("b/own", bytes(3, 100)).await;
    for scope in ["a", "b"] {
        set_link(&instance, scope, "local", &["--soft-max-size", "200"]);
    }
    instance.assert_settled();
    for scope in ["a", "b"] {
        set_link(&instance, scope, "local", &["--soft-max-size", "199"]);
    }
    // It counts in both, and is the least recently used: one move is enough for both scopes.
    let dry = instance.ok(&["vacuum", "--dry-run"]);
    let digest = blake3::hash(&bytes(1, 100)).to_hex().to_string();
    let moves = dry["moves"].as_array().expect("moves");
    assert_eq!((moves.len(), &moves[0]["digest"]), (1, &json!(digest)), "{dry:#}");
    set_link(&instance, "a", "local", &["--soft-max-size", "none"]);
    set_link(&instance, "b", "local", &["--soft-max-size", "none"]);
    // One list for both scopes: what was not read goes first, whoever has it.
    for path in ["a/own", "b/both"] {
        instance.fetch(path).await;
    }
    instance.ok(&["store", "manage", "local", "--soft-max-size", "200"]);
    assert_eq!(counts(&instance.vacuum()), [0, 1, 0, 0]);
    let places = |scope, file| super::places_in(&instance, scope, file);
    assert_eq!(
        [places("a", "both"), places("a", "own"), places("b", "own")],
        ["local", "local", "far"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn item_21_a_download_makes_a_file_recent_and_head_does_not() {
    let instance = house(&["near", "far"]).await;
    fill(&instance, "s", [10; 3]).await;
    let head = instance.request(reqwest::Method::HEAD, "/files/s/f0").send().await;
    assert_eq!(head.expect("an answer").status(), 200);
    instance.fetch("s/f1").await;
    instance.ok(&["store", "manage", "near", "--soft-max-size", "20"]);
    instance.vacuum();
    let all = ["f0", "f1", "f2"].map(|f| places(&instance, f));
    assert_eq!(all, ["far", "near", "near"], "HEAD does not help the oldest");
    instance.ok(&["store", "manage", "near", "--soft-max-size", "10"]);
    instance.vacuum();
    let all = ["f0", "f1", "f2"].map(|f| places(&instance, f));
    assert_eq!(all, ["far", "near", "far"], "the one that was read stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_22_and_23_a_file_with_three_entries_is_shed_once_and_the_limit_ends_it() {
    let instance = house(&["near", "far"]).await;
    for path in ["s/one", "s/two", "s/three"] {
        instance.put_ok(path, bytes(1, 100)).await;
    }
    fill(&instance, "s", [100, 100]).await;
    assert_eq!(instance.link("s", "near")["files"], 3, "counted once");
    assert_eq!(instance.link("s", "near")["bytes"], 300);
    instance.ok(&["store", "manage", "near", "--soft-max-size", "200"]);
    let run = instance.vacuum();
    assert_eq!((counts(&run), &run["moved"]["bytes"]), ([0, 1, 0, 0], &json!(100)));
    assert_eq!(["one", "two", "three"].map(|f| places(&instance, f)), ["far"; 3]);
    assert_eq!(instance.link("s", "near")["bytes"], 200, "usage == limit is enough");
    instance.assert_settled();
}
