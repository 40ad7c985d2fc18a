//! The log: what a line is about stands in fields, under the same names everywhere.

use std::path::Path;

use serde_json::Value;

use crate::support::bytes;
use crate::support::instance::Instance;

fn lines(log: &str) -> Vec<Value> {
    let line = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("not JSON ({e}): {l}"));
    log.lines().map(line).collect()
}

fn with<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let found: Vec<_> = lines.iter().filter(|l| l["fields"]["message"] == message).collect();
    assert!(!found.is_empty(), "no line says {message:?}: {lines:#?}");
    found
}

#[tokio::test]
async fn an_upload_and_a_run_name_scope_store_digest_and_run_in_fields() {
    let settings = "[log]\nformat = \"json\"\nlevel = \"warn,hayloft=debug\"\n";
    let mut server = Instance::started(settings).await;
    let shelf = server.path("shelf").display().to_string();
    std::fs::create_dir(&shelf).expect("a directory");
    server.ok(&["store", "create", "shelf", "local", "--root", &shelf]);
    server.ok(&["scope", "create", "media", "--store", "shelf"]);
    server.ok(&["store", "manage", "local", "--soft-max-size", "1000"]);
    let uploaded = server.put_ok("media/a", bytes(1, 5000)).await;
    let lost = server.put_ok("media/b", bytes(2, 500)).await;
    let digest = &uploaded["digest"];
    let run = server.vacuum();
    // A replica that is gone is named too.
    let name = lost["digest"].as_str().expect("a digest");
    let object = format!("{}/{}/{name}", &name[..2], &name[2..4]);
    for root in [server.local_root(), server.path("shelf")] {
        std::fs::remove_file(root.join(&object)).ok();
    }
    assert_eq!(server.get("media/b").await.status(), 503);
    server.stop();

    let log = server.log();
    let lines = lines(&log);
    let stored = with(&lines, "an upload was stored");
    let stored = stored.iter().find(|l| l["fields"]["digest"] == *digest).expect("the upload");
    assert_eq!(stored["fields"]["scope"], "media");
    assert_eq!(stored["fields"]["store"], "local");
    assert_eq!(stored["fields"]["bytes"], 5000);
    let moved = &with(&lines, "a replica was moved")[0]["fields"];
    assert_eq!(moved["run"], run["id"]);
    assert_eq!((&moved["from"], &moved["to"]), (&"local".into(), &"shelf".into()));
    assert_eq!(moved["digest"], *digest);
    for message in ["a run of storage maintenance begins", "a run has ended"] {
        assert_eq!(with(&lines, message)[0]["fields"]["run"], run["id"], "{message}");
    }
    let marked = &with(&lines, "a replica was marked")[0]["fields"];
    assert_eq!((&marked["store"], &marked["digest"]), (&"local".into(), &lost["digest"]));
    let failed = &with(&lines, "a request failed")[0]["fields"];
    assert_eq!((&failed["scope"], &failed["path"]), (&"media".into(), &"/files/media/b".into()));
    assert_eq!(failed["kind"], "file-unavailable");
    for line in &lines {
        let fields = line["fields"].as_object().expect("fields");
        for name in ["store", "scope", "digest"] {
            let text = fields.get(name).is_none_or(Value::is_string);
            assert!(text, "{name} is a name, not a number: {line}");
        }
        let message = fields["message"].as_str().unwrap_or_default();
        let names = ["media", "shelf", name];
        assert!(!names.iter().any(|n| message.contains(n)), "a name in the text: {line}");
        if line["span"]["name"] == "vacuum" {
            assert_eq!(line["span"]["run"], run["id"], "{line}");
        }
    }
}

/// The arguments of each call of a logging macro in `code`.
fn calls(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("tracing::") {
        let rest = &code[at + "tracing::".len()..];
        let Some((level, arguments)) = rest.split_once("!(") else { continue };
        if !["trace", "debug", "info", "warn", "error"].contains(&level) {
            continue;
        }
        found.push(&arguments[..end_of(arguments)]);
    }
    found
}

/// Where the parenthesis that was open before `arguments` is closed.
fn end_of(arguments: &str) -> usize {
    let (mut depth, mut in_text) = (1_usize, false);
    let end = arguments.find(|c| {
        match c {
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.unwrap_or(arguments.len())
}

fn visit(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let code = std::fs::read_to_string(&path).expect("a source file");
            found.push((path.display().to_string(), code));
        }
    }
}

#[test]
fn no_text_of_the_log_holds_values_and_stores_are_named() {
    let mut sources = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let mut seen = 0;
    for (path, code) in &sources {
        for call in calls(code) {
            seen += 1;
            let text = call.rsplit('"').nth(1).unwrap_or_default();
            // The lines that are for people alone: how to sign in, and what to type next.
            let is_greeting = text.contains("sign in") || text.starts_with("next: ");
            assert!(is_greeting || !text.contains('{'), "{path}: values are fields: {call}");
            let by_number = ["store.0", "id.0", "scope.0", "file.0", "source.0"];
            assert!(!by_number.iter().any(|n| call.contains(n)), "{path}: say the name: {call}");
        }
    }
    assert!(seen > 60, "only {seen} calls were found");
}
