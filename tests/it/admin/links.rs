//! Links and policies (SPEC 3).

use serde_json::{Value, json};

use super::house::House;
use crate::support::bytes;

async fn three_stores() -> House {
    let house = House::new().await;
    for name in ["x", "y"] {
        house.store(name).await;
    }
    house.scope("s", &["x", "y"]).await;
    house
}

#[tokio::test]
async fn contradictions_in_a_policy_are_refused() {
    let house = three_stores().await;
    let contradictions = [
        json!({"populate": true, "drain": true}),
        json!({"populate": true, "drain": "y"}),
        json!({"populate": true, "read_only": true}),
    ];
    for policy in contradictions {
        let answer = house.edit("s", "x", json!({"policy": policy})).await;
        answer.refused(400, "invalid-request");
    }
    // In two steps too: absent keys keep what they were.
    house.edit("s", "x", json!({"policy": {"populate": true}})).await.ok();
    let answer = house.edit("s", "x", json!({"policy": {"drain": true}})).await;
    answer.refused(400, "invalid-request");
}

#[tokio::test]
async fn unknown_policy_keys_are_refused() {
    let house = three_stores().await;
    let bad = [
        json!({"policy": {"colour": 1}}),
        json!({"policy": {"populate": "yes"}}),
        json!({"policy": {"soft_max_size": "80GB"}}),
        json!({"policy": {"soft_max_size": -1}}),
        json!({"policy": {"drain": 3}}),
        json!({"policy": []}),
        json!({"upload_priority": 1.5}),
        json!({"upload_priority": 3_000_000_000_u32}),
        json!({"colour": 1}),
    ];
    for change in bad {
        let answer = house.edit("s", "x", change.clone()).await;
        let detail = answer.refused(400, "invalid-request");
        assert!(!change.to_string().contains("colour") || detail.contains("colour"), "{detail}");
    }
}

#[tokio::test]
async fn null_unsets_and_absent_stays() {
    let house = three_stores().await;
    let change =
        json!({"upload_priority": -5, "download_priority": 7, "policy": {"soft_max_size": 10}});
    house.edit("s", "x", change).await.ok();
    let link = house.edit("s", "x", json!({"download_priority": null})).await.ok();
    assert_eq!((&link["upload_priority"], &link["download_priority"]), (&json!(-5), &Value::Null));
    assert_eq!(link["policy"]["soft_max_size"], 10);
    let link = house.edit("s", "x", json!({"policy": {"soft_max_size": null}})).await.ok();
    assert_eq!(link["policy"]["soft_max_size"], Value::Null);
}

#[tokio::test]
async fn a_drain_target_must_be_linked_and_able_to_take_files() {
    let house = three_stores().await;
    house.store("unlinked").await;
    for (target, word) in [("x", "itself"), ("unlinked", "not linked"), ("nowhere", "exist")] {
        let answer = house.edit("s", "x", json!({"policy": {"drain": target}})).await;
        let detail = answer.refused(409, "drain-target-refused");
        assert!(detail.contains(word), "{detail}");
    }
    let unfit = [json!({"read_only": true}), json!({"write_only": true}), json!({"drain": true})];
    for policy in unfit {
        house.edit("s", "y", json!({"policy": policy})).await.ok();
        let answer = house.edit("s", "x", json!({"policy": {"drain": "y"}})).await;
        answer.refused(409, "drain-target-refused");
        let reset = json!({"policy": {"read_only": false, "write_only": false, "drain": false}});
        house.edit("s", "y", reset).await.ok();
    }
    house.edit("s", "x", json!({"policy": {"drain": "y"}})).await.ok();
}

#[tokio::test]
async fn a_change_that_breaks_a_standing_drain_target_needs_force() {
    let house = three_stores().await;
    house.edit("s", "x", json!({"policy": {"drain": "y"}})).await.ok();
    for policy in [json!({"read_only": true}), json!({"write_only": true}), json!({"drain": true})]
    {
        let answer = house.edit("s", "y", json!({"policy": policy})).await;
        let detail = answer.refused(409, "drain-target-needed");
        assert!(detail.contains("--no-drain") && detail.contains("--force"), "{detail}");
    }
    house.delete("scopes/s/stores/y").await.refused(409, "drain-target-needed");
    // Another scope's policies are its own [6].
    house.scope("other", &["y"]).await;
    house.edit("other", "y", json!({"policy": {"read_only": true}})).await.ok();
    let forced = json!({"policy": {"read_only": true}, "force": true});
    house.edit("s", "y", forced).await.ok();
    // What does not concern the target goes through.
    house.edit("s", "x", json!({"upload_priority": 3})).await.ok();
    house.edit("s", "y", json!({"upload_priority": 3})).await.ok();
}

#[tokio::test]
async fn a_store_is_linked_once() {
    let house = three_stores().await;
    house.put("scopes/s/stores/x", json!({})).await.refused(409, "already-linked");
    house.put("scopes/s/stores/nowhere", json!({})).await.refused(404, "unknown-store");
    house.put("scopes/nobody/stores/x", json!({})).await.refused(404, "unknown-scope");
    assert_eq!(house.put("scopes/s/stores/1x", json!({})).await.status, 400);
    house.edit("s", "local", json!({})).await.ok();
    house.delete("scopes/s/stores/x").await.ok();
    assert_eq!(house.get("scopes/s/stores/x").await.status, 404);
    assert_eq!(house.put("scopes/s/stores/x", json!({})).await.status, 201);
}

#[tokio::test]
async fn instance_wide_is_checked_on_add_and_on_flip() {
    let house = three_stores().await;
    house.scope("t", &["x"]).await;
    let detail = house.patch("stores/x", json!({"instance_wide": false})).await;
    assert_eq!(detail.body["scopes"], json!(["s", "t"]));
    detail.refused(409, "store-shared");
    house.delete("scopes/t/stores/x").await.ok();
    let store = house.patch("stores/x", json!({"instance_wide": false})).await.ok();
    assert_eq!(store["instance_wide"], false);
    let answer = house.put("scopes/t/stores/x", json!({})).await;
    assert!(answer.refused(409, "store-not-instance-wide").contains("scope s"));
    let refused = house.post("scopes", json!({"name": "u", "stores": ["x"]})).await;
    refused.refused(409, "store-not-instance-wide");
    assert_eq!(house.get("scopes/u").await.status, 404, "nothing is half done");
    house.patch("stores/x", json!({"instance_wide": true})).await.ok();
    house.put("scopes/t/stores/x", json!({})).await.ok();
}

#[tokio::test]
async fn remove_store_is_refused_when_the_other_replica_is_write_only() {
    let house = three_stores().await;
    house.upload("s", "f", &bytes(1, 1000)).await;
    house.edit("s", "x", json!({"policy": {"populate": true, "write_only": true}})).await.ok();
    house.vacuum().await;
    assert_eq!(house.link("s", "x").await["files"], 1);
    let answer = house.delete("scopes/s/stores/local").await;
    assert_eq!((&answer.body["files"], &answer.body["bytes"]), (&json!(1), &json!(1000)));
    assert!(answer.refused(409, "files-would-be-unreadable").contains("--drain"));
    // With force the last replica stays where it is, and is not said to go.
    let forced = house.delete("scopes/s/stores/local?force=true").await;
    let notice = &forced.headers["hayloft-notice"];
    assert!(notice.contains("but for those that have no other home"), "{notice}");
    house.put("scopes/s/stores/local", json!({"upload_priority": 100})).await.ok();
    // A tombstone protects like an entry.
    house.remove("s", "f").await;
    house.delete("scopes/s/stores/local").await.refused(409, "files-would-be-unreadable");
    house.edit("s", "x", json!({"policy": {"write_only": false}})).await.ok();
    let gone = house.delete("scopes/s/stores/local").await;
    assert_eq!(gone.status, 204);
    assert!(gone.headers["hayloft-notice"].contains("1 file (1.0 kB)"), "{gone:?}");
}

#[tokio::test]
async fn warnings_name_the_command_that_mends_them() {
    let house = three_stores().await;
    house.upload("s", "f", &bytes(1, 1000)).await;
    let cases = [
        (json!({"drain": true}), "edit-store x --read-only"),
        (json!({"populate": true, "soft_max_size": 9}), "edit-store x --soft-max-size none"),
        (json!({"populate": true, "soft_max_size": 9}), "smaller than scope s"),
        (json!({"drain": "y"}), "nothing is left to drain"),
    ];
    let reset =
        json!({"populate": false, "drain": false, "read_only": false, "soft_max_size": null});
    for (policy, expected) in cases {
        let link = house.edit("s", "x", json!({"policy": policy})).await.ok();
        let warnings = link["warnings"].to_string();
        assert!(warnings.contains(expected), "{policy}: {warnings}");
        let status = house.get("status").await.ok()["warnings"].to_string();
        assert!(status.contains(expected), "{status}");
        house.edit("s", "x", json!({"policy": reset})).await.ok();
    }
    assert!(
        house.link("s", "local").await["warnings"].to_string().contains("without a soft limit")
    );
    house.edit("s", "y", json!({"policy": {"soft_max_size": 10}})).await.ok();
    let link = house.edit("s", "local", json!({"policy": {"drain": "y", "read_only": true}})).await;
    assert!(link.ok()["warnings"].to_string().contains("edit-store y --soft-max-size none"));
}

#[tokio::test]
async fn a_link_says_where_it_stands() {
    let house = three_stores().await;
    let state = |link: &Value| link["state"].as_str().expect("a state").to_owned();
    assert_eq!(state(&house.link("s", "x").await), "empty");
    house.upload("s", "a", &bytes(1, 1000)).await;
    house.upload("s", "b", &bytes(1, 1000)).await;
    house.upload("s", "c", &bytes(2, 500)).await;
    let local = house.link("s", "local").await;
    assert_eq!(state(&local), "active");
    assert_eq!((&local["files"], &local["bytes"]), (&json!(2), &json!(1500)), "distinct files");
    assert_eq!(local["only_here_files"], 2);
    let x = house.link("s", "x").await;
    assert_eq!((&x["missing_files"], &x["missing_bytes"]), (&json!(2), &json!(1500)));
    house.edit("s", "local", json!({"policy": {"drain": true, "read_only": true}})).await.ok();
    assert_eq!(state(&house.link("s", "local").await), "draining");
    let shown = house.get("scopes/s").await.ok();
    let order: Vec<_> =
        shown["stores"].as_array().expect("links").iter().map(|l| &l["store"]).collect();
    assert_eq!(order, ["local", "x", "y"], "upload order");
    assert_eq!((&shown["files"], &shown["bytes"]), (&json!(2), &json!(1500)));
    house.vacuum().await;
    assert_eq!(state(&house.link("s", "local").await), "drained");
}

#[tokio::test]
async fn a_drained_store_that_another_scope_reads_is_retained_for_it() {
    let house = three_stores().await;
    house.scope("b", &[]).await;
    house.upload("s", "f", &bytes(1, 1000)).await;
    house.upload("b", "g", &bytes(1, 1000)).await;
    house.edit("s", "local", json!({"policy": {"drain": true, "read_only": true}})).await.ok();
    assert_eq!(house.link("s", "local").await["retained"], json!([]), "nothing was copied yet");
    let run = house.vacuum().await;
    assert_eq!((&run["outcome"], &run["retained"]["files"]), (&json!("complete"), &json!(1)));
    let link = house.link("s", "local").await;
    assert_eq!(link["retained"], json!([{"scope": "b", "files": 1, "bytes": 1000}]));
    assert_eq!(link["state"], "draining");
    let explained = house.get("scopes/s/explain/f").await.ok();
    let local = &explained["explained"][0];
    assert_eq!((&local["store"], &local["removable"]), (&json!("local"), &json!(false)));
    assert!(local["why"].as_str().expect("why").contains("scope b"), "{local}");
    assert_eq!(explained["scopes"], json!(["b", "s"]));
    assert_eq!(explained["next_run"], json!([]));
}
