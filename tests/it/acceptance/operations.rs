//! Items 36 to 39, and input that makes no sense.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{disk, json_of};
use crate::support::instance::Instance;
use crate::support::{bytes, weed};

/// What is said by every command and every address of the API that only reads.
async fn everything(instance: &Instance) -> String {
    let commands: [&[&str]; 12] = [
        &["status"],
        &["store", "show", "cloud"],
        &["store", "list"],
        &["store", "check", "cloud"],
        &["store", "evacuation", "cloud"],
        &["scope", "show", "s"],
        &["file", "show", "s", "x"],
        &["file", "explain", "s", "x"],
        &["-v", "vacuum"],
        &["verify"],
        &["token", "list"],
        &["check-config"],
    ];
    let mut said = String::new();
    for args in commands {
        let answer = instance.cli(args);
        said += &(answer.stdout + &answer.stderr);
    }
    let read = async |path: String| {
        let answer = instance.request(Method::GET, &path).send().await.expect("an answer");
        format!("{:?}", answer.headers()) + &answer.text().await.expect("text")
    };
    let document = instance.request(Method::GET, "/api/openapi.json").send().await;
    let document = json_of(document.expect("an answer")).await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        if item.get("get").is_some() && !path.starts_with("/files/{scope}/{path}") {
            let path = path.replace("{scope}", "s").replace("{store}", "cloud");
            said += &read(path.replace("{path}", "x").replace("{id}", "1")).await;
        }
    }
    said + &pages(instance).await
}

/// Every page, as an admin sees it after signing in.
async fn pages(instance: &Instance) -> String {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let client = client.expect("a client");
    let form = client.post(format!("{}/signin", instance.base));
    let form = form.header("Content-Type", "application/x-www-form-urlencoded");
    let signed = form.body(format!("token={}", instance.bearer())).send().await.expect("an answer");
    let cookie = signed.headers()["set-cookie"].to_str().expect("a cookie").to_owned();
    let cookie = cookie.split(';').next().expect("a pair");
    let (_, secret) = cookie.split_once('=').expect("a value");
    let mut said = String::new();
    for path in [
        "/",
        "/stores",
        "/stores/new",
        "/stores/cloud",
        "/stores/cloud/evacuation",
        "/stores/cloud/delete",
        "/scopes",
        "/scopes/s",
        "/scopes/s/links/cloud",
        "/vacuum",
        "/browse",
        "/browse/s",
        "/access",
        "/access/changes",
    ] {
        let ask = client.get(format!("{}{path}", instance.base)).header("Cookie", cookie);
        let answer = ask.send().await.expect("an answer");
        assert!(path != "/" || answer.status().is_success(), "signed in");
        said += &answer.text().await.expect("text");
    }
    assert!(said.contains("cloud") && !said.contains(secret), "the cookie of the session");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn item_36_no_secret_is_in_any_log_page_answer_error_or_process_list() {
    let instance = Instance::started("[log]\nlevel = \"trace\"\n").await;
    let (server, bucket) = instance.add_cloud("cloud", &[]).await;
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "cloud"]);
    instance.put_ok("s/x", bytes(1, 100)).await;
    let url = instance.get("s/x").await.headers()["location"].to_str().expect("URL").to_owned();
    let signature = url.split("X-Amz-Signature=").nth(1).expect("signed");
    let signature = signature.split('&').next().expect("signature").to_owned();
    let mut said = everything(&instance).await;
    // What fails must not tell either: a wrong secret, a changed one, a key in the wrong place.
    let wrong = "wrong-but-secret-all-the-same";
    std::fs::write(instance.path("wrong"), wrong).expect("a secret");
    let file = instance.path("wrong").display().to_string();
    let mut create = vec!["store", "create", "other", "s3", "--bucket", &bucket, "--path-style"];
    create.extend(["--endpoint", &server.endpoint, "--access-key-id", weed::KEY]);
    create.extend(["--secret-access-key-file", &file, "--prefix", "other"]);
    let refused = instance.cli(&create);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    said += &(refused.stdout + &refused.stderr);
    let manage = ["store", "manage", "cloud", "--secret-access-key-file", &file];
    let refused = instance.cli(&manage);
    said += &(refused.stdout + &refused.stderr);
    let body =
        json!({"name": "third", "backend": "s3", "s3": {"secret_access_key": wrong, "colour": 1}});
    let ask = instance.request(Method::POST, "/api/v1/stores").body(body.to_string()).send().await;
    let answer = ask.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    said += &answer.text().await.expect("text");
    said += &instance.log();
    let bearer = instance.bearer();
    for secret in
        [weed::SECRET, wrong, &signature, &bearer, bearer.rsplit('_').next().expect("a part")]
    {
        let at = said.find(secret);
        let around =
            at.map(|at| said[at.saturating_sub(200)..].chars().take(200).collect::<String>());
        assert!(at.is_none(), "{secret} is shown after {around:?}");
    }
    // A secret cannot be given as an argument, where `ps` would show it.
    for option in ["--secret-access-key", "--token"] {
        let args = ["store", "manage", "cloud", option, "s3cret"];
        assert_eq!(instance.cli(&args).code, 2, "{option}");
    }
    let mode = std::fs::metadata(instance.path("data/hayloft.redb")).expect("the catalogue");
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    assert_eq!(mode & 0o777, 0o600, "where the typed secret is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_37_unknown_policy_keys_and_wrong_types_are_refused() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let before = instance.link("s", "local");
    let bad = [
        (r#"{"colour":1}"#, "colour"),
        (r#"{"populate":"yes"}"#, "expected a boolean"),
        (r#"{"drain":7}"#, "store"),
        (r#"{"soft_max_size":"80GB"}"#, "80GB"),
        (r#"{"soft_max_size":-1}"#, "-1"),
        (r#"["populate"]"#, ""),
        ("true", ""),
    ];
    for (policy, named) in bad {
        let answer =
            instance.cli(&["scope", "manage", "s", "edit-store", "local", "--policy", policy]);
        assert_ne!(answer.code, 0, "{policy}");
        assert!(answer.stderr.contains(named), "{policy}: {}", answer.stderr);
        let policy: Value = serde_json::from_str(policy).expect("JSON");
        let ask = instance.request(Method::PATCH, "/api/v1/scopes/s/stores/local");
        let body = json!({"policy": policy}).to_string();
        let answer = ask.body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{policy}");
    }
    assert_eq!(instance.link("s", "local"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn item_38_a_new_instance_counts_as_just_maintained_and_off_means_never() {
    let mut instance = Instance::new("[maintenance]\nschedule = \"every 24h\"\n");
    instance.start().await;
    assert_eq!(
        instance.ok(&["vacuum", "history"]),
        json!([]),
        "a new instance counts as maintained"
    );
    assert!(instance.ok(&["status"])["next_run"].is_string());
    instance.stop();
    let config = instance.path("config.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, text.replace("every 24h", "off")).expect("written");
    instance.start().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let status = instance.ok(&["status"]);
    assert_eq!((&status["next_run"], &status["last_run"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn item_39_workspaces_that_disagree_change_nothing_and_both_are_named() {
    let instance = Instance::started("").await;
    let file = instance.path("workspaces.json");
    let row = |scope: &str, workspace: &str, store: &str, others: &[&str]| json!({"scope": scope, "workspace": workspace, "default_file_store": store, "other_file_stores": others});
    disk(&instance, "x", &[]);
    let import = |rows: Value| {
        std::fs::write(&file, rows.to_string()).expect("write");
        instance.cli(&["import", "workspaces", &file.display().to_string()])
    };
    for other in [row("imported", "two", "x", &[]), row("imported", "two", "local", &["x"])] {
        let answer = import(json!([
            row("fine", "zero", "x", &[]),
            row("imported", "one", "local", &[]),
            other
        ]));
        assert_eq!(answer.code, 1);
        let detail = answer.problem()["detail"].as_str().expect("detail").to_owned();
        assert!(detail.contains("one") && detail.contains("two"), "{detail}");
        assert_eq!(instance.ok(&["scope", "list"]), json!([]), "the whole import fails");
    }
    let answer = import(json!([
        row("imported", "one", "x", &["local"]),
        row("imported", "two", "x", &["local"])
    ]));
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(instance.link("imported", "x")["upload_priority"], 100);
    assert_eq!(instance.link("imported", "local")["upload_priority"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_message_and_changes_nothing() {
    let instance = Instance::started("").await;
    let secret = instance.path("secret");
    std::fs::write(&secret, "wrong").expect("write");
    let secret = secret.display().to_string();
    let dead = [
        "store",
        "create",
        "dead",
        "s3",
        "--bucket",
        "bucket",
        "--endpoint",
        "http://127.0.0.1:9",
        "--access-key-id",
        "k",
        "--secret-access-key-file",
        &secret,
    ];
    let refused = instance.refused(&dead);
    assert!(refused["detail"].as_str().expect("detail").contains("127.0.0.1:9"), "{refused}");
    assert_eq!(instance.cli(&["scope", "create", "true"]).code, 2);
    instance.ok(&["scope", "create", "s"]);
    let unknown = instance.refused(&[
        "scope",
        "manage",
        "s",
        "edit-store",
        "local",
        "--policy",
        r#"{"colour":1}"#,
    ]);
    assert!(unknown["detail"].as_str().expect("detail").contains("colour"), "{unknown}");
    instance.refused(&["scope", "manage", "s", "edit-store", "local", "--drain-to", "local"]);
    instance.refused(&["scope", "manage", "s", "edit-store", "local", "--populate", "--drain"]);
    let nested = instance.local_root().join("inner").display().to_string();
    instance.refused(&["store", "create", "inner", "local", "--root", &nested]);
    instance.refused(&["store", "manage", "local", "--soft-max-size", "10", "--max-size", "5"]);
    assert_eq!(instance.cli(&["store", "manage", "local", "--max-size", "ten"]).code, 2);
    assert_eq!(instance.ok(&["store", "list"]).as_array().map(Vec::len), Some(1));
    let cut = instance.request(Method::PUT, "/files/s/x").header("X-Blake3", "zz").body("x");
    assert_eq!(cut.send().await.expect("answer").status(), 400);
    assert_eq!(instance.get("s/x").await.status(), 404);
}
