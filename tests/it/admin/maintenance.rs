//! Runs, deferred deletes, sweeps and verify through the API (SPEC 7).

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use hayloft::ops::Actor;
use serde_json::{Value, json};

use super::house::House;
use crate::support::bytes;
use crate::support::s3::{self, Faults, KEY, SECRET};

#[tokio::test]
async fn a_store_with_issued_urls_is_deleted_when_they_have_expired() {
    let house = House::new().await;
    let cloud = s3::in_process(Faults::default()).await;
    cloud.make_bucket("bucket");
    let s3 = json!({"endpoint": cloud.endpoint, "path_style": true, "access_key_id": KEY, "secret_access_key": SECRET});
    let request = json!({"name": "cloud", "backend": "s3", "bucket": "bucket", "s3": s3});
    house.post("stores", request).await.ok();
    house.scope("s", &["cloud"]).await;
    house.post("scopes/s/default-store", json!({"store": "cloud"})).await.ok();
    house.upload("s", "f", &bytes(1, 1000)).await;
    assert!(house.read("s", "f").await.is_err_and(|url| url.contains("X-Amz-Signature")));
    house.edit("s", "cloud", json!({"policy": {"drain": "local", "read_only": true}})).await.ok();
    assert_eq!(house.vacuum().await["moved"]["files"], 1);
    assert_eq!(house.get("stores/cloud").await.ok()["deleting_files"], 1);
    house.delete("scopes/s/stores/cloud").await.ok();
    let answer = house.delete("stores/cloud").await;
    assert!(answer.body["due"].is_string(), "{answer:?}");
    answer.refused(409, "deletions-pending");
    house.clock.advance(Duration::from_secs(65));
    house.delete("stores/cloud").await.ok();
    let left = files_below(&cloud.bucket_path("bucket"));
    assert!(left.is_empty(), "none of our objects is left: {left:?}");
    assert_eq!(house.read("s", "f").await, Ok(bytes(1, 1000)));
}

/// The test server keeps objects as files, and the directories of deleted ones.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|e| e.expect("an entry").path());
    paths.flat_map(|p| if p.is_dir() { files_below(&p) } else { vec![p] }).collect()
}

#[tokio::test]
async fn a_run_is_not_started_by_who_asks_for_something_else() {
    let house = House::new().await;
    for body in [json!({"dry_run": true}), json!({"moves": false}), json!([])] {
        house.post("vacuum/runs", body).await.refused(400, "invalid-request");
    }
    assert_eq!(house.get("vacuum/runs").await.ok(), json!([]));
    house.post("vacuum/runs", json!({})).await.ok();
}

#[tokio::test]
async fn progress_is_told_as_events_until_the_end() {
    let house = House::new().await;
    house.store("x").await;
    house.scope("s", &["x"]).await;
    for i in 0..20 {
        house.upload("s", &format!("f{i}"), &bytes(i, 100)).await;
    }
    house.edit("s", "x", json!({"policy": {"populate": true}})).await.ok();
    let started = house.post("vacuum/runs", Value::Null).await.ok();
    let events = house.text(&format!("vacuum/runs/{}/events", started["id"])).await;
    let last = events.trim_end().rsplit("\n\n").next().expect("an event");
    let data = last.strip_prefix("event: finished\ndata: ").expect("the end comes last");
    let run: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((&run["id"], &run["copied"]["files"]), (&started["id"], &json!(20)));
    // A run that is over tells its end at once.
    let again = house.text(&format!("vacuum/runs/{}/events", started["id"])).await;
    assert!(again.starts_with("event: finished\n"), "{again}");
    let history = house.get("vacuum/runs").await.ok();
    assert_eq!((&history[0]["id"], history.as_array().map(Vec::len)), (&started["id"], Some(1)));
    assert_eq!(house.get("status").await.ok()["last_run"]["id"], started["id"]);
    house.get("vacuum/runs/current").await.refused(404, "unknown-run");
    let over = house.delete(&format!("vacuum/runs/{}", started["id"])).await;
    over.refused(409, "run-over");
}

#[tokio::test]
async fn a_dry_run_is_the_next_real_run_and_explain_tells_it_per_file() {
    let house = House::new().await;
    house.store("x").await;
    house.scope("s", &["x"]).await;
    for i in 0..3 {
        house.upload("s", &format!("f{i}"), &bytes(i, 100)).await;
    }
    house.patch("stores/local", json!({"soft_max_size": 200})).await.ok();
    let sorted = |run: &Value| {
        let moves = run["moves"].as_array().expect("moves").iter();
        let mut all: Vec<String> = moves.map(ToString::to_string).collect();
        all.sort();
        all
    };
    let plan = house.get("vacuum/plan").await.ok();
    assert_eq!(plan["moves"].as_array().map(Vec::len), Some(1));
    let explained = house.get("scopes/s/explain/f0").await.ok();
    assert_eq!(explained["next_run"], plan["moves"]);
    assert_eq!((&explained["served_from"], &explained["path"]), (&json!("local"), &json!("f0")));
    assert_eq!(house.get("scopes/s/explain/f2").await.ok()["next_run"], json!([]));
    assert_eq!(sorted(&house.vacuum().await), sorted(&plan));
    assert_eq!(house.get("vacuum/plan").await.ok()["moves"], json!([]));
}

#[tokio::test]
async fn sweep_reconcile_and_verify_answer() {
    let house = House::new().await;
    let sweep = house.post("stores/local/sweep", json!({"confirm": true})).await.ok();
    assert_eq!((&sweep["store"], &sweep["orphans"]), (&json!("local"), &json!(0)));
    let found = house.post("stores/local/reconcile", Value::Null).await.ok();
    assert_eq!((&found["store"], &found["missing"]), (&json!("local"), &json!(0)));
    let report = house.post("verify", json!({"read": true})).await.ok();
    assert_eq!(report["ok"], true, "{report:#}");
    house.post("stores/nowhere/sweep", Value::Null).await.refused(404, "unknown-store");
    house.post("verify", json!({"reed": true})).await.refused(400, "invalid-request");
    house.post("verify", json!([true, true])).await.refused(400, "invalid-request");
}

#[tokio::test]
async fn a_local_store_that_was_emptied_is_reconciled_and_filled_again() {
    let house = House::new().await;
    house.store("disk").await;
    house.scope("s", &["disk"]).await;
    house.edit("s", "disk", json!({"policy": {"populate": true}})).await.ok();
    house.upload("s", "f", &bytes(1, 1000)).await;
    assert_eq!(house.vacuum().await["copied"]["files"], 1);
    let root = house.get("stores/disk").await.ok()["location"].clone();
    let root = PathBuf::from(root.as_str().expect("a directory"));
    std::fs::remove_dir_all(&root).expect("emptied");
    let refused = house.post("stores/disk/reconcile", Value::Null).await;
    let why = refused.refused(503, "store-unavailable");
    assert_eq!(why.matches("is unavailable").count(), 1, "{why}");
    std::fs::create_dir(&root).expect("an empty disk");
    let found = house.post("stores/disk/reconcile", Value::Null).await.ok();
    assert_eq!((&found["objects"], &found["missing"]), (&json!(0), &json!(1)));
    assert_eq!(house.vacuum().await["copied"]["files"], 1);
    assert_eq!(house.get("status").await.ok()["attention"][0]["severity"], "advice");
}

#[tokio::test]
async fn the_document_is_served_and_names_every_problem() {
    let house = House::new().await;
    let admin = Actor::instance_admin("test");
    let document = house.ask_as(admin, Method::GET, "/api/openapi.json", None).await.ok();
    assert!(document["paths"]["/files/{scope}/{path}"]["put"]["responses"]["507"].is_object());
    assert!(document["components"]["schemas"]["Problem"]["properties"]["type"].is_object());
    assert!(document["components"]["securitySchemes"]["token"].is_object());
}
