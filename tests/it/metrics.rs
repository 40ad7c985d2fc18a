//! `/metrics` of an instance that has done one of everything, and what is drawn and alerted from it:
//! every query in `packaging/grafana` asks for metrics, labels and values that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hayloft::app::{App, Role};
use hayloft::config::Config;
use hayloft::domain::FilePath;
use hayloft::transfer::{Condition as Wanted, Declared, UploadRequest};
use serde_json::Value;

use crate::support::instance::Instance;
use crate::support::{bytes, debian_tool, s3, stream_of};

/// Added by whoever scrapes, not by us.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];

/// Samples by name: their labels.
type Live = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// Reads the text format. Fails where it is not well formed.
fn parse(text: &str) -> Live {
    let mut live = Live::new();
    let (mut explained, mut kinds) = (BTreeSet::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(help.ends_with('.') && explained.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        value.parse::<f64>().unwrap_or_else(|e| panic!("{e}: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
        let family = family.filter(|f| kinds.contains_key(*f)).unwrap_or(name);
        assert!(kinds.contains_key(family) && explained.contains(family), "{line}");
        let labels = labels.strip_suffix('}').expect("an end");
        let labels = labels.split_terminator(',').map(|pair| {
            let (key, text) = pair.split_once('=').expect("a label");
            (key.to_owned(), text.trim_matches('"').to_owned())
        });
        let labels: BTreeMap<_, _> = labels.collect();
        let all = live.entry(name.to_owned()).or_default();
        assert!(!all.contains(&labels), "twice: {line}");
        all.push(labels);
    }
    live
}

/// A part of a query.
#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Sign(char),
}

fn tokens(query: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '$' | '.');
    let mut found = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => {
                let end = rest[1..].find('"').expect("a closed text");
                found.push(Token::Text(&rest[1..=end]));
                end + 2
            }
            // Ranges say how long, not what.
            '[' => rest.find(']').expect("a closed range") + 1,
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                found.push(Token::Word(&rest[..end]));
                end
            }
            c => {
                found.push(Token::Sign(c));
                c.len_utf8()
            }
        };
        rest = rest[len..].trim_start();
    }
    found
}

/// Label, operator, text.
type Condition<'a> = (&'a str, String, &'a str);

/// What a query asks for.
#[derive(Debug, Default)]
struct Asked<'a> {
    /// Metrics and their conditions.
    metrics: Vec<(&'a str, Vec<Condition<'a>>)>,
    /// Labels that results are grouped or joined by.
    labels: BTreeSet<&'a str>,
}

fn asked(query: &str) -> Asked<'_> {
    const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
    let tokens = tokens(query);
    let mut asked = Asked::default();
    let mut at = 0;
    while at < tokens.len() {
        let Token::Word(word) = tokens[at] else {
            at += 1;
            continue;
        };
        at += 1;
        let opens = |sign| tokens.get(at) == Some(&Token::Sign(sign));
        // `sum by (store) (…)` too: the grouping stands before the bracket.
        let groups = matches!(tokens.get(at), Some(Token::Word("by" | "without")));
        if GROUPINGS.contains(&word) {
            while tokens[at] != Token::Sign(')') {
                if let Token::Word(label) = tokens[at] {
                    asked.labels.insert(label);
                }
                at += 1;
            }
        } else if WORDS.contains(&word)
            || opens('(')
            || groups
            || !word.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            // A function, a number, a connective.
        } else {
            let mut conditions = Vec::new();
            if opens('{') {
                at += 1;
                while tokens[at] != Token::Sign('}') {
                    let Token::Word(label) = tokens[at] else { panic!("{query}: {tokens:?}") };
                    let mut operator = String::new();
                    at += 1;
                    while let Token::Sign(sign) = tokens[at] {
                        operator.push(sign);
                        at += 1;
                    }
                    let Token::Text(text) = tokens[at] else { panic!("{query}: {tokens:?}") };
                    conditions.push((label, operator, text));
                    at += 1;
                    if tokens[at] == Token::Sign(',') {
                        at += 1;
                    }
                }
            }
            asked.metrics.push((word, conditions));
        }
    }
    assert!(!asked.metrics.is_empty(), "no metric in {query}");
    asked
}

/// What a query asks for in vain.
fn complaints(query: &str, live: &Live) -> Vec<String> {
    let mut wrong = Vec::new();
    let asked = asked(query);
    let mut known: BTreeSet<&str> = OF_THE_SCRAPE.into();
    for (metric, conditions) in &asked.metrics {
        let Some(samples) = live.get(*metric) else {
            wrong.push(format!("there is no {metric}: {query}"));
            continue;
        };
        known.extend(samples.iter().flat_map(|labels| labels.keys().map(String::as_str)));
        for (label, operator, text) in conditions {
            if OF_THE_SCRAPE.contains(label) {
                continue;
            }
            let values: BTreeSet<&str> = samples
                .iter()
                .filter_map(|labels| labels.get(*label))
                .map(String::as_str)
                .collect();
            if values.is_empty() {
                wrong.push(format!("{metric} has no {label}: {query}"));
            }
            // A variable of the dashboard, or statuses: any value will do.
            let is_open = text.contains('$') || *label == "status";
            let words = text.split('|').filter(|word| {
                !is_open && (*operator == "=" || *operator == "=~") && !values.contains(word)
            });
            wrong.extend(words.map(|word| format!("{metric} has no {label} {word}: {query}")));
        }
    }
    let unknown = asked.labels.iter().filter(|label| !known.contains(*label));
    wrong.extend(unknown.map(|label| format!("nothing has a {label}: {query}")));
    wrong
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/grafana").join(name)
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(packaged("hayloft.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// Every `expr` of the dashboard, and every metric whose labels fill its variables.
fn dashboard_queries() -> Vec<String> {
    fn visit(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(query) if key == "expr" => found.push(query.to_owned()),
                        _ => visit(value, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| visit(value, found)),
            _ => {}
        }
    }
    let dashboard = dashboard();
    let mut found = Vec::new();
    visit(&dashboard, &mut found);
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(inner) =
            variable["definition"].as_str().and_then(|d| d.strip_prefix("label_values("))
        {
            let (query, label) =
                inner.trim_end_matches(')').rsplit_once(", ").expect("two arguments");
            found.push(format!("count by ({label}) ({query})"));
        }
    }
    found
}

/// (name, query, all its texts) of every alert rule.
fn alerts() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(packaged("alerts.yml")).expect("the rules");
    let rules = text.split("- alert: ").skip(1).map(|rule| {
        let name = rule.lines().next().expect("a name").to_owned();
        let mut lines = rule.lines().skip_while(|l| !l.trim_start().starts_with("expr:"));
        let first =
            lines.next().and_then(|l| l.trim().strip_prefix("expr:")).expect("an expr").trim();
        let query = if first == "|" {
            let body = lines.take_while(|l| l.starts_with("          "));
            body.collect::<Vec<_>>().join("\n")
        } else {
            first.to_owned()
        };
        (name, query, rule.to_owned())
    });
    rules.collect()
}

/// Past days with growth, so that a forecast exists.
async fn grow(config: &Path, days: u32) {
    let config = Config::load(Some(config), std::iter::empty()).expect("the configuration");
    let app = App::open(Arc::new(config), Role::Command).await.expect("the instance");
    let settings = app.catalogue.settings();
    let scope = settings.topology.scope("media").expect("a scope").id;
    let store = settings.topology.store("local").expect("a store").id;
    let today = u32::try_from(app.catalogue.clock().now().seconds() / 86_400).expect("a day");
    for day in 1..=days {
        let body = bytes(u64::from(day), 1000);
        let request = UploadRequest {
            scope,
            path: FilePath::new(format!("past/{day}").as_str()).expect("a path"),
            size: Some(1000),
            content_type: "text/plain".to_owned(),
            declared: Declared::default(),
            condition: Wanted::None,
        };
        let admission = app.transfer.admit(request).await.expect("admitted");
        app.transfer.receive(admission, stream_of(body)).await.expect("stored");
        let sampled = app.catalogue.write(move |tx| tx.sample_usage(store, today - days + day));
        sampled.await.expect("sampled");
    }
    app.shutdown().await.expect("closed");
}

async fn metrics(server: &Instance) -> String {
    let answer = server.request(reqwest::Method::GET, "/metrics").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.expect("a body")
}

/// An instance that has done one of everything, with its metrics.
async fn busy() -> (Instance, String) {
    let provider = s3::in_process(s3::Faults::default()).await;
    provider.make_bucket("bucket");
    let mut server = Instance::new("[maintenance]\nschedule = \"every 7d\"\n");
    server.add_s3("cloud", "bucket", &provider, &["--serve", "proxy"]);
    server.ok(&["scope", "create", "media"]);
    server.ok(&["store", "manage", "local", "--soft-max-size", "20000", "--max-size", "30000"]);
    grow(&server.path("config.toml"), 10).await;
    server.start_and_sign_in().await;

    server.put_ok("media/a", bytes(100, 8000)).await;
    assert_eq!(server.get("media/a").await.bytes().await.expect("a body").len(), 8000);
    assert_eq!(server.get("media/none").await.status(), 404);
    server.put_ok("media/gone", bytes(101, 100)).await;
    let gone = server.request(reqwest::Method::DELETE, "/files/media/gone");
    assert_eq!(gone.send().await.expect("an answer").status(), 204);
    // Too full for now, not too big for ever.
    assert_eq!(server.put("media/full", bytes(102, 15_000)).await.status(), 507);
    server.ok(&[
        "scope",
        "manage",
        "media",
        "add-store",
        "cloud",
        "--populate",
        "--soft-max-size",
        "1TB",
    ]);
    server.ok(&[
        "scope",
        "manage",
        "media",
        "edit-store",
        "local",
        "--soft-max-size",
        "5000",
        "--download-priority",
        "none",
    ]);
    server.ok(&[
        "scope",
        "manage",
        "media",
        "edit-store",
        "cloud",
        "--soft-max-size",
        "none",
        "--download-priority",
        "1",
    ]);
    server.vacuum();
    assert_eq!(server.get("media/a").await.bytes().await.expect("a body").len(), 8000);
    let text = metrics(&server).await;
    drop(provider);
    (server, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_and_the_alerts_finds_what_it_asks_for() {
    let (server, text) = busy().await;
    let live = parse(&text);
    let queries = dashboard_queries();
    assert!(queries.len() > 40, "only {} queries", queries.len());
    let mut wrong: Vec<String> = queries.iter().flat_map(|q| complaints(q, &live)).collect();
    for (name, query, texts) in alerts() {
        wrong.extend(complaints(&query, &live).into_iter().map(|w| format!("{name}: {w}")));
        let known: BTreeSet<String> = asked(&query)
            .metrics
            .iter()
            .filter_map(|(metric, _)| live.get(*metric))
            .flatten()
            .flat_map(|labels| labels.keys().cloned())
            .chain(OF_THE_SCRAPE.map(str::to_owned))
            .collect();
        for label in texts.split("$labels.").skip(1) {
            let label =
                label.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            if !known.contains(label) {
                wrong.push(format!("{name} speaks of a label {label}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{text}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_are_those_of_what_was_done() {
    let (server, text) = busy().await;
    for line in [
        "hayloft_requests_total{route=\"files\",method=\"PUT\",status=\"201\"} 2",
        "hayloft_requests_total{route=\"files\",method=\"PUT\",status=\"507\"} 1",
        "hayloft_requests_total{route=\"files\",method=\"GET\",status=\"404\"} 1",
        "hayloft_request_duration_seconds_count{route=\"files\",method=\"DELETE\"} 1",
        "hayloft_sent_bytes_total 16000",
        "hayloft_uploads_under_way 0",
        "hayloft_downloads_under_way 0",
        "hayloft_files 11",
        "hayloft_files_bytes 18000",
        "hayloft_files_by_readable_replicas{replicas=\"0\"} 0",
        "hayloft_store_soft_max_bytes{store=\"local\"} 20000",
        "hayloft_store_max_bytes{store=\"local\"} 30000",
        "hayloft_store_reserved_bytes{store=\"local\"} 0",
        "hayloft_store_bytes{store=\"cloud\",state=\"present\"} 18000",
        "hayloft_store_replicas{store=\"cloud\",state=\"missing\"} 0",
        "hayloft_store_available{store=\"cloud\"} 1",
        "hayloft_scope_files{scope=\"media\"} 11",
        "hayloft_scope_tombstone_bytes{scope=\"media\"} 100",
        "hayloft_scope_store_bytes{scope=\"media\",store=\"cloud\"} 18000",
        "hayloft_scope_store_soft_max_bytes{scope=\"media\",store=\"local\"} 5000",
        "hayloft_s3_calls_total{store=\"cloud\",operation=\"PutObject\",status=\"200\"} 12",
        "hayloft_s3_calls_total{store=\"cloud\",operation=\"GetObject\",status=\"206\"} 1",
        "hayloft_runs_total{outcome=\"complete\"} 1",
        "hayloft_moves_total{action=\"copied\"} 11",
        "hayloft_moved_bytes_total{action=\"copied\"} 18000",
        "hayloft_last_run_outcome{outcome=\"complete\"} 1",
        "hayloft_last_run_outcome{outcome=\"failed\"} 0",
        "hayloft_last_run_errors 0",
        "hayloft_run_under_way 0",
        "hayloft_notifications_total{result=\"delivered\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    drop(server);
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert_eq!(variables[0]["type"], "datasource", "the first question is where the data is");
    let text = dashboard.to_string();
    let sources = text.matches("\"datasource\":{").count();
    assert_eq!(sources, text.matches("\"uid\":\"${datasource}\"").count(), "all by the variable");
    assert_eq!(dashboard["id"], Value::Null, "an id would replace another dashboard");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|p| p["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
    for (i, panel) in panels.iter().enumerate() {
        let row = panel["type"] == "row";
        assert!(row || panel["description"].as_str().is_some_and(|d| d.len() > 10), "{panel:#}");
        let place = |p: &Value, key: &str| p["gridPos"][key].as_u64().expect("a place");
        assert!(place(panel, "x") + place(panel, "w") <= 24, "{panel:#}");
        for other in &panels[..i] {
            let apart = |from, len| {
                place(panel, from) >= place(other, from) + place(other, len)
                    || place(other, from) >= place(panel, from) + place(panel, len)
            };
            assert!(apart("x", "w") || apart("y", "h"), "{panel:#} lies on {other:#}");
        }
    }
}

/// Debian's `prometheus` brings it.
fn promtool() -> PathBuf {
    debian_tool("HAYLOFT_TEST_PROMTOOL", "usr/bin/promtool")
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_no_fault_with_rules_and_metrics() {
    let promtool = promtool();
    for (what, file) in [(["check", "rules"], "alerts.yml"), (["test", "rules"], "alerts_test.yml")]
    {
        let done =
            Command::new(&promtool).args(what).arg(packaged(file)).output().expect("it runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned()
            + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{what:?} {file}: {said}");
    }
    let (server, text) = busy().await;
    let page = server.path("metrics");
    std::fs::write(&page, text).expect("the page");
    let input = std::fs::File::open(&page).expect("the page");
    let mut lint = Command::new(&promtool);
    let done = lint.args(["check", "metrics"]).stdin(input).output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_series_does_not_grow_with_the_files() {
    let (server, _) = busy().await;
    let before = metrics(&server).await.lines().count();
    for i in 0..100 {
        server.put_ok(&format!("media/more/{i}"), bytes(1000 + i, 10)).await;
    }
    // The first scrape made series for its own route.
    let after = metrics(&server).await.lines().count();
    assert!(after <= before + 20, "series grew from {before} to {after} with the files");
}
