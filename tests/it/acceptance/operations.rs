//! Items 36 to 39, and input that makes no sense.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hayloft::app::{App, Role};
use hayloft::clock::Clock;
use hayloft::config::Config;
use hayloft::domain::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{disk, json_of};
use crate::support::instance::{Instance, s3_args};
use crate::support::{bytes, digest, weed};

/// What is said by every command and every address of the API that only reads.
async fn everything(instance: &Instance) -> String {
    let commands: [&[&str]; 15] = [
        &["status"],
        &["store", "show", "cloud"],
        &["store", "list"],
        &["store", "check", "cloud"],
        &["scope", "list"],
        &["scope", "show", "s"],
        &["file", "list", "s"],
        &["file", "show", "s", "x"],
        &["file", "explain", "s", "x"],
        &["-v", "vacuum"],
        &["vacuum", "history"],
        &["vacuum", "show", "1"],
        &["verify"],
        &["token", "list"],
        &["check-config"],
    ];
    let mut said = String::new();
    for args in commands {
        for answer in [instance.cli(args), instance.plain(args)] {
            assert_eq!(answer.code, 0, "{args:?}: {}", answer.stderr);
            said += &(answer.stdout + &answer.stderr);
        }
    }
    // A store that has the only replicas cannot be given up: that is no success.
    for answer in [instance.cli(&EVACUATION), instance.plain(&EVACUATION)] {
        assert_eq!(answer.code, 1, "{}", answer.stderr);
        said += &(answer.stdout + &answer.stderr);
    }
    let document = instance.request(Method::GET, "/api/openapi.json").send().await;
    let document = json_of(document.expect("an answer")).await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        if item.get("get").is_some() {
            // A redirect is to a URL that is signed: what it leads to is read instead.
            let query = if path.starts_with("/by-hash") || path.starts_with("/files/{scope}/{") {
                "?proxy"
            } else {
                ""
            };
            let path = filled(path) + query;
            let answer = instance.request(Method::GET, &path).send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{path}");
            write!(said, "{:?}", answer.headers()).expect("text");
            said += &String::from_utf8_lossy(&answer.bytes().await.expect("a body"));
        }
    }
    said + &pages(instance).await
}

const EVACUATION: [&str; 3] = ["store", "evacuation", "cloud"];

/// An address with the names of what the test has.
fn filled(path: &str) -> String {
    let digest = digest(&bytes(1, 100)).to_hex();
    let names =
        [("scope", "s"), ("store", "cloud"), ("path", "x"), ("id", "1"), ("digest", &digest)];
    let path = names.iter().fold(path.to_owned(), |p, (n, v)| p.replace(&format!("{{{n}}}"), v));
    assert!(!path.contains('{'), "{path}: a name that is not filled in");
    path
}

/// Addresses of all pages and parts of pages, from the table of their routes.
fn addresses() -> Vec<String> {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/pages/mod.rs");
    let table = std::fs::read_to_string(table).expect("the routes of the pages");
    let routes = table.split(".route(").skip(1).filter(|route| route.contains("get("));
    let all: Vec<_> = routes.filter_map(|r| r.split('"').nth(1)).map(filled).collect();
    assert!(all.len() > 25, "the routes are not found: {all:?}");
    all
}

/// Every page and part of one, as an admin sees it after signing in.
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
    for path in addresses() {
        let query = if path.starts_with("/fragments/browse") || path.ends_with("/file") {
            "?path=x"
        } else {
            ""
        };
        let ask = client.get(format!("{}{path}{query}", instance.base)).header("Cookie", cookie);
        let answer = ask.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("text");
        let leads_back = path.ends_with("/check") || path.ends_with("/reconcile");
        let expected = if leads_back { 303 } else { 200 };
        assert_eq!(status, expected, "{path}: {text}");
        said += &text;
    }
    assert!(said.contains("cloud") && !said.contains(secret), "the cookie of the session");
    said
}

/// What the list of processes shows of one: its arguments and its environment.
fn process(pid: u32) -> String {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).expect("a process");
    let shown = [read("cmdline"), read("environ")].concat();
    String::from_utf8_lossy(&shown).replace('\0', " ")
}

/// A command that was started and waits for the secret: what it and the server show meanwhile.
fn processes(instance: &Instance, bucket: &str, endpoint: &str) -> String {
    let mut command = instance.command();
    command.args(s3_args("typed", bucket, endpoint, weed::KEY, "-"));
    command.args(["--path-style", "--prefix", "typed"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut typed = child.stdin.take().expect("its standard input");
    let mut said = process(instance.pid());
    let begun = Instant::now();
    // Its arguments are there when the system has loaded the program.
    while !process(child.id()).contains("--secret-access-key-file") {
        assert!(begun.elapsed() < Duration::from_secs(20), "the command does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    said += &process(child.id());
    typed.write_all(weed::SECRET.as_bytes()).expect("the secret");
    drop(typed);
    let output = child.wait_with_output().expect("ended");
    said += &String::from_utf8_lossy(&output.stdout);
    said += &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
    said += &processes(&instance, &bucket, &server.endpoint);
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
        (r#"{"populate":null}"#, "null"),
        (r#"{"drain":null}"#, "null"),
        (r#"{"read_only":null,"write_only":null}"#, "null"),
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

/// A run that ended 25 hours ago.
async fn run_yesterday(instance: &Instance) {
    let config = Config::load(Some(&instance.path("config.toml")), std::iter::empty());
    let config = Arc::new(config.expect("the configuration"));
    let then = Timestamp(Clock::System.now().0 - 25 * 3_600_000_000);
    let app = App::open_at(config, Role::Command, Clock::manual(then)).await.expect("an instance");
    let id = app.maintenance.start().await.expect("a run").id.expect("its id");
    if let Some(mut run) = app.maintenance.watch(id) {
        run.wait_for(|run| run.finished_at.is_some()).await.expect("its end");
    }
    app.shutdown().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn item_38_a_missed_run_starts_with_the_server_unless_the_schedule_is_off() {
    for (schedule, runs) in [("02:00", 2), ("every 24h", 2), ("off", 1)] {
        let settings = format!("[maintenance]\nschedule = \"{schedule}\"\n");
        let mut instance = Instance::new(&settings);
        run_yesterday(&instance).await;
        instance.start().await;
        let history = || instance.ok(&["vacuum", "history"]).as_array().map_or(0, Vec::len);
        for _ in 0..if schedule == "off" { 5 } else { 200 } {
            if history() > 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(history(), runs, "{schedule}");
    }
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
    let secret = instance.secret("wrong");
    let refused = instance.refused(&s3_args("dead", "bucket", "http://127.0.0.1:9", "k", &secret));
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
