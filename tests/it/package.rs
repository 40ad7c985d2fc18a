//! What the Debian package and the container are made of, as far as it shows without building them;
//! `make test-deb` does the rest.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hayloft::config::Config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// `Key=value` lines of the unit's sections; the values of a repeated key in a row.
fn unit() -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for line in read("packaging/systemd/hayloft.service").lines() {
        if let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            all.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    all
}

#[test]
fn the_unit_gives_the_service_what_it_needs_and_nothing_else() {
    let unit = unit();
    let one = |key: &str| unit.get(key).map(|v| v.join(" ")).unwrap_or_default();
    for (key, value) in [
        ("Type", "notify"),
        ("User", "hayloft"),
        ("StateDirectory", "hayloft"),
        ("RuntimeDirectory", "hayloft"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("NoNewPrivileges", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        ("SystemCallFilter", "@system-service ~@privileged @resources"),
        ("LoadCredential", "s3:/etc/hayloft/credentials"),
        ("ExecStart", "/usr/bin/hayloft serve"),
    ] {
        assert!(unit.contains_key(key), "{key} is not in the unit");
        assert_eq!(one(key), value, "{key}");
    }
    // Systemd's own directories are those of the built-in configuration.
    let config = Config::default();
    assert_eq!(config.data_dir, Path::new("/var/lib").join(one("StateDirectory")));
    let runtime = Path::new("/run").join(one("RuntimeDirectory"));
    assert_eq!(config.admin_socket.parent(), Some(runtime.as_path()));
    // Requests and the run of maintenance may each take the whole grant.
    let stop = Duration::from_secs(one("TimeoutStopSec").parse().expect("seconds"));
    assert!(stop >= config.limits.shutdown_timeout * 2 + Duration::from_secs(20), "{stop:?}");
    let descriptors: usize = one("LimitNOFILE").parse().expect("a number");
    assert!(descriptors > config.limits.max_connections * 3, "{descriptors}");
}

#[test]
fn the_files_of_the_package_are_there() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    for asset in deb["assets"].as_array().expect("assets") {
        let source = asset[0].as_str().expect("a path");
        // A pattern stands for what is in its directory.
        let there = source.split('*').next().unwrap_or_default();
        assert!(source.starts_with("target/") || root().join(there).exists(), "{source}");
    }
    let top = read("packaging/debian/changelog");
    let version =
        format!("({}-{})", env!("CARGO_PKG_VERSION"), deb["revision"].as_str().expect("it"));
    let first = top.lines().next().unwrap_or_default();
    assert!(first.contains(&version), "packaging/debian/changelog begins with {first}");
}

#[test]
fn the_packaged_configuration_states_nothing_but_the_defaults() {
    let file = root().join("packaging/debian/config.toml");
    let config = Config::load(Some(&file), []).expect("valid");
    assert_eq!(config, Config::default());
    // What it offers to uncomment is valid too.
    let text = std::fs::read_to_string(&file).expect("readable");
    let offered: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("# ")).collect();
    let offered: Vec<_> = offered.into_iter().filter(|l| l.contains(" = ")).collect();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("config.toml");
    std::fs::write(&copy, offered.join("\n")).expect("written");
    let config = Config::load(Some(&copy), []).expect("valid");
    assert!(offered.len() == 2 && config.public_url.is_some(), "{offered:?}");
}

#[test]
fn the_container_is_built_from_files_that_exist_and_serves_outside_itself() {
    let text = read("packaging/container/Containerfile");
    let mut environment = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["COPY", sources @ .., _] if !sources[0].starts_with("--from") => {
                for source in sources {
                    assert!(root().join(source).exists(), "{source}");
                }
            }
            ["ENV", setting] => {
                let (key, value) = setting.split_once('=').expect("KEY=value");
                environment.push((key.to_owned(), value.to_owned()));
            }
            _ => {}
        }
    }
    let empty = root().join("packaging/debian/config.toml");
    let config = Config::load(Some(&empty), environment).expect("valid settings");
    assert!(config.listen.ip().is_unspecified(), "{}", config.listen);
    assert!(text.contains(&format!("VOLUME {}\n", config.data_dir.display())));
}

/// A server whose standard error is `log`, started as systemd would.
struct Service {
    child: Child,
    dir: tempfile::TempDir,
    log: PathBuf,
    manager: UnixDatagram,
}

impl Service {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().display();
        let config = format!(
            "data_dir = \"{root}/data\"\nadmin_socket = \"{root}/admin.sock\"\nlisten = \"127.0.0.1:0\"\n"
        );
        std::fs::write(dir.path().join("config.toml"), config).expect("the configuration");
        let notify = dir.path().join("notify");
        let manager = UnixDatagram::bind(&notify).expect("a socket");
        manager.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let log = dir.path().join("log");
        let stderr = std::fs::File::create(&log).expect("a log");
        let stream = stderr.metadata().expect("its numbers");
        let child = Command::new(env!("CARGO_BIN_EXE_hayloft"))
            .args(["--config", &dir.path().join("config.toml").display().to_string(), "serve"])
            .env("NOTIFY_SOCKET", &notify)
            .env("WATCHDOG_USEC", "400000")
            .env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino()))
            .stderr(stderr)
            .stdout(Stdio::null())
            .spawn()
            .expect("the server starts");
        Self { child, dir, log, manager }
    }

    /// Waits for a message to the service manager.
    fn told(&self, wanted: &str) -> String {
        let begun = Instant::now();
        let mut buffer = [0; 4096];
        while begun.elapsed() < Duration::from_secs(20) {
            let length = self.manager.recv(&mut buffer).expect("a message");
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|line| line == wanted) {
                return message;
            }
        }
        panic!("{wanted} was never said");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_service_tells_systemd_how_it_is_and_writes_for_the_journal() {
    let mut service = Service::start();
    service.told("READY=1");
    service.told("WATCHDOG=1");
    std::fs::write(service.dir.path().join("config.toml"), "listen = 3").expect("broken");
    service.signal("-HUP");
    let begun = Instant::now();
    while !std::fs::read_to_string(&service.log).expect("the log").contains("SIGHUP") {
        assert!(begun.elapsed() < Duration::from_secs(20), "no answer to SIGHUP");
        std::thread::sleep(Duration::from_millis(20));
    }
    service.signal("-TERM");
    let stopping = service.told("STOPPING=1");
    // Twice the grant of 30 s, and 30 s for the catalogue.
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=90000000"), "{stopping}");
    assert!(service.child.wait().expect("ended").success());
    let log = std::fs::read_to_string(&service.log).expect("the log");
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");
    assert!(log.contains("<6>listening address=127.0.0.1:"), "{log}");
    assert!(log.contains("<3>error: SIGHUP: the configuration stays as it was"), "{log}");
    assert!(!log.contains('\x1b') && !log.contains("INFO") && !log.contains("hayloft::"), "{log}");
}
