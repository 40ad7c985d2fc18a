//! The command line of SPEC 9: what is accepted, what is refused, and what the help says.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use hayloft::cli::args::Cli;

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("hayloft").chain(line.split_whitespace()).map(OsString::from).collect()
}

#[test]
fn the_tree_is_sound() {
    Cli::command().debug_assert();
}

/// Every form of SPEC 9, and the aliases.
const ACCEPTED: &str = "
serve
check-config
status
verify
verify --read --repair
completions bash
man /tmp/man
scope create media
scope create media --store cold --store big --no-local
scope list
scope show media
scope show media --json
--json scope show media
scope --json show media
-v --config /etc/x.toml --server http://h:1 scope list
scope delete media --force
scope manage media add-store cold
scope manage media add-store cold --upload-priority 100 --download-priority none --populate
scope manage media add-store cold --upload-priority -5 --no-populate --drain --read-only
scope manage media edit-store cold --drain-to local --no-read-only --write-only --force
scope manage media edit-store cold --no-drain --no-write-only --soft-max-size 80GB
scope manage media edit-store cold --soft-max-size none
scope manage media edit-store cold --policy {\"populate\":true}
scope manage media edit-store cold --upload-priority 5 --policy {\"drain\":\"local\"}
scope manage media remove-store cold --force
scope manage media default-store cold
scope manage media set --public-read
scope manage media set --no-public-read
store create big local --root /mnt/big --adopt --no-instance-wide --soft-max-size 1TB --max-size 2TB
store create cold s3 --bucket b
store create cold s3 --bucket b --prefix p --region r --endpoint http://e --public-endpoint http://p \
--path-style --storage-class GLACIER --serve proxy --presign-ttl 60s --checksum readback \
--access-key-id ID --secret-access-key-file - --instance-wide --adopt
store create cold s3 --bucket b --credentials env
store create cold s3 --bucket b --credentials file:/etc/key --checksum none --serve redirect
store manage cold --max-size none --presign-ttl 10s --no-path-style --endpoint http://e
store manage cold --access-key-id ID --secret-access-key-file /etc/hayloft/secret
store list
store show cold
store check cold
store evacuation cold --list
store reconcile cold
store sweep cold --confirm
store delete cold
store delete cold --force --report /tmp/lost
vacuum
vacuum -v
vacuum --dry-run --json
vacuum --detach
vacuum history
vacuum show 12 -v
vacuum -v show 12
vacuum --json show 12
vacuum pause
vacuum resume
vacuum cancel
file put media a.jpg
file put media - x/y.sql
file put media a.jpg x.jpg --content-type image/jpeg
file get media x/y -o z
file list media
file list media photos/
file show media x
file explain media x
file delete media x
file undelete media x
token create --name ci --role write --scope media --expires 90d
token create --name root --role admin
token list
token revoke 01J
token link
import workspaces w.json
import directory media /srv --prefix p
vacuum-file-store --dry-run
vacuum-file-store history
create-file-store cold s3 --bucket b
create-file-store big local --root /mnt/big
delete-file-store cold --force --report r
";

#[test]
fn every_form_of_the_command_line_is_accepted() {
    let text = ACCEPTED.replace("\\\n", " ");
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Err(e) = Cli::read(words(line)) {
            panic!("{line}\n{e}");
        }
    }
}

const REFUSED: &str = "
frobnicate
scope create 1bad
scope create none
scope manage media edit-store cold --drain --no-drain
scope manage media edit-store cold --drain --drain-to local
scope manage media edit-store cold --populate --no-populate
scope manage media edit-store cold --policy {} --populate
scope manage media edit-store cold --upload-priority 99999999999
scope manage media edit-store cold --soft-max-size 80XB
scope manage media set
scope manage media edit-store cold
scope manage media edit-store cold --force
store manage cold
scope manage media set --public-read --no-public-read
store create cold s3
store create big local
store create cold s3 --bucket b --access-key-id ID
store create cold s3 --bucket b --secret-access-key-file x
store create cold s3 --bucket b --credentials env --access-key-id ID --secret-access-key-file x
store create cold s3 --bucket b --credentials vault
store create cold s3 --bucket b --credentials file:relative
store create cold s3 --bucket b --presign-ttl 5s
store create cold s3 --bucket b --presign-ttl 2h
store create cold s3 --bucket b --checksum md5
store create cold s3 --bucket b --secret-access-key topsecret
store manage cold --bucket other
store delete cold --report x
vacuum --dry-run --detach
vacuum --dry-run history
vacuum show x
file put media
file get media ../x
file show media a//b
token create --name x
token create --name x --role owner
token create --name x --role read --expires tomorrow
";

#[test]
fn wrong_usage_is_refused() {
    for line in REFUSED.lines().filter(|line| !line.is_empty()) {
        let e = Cli::read(words(line)).expect_err(line);
        assert_eq!(e.exit_code(), 2, "{line}");
    }
}

#[test]
fn what_lacks_an_option_is_told_with_its_own_usage() {
    for (line, usage) in [
        ("scope manage media edit-store local", "hayloft scope manage <NAME> edit-store"),
        ("store manage cold", "hayloft store manage"),
    ] {
        let e = Cli::read(words(line)).expect_err(line).to_string();
        assert!(e.contains("nothing to change") && e.contains(usage), "{e}");
    }
}

fn visit(command: &clap::Command, path: &str, check: &mut impl FnMut(&clap::Command, &str)) {
    check(command, path);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        visit(sub, &format!("{path} {}", sub.get_name()), check);
    }
}

/// The first example of a command's help, without what the shell adds.
fn example(help: &str) -> Option<String> {
    let after = help.split_once("Example")?.1.split_once("hayloft ")?.1;
    let unfolded = after.replace("\\\n", " ");
    let line = unfolded.lines().next()?;
    let line = line.split_once("   ").map_or(line, |(command, comment)| {
        if comment.trim_start().starts_with("--") { line } else { command }
    });
    Some(line.split([' ']).take_while(|w| !matches!(*w, "|" | ">")).collect::<Vec<_>>().join(" "))
}

#[test]
fn every_command_has_an_example_that_is_accepted() {
    visit(&Cli::command(), "hayloft", &mut |command, path| {
        if command.has_subcommands() && command.get_after_help().is_none() {
            return;
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let Some(example) = example(&help) else {
            assert!(command.has_subcommands(), "{path} has no example");
            return;
        };
        if let Err(e) = Cli::read(words(&example)) {
            panic!("{path}: {example}\n{e}");
        }
    });
}

#[test]
fn every_command_and_option_says_what_it_does() {
    visit(&Cli::command(), "hayloft", &mut |command, path| {
        assert!(command.get_about().is_some(), "{path} says nothing about itself");
        for option in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let id = option.get_id().as_str();
            assert!(option.get_help().is_some(), "{path} --{id} says nothing about itself");
        }
    });
}

// ---- the real program, without a server ----

fn hayloft(config: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hayloft"))
        .args(line.split_whitespace())
        .env("HAYLOFT_CONFIG", config)
        .env_remove("HAYLOFT_SERVER")
        .env_remove("HAYLOFT_TOKEN")
        .output()
        .expect("run hayloft")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exit_codes_are_0_1_and_2() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "metrics_public = true\n").expect("write");
    let good = hayloft(&config, "check-config");
    assert_eq!(good.status.code(), Some(0));
    assert!(text(&good.stdout).contains("metrics_public = true"));
    assert_eq!(hayloft(&config, "frobnicate").status.code(), Some(2));
    assert_eq!(hayloft(&config, "--help").status.code(), Some(0));
    std::fs::write(&config, "metrics_public = 3\n").expect("write");
    let bad = hayloft(&config, "check-config");
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("line 1"), "{}", text(&bad.stderr));
}

#[test]
fn a_certificate_that_cannot_be_used_fails_the_check_of_the_configuration() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let check = |certificate: &Path, key: &str| {
        let key = tls.join(key);
        let data = dir.path().join("data");
        let text =
            format!("data_dir = {data:?}\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        std::fs::write(&config, text).expect("write");
        let out = hayloft(&config, "check-config");
        (out.status.code(), text_of(&out))
    };
    let (code, said) = check(&tls.join("cert.pem"), "key.pem");
    assert!(code == Some(0) && said.contains("# The certificate and its key are good"), "{said}");
    let (code, said) = check(&dir.path().join("none.pem"), "key.pem");
    assert!(
        code == Some(1) && said.contains("tls.certificate: ") && said.contains("none.pem"),
        "{said}"
    );
    let (code, said) = check(&tls.join("cert.pem"), "cert.pem");
    assert!(code == Some(1) && said.contains("tls.key: "), "{said}");
}

fn text_of(out: &Output) -> String {
    text(&out.stdout) + &text(&out.stderr)
}

#[test]
fn under_json_an_error_is_a_problem_document_on_standard_error() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "").expect("write");
    // Port 9 of this machine: nobody listens there.
    let out = hayloft(&config, "--server http://127.0.0.1:9 --json scope list");
    assert_eq!(out.status.code(), Some(1));
    assert!(out.stdout.is_empty());
    let problem: hayloft::api::Problem =
        serde_json::from_slice(&out.stderr).expect("a problem document");
    assert!(problem.detail.to_string().contains("http://127.0.0.1:9"), "{}", problem.detail);
}

#[test]
fn under_json_wrong_usage_is_a_problem_document_too() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "").expect("write");
    for (line, said) in [
        ("--json scope create true", "\"true\" is not a valid name"),
        ("scope list --json --colour", "--colour"),
        ("--json scope manage s edit-store local", "nothing to change"),
    ] {
        let out = hayloft(&config, line);
        assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{line}");
        let problem: hayloft::api::Problem =
            serde_json::from_slice(&out.stderr).expect("a problem document");
        assert_eq!(problem.kind, "wrong-usage");
        assert!(problem.detail.to_string().contains(said), "{}", problem.detail);
        assert!(!problem.detail.to_string().contains("Usage:"), "{}", problem.detail);
    }
    let help = hayloft(&config, "--json scope --help");
    assert!(help.status.success() && text(&help.stdout).contains("Usage:"));
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, format!("data_dir = {:?}\n", dir.path().join("data"))).expect("write");
    let config = config.display().to_string();
    let run = |words: &[&str], config: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hayloft"));
        command.args(words).env("HAYLOFT_CONFIG", config).env("HAYLOFT_SERVER", "");
        command.env_remove("HAYLOFT_TOKEN").output().expect("run hayloft")
    };
    for (words, variable) in [
        (vec!["--config", &config, "check-config"], ""),
        (vec!["check-config", "--config", &config], ""),
        (vec!["check-config"], config.as_str()),
        (vec!["--config", &config, "check-config"], "/nonexistent"),
    ] {
        let out = run(&words, variable);
        assert_eq!(out.status.code(), Some(0), "{words:?} {variable:?} {}", text_of(&out));
        let data = dir.path().join("data").display().to_string();
        assert!(text_of(&out).contains(&data), "{words:?} {variable:?} {}", text_of(&out));
    }
    // Who gives the option has to give a file.
    assert_eq!(run(&["--config", "", "check-config"], &config).status.code(), Some(1));
}

#[test]
fn completions_and_manual_pages_are_made() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "").expect("write");
    for shell in ["bash", "zsh", "fish"] {
        let out = hayloft(&config, &format!("completions {shell}"));
        assert!(text(&out.stdout).contains("vacuum"), "{shell}");
    }
    let man = dir.path().join("man");
    assert!(hayloft(&config, &format!("man {}", man.display())).status.success());
    assert!(man.join("hayloft.1").exists() && man.join("hayloft-scope-show.1").exists());
}
