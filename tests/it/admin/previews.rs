//! What a change would lead to, asked before it is made.

use hayloft::ops::{Actor, Grant};
use serde_json::{Value, json};

use super::house::House;
use crate::support::bytes;

/// Five files of 100 bytes in `local`; the scope links `x` as well.
async fn five_files() -> House {
    let house = House::new().await;
    house.store("x").await;
    house.scope("s", &["x"]).await;
    for i in 0..5 {
        house.upload("s", &format!("f{i}"), &bytes(i, 100)).await;
    }
    house
}

const LINK: &str = "scopes/s/stores/x/preview";

#[tokio::test]
async fn the_effect_of_a_link_change_is_shown_before_it_is_made() {
    let house = five_files().await;
    let audit = house.get("audit").await.ok();
    let link = house.get("scopes/s/stores/x").await.ok();
    let change = json!({"policy": {"populate": true}});
    let preview = house.post(LINK, change.clone()).await.ok();
    let (before, after) = (&preview["before"], &preview["after"]);
    assert_eq!((&before["moves_total"], &before["groups"]), (&json!(0), &json!([])));
    assert_eq!(after["moves_total"], 5);
    let reason = "the scope populates this store";
    let group = json!({"action": "copy", "scope": "s", "from": "local", "to": "x",
        "reason": reason, "files": 5, "bytes": 500});
    assert_eq!(after["groups"], json!([group]));
    let zero = json!({"files": 0, "bytes": 0});
    let incoming = json!({"files": 5, "bytes": 500});
    let effect = json!({"store": "x", "incoming": incoming, "outgoing": zero});
    assert_eq!(after["stores"], json!([effect]));
    assert_eq!(after["run"]["copied"]["files"], 5);
    assert!(after["run"].get("moves").is_none(), "sums only: {after:#}");
    assert!(after["at"].is_string() && after["milliseconds"].is_u64(), "{after:#}");
    // Nothing was changed, and nothing is on the record.
    assert_eq!(house.get("scopes/s/stores/x").await.ok(), link);
    assert_eq!(house.get("audit").await.ok(), audit);
    house.edit("s", "x", change).await.ok();
    let now = house.get("vacuum/preview").await.ok();
    assert_eq!((&now["groups"], &now["stores"]), (&after["groups"], &after["stores"]));
    assert_eq!(house.vacuum().await["copied"]["files"], 5);
}

#[tokio::test]
async fn a_new_link_can_be_looked_at_before_it_is_made() {
    let house = five_files().await;
    house.store("y").await;
    let change = json!({"policy": {"populate": true}});
    let preview = house.post("scopes/s/stores/y/preview", change).await.ok();
    assert_eq!(preview["after"]["stores"][0]["incoming"]["files"], 5);
    let detail = house.get("scopes/s/stores/y").await.refused(404, "unknown-link-to-store");
    assert!(detail.starts_with("scope s does not link y: "), "{detail}");
}

#[tokio::test]
async fn a_change_that_is_refused_is_refused_in_the_same_words_when_it_is_only_looked_at() {
    let house = five_files().await;
    house.store("y").await;
    let changes = [
        json!({"policy": {"populate": true, "drain": true}}),
        json!({"policy": {"drain": "x"}}),
        json!({"policy": {"drain": "y"}}),
        json!({"policy": {"drain": "nowhere"}}),
        json!({"colour": 1}),
    ];
    for change in changes {
        let made = house.edit("s", "x", change.clone()).await;
        let looked_at = house.post(LINK, change).await;
        assert!(made.status >= 400, "{made:#?}");
        assert_eq!((made.status, made.body), (looked_at.status, looked_at.body));
    }
    let limits = json!({"soft_max_size": 9, "max_size": 5});
    let made = house.patch("stores/x", limits.clone()).await;
    let looked_at = house.post("stores/x/preview", limits).await;
    assert_eq!(made.status, 400);
    assert_eq!((made.status, made.body), (looked_at.status, looked_at.body));
    house.scope("other", &["x"]).await;
    let sharing = json!({"instance_wide": false});
    house.post("stores/x/preview", sharing).await.refused(409, "store-shared");
    house.post("stores/nowhere/preview", json!({})).await.refused(404, "unknown-store");
    house.post("scopes/nowhere/stores/x/preview", json!({})).await.refused(404, "unknown-scope");
}

#[tokio::test]
async fn the_effect_of_a_store_limit_is_shown_before_it_is_set() {
    let house = five_files().await;
    let change = json!({"soft_max_size": 250});
    let preview = house.post("stores/local/preview", change.clone()).await.ok();
    assert_eq!(preview["before"]["moves_total"], 0);
    assert_eq!(preview["after"]["run"]["moved"], json!({"files": 3, "bytes": 300}));
    assert_eq!(house.get("stores/local").await.ok()["soft_max_size"], Value::Null);
    house.patch("stores/local", change).await.ok();
    assert_eq!(house.vacuum().await["moved"], json!({"files": 3, "bytes": 300}));
}

#[tokio::test]
async fn previews_are_for_admins_of_the_instance() {
    let house = five_files().await;
    let scope = house.app.catalogue.settings().topology.scope("s").expect("the scope").id;
    let role = hayloft::api::Role::Admin;
    let of_scope =
        Actor { who: "token:t".to_owned(), grant: Grant::Role { role, scope: Some(scope) } };
    let asked = [
        (axum::http::Method::GET, "/api/v1/vacuum/preview"),
        (axum::http::Method::POST, "/api/v1/scopes/s/stores/x/preview"),
        (axum::http::Method::POST, "/api/v1/stores/x/preview"),
    ];
    for (method, path) in asked {
        let answer = house.ask_as(of_scope.clone(), method, path, Some(json!({}))).await;
        answer.refused(403, "forbidden");
    }
}
