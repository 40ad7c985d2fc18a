//! Every operation of `openapi.json`, and whom it answers (SPEC 10).

use serde_json::{Value, json};

use super::bench::{Bench, READER};

/// (method, address with names filled in, address as the document has it) of every operation.
fn operations() -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(hayloft::server::admin::DOCUMENT).expect("JSON");
    let hex = "0".repeat(64);
    let names =
        [("{scope}", "s"), ("{store}", "main"), ("{path}", "x"), ("{id}", "1"), ("{digest}", &hex)];
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let target = names.iter().fold(path.clone(), |t, (name, value)| t.replace(name, value));
        assert!(!target.contains('{'), "{target}: a name that is not filled in");
        for method in ["get", "head", "put", "post", "patch", "delete"] {
            if !item.get(method).is_none_or(Value::is_null) {
                all.push((method.to_uppercase(), target.clone(), path.clone()));
            }
        }
    }
    assert!(all.len() > 45, "{}", all.len());
    all
}

#[tokio::test]
async fn no_operation_answers_strangers() {
    let bench = Bench::start().await;
    for (method, target, path) in operations() {
        let open = ["/healthz", "/readyz"].contains(&path.as_str());
        let stranger = bench.ask_as(None, &method, &target).body(b"{}").send().await;
        assert_eq!(stranger.status == 401, !open, "{method} {target}: {}", stranger.status);
    }
    bench.stop().await;
}

/// A body that an administrator's request could have: nobody is refused for its form.
fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        ("POST", "/api/v1/scopes") => json!({"name": "fresh"}),
        ("POST", "/api/v1/stores") => json!({"name": "f", "backend": "local", "root": "/nowhere"}),
        ("POST", "/api/v1/tokens") => json!({"name": "fresh", "role": "read"}),
        ("POST", "/api/v1/scopes/{scope}/default-store") => json!({"store": "main"}),
        ("POST", "/api/v1/import/workspaces") => {
            json!([{"scope": "fresh", "workspace": "w", "default_file_store": "main"}])
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn no_reader_administers() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/x", b"a file").await.status, 201);
    for (method, target, path) in operations() {
        if !path.starts_with("/api/v1/") {
            continue;
        }
        let body = body(&method, &path).to_string();
        let reader =
            bench.ask_as(Some(READER), &method, &target).body(body.as_bytes()).send().await;
        assert_eq!(reader.status, 403, "{method} {path}: {reader:?}");
    }
    bench.stop().await;
}
