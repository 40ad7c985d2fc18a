//! Stores (SPEC 2).

use std::fs;

use serde_json::{Value, json};

use super::house::House;
use crate::support::{bytes, digest};

#[tokio::test]
async fn a_new_instance_has_the_store_local_once() {
    let house = House::new().await;
    let stores = house.get("stores").await.ok();
    let local = &stores[0];
    assert_eq!((&local["name"], &local["instance_wide"]), (&json!("local"), &json!(true)));
    assert_eq!(local["health"]["state"], "ok");
    assert_eq!(stores.as_array().map(Vec::len), Some(1));
    let house = house.reopen().await;
    assert_eq!(house.get("stores").await.ok().as_array().map(Vec::len), Some(1));
    // It is a store like any other: once deleted, it stays so.
    house.delete("stores/local").await.ok();
    let house = house.reopen().await;
    assert_eq!(house.get("stores").await.ok(), json!([]));
    assert!(!house.path("data/store/.hayloft-store").exists());
}

#[tokio::test]
async fn limits_are_kept_in_order() {
    let house = House::new().await;
    house.store("x").await;
    house.patch("stores/x", json!({"soft_max_size": 10, "max_size": 10})).await.ok();
    house.patch("stores/x", json!({"soft_max_size": 11})).await.refused(400, "invalid-request");
    house.patch("stores/x", json!({"max_size": 9})).await.refused(400, "invalid-request");
    let store = house.patch("stores/x", json!({"max_size": null, "soft_max_size": 0})).await.ok();
    assert_eq!((&store["max_size"], &store["soft_max_size"]), (&Value::Null, &json!(0)));
    let root = house.path("z");
    let request =
        json!({"name": "z", "backend": "local", "root": root, "soft_max_size": 2, "max_size": 1});
    house.post("stores", request).await.refused(400, "invalid-request");
    house.patch("stores/x", json!({"s3": {"region": "a"}})).await.refused(400, "invalid-request");
    house.patch("stores/x", json!({"root": "/"})).await.refused(400, "invalid-request");
    // Lowering a limit below what is there is accepted.
    house.scope("s", &[]).await;
    house.upload("s", "f", &bytes(1, 1000)).await;
    house.patch("stores/local", json!({"max_size": 10})).await.ok();
}

#[tokio::test]
async fn two_stores_never_overlap() {
    let house = House::new().await;
    house.store("x").await;
    fs::create_dir(house.path("x/inner")).expect("made");
    std::os::unix::fs::symlink(house.path("x"), house.path("alias")).expect("linked");
    let data = house.path("data");
    let cases = [
        (house.path("x"), "overlapping-location"),
        (house.path("x/inner"), "overlapping-location"),
        (house.path("x/new"), "overlapping-location"),
        (house.path("alias"), "overlapping-location"),
        (house.path("alias/more"), "overlapping-location"),
        (house.path(""), "overlapping-location"),
        (data.clone(), "overlapping-location"),
        (data.join("spool"), "overlapping-location"),
        (data.join("spool/x"), "overlapping-location"),
        (data.join("store"), "overlapping-location"),
        ("/".into(), "overlapping-location"),
    ];
    for (root, kind) in cases {
        let request = json!({"name": "n", "backend": "local", "root": root});
        house.post("stores", request).await.refused(409, kind);
    }
    assert!(!house.path("x/new").exists(), "a refusal leaves nothing behind");
    for root in [json!("relative"), json!(house.path("no/such")), json!(null)] {
        let request = json!({"name": "n", "backend": "local", "root": root});
        house.post("stores", request).await.refused(400, "invalid-request");
    }
    let again = json!({"name": "x", "backend": "local", "root": house.path("elsewhere")});
    house.post("stores", again).await.refused(409, "store-exists");
    assert!(!house.path("elsewhere").exists());
}

#[tokio::test]
async fn foreign_data_is_never_eaten() {
    let (house, other) = (House::new().await, House::new().await);
    other.store("theirs").await;
    let request = |root: std::path::PathBuf, adopt: bool| json!({"name": "n", "backend": "local", "root": root, "adopt": adopt});
    let theirs = other.path("theirs");
    for adopt in [false, true] {
        house.post("stores", request(theirs.clone(), adopt)).await.refused(409, "foreign-marker");
    }
    assert_eq!(other.get("stores/theirs").await.ok()["health"]["state"], "ok");

    let full = house.path("full");
    let body = bytes(1, 1000);
    let hex = digest(&body).to_hex();
    let object = full.join(&hex[..2]).join(&hex[2..4]).join(&hex);
    fs::create_dir_all(object.parent().expect("a parent")).expect("made");
    fs::write(&object, &body).expect("written");
    fs::write(full.join("letter.txt"), "dear reader").expect("written");
    let answer = house.post("stores", request(full.clone(), false)).await;
    assert!(answer.refused(409, "location-not-empty").contains("--adopt"));
    let store = house.post("stores", request(full.clone(), true)).await.ok();
    assert_eq!((&store["adopted_objects"], &store["files"]), (&json!(1), &json!(0)));
    house.clock.advance(std::time::Duration::from_hours(100));
    house.vacuum().await;
    assert!(object.exists() && full.join("letter.txt").exists());
    // The marker goes with the store, what was there stays.
    house.delete("stores/n").await.ok();
    assert!(object.exists() && !full.join(".hayloft-store").exists());
}

#[tokio::test]
async fn a_creation_that_a_crash_cut_short_is_healed_by_creating_again() {
    let house = House::new().await;
    house.store("x").await;
    house.delete("stores/x?force=true").await.ok();
    assert!(house.path("x/.hayloft-store").exists(), "as a crash between marker and row leaves it");
    house.store("x").await;
    assert_eq!(house.get("stores/x").await.ok()["health"]["state"], "ok");
}

#[tokio::test]
async fn store_check_tells_each_step() {
    let house = House::new().await;
    let check = house.post("stores/local/check", Value::Null).await.ok();
    assert_eq!(check["ok"], true, "{check:#}");
    fs::remove_file(house.path("data/store/.hayloft-store")).expect("removed");
    let check = house.post("stores/local/check", Value::Null).await.ok();
    assert_eq!((&check["ok"], &check["steps"][0]["ok"]), (&json!(false), &json!(false)));
    assert!(check["steps"][0]["remedy"].is_string(), "{check:#}");
    assert_eq!(house.get("stores/local").await.ok()["health"]["state"], "unavailable");
}

#[tokio::test]
async fn a_store_in_use_is_not_deleted_and_by_force_it_says_what_is_lost() {
    let house = House::new().await;
    house.store("x").await;
    house.scope("s", &["x"]).await;
    let (alone, twin) = (bytes(1, 1000), bytes(2, 500));
    house.upload("s", "twin", &twin).await;
    house.edit("s", "x", json!({"policy": {"populate": true}})).await.ok();
    house.vacuum().await;
    house.edit("s", "x", json!({"policy": {"populate": false}})).await.ok();
    house.upload("s", "alone", &alone).await;
    let answer = house.delete("stores/local").await;
    let facts = (&answer.body["files"], &answer.body["bytes"], &answer.body["links"]);
    assert_eq!(facts, (&json!(2), &json!(1500), &json!(1)));
    assert!(answer.refused(409, "store-in-use").contains("edit-store local --read-only --drain"));
    let expected = json!({"store": "local", "lost_files": 1, "lost_bytes": 1000, "lost_digests": [digest(&alone)]});
    assert_eq!(house.get("stores/local/deletion").await.ok(), expected);
    assert_eq!(house.read("s", "alone").await, Ok(alone.clone()));
    assert_eq!(house.delete("stores/local?force=true").await.ok(), expected);
    assert!(house.read("s", "alone").await.is_err_and(|e| e.contains("no replica")));
    assert_eq!(house.read("s", "twin").await, Ok(twin));
    assert_eq!(house.get("stores/local").await.status, 404);
    assert!(house.path("data/store/.hayloft-store").exists(), "the bytes are left behind");
    assert_eq!(house.get("status").await.ok()["safety"]["readable_0"], 1);
}

#[tokio::test]
async fn missing_files_keep_a_store_until_their_twin_is_verified() {
    let house = House::new().await;
    house.store("x").await;
    house.scope("s", &["x"]).await;
    let body = bytes(1, 1000);
    house.upload("s", "f", &body).await;
    let hex = digest(&body).to_hex();
    let object = house.path("data/store").join(&hex[..2]).join(&hex[2..4]).join(&hex);
    let elsewhere = house.path("kept");
    fs::rename(&object, &elsewhere).expect("moved away");
    assert!(house.read("s", "f").await.is_err());
    assert_eq!(house.get("stores/local").await.ok()["missing_files"], 1);
    house.delete("scopes/s/stores/local").await.ok();
    house.delete("stores/local").await.refused(409, "files-missing");
    // The same bytes again, into x: a verified twin.
    house.upload("s", "again", &body).await;
    house.delete("stores/local").await.ok();
    assert_eq!(house.read("s", "f").await, Ok(body));
}
