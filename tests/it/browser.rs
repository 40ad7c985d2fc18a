//! The admin page in a real browser: each test runs one script of `tests/browser` against a server
//! of its own. `make tools` installs what they need.

mod pictures;
mod realistic;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::support::instance::Instance;
use super::support::weed;

/// A script that takes longer hangs.
const SCRIPT_MAX: Duration = Duration::from_mins(15);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// The program named by `variable`, else the one that `make tools` brought, else the system's.
fn program(variable: &str, tool: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(tool);
    if tool.exists() {
        return tool;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|p| p.exists())
        .unwrap_or_else(|| panic!("{} is not here: `make tools` installs it", names[0]))
}

/// Runs a script against the instance; fails with what it printed.
async fn drive(instance: &Instance, script: &str, more: &[(&str, String)]) {
    let modules = scripts().join("node_modules/playwright-core");
    assert!(modules.exists(), "playwright-core is not here: `make tools` installs it");
    let scratch = instance.path("scratch");
    std::fs::create_dir_all(&scratch).expect("a directory for the script");
    let mut command = Command::new("timeout");
    command
        .arg(SCRIPT_MAX.as_secs().to_string())
        .arg(program("HAYLOFT_TEST_NODE", "node/bin/node", &["node"]))
        .args(["--test", "--test-reporter=spec"])
        .arg(scripts().join(script))
        .env(
            "HAYLOFT_TEST_CHROMIUM",
            program("HAYLOFT_TEST_CHROMIUM", "chromium", &["chromium", "chromium-browser"]),
        )
        .env("HAYLOFT_URL", &instance.base)
        .env("HAYLOFT_TOKEN", instance.bearer())
        .env("HAYLOFT_SCRATCH", scratch)
        .env("NO_COLOR", "1")
        .envs(more.iter().map(|(name, value)| (name, value)));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined");
    let output = output.expect("`timeout` runs");
    assert!(
        output.status.success(),
        "{script}: {}\n{}\n{}\nThe server's log:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        instance.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_and_out_tokens_and_the_list_of_changes() {
    let instance = Instance::started("").await;
    drive(&instance, "access.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_is_foreseen_started_watched_paused_and_cancelled() {
    // Slow enough for a run to be seen at work.
    let mut instance = Instance::new("[maintenance]\nschedule = \"off\"\nbandwidth = \"2MB\"\n");
    instance.start_and_sign_in().await;
    drive(&instance, "vacuum.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_fits_a_phone_and_bears_harmful_names() {
    let instance = Instance::started("").await;
    drive(&instance, "pages.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_changed_with_their_effect_shown_before() {
    let instance = Instance::started("").await;
    drive(&instance, "scopes.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_made_with_live_checks_limited_and_deleted_with_care() {
    let instance = Instance::started("").await;
    let server = weed::shared();
    server.make_bucket("browser").await;
    let s3 = [
        ("HAYLOFT_S3_ENDPOINT", server.endpoint.clone()),
        ("HAYLOFT_S3_KEY", weed::KEY.to_owned()),
        ("HAYLOFT_S3_SECRET", weed::SECRET.to_owned()),
    ];
    drive(&instance, "stores.test.js", &s3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_downloaded_deleted_brought_back_and_explained() {
    let instance = Instance::started("").await;
    drive(&instance, "files.test.js", &[]).await;
}
