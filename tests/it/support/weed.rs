//! `SeaweedFS`, a real S3 server of other people's making, as a child process.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use s3::{Bucket, BucketConfiguration, Region, creds::Credentials};

use super::ports;

pub const KEY: &str = "testkey";
pub const SECRET: &str = "testsecret";

/// The server and the ways to it.
pub struct Weed {
    pub endpoint: String,
    // Closing its standard input ends it, also when this process is killed.
    _child: Mutex<Child>,
}

/// The one server of this test process, started when it is first asked for.
pub fn shared() -> &'static Weed {
    static WEED: OnceLock<Weed> = OnceLock::new();
    WEED.get_or_init(|| {
        for _ in 0..3 {
            if let Some(weed) = start() {
                return weed;
            }
        }
        panic!("SeaweedFS was started three times and never answered");
    })
}

impl Weed {
    /// A handle of rust-s3, an implementation that is not ours.
    pub fn bucket(&self, name: &str) -> Box<Bucket> {
        let credentials = Credentials::new(Some(KEY), Some(SECRET), None, None, None);
        let credentials = credentials.expect("credentials");
        Bucket::new(name, self.region(), credentials).expect("a bucket").with_path_style()
    }

    pub async fn make_bucket(&self, name: &str) {
        let credentials = Credentials::new(Some(KEY), Some(SECRET), None, None, None);
        let credentials = credentials.expect("credentials");
        let make = || {
            let (region, credentials) = (self.region(), credentials.clone());
            Bucket::create_with_path_style(
                name,
                region,
                credentials,
                BucketConfiguration::default(),
            )
        };
        // On a busy machine its S3 side answers 404 for a while before it knows its routes.
        for _ in 0..50 {
            if make().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        make().await.expect("the bucket is made");
    }

    fn region(&self) -> Region {
        Region::Custom { region: "us-east-1".to_owned(), endpoint: self.endpoint.clone() }
    }
}

fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("HAYLOFT_TEST_WEED") {
        return path.into();
    }
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/venv/bin/weed");
    if tool.exists() {
        return tool;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("weed"))
        .find(|p| p.exists())
        .expect("SeaweedFS (`weed`) is not here: `make tools` installs it")
}

/// A port whose gRPC side (10,000 above) is free too.
fn free_port() -> u16 {
    loop {
        let port = ports::claim();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn start() -> Option<Weed> {
    let dir = tempfile::tempdir().expect("a temporary directory").keep();
    let config = dir.join("s3.json");
    let text = format!(
        r#"{{"identities":[{{"name":"admin","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],
            "actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
    );
    std::fs::write(&config, text).expect("the configuration is written");
    let [s3, filer, master, volume, admin] = [0; 5].map(|_| free_port());
    // The shell ends the server and its files when our end of the pipe closes.
    let script = r#"dir=$1; shift; "$@" & cat >/dev/null; kill -9 $!; wait; rm -rf "$dir""#;
    let child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&dir)
        .arg(program())
        .arg("mini")
        .arg(format!("-dir={}", dir.display()))
        .arg(format!("-s3.config={}", config.display()))
        .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"])
        .args(["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
        .arg(format!("-s3.port={s3}"))
        .arg(format!("-filer.port={filer}"))
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={volume}"))
        .arg(format!("-admin.port={admin}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let weed = Weed { endpoint: format!("http://127.0.0.1:{s3}"), _child: Mutex::new(child) };
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if answers(s3) && answers(volume) {
            return Some(weed);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// True when something on the port speaks HTTP.
fn answers(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut socket) = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(1)));
    let asked = socket.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut begin = [0; 5];
    asked.is_ok() && socket.read_exact(&mut begin).is_ok() && begin == *b"HTTP/"
}
