//! Scopes, files brought back, workspaces (SPEC 3, 9).

use serde_json::{Value, json};

use super::house::House;
use crate::support::bytes;

#[tokio::test]
async fn a_new_scope_links_local_with_priority_100_unless_told_otherwise() {
    let house = House::new().await;
    house.store("x").await;
    house.store("y").await;
    let cases = [
        (json!({"name": "a"}), vec![("local", json!(100))]),
        (json!({"name": "b", "stores": ["x"]}), vec![("local", json!(100)), ("x", Value::Null)]),
        (json!({"name": "c", "stores": ["local"]}), vec![("local", json!(100))]),
        (json!({"name": "d", "no_local": true}), vec![]),
        (
            json!({"name": "e", "no_local": true, "stores": ["y", "x"]}),
            vec![("y", json!(100)), ("x", Value::Null)],
        ),
    ];
    for (request, expected) in cases {
        let made = house.post("scopes", request.clone()).await.ok();
        let links = made["stores"].as_array().expect("links").iter();
        let links: Vec<_> = links
            .map(|l| {
                assert_eq!(l["download_priority"], Value::Null);
                (l["store"].as_str().expect("a name"), l["upload_priority"].clone())
            })
            .collect();
        assert_eq!(links, expected, "{request}");
    }
    house.post("scopes", json!({"name": "a"})).await.refused(409, "scope-exists");
    house
        .post("scopes", json!({"name": "f", "stores": ["no"]}))
        .await
        .refused(404, "unknown-store");
    assert_eq!(house.get("scopes/f").await.status, 404);
    for bad in [json!({"name": "1a"}), json!({"name": "true"}), json!({"nome": "a"}), json!({})] {
        house.post("scopes", bad).await.refused(400, "invalid-request");
    }
}

#[tokio::test]
async fn default_store_gets_priority_100_or_more_than_the_highest_other() {
    let house = House::new().await;
    for name in ["x", "y"] {
        house.store(name).await;
    }
    house.scope("s", &["x"]).await;
    let priority = |shown: &Value, store: &str| {
        let links = shown["stores"].as_array().expect("links").clone();
        links.iter().find(|l| l["store"] == store).map(|l| l["upload_priority"].clone())
    };
    let shown = house.post("scopes/s/default-store", json!({"store": "x"})).await.ok();
    assert_eq!(priority(&shown, "x"), Some(json!(101)), "above local's 100");
    let shown = house.post("scopes/s/default-store", json!({"store": "x"})).await.ok();
    assert_eq!(priority(&shown, "x"), Some(json!(101)), "the same again");
    house.edit("s", "local", json!({"upload_priority": 5})).await.ok();
    house.edit("s", "x", json!({"upload_priority": -7})).await.ok();
    let shown = house.post("scopes/s/default-store", json!({"store": "y"})).await.ok();
    assert_eq!(priority(&shown, "y"), Some(json!(100)), "linked, and above 5");
    house.edit("s", "local", json!({"upload_priority": i32::MAX})).await.ok();
    let answer = house.post("scopes/s/default-store", json!({"store": "y"})).await;
    answer.refused(409, "no-higher-priority");
}

#[tokio::test]
async fn a_scope_in_use_is_deleted_by_force_only_and_its_files_keep_their_grace() {
    let house = House::new().await;
    house.scope("s", &[]).await;
    for i in 0..3 {
        house.upload("s", &format!("f{i}"), &bytes(i, 100)).await;
    }
    house.post("tokens", json!({"name": "t", "role": "read", "scope": "s"})).await.ok();
    let answer = house.delete("scopes/s").await;
    assert_eq!((&answer.body["files"], &answer.body["links"]), (&json!(3), &json!(1)));
    answer.refused(409, "scope-in-use");
    assert_eq!(house.delete("scopes/s?force=true").await.status, 204);
    assert_eq!(house.get("scopes/s").await.status, 404);
    assert_eq!(house.get("tokens").await.ok(), json!([]), "tokens of the scope go with it");
    assert_eq!(house.vacuum().await["outcome"], "complete", "nothing dangles");
    // A scope of the same name gets what is still in its grace.
    house.scope("s", &[]).await;
    house.post("scopes/s/undelete/f1", Value::Null).await.ok();
    assert_eq!(house.read("s", "f1").await, Ok(bytes(1, 100)));
    house.delete("scopes/s?force=true").await.ok();
    house.clock.advance(std::time::Duration::from_hours(25));
    house.vacuum().await;
    let store = house.get("stores/local").await.ok();
    assert_eq!((&store["files"], &store["deleting_files"]), (&json!(0), &json!(0)));
    house.scope("s", &[]).await;
    house.post("scopes/s/undelete/f1", Value::Null).await.refused(404, "unknown-deleted-file");
}

#[tokio::test]
async fn a_deleted_file_comes_back_within_its_grace() {
    let house = House::new().await;
    house.scope("s", &[]).await;
    house.upload("s", "a/b", &bytes(1, 100)).await;
    house.remove("s", "a/b").await;
    assert_eq!(house.get("scopes/s/files/a/b").await.status, 404);
    assert_eq!(house.link("s", "local").await["tombstone_bytes"], 100);
    let shown = house.post("scopes/s/undelete/a%2Fb", Value::Null).await.ok();
    assert_eq!((&shown["path"], &shown["size"]), (&json!("a/b"), &json!(100)));
    assert_eq!(shown["replicas"][0]["state"], "present");
    house.post("scopes/s/undelete/a/b", Value::Null).await.refused(404, "unknown-deleted-file");
    house.remove("s", "a/b").await;
    house.clock.advance(std::time::Duration::from_hours(25));
    house.vacuum().await;
    assert_eq!(house.post("scopes/s/undelete/a/b", Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_replaced_file_comes_back_and_what_replaced_it_can_too() {
    let house = House::new().await;
    house.scope("s", &[]).await;
    house.upload("s", "a", &bytes(1, 100)).await;
    house.upload("s", "a", &bytes(2, 50)).await;
    let shown = house.post("scopes/s/undelete/a", Value::Null).await.ok();
    assert_eq!(shown["size"], 100);
    assert_eq!(house.read("s", "a").await, Ok(bytes(1, 100)));
    let scope = house.get("scopes/s").await.ok();
    assert_eq!((&scope["files"], &scope["bytes"]), (&json!(1), &json!(100)));
    assert_eq!(house.link("s", "local").await["tombstone_bytes"], 50);
    house.post("scopes/s/undelete/a", Value::Null).await.ok();
    assert_eq!(house.read("s", "a").await, Ok(bytes(2, 50)));
    // Each tombstone has the grace of its own deletion.
    house.clock.advance(std::time::Duration::from_hours(25));
    assert_eq!(house.vacuum().await["outcome"], "complete");
    assert_eq!(house.get("stores/local").await.ok()["bytes"], 50);
    house.post("scopes/s/undelete/a", Value::Null).await.refused(404, "unknown-deleted-file");
}

#[tokio::test]
async fn workspaces_that_disagree_change_nothing() {
    let house = House::new().await;
    house.store("x").await;
    let disagreeing = json!([
        {"scope": "a", "workspace": "one", "default_file_store": "local", "other_file_stores": ["x"]},
        {"scope": "b", "workspace": "two", "default_file_store": "local"},
        {"scope": "a", "workspace": "three", "default_file_store": "x", "other_file_stores": ["local"]}
    ]);
    let answer = house.post("import/workspaces", disagreeing).await;
    let detail = answer.refused(409, "workspaces-disagree");
    assert!(detail.contains("\"one\"") && detail.contains("\"three\""), "{detail}");
    let unknown = json!([
        {"scope": "a", "workspace": "w", "default_file_store": "local"},
        {"scope": "b", "workspace": "w", "default_file_store": "nowhere"}
    ]);
    house.post("import/workspaces", unknown).await.refused(404, "unknown-store");
    assert_eq!(house.get("scopes").await.ok(), json!([]), "nothing changed");
    let agreeing = json!([
        {"scope": "a", "workspace": "one", "default_file_store": "local", "other_file_stores": ["x"]},
        {"scope": "a", "workspace": "two", "default_file_store": "local", "other_file_stores": ["x"]},
        {"scope": "b", "workspace": "w", "default_file_store": "x"}
    ]);
    let done = house.post("import/workspaces", agreeing.clone()).await.ok();
    assert_eq!(done, json!({"scopes_created": 2, "links_created": 3}));
    let done = house.post("import/workspaces", agreeing).await.ok();
    assert_eq!(done, json!({"scopes_created": 0, "links_created": 0}));
    assert_eq!(house.link("a", "local").await["upload_priority"], 100);
    assert_eq!(house.link("a", "x").await["upload_priority"], Value::Null);
    assert_eq!(house.link("b", "x").await["upload_priority"], 100);
}
