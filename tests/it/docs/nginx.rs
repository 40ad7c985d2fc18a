//! The documented configuration of nginx, tested by nginx itself and used by a real client.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::guide;
use crate::support::instance::Instance;
use crate::support::{bytes, debian_tool, ports};

struct Nginx {
    dir: tempfile::TempDir,
    child: Option<Child>,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The master ends its workers at SIGTERM; it may have ended by itself.
            Command::new("kill").args(["-TERM", &child.id().to_string()]).status().ok();
            child.wait().ok();
        }
    }
}

/// The documented server block, its port and certificate those of this test.
fn configuration(instance: &Instance, port: u16, dir: &Path) -> String {
    let page = guide("proxy.md");
    let block = page.blocks.iter().find(|b| b.language == "nginx").expect("a block");
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let live = "/etc/letsencrypt/live/files.example.org";
    let server = block
        .text
        .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))
        .replace(&format!("{live}/fullchain.pem"), &tls.join("cert.pem").display().to_string())
        .replace(&format!("{live}/privkey.pem"), &tls.join("key.pem").display().to_string())
        .replace("http://127.0.0.1:8700", &instance.base);
    let dir = dir.display();
    format!(
        "daemon off;\npid {dir}/pid;\nerror_log {dir}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\nfastcgi_temp_path {dir}/f;\n\
         uwsgi_temp_path {dir}/u;\nscgi_temp_path {dir}/s;\n{server}}}\n"
    )
}

fn start(program: &Path, instance: &Instance) -> Nginx {
    let dir = tempfile::tempdir().expect("a directory");
    let port = ports::claim();
    let file = dir.path().join("nginx.conf");
    std::fs::write(&file, configuration(instance, port, dir.path())).expect("written");
    let command = || {
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file).stdin(Stdio::null());
        command
    };
    let tested = command().arg("-t").output().expect("nginx");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let child = command().stderr(Stdio::null()).spawn().expect("nginx");
    Nginx { dir, child: Some(child), port }
}

#[tokio::test]
async fn nginx_carries_uploads_and_downloads_as_documented() {
    let program = debian_tool("HAYLOFT_TEST_NGINX", "usr/sbin/nginx");
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "media"]);
    let nginx = start(&program, &instance);
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("one");
    let url = format!("https://127.0.0.1:{}/files/media/big.bin", nginx.port);
    // Larger than what nginx takes by default.
    let body = bytes(1, 5 << 20);
    let mut put = None;
    for _ in 0..50 {
        let request = client.put(&url).bearer_auth(instance.bearer()).body(body.clone());
        match request.send().await {
            Ok(answer) => {
                put = Some(answer);
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let log = || std::fs::read_to_string(nginx.dir.path().join("error.log")).unwrap_or_default();
    let put = put.unwrap_or_else(|| panic!("nginx did not answer: {}", log()));
    assert_eq!(put.status(), 201, "{}", log());
    let get = client.get(&url).bearer_auth(instance.bearer()).send().await.expect("an answer");
    assert_eq!(get.bytes().await.expect("a body"), body);
}
