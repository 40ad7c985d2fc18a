//! Who may do what, secrets, the audit list (SPEC 10).

use axum::http::Method;
use hayloft::api::Role;
use hayloft::domain::ScopeId;
use hayloft::ops::{Actor, Grant};
use serde_json::{Value, json};

use super::house::House;
use crate::support::bytes;
use crate::support::s3::{self, Faults, KEY, SECRET};

fn actor(role: Role, scope: Option<ScopeId>) -> Actor {
    Actor { who: "token:t".to_owned(), grant: Grant::Role { role, scope } }
}

#[tokio::test]
async fn admins_of_a_scope_see_and_manage_that_scope_only() {
    let house = House::new().await;
    house.scope("a", &[]).await;
    house.scope("b", &[]).await;
    house.upload("a", "f", &bytes(1, 10)).await;
    let scope = |name: &str| house.app.catalogue.settings().topology.scope(name).expect("it").id;
    let (own, write) = (actor(Role::Admin, Some(scope("a"))), actor(Role::Write, Some(scope("a"))));
    let cases = [
        (&own, Method::GET, "scopes/a", 200),
        (&own, Method::GET, "scopes/b", 403),
        (&own, Method::GET, "scopes", 403),
        (&own, Method::GET, "scopes/a/files/f", 200),
        (&own, Method::GET, "scopes/a/explain/f", 200),
        (&own, Method::GET, "scopes/a/stores/local", 200),
        (&own, Method::GET, "tokens", 200),
        (&own, Method::GET, "stores", 403),
        (&own, Method::GET, "status", 403),
        (&own, Method::GET, "audit", 403),
        (&own, Method::POST, "vacuum/runs", 403),
        (&own, Method::GET, "vacuum/plan", 403),
        (&own, Method::DELETE, "scopes/a", 403),
        (&own, Method::POST, "tokens/link", 403),
        (&own, Method::POST, "verify", 403),
        (&write, Method::GET, "scopes/a", 403),
        (&write, Method::GET, "scopes/a/files/f", 403),
        (&write, Method::GET, "tokens", 403),
        (&write, Method::POST, "scopes/a/undelete/f", 404),
        (&write, Method::POST, "scopes/b/undelete/f", 403),
    ];
    for (actor, method, path, status) in cases {
        let full = format!("/api/v1/{path}");
        let answer = house.ask_as(actor.clone(), method, &full, None).await;
        assert_eq!(answer.status, status, "{path} {answer:?}");
    }
    let stranger = house.ask_as(Actor::anonymous(), Method::GET, "/api/v1/status", None).await;
    stranger.refused(401, "unauthorized");
}

#[tokio::test]
async fn who_may_not_is_told_so_whatever_the_body_says() {
    let house = House::new().await;
    let cases = [
        (Method::POST, "scopes"),
        (Method::POST, "stores"),
        (Method::POST, "tokens"),
        (Method::POST, "verify"),
        (Method::POST, "import/workspaces"),
        (Method::PATCH, "stores/local"),
    ];
    for (method, path) in cases {
        for body in [json!({}), json!({"colour": 1}), json!([])] {
            let (full, reader) = (format!("/api/v1/{path}"), actor(Role::Write, None));
            let answer = house.ask_as(reader, method.clone(), &full, Some(body)).await;
            answer.refused(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn tokens_are_shown_once_and_kept_as_digests() {
    let house = House::new().await;
    house.scope("a", &[]).await;
    let request = json!({"name": "ci", "role": "write", "scope": "a", "expires": "90d"});
    let made = house.post("tokens", request).await.ok();
    let (id, token) = (made["id"].as_str().expect("id"), made["token"].as_str().expect("token"));
    let mut parts = token.splitn(3, '_');
    assert_eq!((parts.next(), parts.next()), (Some("hl"), Some(id)));
    assert_eq!((id.len(), parts.next().map(str::len)), (8, Some(64)));
    assert!(made["expires_at"].is_string());
    let listed = house.get("tokens").await.ok();
    assert_eq!((&listed[0]["name"], &listed[0]["scope"]), (&json!("ci"), &json!("a")));
    assert!(!listed.to_string().contains(token));
    let a = house.app.catalogue.settings().topology.scope("a").expect("it").id;
    let own = actor(Role::Admin, Some(a));
    let attempt = |scope: Value| {
        let body = json!({"name": "x", "role": "admin", "scope": scope});
        house.ask_as(own.clone(), Method::POST, "/api/v1/tokens", Some(body))
    };
    assert_eq!(attempt(json!("a")).await.status, 201);
    assert_eq!(attempt(Value::Null).await.status, 403, "no token beyond the own scope");
    let wide = house.post("tokens", json!({"name": "w", "role": "read"})).await.ok();
    let path = format!("/api/v1/tokens/{}", wide["id"].as_str().expect("id"));
    assert_eq!(house.ask_as(own, Method::DELETE, &path, None).await.status, 404);
    assert_eq!(house.delete(&format!("tokens/{id}")).await.status, 204);
    assert_eq!(house.delete(&format!("tokens/{id}")).await.status, 404);
    for bad in [
        json!({"name": "", "role": "read"}),
        json!({"name": "x", "role": "root"}),
        json!({"name": "x", "role": "read", "expires": "soon"}),
    ] {
        assert_eq!(house.post("tokens", bad).await.status, 400);
    }
    let link = house.post("tokens/link", Value::Null).await.ok();
    let url = link["url"].as_str().expect("a URL");
    assert!(url.starts_with("http://127.0.0.1:8700/signin?token="), "{url}");
}

#[tokio::test]
async fn no_answer_and_no_audit_entry_has_a_secret() {
    let house = House::new().await;
    let cloud = s3::in_process(Faults::default()).await;
    cloud.make_bucket("bucket");
    let s3 = |extra: Value| {
        let mut all = json!({"endpoint": cloud.endpoint, "path_style": true, "access_key_id": KEY, "secret_access_key": SECRET});
        if let (Some(all), Some(extra)) = (all.as_object_mut(), extra.as_object()) {
            all.extend(extra.clone());
        }
        all
    };
    let create = |name: &str, prefix: &str, extra: Value| json!({"name": name, "backend": "s3", "bucket": "bucket", "prefix": prefix, "s3": s3(extra)});
    let made = house.post("stores", create("cloud", "hay", json!({}))).await.ok();
    assert_eq!(
        (&made["location"], &made["s3"]["prefix"]),
        (&json!("s3://bucket/hay/"), &json!("hay/"))
    );
    assert_eq!(made["s3"]["credentials"], format!("key:{KEY}"));
    let mut answers = vec![made.to_string()];
    let overlapping = house.post("stores", create("two", "hay/more", json!({}))).await;
    overlapping.refused(409, "overlapping-location");
    let wrong =
        house.post("stores", create("two", "x", json!({"secret_access_key": "wrongsecret"}))).await;
    assert_eq!(wrong.status, 503, "{wrong:?}");
    answers.push(wrong.body.to_string());
    let no_bucket = json!({"name": "n", "backend": "s3", "bucket": "nowhere", "s3": s3(json!({}))});
    answers.push(house.post("stores", no_bucket).await.refused(503, "store-unavailable"));
    // Credentials and endpoint change only where the marker is found.
    let rotated = json!({"s3": {"access_key_id": KEY, "secret_access_key": "wrongsecret"}});
    assert_eq!(house.patch("stores/cloud", rotated).await.status, 503);
    let moved =
        house.patch("stores/cloud", json!({"s3": {"endpoint": "http://127.0.0.1:1"}})).await;
    assert_eq!(moved.status, 503);
    let ttl = house.patch("stores/cloud", json!({"s3": {"presign_ttl": 600}})).await.ok();
    assert_eq!(ttl["s3"]["presign_ttl"], 600);
    house
        .patch("stores/cloud", json!({"s3": {"presign_ttl": 9}}))
        .await
        .refused(400, "invalid-request");
    for path in ["stores", "stores/cloud", "status", "audit"] {
        answers.push(house.get(path).await.ok().to_string());
    }
    answers.push(house.post("stores/cloud/check", Value::Null).await.ok().to_string());
    for answer in answers {
        assert!(!answer.contains(SECRET) && !answer.contains("wrongsecret"), "{answer}");
    }
    house.delete("stores/cloud").await.ok();
    let left =
        std::fs::read_dir(cloud.bucket_path("bucket").join("hay")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the marker goes with the store");
}

#[tokio::test]
async fn changes_are_kept_with_who_what_before_and_after() {
    let house = House::new().await;
    house.scope("s", &[]).await;
    house.edit("s", "local", json!({"upload_priority": 7})).await.ok();
    house.edit("s", "local", json!({"upload_priority": 7})).await.ok();
    let audit = house.get("audit").await.ok();
    let newest = &audit[0];
    assert_eq!((&newest["who"], &newest["what"]), (&json!("test"), &json!("link.edit")));
    assert_eq!(newest["subject"], "scope s, store local");
    assert_eq!(
        (&newest["before"]["upload_priority"], &newest["after"]["upload_priority"]),
        (&json!(100), &json!(7))
    );
    assert_eq!(audit[1]["what"], "link.add", "a change of nothing leaves no trace");
    let page = house.get(&format!("audit?limit=1&after={}", newest["id"])).await.ok();
    assert_eq!(page, json!([audit[1]]));
    house.get("audit?colour=1").await.refused(400, "invalid-request");
}

#[tokio::test]
async fn a_second_start_tells_the_run_in_progress() {
    let house = House::new().await;
    let first = house.post("vacuum/runs", Value::Null).await;
    assert_eq!(first.status, 202);
    let second = house.post("vacuum/runs", Value::Null).await;
    if second.status == 409 {
        assert_eq!(second.body["run"], first.body["id"]);
        second.refused(409, "run-in-progress");
    }
    house.get("vacuum/runs/999").await.refused(404, "unknown-run");
    house.get("vacuum/runs/soon").await.refused(404, "unknown-run");
    house.post("vacuum/runs/999/pause", Value::Null).await.refused(404, "unknown-run");
    let plan = house.get("vacuum/plan").await.ok();
    assert_eq!(
        (&plan["id"], &plan["dry_run"], &plan["moves"]),
        (&Value::Null, &json!(true), &json!([]))
    );
}
