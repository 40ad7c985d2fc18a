//! The command line with a running server and without one (SPEC 9).

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::bytes;
use crate::support::instance::Instance;

fn alone() -> Instance {
    Instance::new("[maintenance]\nschedule = \"off\"\n")
}

/// A file with the given content, below the instance's directory.
fn source(instance: &Instance, name: &str, content: &[u8]) -> String {
    let path = instance.path(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    std::fs::write(&path, content).expect("write");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_without_a_server_is_there_when_one_starts() {
    let mut instance = alone();
    instance.ok(&["scope", "create", "s"]);
    let content = bytes(1, 100_000);
    let file = source(&instance, "in/a b?.bin", &content);
    instance.ok(&["file", "put", "s", &file, "x/a b?.bin"]);
    let back = instance.path("back");
    instance.ok(&["file", "get", "s", "x/a b?.bin", "-o", &back.display().to_string()]);
    assert_eq!(std::fs::read(&back).expect("read"), content);
    assert_eq!(instance.vacuum()["moved"]["files"], 0);
    instance.start().await;
    let list = instance.ok(&["file", "list", "s"]);
    assert_eq!(list["entries"][0]["path"], "x/a b?.bin");
    instance.stop();
    assert_eq!(instance.ok(&["verify", "--read"])["ok"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_server_cannot_be_detached() {
    let instance = alone();
    let problem = instance.refused(&["vacuum", "--detach"]);
    assert!(problem["detail"].as_str().expect("detail").contains("start the server"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_no_server() {
    let mut instance = alone();
    drop(UnixListener::bind(instance.path("admin.sock")).expect("bind"));
    assert!(instance.path("admin.sock").exists());
    instance.ok(&["scope", "create", "s"]);
    instance.start().await;
    assert_eq!(instance.ok(&["scope", "list"])[0]["name"], "s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_a_server_that_is_just_starting() {
    let mut instance = alone();
    instance.ok(&["scope", "create", "s"]);
    instance.start().await;
    std::fs::rename(instance.path("admin.sock"), instance.path("elsewhere")).expect("rename");
    let back = (instance.path("elsewhere"), instance.path("admin.sock"));
    let later = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(700));
        std::fs::rename(back.0, back.1).expect("rename");
    });
    assert_eq!(instance.ok(&["scope", "list"])[0]["name"], "s");
    later.join().expect("joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_own_the_data_is_told_what_to_type() {
    let instance = alone();
    instance.ok(&["scope", "create", "s"]);
    let data = instance.path("data");
    let given = Command::new("chown").arg("-R").arg("nobody").arg(&data).output().expect("chown");
    if !given.status.success() {
        // Only root can give files away.
        return;
    }
    let problem = instance.refused(&["scope", "list"]);
    let detail = problem["detail"].as_str().expect("detail");
    assert!(detail.contains("sudo -u nobody hayloft --config"), "{detail}");
    assert!(detail.contains("scope list"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_imported_whole_and_links_are_skipped() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    for i in 0..1100 {
        source(&instance, &format!("tree/d{}/f{i:04}", i % 7), format!("content {i}").as_bytes());
    }
    std::os::unix::fs::symlink("/etc/passwd", instance.path("tree/link")).expect("a link");
    let tree = instance.path("tree").display().to_string();
    let done = instance.ok(&["import", "directory", "s", &tree, "--prefix", "p"]);
    assert_eq!((&done["files"], &done["skipped"]), (&1100.into(), &1.into()));
    // More than a page.
    let listed = instance.ok(&["file", "list", "s", "p/"]);
    let entries = listed["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 1100);
    assert!(entries.iter().any(|e| e["path"] == "p/d0/f0007"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_fails_the_import_and_not_the_others() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    source(&instance, "tree/good", b"good");
    source(&instance, "tree/bad\nname", b"bad");
    let tree = instance.path("tree").display().to_string();
    let problem = instance.refused(&["import", "directory", "nowhere", &tree]);
    assert_eq!(problem["type"], "unknown-scope", "told once: {problem}");
    let answer = instance.cli(&["import", "directory", "s", &tree]);
    assert_eq!(answer.code, 1);
    let done = answer.json();
    assert_eq!((&done["files"], &done["failed"]), (&1.into(), &1.into()));
    let error = &done["errors"][0];
    assert!(error["path"].as_str().expect("a path").ends_with("tree/bad\nname"), "{done}");
    assert!(error["detail"].as_str().expect("a detail").contains("control"), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_leaves_links_and_devices_what_they_are() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let content = bytes(1, 1000);
    instance.put_ok("s/x", content.clone()).await;
    let get = |target: &Path| {
        instance.ok(&["file", "get", "s", "x", "-o", &target.display().to_string()]);
    };
    let (real, link, dangling) =
        (instance.path("real"), instance.path("link"), instance.path("dangling"));
    std::fs::write(&real, "old").expect("write");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    std::os::unix::fs::symlink("real", &link).expect("a link");
    std::os::unix::fs::symlink("made", &dangling).expect("a link");
    get(&link);
    get(&dangling);
    for (link, file) in [(&link, "real"), (&dangling, "made")] {
        assert!(std::fs::symlink_metadata(link).expect("there").is_symlink());
        assert_eq!(std::fs::read(instance.path(file)).expect("read"), content);
    }
    assert_eq!(mode_of(&real) & 0o777, 0o600);
    // A pipe stands for devices, which only root could make.
    let pipe = instance.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let read_end = pipe.clone();
    let reader = std::thread::spawn(move || std::fs::read(read_end).expect("read"));
    get(&pipe);
    assert_eq!(reader.join().expect("joined"), content);
    assert!(!std::fs::symlink_metadata(&pipe).expect("there").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_can_be_done_about_it() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "100"]);
    let (small, large) = (source(&instance, "a", &[1; 60]), source(&instance, "b", &[2; 200]));
    let server = ["--server", &instance.base];
    instance.ok(&["file", "put", "s", &small, "a"]);
    for (words, told) in [
        (&["file", "put", "nope", &small][..], "`hayloft scope list`"),
        (&["file", "list", "nope"], "no scope \"nope\""),
        (&["file", "put", "s", &large], "--max-size SIZE"),
        (&["file", "put", "s", &source(&instance, "c", &[3; 60])], "add-store STORE"),
        (&["vacuum", "cancel"], "no run is at work"),
        (&["vacuum", "pause"], "no run is at work"),
        (&["token", "create", "--name", "t", "--role", "read", "--expires", "0d"], "24h or 90d"),
        (&[server[0], server[1], "scope", "list"], "--token-file FILE"),
    ] {
        let problem = instance.refused(words);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(told), "{words:?}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_told_by_status_at_once() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.ok(&["store", "manage", "local", "--max-size", "100"]);
    let full = || {
        let status = instance.ok(&["status"]);
        let all = status["attention"].as_array().expect("a list").clone();
        all.into_iter().find(|a| a["what"].as_str().expect("text").contains("its hard limit"))
    };
    instance.put_ok("s/a", bytes(1, 60)).await;
    assert_eq!(full(), None);
    instance.put_ok("s/b", bytes(2, 40)).await;
    assert_eq!(full().expect("told")["command"], "hayloft store manage local --max-size SIZE");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_first_that_the_store_is_unavailable() {
    let instance = Instance::started("").await;
    let root = instance.path("big");
    instance.ok(&["store", "create", "big", "local", "--root", &root.display().to_string()]);
    instance.ok(&["scope", "create", "s", "--no-local", "--store", "big"]);
    instance.put_ok("s/a", bytes(1, 60)).await;
    // Made by the server for itself, whatever its umask was.
    assert_eq!(mode_of(&root) & 0o777, 0o700);
    std::fs::rename(&root, instance.path("away")).expect("rename");
    let why = &instance.ok(&["file", "explain", "s", "a"])["explained"][0]["why"];
    let why = why.as_str().expect("a reason");
    assert!(why.starts_with("the store is unavailable: run `hayloft store check big`; "), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_refused_prints_nothing_but_the_refusal() {
    let instance = Instance::started("").await;
    let answer = instance.cli(&["file", "list", "nope"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""));
    assert_eq!(answer.problem()["status"], 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_undoes_a_deletion_is_quoted_for_the_shell() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    instance.put_ok("s/x;%20touch%20y", bytes(1, 10)).await;
    let said = instance.said(&["file", "delete", "s", "x; touch y"]);
    assert!(said.contains("hayloft file undelete s 'x; touch y'"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_deletion_reports_what_is_lost() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let put = instance.put_ok("s/x", bytes(1, 10)).await;
    let refused = instance.refused(&["store", "delete", "local"]);
    assert!(refused["detail"].as_str().expect("detail").contains("drain"), "{refused}");
    let report = instance.path("lost");
    let lost = report.display().to_string();
    let answer = instance.ok(&["store", "delete", "local", "--force", "--report", &lost]);
    assert_eq!(answer["lost_files"], 1);
    let digests = std::fs::read_to_string(report).expect("the report");
    assert_eq!(digests.trim(), put["digest"].as_str().expect("digest"));
    assert_eq!(instance.get("s/x").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_written_stops_the_deletion() {
    let instance = Instance::started("").await;
    instance.refused(&["store", "delete", "local", "--force", "--report", "/nonexistent/lost"]);
    assert_eq!(instance.ok(&["store", "show", "local"])["name"], "local");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_and_a_token_do_what_the_socket_does() {
    let instance = Instance::started("").await;
    instance.ok(&["scope", "create", "s"]);
    let made = instance.ok(&["token", "create", "--name", "cli", "--role", "admin"]);
    let token = source(&instance, "token", made["token"].as_str().expect("token").as_bytes());
    let server = ["--server", &instance.base];
    let remote = |more: &[&str]| instance.cli(&[&server[..], more].concat());
    let list = remote(&["--token-file", &token, "scope", "list"]);
    assert_eq!(list.json(), instance.ok(&["scope", "list"]));
    let nobody = remote(&["scope", "list"]);
    assert_eq!((nobody.code, &nobody.problem()["status"]), (1, &401.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_shows_the_secret_of_a_store() {
    let instance = Instance::started("[log]\nlevel = \"trace\"").await;
    let (_, _bucket) = instance.add_cloud("cloud", &[]).await;
    let secret = crate::support::weed::SECRET;
    for args in [
        &["store", "show", "cloud"][..],
        &["store", "list"],
        &["store", "check", "cloud"],
        &["status"],
        &["check-config"],
    ] {
        let answer = instance.cli(args);
        let all = format!("{}{}", answer.stdout, answer.stderr);
        assert!(!all.contains(secret), "{args:?}: {all}");
    }
    assert!(!instance.log().contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_socket_is_for_owner_and_group() {
    let instance = Instance::started("").await;
    let mode = mode_of(&instance.path("admin.sock"));
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(mode_of(&instance.path("data/hayloft.redb")) & 0o777, 0o600);
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("metadata").permissions().mode()
}
