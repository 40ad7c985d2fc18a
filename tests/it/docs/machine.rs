//! A machine as the guide describes it: its paths below one directory, its service run by a stand-in
//! for `systemctl` that starts and stops the real server, its S3 service a real one.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{bytes, ports, weed};

/// `$M` is the machine's directory. The server ends by itself, should the test be killed.
const SYSTEMCTL: &str = r#"#!/bin/bash
set -eu
stop() {
    [ -e "$M/pid" ] || return 0
    kill -TERM "$(cat "$M/pid")"
    while kill -0 "$(cat "$M/pid")" 2>/dev/null; do sleep 0.05; done
    rm "$M/pid"
}
start() {
    # As LoadCredential= of the unit does.
    rm -rf "$M/credentials"
    mkdir "$M/credentials"
    for file in "$M"/etc/credentials/*; do
        [ ! -e "$file" ] || install -m 400 "$file" "$M/credentials/s3_${file##*/}"
    done
    CREDENTIALS_DIRECTORY="$M/credentials" timeout 300 hayloft serve </dev/null >/dev/null 2>>"$M/server.log" &
    echo $! >"$M/pid"
    for _ in $(seq 200); do
        curl -sf "$BASE/readyz" >/dev/null && return
        sleep 0.1
    done
    cat "$M/server.log" >&2
    exit 1
}
[ "$2" = hayloft ]
case $1 in
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    reload) kill -HUP "$(cat "$M/pid")" ;;
    *) exit 2 ;;
esac
"#;

/// There are no other users here.
const SUDO: &str = r#"#!/bin/bash
words=()
while [ $# -gt 0 ]; do
    case $1 in
        -u | -o | -g) shift ;;
        *) words+=("$1") ;;
    esac
    shift
done
exec "${words[@]}"
"#;

pub struct Machine {
    dir: tempfile::TempDir,
    base: String,
    endpoint: String,
    buckets: [String; 2],
}

impl Machine {
    /// With a running server.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = ports::claim();
        let weed = weed::shared();
        let buckets = [(); 2].map(|()| format!("b{}", hayloft::random::hex(6)));
        for bucket in &buckets {
            weed.make_bucket(bucket).await;
        }
        let base = format!("http://127.0.0.1:{port}");
        let machine = Self { dir, base, endpoint: weed.endpoint.clone(), buckets };
        machine.furnish(port);
        machine.run("the start", "systemctl start hayloft");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn furnish(&self, port: u16) {
        for dir in ["bin", "etc", "etc/credentials", "home"] {
            std::fs::create_dir(self.path(dir)).expect("a directory");
        }
        symlink(env!("CARGO_BIN_EXE_hayloft"), self.path("bin/hayloft")).expect("a link");
        for (name, text) in [("systemctl", SYSTEMCTL), ("sudo", SUDO)] {
            let path = self.path("bin").join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("set");
        }
        let root = self.dir.path().display();
        let config = format!(
            "data_dir = \"{root}/data\"\nadmin_socket = \"{root}/admin.sock\"\nlisten = \"127.0.0.1:{port}\"\n\
             [maintenance]\nschedule = \"off\"\n"
        );
        std::fs::write(self.path("etc/config.toml"), config).expect("written");
        std::fs::write(self.path("home/holiday.jpg"), bytes(7, 100_000)).expect("written");
    }

    /// What stands for something else on a real machine.
    fn localised(&self, script: &str) -> String {
        let root = self.dir.path().display().to_string();
        let mut text = script.to_owned();
        for (there, here) in [
            ("/etc/hayloft/", format!("{root}/etc/")),
            ("/var/lib/hayloft", format!("{root}/data")),
            ("/srv/", format!("{root}/srv/")),
            ("/mnt/", format!("{root}/mnt/")),
            ("http://127.0.0.1:8700", self.base.clone()),
            ("https://s3.example.org", self.endpoint.clone()),
            ("AKIAEXAMPLE", weed::KEY.to_owned()),
            ("EXAMPLESECRET", weed::SECRET.to_owned()),
            ("my-archive", self.buckets[0].clone()),
            ("my-vault", self.buckets[1].clone()),
        ] {
            text = text.replace(there, &here);
        }
        text
    }

    /// Runs commands as the administrator types them; each has to succeed, but those that say
    /// `# exits 1`.
    pub fn run(&self, name: &str, script: &str) {
        let lines = self.localised(script);
        let lines = lines.lines().map(|line| match line.split_once("# exits 1") {
            Some((command, _)) => format!("code=0; {command} || code=$?; [ $code = 1 ]"),
            None => line.to_owned(),
        });
        let script = lines.collect::<Vec<_>>().join("\n");
        let path =
            format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c", &script])
            .current_dir(self.path("home"))
            .env("PATH", path)
            .env("M", self.dir.path())
            .env("BASE", &self.base)
            .env("HAYLOFT_CONFIG", self.path("etc/config.toml"))
            .env("AWS_ACCESS_KEY_ID", weed::KEY)
            .env("AWS_SECRET_ACCESS_KEY", weed::SECRET)
            .env_remove("HAYLOFT_SERVER")
            .stdin(Stdio::null())
            .output()
            .expect("bash");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{name}: {}\n{}\n{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.path("pid")) {
            // It may have ended by itself.
            Command::new("kill").args(["-TERM", pid.trim()]).status().ok();
        }
    }
}

/// The shell understands it.
pub fn assert_shell(name: &str, text: &str) {
    let checked = Command::new("bash").args(["-n", "-c", text]).output().expect("bash");
    assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
}
