//! The first five minutes: the first start, the first look, the first mistake (SPEC 3, 9).

mod provider;
mod terminal;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use provider::{Answer, Provider};

use crate::support::instance::{Instance, s3_args};
use crate::support::{bytes, ports, s3, weed};

/// Runs `hayloft serve` at a pseudo terminal until it has said `until`; what it printed.
fn serve_at_a_terminal(instance: &Instance, until: &str) -> String {
    let config = instance.path("config.toml");
    let pid = instance.path("pid");
    let program = format!(
        "echo $$ > {}; exec {} --config {} serve",
        pid.display(),
        env!("CARGO_BIN_EXE_hayloft"),
        config.display()
    );
    let transcript = instance.path("terminal");
    let mut child = Command::new("script")
        .args(["-qefc", &program])
        .arg(&transcript)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("script, of util-linux");
    let begun = Instant::now();
    let mut seen = String::new();
    while !seen.contains(until) && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
        seen = std::fs::read_to_string(&transcript).unwrap_or_default();
    }
    let pid = std::fs::read_to_string(pid).expect("a process id");
    assert!(Command::new("kill").args(["-INT", pid.trim()]).status().expect("kill").success());
    child.wait().expect("ended");
    seen.replace('\r', "")
}

#[test]
fn at_a_terminal_the_first_start_says_what_it_made_and_what_to_do() {
    let instance = Instance::new("[maintenance]\nschedule = \"off\"\n");
    let said = serve_at_a_terminal(&instance, "Its log follows");
    let config = instance.path("config.toml");
    for expected in [
        &instance.path("data").display().to_string(),
        &instance.path("data/hayloft.redb").display().to_string(),
        &instance.path("data/store").display().to_string(),
        &instance.path("admin.sock").display().to_string(),
        &format!("{}/ ", instance.base),
        &format!("{}/signin?token=", instance.base),
        &format!("hayloft --config {} scope create media", config.display()),
        &format!("hayloft --config {} status", config.display()),
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    let again = serve_at_a_terminal(&instance, "Its log follows");
    assert!(!again.contains("Created") && !again.contains("signin?token="), "{again}");
    assert!(again.contains("token link"), "{again}");
}

#[tokio::test]
async fn in_a_journal_the_first_start_says_the_same_in_lines() {
    let mut instance = Instance::new("[maintenance]\nschedule = \"off\"\n");
    instance.start().await;
    instance.stop();
    let log = instance.log();
    for expected in ["created a new instance", "catalogue=", "listening", "admin_socket=", "next:"]
    {
        assert!(log.contains(expected), "{expected} is not in\n{log}");
    }
    let link = format!("sign in once at {}/signin?token=", instance.base);
    assert!(log.contains(&link), "{log}");
    instance.start().await;
    assert_eq!(instance.log().matches("signin?token=").count(), 1);
}

#[test]
fn links_have_the_port_that_the_system_chose_for_port_0() {
    let instance = Instance::new("");
    let mut server = instance.command();
    server.arg("serve").env("HAYLOFT_LISTEN", "127.0.0.1:0").stderr(Stdio::piped());
    let mut server = server.spawn().expect("a server");
    let log = BufReader::new(server.stderr.take().expect("its log"));
    let mut lines = log.lines().map(|line| line.expect("UTF-8"));
    let listening = lines.find(|line| line.contains("listening")).expect("it listens");
    let address = listening.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
    let page = format!("http://{}/", address.expect("an address"));
    assert!(!page.ends_with(":0/") && listening.contains(&page), "{listening}");
    let first = lines.find(|line| line.contains("sign in once at")).expect("a link");
    let again = instance.ok(&["token", "link"])["url"].to_string();
    server.kill().and_then(|()| server.wait()).expect("it ends");
    for link in [first, again] {
        assert!(link.contains(&format!("{page}signin?token=")), "{link}");
    }
}

fn plain(instance: &Instance, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_hayloft"))
        .arg("--config")
        .arg(instance.path("config.toml"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (out.status.code().unwrap_or(-1), text(out.stdout), text(out.stderr))
}

#[test]
fn status_of_nothing_says_how_to_begin_and_makes_nothing() {
    let instance = Instance::new("");
    let (code, out, err) = plain(&instance, &["status"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("there is no Hayloft here yet") && err.contains("hayloft serve"), "{err}");
    assert!(!instance.path("data").exists());
}

#[tokio::test]
async fn status_puts_what_is_wrong_first_with_the_command_that_mends_it() {
    let mut instance = Instance::started("").await;
    instance.ok(&["store", "manage", "local", "--soft-max-size", "1GB", "--max-size", "2GB"]);
    instance.ok(&["scope", "create", "media"]);
    instance.put_ok("media/a", bytes(1, 250_000_000 / 1000)).await;
    let (code, well, _) = plain(&instance, &["status"]);
    assert_eq!(code, 0, "{well}");
    assert!(well.lines().next().is_some_and(|l| l.ends_with("all is well")), "{well}");
    assert!(well.lines().count() <= 24, "{well}");
    for expected in
        ["1.0 GB", "2.0 GB", "1 %", "from one 1", "Last run   none yet", "schedule is off"]
    {
        assert!(well.contains(expected), "{expected} is not in\n{well}");
    }
    std::fs::remove_file(instance.local_root().join(".hayloft-store")).expect("a marker");
    let (code, ill, _) = plain(&instance, &["status"]);
    assert_eq!(code, 0, "{ill}");
    let lines: Vec<&str> = ill.lines().collect();
    assert!(lines[0].ends_with("1 thing is wrong"), "{ill}");
    assert!(lines[1].contains("store local is unavailable"), "{ill}");
    assert_eq!(lines[2].trim(), "hayloft store check local", "{ill}");
    let json = instance.ok(&["status"]);
    assert_eq!(json["attention"][0]["severity"], "error", "{json:#}");
    assert_eq!(json["attention"][0]["command"], "hayloft store check local");
    instance.stop();
    let (code, down, _) = plain(&instance, &["status"]);
    assert_eq!(code, 0, "{down}");
    assert!(down.lines().nth(1).is_some_and(|l| l.contains("no server is running")), "{down}");
}

/// What `store create` says about an endpoint.
fn complaint(instance: &Instance, endpoint: &str, more: &[&str]) -> String {
    let secret = instance.secret("geheim-geheim");
    let args = s3_args("cold", "bucket", endpoint, "AKIAEXAMPLE", &secret);
    let problem = instance.refused(&[&args[..], &["--prefix", "hay"], more].concat());
    let detail = problem["detail"].as_str().expect("a detail").to_owned();
    assert!(!detail.contains("geheim"), "{detail}");
    detail
}

fn assert_says(name: &str, detail: &str, words: &[&str]) {
    for word in words {
        assert!(detail.contains(word), "{name}: {word:?} is not in: {detail}");
    }
}

const PATH: &[&str] = &["--path-style"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_the_provider_refuses_names_the_wrong_setting_and_how_it_is_known() {
    let instance = Instance::started("").await;
    for case in provider::refusals() {
        let provider = Provider::start(case.answers).await;
        let detail = complaint(&instance, &provider.endpoint, PATH);
        assert_says(case.name, &detail, case.says);
    }
    assert_eq!(instance.ok(&["store", "list"]).as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_answer_is_told_from_one_that_speaks_otherwise() {
    let instance = Instance::started("").await;
    let port = ports::claim();
    let nobody = complaint(&instance, &format!("http://127.0.0.1:{port}"), PATH);
    assert_says("refused", &nobody, &["nothing listens at", "--endpoint", "refused"]);

    let host = complaint(&instance, "http://s3.nowhere.invalid", PATH);
    assert_says("DNS", &host, &["there is no host named s3.nowhere.invalid", "--endpoint"]);

    let plain = Provider::start(|_| Answer::new(200, "")).await;
    let tls = complaint(&instance, &plain.endpoint.replace("http:", "https:"), PATH);
    assert_says("https to http", &tls, &["does not speak TLS", "write http://"]);

    let secure = Provider::start_tls().await;
    let http = complaint(&instance, &secure.endpoint.replace("https:", "http:"), PATH);
    assert_says("http to https", &http, &["speaks https, not http", "write https://", "handshake"]);
    let own = complaint(&instance, &secure.endpoint, PATH);
    // By an authority that this machine does not know, or knows another of the same name.
    assert_says("own authority", &own, &["the certificate of", "here", "SSL_CERT_FILE"]);

    // Without --path-style the bucket stands before the host, where this machine knows none.
    let list = "<ListAllMyBucketsResult></ListAllMyBucketsResult>";
    let buckets = Provider::start(move |_| Answer::new(200, list)).await;
    let named = buckets.endpoint.replace("127.0.0.1", "localhost");
    let virtual_hosted = complaint(&instance, &named, &[]);
    assert_says(
        "path style",
        &virtual_hosted,
        &["does not know buckets by host name", "--path-style"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_services_are_understood_too() {
    let instance = Instance::started("").await;
    let server = s3::in_process(s3::Faults::default()).await;
    server.make_bucket("bucket");
    let weed = weed::shared();
    weed.make_bucket("bucket").await;
    for (name, endpoint) in [("s3s", &server.endpoint), ("SeaweedFS", &weed.endpoint)] {
        let key = complaint(&instance, endpoint, PATH);
        assert_says(name, &key, &["access key", "AKIAEXAMPLE"]);
        let with = |key: &str, secret: &str, bucket: &str| {
            let file = instance.secret(secret);
            let args = s3_args("cold", bucket, endpoint, key, &file);
            instance.refused(&[&args[..], PATH].concat())["detail"]
                .as_str()
                .expect("a detail")
                .to_owned()
        };
        let secret = with(weed::KEY, "another", "bucket");
        assert_says(name, &secret, &["the secret access key is wrong", weed::KEY]);
        let bucket = with(weed::KEY, weed::SECRET, "nothere");
        assert_says(name, &bucket, &["the bucket is wrong", "does not exist", "--bucket"]);
    }
}

/// Adds a store on the test's own S3 service.
fn add_store(instance: &Instance, server: &s3::InProcess) {
    instance.add_s3("cold", "bucket", server, &["--prefix", "hay"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_what_the_key_may_not_do() {
    let instance = Instance::started("").await;
    let server = s3::in_process(s3::Faults::default()).await;
    server.make_bucket("bucket");
    add_store(&instance, &server);
    let check = instance.ok(&["store", "check", "cold"]);
    assert_eq!(check["ok"], true, "{check:#}");
    let forbid = |what| *server.faults.forbidden.lock().expect("unpoisoned") = what;
    let rights: [(s3::OfRequest, &str, &str); 4] = [
        (|line| line.starts_with("PUT "), "write", "s3:PutObject"),
        (
            |line| line.starts_with("GET ") && !line.contains("list-type"),
            "read_back",
            "s3:GetObject",
        ),
        (|line| line.contains("list-type"), "list", "s3:ListBucket"),
        (|line| line.starts_with("DELETE "), "delete", "s3:DeleteObject"),
    ];
    for (forbidden, step, right) in rights {
        forbid(Some(forbidden));
        let answer = instance.cli(&["store", "check", "cold"]);
        let check = answer.json();
        assert_eq!((answer.code, &check["ok"]), (1, &false.into()), "{right}: {check:#}");
        let steps = check["steps"].as_array().expect("steps");
        let found = steps.iter().find(|s| s["step"] == step).expect("the step");
        assert_eq!(found["ok"], false, "{right}: {check:#}");
        assert!(found["remedy"].as_str().is_some_and(|r| r.contains(right)), "{right}: {found:#}");
    }
    forbid(None);
    let check = instance.ok(&["store", "check", "cold"]);
    assert_eq!(check["ok"], true, "{check:#}");
}
