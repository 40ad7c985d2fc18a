//! Giving a store up (SPEC 8, recipe 4 with two directories).

use serde_json::json;

use super::house::House;
use crate::support::bytes;

#[tokio::test]
async fn evacuation_tells_what_would_be_left_without() {
    let house = House::new().await;
    for name in ["cloud", "archive"] {
        house.store(name).await;
    }
    house.scope("s", &["cloud", "archive"]).await;
    house
        .edit("s", "archive", json!({"policy": {"write_only": true, "populate": true}}))
        .await
        .ok();
    house.post("scopes/s/default-store", json!({"store": "cloud"})).await.ok();
    for i in 0..12 {
        house.upload("s", &format!("f{i:02}"), &bytes(i, 100)).await;
    }
    house.vacuum().await;
    house.upload("s", "lost", &bytes(99, 1000)).await;
    house.upload("s", "gone", &bytes(98, 10)).await;
    house.remove("s", "gone").await;
    let report = house.get("stores/cloud/evacuation").await.ok();
    assert_eq!(report["can_be_given_up"], false);
    let scope = &report["scopes"][0];
    let numbers = [
        ("unreadable_files", 13),
        ("unreadable_bytes", 2200),
        ("lost_files", 1),
        ("lost_bytes", 1000),
        ("tombstones", 1),
    ];
    for (key, expected) in numbers {
        assert_eq!(scope[key], expected, "{key} {report:#}");
    }
    assert_eq!(scope["files"].as_array().map(Vec::len), Some(10));
    assert_eq!(scope["fits"], true);
    let all = house.get("stores/cloud/evacuation?list=true").await.ok();
    let files = all["scopes"][0]["files"].as_array().expect("files").clone();
    assert_eq!(files.len(), 13);
    assert!(files.iter().any(|f| f["path"] == "lost" && f["size"] == 1000));
    house.patch("stores/local", json!({"max_size": 2199})).await.ok();
    let tight = house.get("stores/cloud/evacuation").await.ok();
    assert_eq!(tight["scopes"][0]["fits"], false);
    assert!(tight["advice"].to_string().contains("make room for 1 B"), "{tight:#}");
    // Links or no links.
    house.delete("scopes/s/stores/cloud?force=true").await.ok();
    let unlinked = house.get("stores/cloud/evacuation").await.ok();
    assert_eq!(unlinked["scopes"][0]["unreadable_files"], 13);
}

#[tokio::test]
async fn an_archive_stays_populated_when_another_store_is_given_up() {
    let house = House::new().await;
    for name in ["cloud", "archive"] {
        house.store(name).await;
    }
    house.scope("s", &["cloud", "archive"]).await;
    let archive = json!({"policy": {"write_only": true, "populate": true}});
    house.edit("s", "archive", archive).await.ok();
    house.edit("s", "cloud", json!({"policy": {"populate": true}})).await.ok();
    house.upload("s", "f", &bytes(1, 100)).await;
    house.vacuum().await;
    let report = house.get("stores/cloud/evacuation").await.ok();
    assert_eq!(report["can_be_given_up"], true);
    let advice = report["advice"].to_string();
    assert!(advice.contains("edit-store cloud --no-populate"), "{advice}");
    assert!(!advice.contains("edit-store archive"), "{advice}");
}

#[tokio::test]
async fn recipe_4_leaves_nothing_of_ours_behind() {
    let house = House::new().await;
    house.store("cloud").await;
    house.scope("s", &["cloud"]).await;
    house.post("scopes/s/default-store", json!({"store": "cloud"})).await.ok();
    for i in 0..5 {
        house.upload("s", &format!("f{i}"), &bytes(i, 1000)).await;
    }
    house.patch("stores/local", json!({"soft_max_size": 4000, "max_size": 4500})).await.ok();
    house.edit("s", "cloud", json!({"policy": {"read_only": true}})).await.ok();
    let fits = |report: &serde_json::Value| report["scopes"][0]["fits"].clone();
    assert_eq!(fits(&house.get("stores/cloud/evacuation").await.ok()), false);
    house.patch("stores/local", json!({"soft_max_size": 5000, "max_size": 5000})).await.ok();
    let report = house.get("stores/cloud/evacuation").await.ok();
    assert_eq!(fits(&report), true);
    assert!(report["advice"].to_string().contains("edit-store local --populate"), "{report:#}");
    house.edit("s", "local", json!({"policy": {"populate": true}})).await.ok();
    assert_eq!(house.vacuum().await["copied"]["files"], 5);
    let report = house.get("stores/cloud/evacuation").await.ok();
    assert_eq!(report["can_be_given_up"], true);
    assert!(report["advice"].to_string().contains("edit-store local --no-populate"), "{report:#}");
    house.edit("s", "local", json!({"policy": {"populate": false}})).await.ok();
    house.edit("s", "cloud", json!({"policy": {"drain": "local"}})).await.ok();
    assert_eq!(house.vacuum().await["removed"]["files"], 5);
    let second = house.vacuum().await;
    assert_eq!((&second["outcome"], &second["moves"]), (&json!("complete"), &json!([])));
    house.delete("scopes/s/stores/cloud").await.ok();
    house.delete("stores/cloud").await.ok();
    let left = std::fs::read_dir(house.path("cloud")).expect("the directory stays").count();
    assert_eq!(left, 0, "the marker goes with the store");
    for i in 0..5 {
        assert_eq!(house.read("s", &format!("f{i}")).await, Ok(bytes(i, 1000)));
    }
}
