//! A real server process with its command line, as an administrator has them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::weed::{self, Weed};
use super::{ports, s3};

/// The arguments that create an S3 store.
pub fn s3_args<'a>(
    name: &'a str,
    bucket: &'a str,
    endpoint: &'a str,
    key: &'a str,
    secret_file: &'a str,
) -> [&'a str; 12] {
    [
        "store",
        "create",
        name,
        "s3",
        "--bucket",
        bucket,
        "--endpoint",
        endpoint,
        "--access-key-id",
        key,
        "--secret-access-key-file",
        secret_file,
    ]
}

/// An instance in a directory of its own. The server ends with this value.
pub struct Instance {
    pub dir: tempfile::TempDir,
    pub base: String,
    child: Option<Child>,
    client: reqwest::Client,
    token: Option<String>,
}

/// What a command answered.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}\n{}", self.stdout, self.stderr))
    }

    /// The problem document on standard error.
    pub fn problem(&self) -> Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("no problem ({e}): {}", self.stderr))
    }
}

impl Instance {
    /// A new instance, not started; `settings` is added to its configuration.
    pub fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = ports::claim();
        let root = dir.path().display();
        let config = format!(
            "data_dir = \"{root}/data\"\nadmin_socket = \"{root}/admin.sock\"\nlisten = \"127.0.0.1:{port}\"\n{settings}"
        );
        std::fs::write(dir.path().join("config.toml"), config).expect("the configuration");
        Self {
            dir,
            base: format!("http://127.0.0.1:{port}"),
            child: None,
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            token: None,
        }
    }

    /// A running instance without a timer, with a write token for the port.
    pub async fn started(settings: &str) -> Self {
        let mut instance = Self::new(&format!("{settings}\n[maintenance]\nschedule = \"off\"\n"));
        instance.start_and_sign_in().await;
        instance
    }

    /// Starts a new instance; requests to the port carry a token from now on.
    pub async fn start_and_sign_in(&mut self) {
        self.start().await;
        self.make_token();
    }

    /// Makes the admin token that requests to the port carry.
    pub fn make_token(&mut self) {
        let made = self.ok(&["token", "create", "--name", "t", "--role", "admin"]);
        self.token = made["token"].as_str().map(str::to_owned);
    }

    /// The token that requests to the port carry.
    pub fn bearer(&self) -> String {
        self.token.clone().expect("a started instance has a token")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn local_root(&self) -> PathBuf {
        self.path("data/store")
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// The command line of this instance, without anybody at its standard input.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hayloft"));
        command.arg("--config").arg(self.path("config.toml"));
        command.stdin(Stdio::null());
        command
    }

    pub async fn start(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("server.log"))
            .expect("a log");
        let child = self.command().arg("serve").stderr(log).stdout(Stdio::null()).spawn();
        self.child = Some(child.expect("the server starts"));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if let Ok(answer) = self.client.get(format!("{}/readyz", self.base)).send().await
                && answer.status().is_success()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server did not start: {}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    /// Sends a signal to the server.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// SIGTERM, and waits for an orderly end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
            assert!(sent.success());
            assert!(child.wait().expect("ended").success(), "{}", self.log());
        }
    }

    /// Runs a command with `--json`.
    pub fn cli(&self, args: &[&str]) -> Answer {
        let output = self.command().arg("--json").args(args).output().expect("the command runs");
        answer(output)
    }

    /// Runs a command as people do.
    pub fn plain(&self, args: &[&str]) -> Answer {
        answer(self.command().args(args).output().expect("the command runs"))
    }

    /// Runs a command that must succeed; its JSON, or null when it prints nothing.
    pub fn ok(&self, args: &[&str]) -> Value {
        let answer = self.cli(args);
        assert_eq!(
            answer.code,
            0,
            "{args:?}\n{}\n{}\n{}",
            answer.stdout,
            answer.stderr,
            self.log()
        );
        if answer.stdout.trim().is_empty() { Value::Null } else { answer.json() }
    }

    /// Runs a command for people; all that it says, whether it succeeds or not.
    pub fn said(&self, args: &[&str]) -> String {
        let said = answer(self.command().args(args).output().expect("the command runs"));
        said.stdout + &said.stderr
    }

    /// Runs a command that must be refused with exit 1; its problem document.
    pub fn refused(&self, args: &[&str]) -> Value {
        let answer = self.cli(args);
        assert_eq!(answer.code, 1, "{args:?}\n{}\n{}", answer.stdout, answer.stderr);
        answer.problem()
    }

    /// A vacuum run that must end `complete`.
    pub fn vacuum(&self) -> Value {
        let run = self.ok(&["-v", "vacuum"]);
        assert_eq!(run["outcome"], "complete", "{run:#}");
        run
    }

    /// Asserts that another run would do nothing.
    pub fn assert_settled(&self) {
        let plan = self.ok(&["vacuum", "--dry-run"]);
        assert_eq!(plan["moves"], Value::Array(vec![]), "{plan:#}");
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn put(&self, path: &str, body: bytes::Bytes) -> reqwest::Response {
        let request = self.request(reqwest::Method::PUT, &format!("/files/{path}"));
        request.body(body).send().await.expect("an answer")
    }

    pub async fn put_ok(&self, path: &str, body: bytes::Bytes) -> Value {
        let answer = self.put(path, body).await;
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{status} {text}\n{}", self.log());
        serde_json::from_str(&text).expect("JSON")
    }

    /// GET without following redirects.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.request(reqwest::Method::GET, &format!("/files/{path}"));
        request.send().await.expect("an answer")
    }

    /// The file's bytes, through a redirect if there is one. The redirect's target never sees our
    /// token.
    pub async fn fetch(&self, path: &str) -> bytes::Bytes {
        let answer = self.get(path).await;
        let answer = match answer.headers().get("location") {
            Some(url) => {
                let url = url.to_str().expect("a URL").to_owned();
                self.client.get(url).send().await.expect("an answer")
            }
            None => answer,
        };
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.expect("a body")
    }

    /// Creates an S3 store in a fresh bucket of the real S3 server.
    pub async fn add_cloud(&self, name: &str, more: &[&str]) -> (&'static Weed, String) {
        let server = weed::shared();
        let bucket = format!("b{}", hayloft::random::hex(6));
        server.make_bucket(&bucket).await;
        let secret = self.secret(weed::SECRET);
        let args = s3_args(name, &bucket, &server.endpoint, weed::KEY, &secret);
        self.ok(&[&args[..], &["--path-style", "--prefix", "hay"], more].concat());
        (server, bucket)
    }

    /// Creates an S3 store in a bucket of a service that the test runs itself.
    pub fn add_s3(&self, name: &str, bucket: &str, server: &s3::InProcess, more: &[&str]) {
        let secret = self.secret(s3::SECRET);
        let args = s3_args(name, bucket, &server.endpoint, s3::KEY, &secret);
        self.ok(&[&args[..], &["--path-style"], more].concat());
    }

    /// Writes a secret access key into a file; its path.
    pub fn secret(&self, secret: &str) -> String {
        let path = self.path("secret");
        std::fs::write(&path, secret).expect("the secret");
        path.display().to_string()
    }

    /// `scope show`'s row of one store.
    pub fn link(&self, scope: &str, store: &str) -> Value {
        let view = self.ok(&["scope", "show", scope]);
        let rows = view["stores"].as_array().expect("rows").clone();
        rows.into_iter().find(|r| r["store"] == store).unwrap_or_else(|| panic!("{view:#}"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Names of all objects below a directory, relative and sorted.
pub fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                todo.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(root).expect("below").display().to_string();
                found.push(name);
            }
        }
    }
    found.sort();
    found
}
