//! Configuration, as SPEC 12 has it.

use std::path::Path;
use std::time::Duration;

use hayloft::config::{Config, NotifyEvent, Schedule};
use hayloft::logging::LogFormat;

fn example() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"))
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("config.toml");
    std::fs::write(&file, text).expect("write the configuration");
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(Some(&file), environment).map_err(|e| e.to_string())
}

fn refusal(text: &str) -> String {
    load(text, &[]).expect_err(text)
}

#[test]
fn the_example_states_the_defaults() {
    let config = Config::load(Some(example()), []).expect("the example is valid");
    assert_eq!(config, Config::default());
}

/// Keys of the text, `section.key`; a commented-out key counts when it looks like one.
fn keys(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if line.starts_with('[') && line.ends_with(']') {
            section = format!("{}.", line.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        {
            keys.push(format!("{section}{key}"));
        }
    }
    keys
}

#[test]
fn the_example_lists_every_key() {
    let all = r#"
        public_url = "https://files.example.org"
        [tls]
        certificate = "/c"
        key = "/k"
        [[notify]]
        kind = "ntfy"
        url = "https://ntfy.example.org/topic"
    "#;
    let effective = load(all, &[]).expect("valid").to_toml().expect("TOML");
    let text = std::fs::read_to_string(example()).expect("read the example");
    let mut listed = keys(&text);
    let mut existing = keys(&effective);
    listed.sort();
    existing.sort();
    assert_eq!(listed, existing);
}

#[test]
fn the_commented_sections_of_the_example_are_valid_too() {
    let text = std::fs::read_to_string(example()).expect("read the example");
    let mut uncommented = String::new();
    for line in text.lines() {
        let bare = line.trim_start_matches("# ");
        let is_setting = bare.starts_with('[')
            || bare
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let in_prose = bare.starts_with("[tls] ");
        if is_setting && !in_prose {
            uncommented += bare;
            uncommented.push('\n');
        }
    }
    let config = load(&uncommented, &[]).unwrap_or_else(|e| panic!("{e}\n{uncommented}"));
    assert!(config.tls.is_some() && config.public_url.is_some());
    assert!(config.notify[0].on.contains(&NotifyEvent::RunFailed));
}

#[test]
fn the_effective_values_can_be_read_back_and_hide_what_is_secret() {
    let text = r#"
        [maintenance]
        schedule = "every 6h"
        bandwidth = "20MB"
        window = "22:00-06:00"
        [[notify]]
        kind = "slack"
        url = "https://hooks.example.org/T000/topsecret"
    "#;
    let config = load(text, &[]).expect("valid");
    let shown = config.to_toml().expect("TOML");
    assert!(!shown.contains("topsecret"), "{shown}");
    assert!(!format!("{config:?}").contains("topsecret"));
    let again = load(&shown, &[]).expect("what is printed is valid");
    assert_eq!(again.maintenance, config.maintenance);
    assert_eq!(config.maintenance.schedule, Schedule::Every(Duration::from_hours(6)));
    assert_eq!(config.maintenance.bandwidth, Some(20_000_000));
}

#[test]
fn an_error_names_file_line_and_what_is_allowed() {
    let cases = [
        ("[maintenance]\nschedule = \"noon\"", "line 2, schedule", "\"every 6h\""),
        ("[maintenance]\ngrace = \"1 week\"", "line 2", "24h"),
        ("[maintenance]\nwindow = \"22-6\"", "line 2", "\"22:00-06:00\""),
        ("[maintenance]\nbandwidth = \"fast\"", "line 2", "500MB"),
        ("[limits]\nmax_uplaod = 5", "line 2, max_uplaod", "max_upload"),
        ("colour = 1", "line 1", "data_dir"),
        ("listen = \"everywhere\"", "line 1, listen: \"everywhere\"", "127.0.0.1:8700"),
        ("[log]\nlevel = \"verbose\"", "line 2", "debug"),
        ("[log]\nformat = \"xml\"", "line 2", "json"),
        ("listen = 8700", "line 1, listen: \"8700\"", "0.0.0.0:8700"),
        ("[maintenance]\nconcurrency = \"4\"", "line 2, concurrency", "a whole number"),
        ("[limits]\nmax_connections = -1", "integer `-1`", "a whole number"),
        ("public_url = \"https://u:secret@h.example.org\"", "public_url", "https://HOST"),
        ("public_url = \"https://h.example.org/?a=1\"", "public_url", "https://HOST"),
        ("[[notify]]\nkind = \"fax\"\nurl = \"http://x\"", "line 2", "ntfy"),
        ("[[notify]]\nkind = \"json\"\nurl = \"secret\"", "line 3", "https://"),
        ("[tls]\ncertificate = \"/x\"", "line 1", "key"),
        ("[maintenance]\nconcurrency = 0", "maintenance.concurrency", "1 to 64"),
        ("data_dir = \"here\"", "data_dir", "absolute"),
        ("public_url = \"files.example.org\"", "public_url", "https://"),
        ("[limits]\nidle_timeout = \"0s\"", "limits.idle_timeout", "0s"),
        ("[maintenance]\nlimit_forecast = \"1h\"", "maintenance.limit_forecast", "\"1d\""),
    ];
    for (text, place, allowed) in cases {
        let e = refusal(text);
        assert!(e.contains("config.toml"), "{e}");
        assert!(e.contains(place) && e.contains(allowed), "{text}\n{e}");
    }
}

#[test]
fn the_error_about_a_notify_url_does_not_repeat_it() {
    let text = "[[notify]]\nkind = \"json\"\nurl = \"topsecret\"";
    let in_file = refusal(text);
    assert!(in_file.contains("https://") && !in_file.contains("topsecret"), "{in_file}");
    let in_environment = load("", &[("HAYLOFT_NOTIFY__URL", "topsecret")]).expect_err("a list");
    assert!(!in_environment.contains("topsecret"), "{in_environment}");
}

#[test]
fn the_environment_overrides_single_keys() {
    let config = load(
        "[maintenance]\nschedule = \"03:00\"\nconcurrency = 2",
        &[
            ("HAYLOFT_MAINTENANCE__SCHEDULE", "off"),
            ("HAYLOFT_MAINTENANCE__CONCURRENCY", "8"),
            ("HAYLOFT_MAINTENANCE__BANDWIDTH", "5000"),
            ("HAYLOFT_LISTEN", "0.0.0.0:1"),
            ("HAYLOFT_METRICS_PUBLIC", "true"),
            ("HAYLOFT_LOG__FORMAT", "json"),
            ("HAYLOFT_CONFIG", "/elsewhere"),
            ("HAYLOFT_SERVER", "http://x"),
            ("HAYLOFT_TOKEN", "t"),
            ("PATH", "/bin"),
        ],
    )
    .expect("valid");
    assert_eq!(config.maintenance.schedule, Schedule::Off);
    assert_eq!(config.maintenance.concurrency, 8);
    assert_eq!(config.maintenance.bandwidth, Some(5000));
    assert_eq!(config.listen.port(), 1);
    assert!(config.metrics_public);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_wrong_override_is_refused_by_its_name() {
    for (variable, value) in [
        ("HAYLOFT_MAINTENANCE__SCHEDUEL", "off"),
        ("HAYLOFT_MAINTAINANCE__SCHEDULE", "off"),
        ("HAYLOFT_MAINTENANCE__CONCURRENCY", "many"),
        ("HAYLOFT_LISTEN__PORT", "5"),
        ("HAYLOFT_TLS__KEY", "/key"),
    ] {
        let e = load("", &[(variable, value), ("HAYLOFT_LISTEN", "0.0.0.0:1")]);
        let e = e.expect_err(variable);
        assert!(e.contains(variable), "{e}");
    }
}

#[test]
fn an_unknown_variable_is_refused_and_the_nearest_known_one_named() {
    for (variable, meant) in [
        ("HAYLOFT_SCHEDULE", "HAYLOFT_MAINTENANCE__SCHEDULE"),
        ("HAYLOFT_MAINTENANCE_SCHEDULE", "HAYLOFT_MAINTENANCE__SCHEDULE"),
        ("HAYLOFT_LISTENS", "HAYLOFT_LISTEN"),
        ("HAYLOFT_CLOUD__NAME", "HAYLOFT_"),
    ] {
        let e = load("", &[(variable, "off")]).expect_err(variable);
        assert!(e.contains(&format!("{variable}: ")) && e.contains(meant), "{e}");
    }
}

#[test]
fn keys_that_need_each_other_can_both_come_from_the_environment() {
    let both = [("HAYLOFT_TLS__CERTIFICATE", "/c"), ("HAYLOFT_TLS__KEY", "/k")];
    let tls = load("", &both).expect("valid").tls.expect("TLS");
    assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("/c"), Some("/k")));
}

#[test]
fn what_others_say_of_hayloft_is_no_setting() {
    let told = [
        ("HAYLOFT_SERVICE_HOST", "10.0.0.1"),
        ("HAYLOFT_SERVICE_PORT_HTTP", "8700"),
        ("HAYLOFT_PORT", "tcp://10.0.0.1:8700"),
        ("HAYLOFT_PORT_8700_TCP_ADDR", "10.0.0.1"),
        ("HAYLOFT_BIN", "/opt/hayloft"),
    ];
    assert_eq!(load("", &told).expect("valid"), Config::default());
}

#[test]
fn a_named_file_has_to_exist_and_the_default_one_does_not() {
    let e = Config::load(Some(Path::new("/nonexistent/config.toml")), []).expect_err("missing");
    assert!(e.to_string().contains("/nonexistent/config.toml"), "{e}");
    if !Path::new(hayloft::config::DEFAULT_FILE).exists() {
        assert_eq!(Config::load(None, []).ok(), Some(Config::default()));
    }
}

#[test]
fn a_socket_path_that_no_socket_can_have_is_refused() {
    let e = refusal(&format!("admin_socket = \"/{}\"", "x".repeat(107)));
    assert!(e.contains("admin_socket") && e.contains("107"), "{e}");
}

#[test]
fn a_public_url_loses_its_closing_slash() {
    let config = load("public_url = \"https://files.example.org/\"", &[]).expect("valid");
    assert_eq!(config.public_url.as_deref(), Some("https://files.example.org"));
}

#[test]
fn an_address_without_a_port_is_refused_with_an_example() {
    for listen in ["127.0.0.1", "localhost:8700", ":8700"] {
        let e = refusal(&format!("listen = \"{listen}\""));
        assert!(e.contains("listen") && e.contains("127.0.0.1:8700"), "{e}");
    }
}
