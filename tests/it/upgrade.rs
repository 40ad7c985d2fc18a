//! Catalogues of earlier versions open in this one, newer ones are refused, and a rehearsal changes
//! nothing.
//!
//! `tests/fixtures/catalogues` holds one archive per released version: data directory and stores of an
//! instance that `an_instance_with_something_in_every_table` made. Their roots are recorded below
//! `/proc/self/cwd`, so that a program that is started in the unpacked directory finds them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hayloft::catalogue::{Catalogue, CatalogueError, Options, Tx, values};
use hayloft::domain::{BackendConfig, FilePath, Replica, ReplicaState, Timestamp};
use serde_json::{Value, json};

use crate::support::instance::{Answer, Instance};
use crate::support::{bytes, digest, object_name};

/// What the archives hold: (scope, path, seed, length).
const FILES: [(&str, &str, u64, usize); 5] = [
    ("media", "photos/one.jpg", 1, 700),
    ("media", "photos/two.jpg", 2, 400),
    ("media", "Größe/drei", 3, 0),
    ("backup", "one-again", 1, 700),
    ("backup", "four", 4, 900),
];
const DELETED: (&str, &str, u64, usize) = ("media", "photos/gone.jpg", 5, 300);
/// The bytes that were in the store `old` before Hayloft.
const ADOPTED: (u64, usize) = (6, 250);
/// In no scope any more, and not yet deleted.
const UNREFERENCED: (u64, usize) = (7, 123);
/// Lost from the store `vault`, which recorded it.
const MISSING: &str = "photos/two.jpg";

fn archives() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/catalogues");
    let entries = std::fs::read_dir(dir).expect("the fixtures");
    let mut all: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    all.sort();
    assert!(!all.is_empty(), "a version was released, so there is a fixture");
    all
}

/// An unpacked archive.
struct Old {
    dir: tempfile::TempDir,
}

impl Old {
    fn unpack(archive: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir.path()).status();
        assert!(tar.expect("tar runs").success(), "{}", archive.display());
        let root = dir.path().display();
        let config = format!(
            "data_dir = \"{root}/data\"\nadmin_socket = \"{root}/admin.sock\"\nlisten = \"127.0.0.1:0\"\n\
             [maintenance]\nschedule = \"off\"\n"
        );
        std::fs::write(dir.path().join("config.toml"), config).expect("the configuration");
        Self { dir }
    }

    fn catalogue(&self) -> PathBuf {
        self.dir.path().join("data/hayloft.redb")
    }

    fn open(&self) -> Arc<Catalogue> {
        Catalogue::open(&self.catalogue(), &Options::default()).expect("opens in this version")
    }

    fn run(&self, args: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_hayloft"))
            .current_dir(self.dir.path())
            .args(["--config", "config.toml", "--json"])
            .args(args)
            .output()
            .expect("the command runs");
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    fn ok(&self, args: &[&str]) -> Value {
        let answer = self.run(args);
        assert_eq!(answer.code, 0, "{args:?}\n{}\n{}", answer.stdout, answer.stderr);
        if answer.stdout.trim().is_empty() { Value::Null } else { answer.json() }
    }
}

#[test]
fn a_catalogue_of_each_released_version_works_in_this_one() {
    for archive in archives() {
        let old = Old::unpack(&archive);
        let before = std::fs::read(old.catalogue()).expect("the catalogue");
        let found = &old.ok(&["check-config"])["catalogue"];
        assert_eq!(found["state"], "good", "{found}");
        assert!(found["format"].as_u64() <= found["becomes"].as_u64(), "{found}");
        assert!(found["records"].as_u64() > Some(30), "{found}");
        assert_eq!(
            std::fs::read(old.catalogue()).expect("again"),
            before,
            "a rehearsal changes nothing"
        );

        // One replica is missing in it, and is healed.
        let report = old.run(&["verify", "--read"]);
        let report = (report.code, report.json());
        assert_eq!(
            (report.0, report.1["missing"].as_array().map(Vec::len)),
            (1, Some(1)),
            "{}",
            report.1
        );
        assert_eq!(
            (&report.1["lost"], &report.1["corrupt"], &report.1["counters"]),
            (&json!([]), &json!([]), &json!([]))
        );
        let report = old.ok(&["verify", "--read", "--repair"]);
        assert_eq!(report["ok"], true, "{report}");

        for (scope, path, seed, len) in FILES {
            let target = old.dir.path().join("back");
            old.ok(&["file", "get", scope, path, "-o", &target.display().to_string()]);
            assert_eq!(
                std::fs::read(&target).expect("downloaded"),
                bytes(seed, len),
                "{scope}/{path}"
            );
            std::fs::remove_file(&target).expect("removed");
        }
        old.ok(&["file", "undelete", DELETED.0, DELETED.1]);
        assert_eq!(old.ok(&["file", "show", DELETED.0, DELETED.1])["size"], DELETED.3);
        let status = old.ok(&["status"]);
        assert_eq!(status["files"], 5, "{status}");
        assert_eq!(old.ok(&["token", "list"]).as_array().map(Vec::len), Some(2));
        assert!(old.ok(&["vacuum", "history"]).as_array().is_some_and(|runs| !runs.is_empty()));
        // It goes on working: the next run has everything it needs.
        let answer = old.run(&["vacuum", "--dry-run"]);
        assert!(answer.json()["moves"].is_array(), "{}", answer.stdout);
    }
}

#[tokio::test]
async fn every_table_of_an_old_catalogue_is_read() {
    for archive in archives() {
        let old = Old::unpack(&archive);
        let catalogue = old.open();
        let settings = catalogue.settings();
        let topology = &settings.topology;
        let names: Vec<_> = topology.stores_by_name().iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["cold", "local", "old", "vault"]);
        let store = |name| topology.store(name).expect("a store").id;
        let media = topology.scope("media").expect("a scope").id;
        assert!(topology.store("cold").expect("a store").s3().is_some());
        assert_eq!(topology.store("local").expect("a store").soft_max_size, Some(80_000_000_000));
        let link = &topology.links[&(media, store("vault"))];
        assert!(link.policy.populate && link.policy.write_only, "{link:?}");
        assert!(topology.unlinked.contains_key(&(media, store("old"))));
        assert_eq!(settings.tokens.len(), 2);
        assert!(settings.tokens.values().any(|t| t.scope == Some(media) && t.expires_at.is_some()));

        let view = catalogue.snapshot().expect("a view");
        assert_eq!(catalogue.instance().len(), 32);
        assert_eq!(view.value(&values::SET_UP).expect("readable"), Some(true));
        for (scope, path, seed, len) in FILES {
            let scope = topology.scope(scope).expect("a scope").id;
            let entry = view.entry(scope, &FilePath::new(path).expect("a path")).expect("readable");
            let file = view.file(entry.expect("an entry").file).expect("readable").expect("a file");
            assert_eq!((file.digest, file.size), (digest(&bytes(seed, len)), len as u64));
            assert_eq!(view.file_by_digest(&file.digest).expect("readable"), Some(file));
        }
        let far = Timestamp(i64::MAX);
        let tombstones = view.tombstones(0, far, 10).expect("readable");
        assert_eq!(tombstones[0].1.path.as_str(), DELETED.1);
        let missing =
            view.marked(ReplicaState::Missing, store("vault"), None, 10).expect("readable");
        let lost = FILES.iter().find(|f| f.1 == MISSING).expect("listed");
        assert_eq!(missing[0].digest, digest(&bytes(lost.2, lost.3)));
        let unreferenced = view.unreferenced(None, 10).expect("readable");
        assert_eq!(unreferenced[0].digest, digest(&bytes(UNREFERENCED.0, UNREFERENCED.1)));
        let adopted = view.adopted(store("old"), &digest(&bytes(ADOPTED.0, ADOPTED.1)));
        assert_eq!(adopted.expect("readable"), Some(ADOPTED.1 as u64));
        assert!(!view.samples(store("local")).expect("readable").is_empty());
        assert_eq!(view.least_used(store("local"), None, 10).expect("readable").len(), 5);
        assert!(!view.counters().expect("readable").is_empty());
        let run = &view.runs(1).expect("readable")[0];
        assert!(run.copied.files > 0, "{run:?}");
        let audit = view.audit(None, 100).expect("readable");
        assert!(audit.iter().any(|(_, a)| a.what == "scope.create"), "{audit:?}");
        drop(view);
        catalogue.close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_newer_catalogue_is_refused_with_the_way_out() {
    let old = Old::unpack(archives().last().expect("a fixture"));
    let catalogue = old.open();
    let newer = |tx: &mut Tx<'_>| tx.set_value(&values::FORMAT, &4711);
    catalogue.write::<_, CatalogueError, _>(newer).await.expect("written");
    catalogue.close().await.expect("closed");
    for command in [&["check-config"][..], &["status"], &["serve"], &["verify"]] {
        let answer = old.run(command);
        assert_eq!(answer.code, 1, "{command:?}");
        for part in [
            "format 4711",
            "reads up to 1",
            "install the version that wrote it",
            "put back the copy",
        ] {
            assert!(answer.stderr.contains(part), "{command:?}: {part:?} in {}", answer.stderr);
        }
    }
}

#[tokio::test]
async fn a_running_server_is_left_alone_by_a_rehearsal() {
    let instance = Instance::started("").await;
    let found = &instance.ok(&["check-config"])["catalogue"];
    assert_eq!(found["state"], "in-use", "{found}");
}

#[test]
fn a_rehearsal_reads_a_catalogue_that_a_crash_left_open() {
    let old = Old::unpack(archives().last().expect("a fixture"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let catalogue = old.open();
        let job = |tx: &mut Tx<'_>| tx.set_value(&values::FIRST_LINK, &true);
        catalogue.write::<_, CatalogueError, _>(job).await.expect("written");
        // As a kill leaves it: copied while open, never closed.
        std::fs::copy(old.catalogue(), old.dir.path().join("crashed")).expect("copied");
        catalogue.close().await.expect("closed");
    });
    std::fs::rename(old.dir.path().join("crashed"), old.catalogue()).expect("put in place");
    let found = &old.ok(&["check-config"])["catalogue"];
    assert_eq!(found["state"], "good", "{found}");
}

/// `cargo test --test it -- --ignored upgrade` writes the archive of this version; a release adds it
/// and never changes an older one.
#[tokio::test]
#[ignore = "makes a fixture, once per release"]
async fn an_instance_with_something_in_every_table() {
    let version = env!("CARGO_PKG_VERSION");
    let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/fixtures/catalogues/{version}.tar.gz"));
    assert!(!archive.exists(), "{} is there already", archive.display());
    let mut instance = Instance::started("").await;
    fill(&instance).await;
    instance.stop();
    let roots = relocate(&instance).await;
    assert!(roots.iter().all(|root| instance.path(root).is_dir()), "{roots:?}");
    std::fs::create_dir_all(archive.parent().expect("a parent")).expect("the directory");
    let tar = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--exclude=*ballast*"])
        .args(["-I", "gzip -9n", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(instance.dir.path())
        .args(["data", "vault", "old"])
        .status();
    assert!(tar.expect("tar runs").success());
}

async fn fill(instance: &Instance) {
    instance.add_cloud("cold", &["--max-size", "10GB"]).await;
    let vault = instance.path("vault").display().to_string();
    instance.ok(&["store", "create", "vault", "local", "--root", &vault, "--no-instance-wide"]);
    let adopted = bytes(ADOPTED.0, ADOPTED.1);
    let place = instance.path("old").join(object_name(&digest(&adopted)));
    std::fs::create_dir_all(place.parent().expect("a parent")).expect("directories");
    std::fs::write(place, &adopted).expect("a file from before");
    let old = instance.path("old").display().to_string();
    instance.ok(&["store", "create", "old", "local", "--root", &old, "--adopt"]);
    instance.ok(&["store", "manage", "local", "--soft-max-size", "80GB"]);
    for scope in ["media", "backup"] {
        instance.ok(&["scope", "create", scope]);
    }
    let manage = |more: &[&str]| instance.ok(&[&["scope", "manage", "media"], more].concat());
    manage(&["add-store", "cold", "--populate", "--download-priority", "-5"]);
    manage(&["add-store", "vault", "--populate", "--write-only"]);
    manage(&["add-store", "old"]);
    manage(&["remove-store", "old"]);
    for (scope, path, seed, len) in FILES.into_iter().chain([DELETED]) {
        instance.put_ok(&format!("{scope}/{path}"), bytes(seed, len)).await;
    }
    let expiring = [
        "token",
        "create",
        "--name",
        "reader",
        "--role",
        "read",
        "--scope",
        "media",
        "--expires",
        "90d",
    ];
    instance.ok(&expiring);
    instance.vacuum();
    instance.ok(&["file", "delete", DELETED.0, DELETED.1]);
    let (_, _, seed, len) = FILES.into_iter().find(|f| f.1 == MISSING).expect("listed");
    std::fs::remove_file(instance.path("vault").join(object_name(&digest(&bytes(seed, len)))))
        .expect("lost");
    assert_eq!(instance.cli(&["verify"]).code, 1);
}

/// What no command leaves behind, and roots that hold wherever the archive is unpacked.
async fn relocate(instance: &Instance) -> Vec<String> {
    let path = instance.path("data/hayloft.redb");
    let catalogue = Catalogue::open(&path, &Options::default()).expect("opens");
    let base = std::fs::canonicalize(instance.dir.path()).expect("resolved");
    let job = move |tx: &mut Tx<'_>| {
        let mut file =
            tx.file_or_new(digest(&bytes(UNREFERENCED.0, UNREFERENCED.1)), UNREFERENCED.1 as u64)?;
        // A file without replicas would be forgotten at once.
        let cold = tx.topology().store("cold").map(|store| store.id);
        file.replicas.extend(cold.map(|store| Replica {
            store,
            state: ReplicaState::Present,
            stored_at: tx.now(),
            verified_at: None,
        }));
        tx.put_file(&file)?;
        let mut roots = Vec::new();
        let stores: Vec<_> = tx.topology().stores.values().cloned().collect();
        for mut store in stores {
            match &mut store.backend {
                BackendConfig::Local(local) => {
                    let below =
                        local.root.strip_prefix(&base).expect("below the directory").to_owned();
                    roots.push(below.display().to_string());
                    local.root = Path::new("/proc/self/cwd").join(below);
                }
                // Nobody listens on that port.
                BackendConfig::S3(s3) => s3.endpoint = Some("http://127.0.0.1:9".to_owned()),
            }
            tx.put_store(store)?;
        }
        Ok(roots)
    };
    let roots = catalogue.write::<_, CatalogueError, _>(job).await.expect("written");
    catalogue.close().await.expect("closed");
    roots
}
