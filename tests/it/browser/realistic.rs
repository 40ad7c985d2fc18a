//! The storage of a small company, sixty days in: what the pictures of the pages show.

use std::fs::{self, File as OsFile};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hayloft::api::{Count, Outcome, Run, RunError};
use hayloft::app::{App, Role};
use hayloft::catalogue::{CatalogueError, Tx};
use hayloft::clock::Clock;
use hayloft::config::Config;
use hayloft::domain::{Digest, FilePath, Replica, ReplicaState, StoreId, Timestamp};
use hayloft::ops::{self, Actor};
use serde_json::{Value, json};

use super::super::support::instance::Instance;
use super::super::support::{self, weed};

const DAY: Duration = Duration::from_hours(24);
const DAYS: u32 = 60;
/// Files of `packages` that `disk2` lacks and that really lie in `local`: a run has something to copy.
const WAITING: u64 = 24;
const GB: u64 = 1_000_000_000;

/// Makes everything in `instance`, which is not started yet.
pub async fn furnish(instance: &Instance) {
    let config = Config::load(Some(&instance.path("config.toml")), []).expect("a configuration");
    let start = Clock::System.now().before(DAY * DAYS);
    let app = App::open_at(Arc::new(config), Role::Command, Clock::manual(start)).await;
    let app = app.expect("a new instance opens");
    make_stores(&app, instance).await;
    make_scopes(&app).await;
    for day in 0..DAYS {
        live_through(&app, day).await;
        app.catalogue.clock().advance(DAY);
    }
    let waiting = waiting(&instance.local_root());
    write(&app, move |tx| waiting.iter().try_for_each(|file| file.record(tx))).await;
    change_minds(&app).await;
    app.shutdown().await.expect("the catalogue closes");
}

async fn write(
    app: &App,
    job: impl FnMut(&mut Tx<'_>) -> Result<(), CatalogueError> + Send + 'static,
) {
    app.catalogue.write(job).await.expect("written");
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a request")
}

fn by(who: &str) -> Actor {
    Actor::instance_admin(who)
}

async fn make_stores(app: &Arc<App>, instance: &Instance) {
    let server = weed::shared();
    server.make_bucket("acme-hayloft").await;
    for mounted in ["srv", "mnt"] {
        fs::create_dir(instance.path(mounted)).expect("a place to mount disks");
    }
    let s3 = |more: Value| {
        let mut settings = json!({
            "endpoint": server.endpoint, "path_style": true,
            "access_key_id": weed::KEY, "secret_access_key": weed::SECRET,
        });
        settings
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        settings
    };
    let local = json!({ "soft_max_size": 800 * GB, "max_size": 1000 * GB });
    let name = "local".parse().expect("a name");
    ops::stores::change(app, &by("cli"), &name, &read(local)).await.expect("limits");
    let requests = [
        json!({ "name": "disk2", "backend": "local", "root": instance.path("srv/disk2"), "soft_max_size": 5500 * GB, "max_size": 6000 * GB }),
        json!({ "name": "nas", "backend": "local", "root": instance.path("mnt/nas"), "soft_max_size": 8000 * GB }),
        json!({ "name": "cold", "backend": "s3", "bucket": "acme-hayloft", "prefix": "cold", "s3": s3(json!({})) }),
        json!({ "name": "vault", "backend": "s3", "bucket": "acme-hayloft", "prefix": "vault",
                "s3": s3(json!({ "storage_class": "DEEP_ARCHIVE" })), "instance_wide": true }),
    ];
    for request in requests {
        ops::stores::create(app, &by("cli"), &read(request)).await.expect("a store");
    }
}

async fn make_scopes(app: &Arc<App>) {
    let links: [(&str, &[(&str, Value)]); 5] = [
        (
            "builds",
            &[
                (
                    "local",
                    json!({ "upload_priority": 100, "download_priority": 100, "policy": { "soft_max_size": 260 * GB } }),
                ),
                ("cold", json!({ "policy": {} })),
            ],
        ),
        (
            "packages",
            &[
                ("local", json!({ "upload_priority": 100, "download_priority": 50 })),
                ("disk2", json!({ "download_priority": 40, "policy": { "populate": true } })),
                ("cold", json!({ "policy": {} })),
            ],
        ),
        (
            "media",
            &[
                ("disk2", json!({ "upload_priority": 100 })),
                ("nas", json!({ "download_priority": 10, "policy": { "populate": true } })),
                ("vault", json!({ "policy": { "populate": true, "write_only": true } })),
            ],
        ),
        (
            "backups",
            &[
                ("disk2", json!({ "upload_priority": 100 })),
                ("cold", json!({ "policy": { "populate": true } })),
                ("vault", json!({ "policy": { "populate": true, "write_only": true } })),
            ],
        ),
        (
            "logs",
            &[("local", json!({ "policy": {} })), ("disk2", json!({ "upload_priority": 100 }))],
        ),
    ];
    for (scope, stores) in links {
        let request =
            json!({ "name": scope, "no_local": true, "public_read": scope == "packages" });
        ops::scopes::create(app, &by("token:ansible"), &read(request)).await.expect("a scope");
        let scope = scope.parse().expect("a name");
        for (store, change) in stores {
            let store = store.parse().expect("a name");
            let (who, change) = (by("token:ansible"), read(change.clone()));
            ops::links::add(app, &who, &scope, &store, &change).await.expect("a link");
        }
    }
}

/// One day: uploads, some deletions, a run, the samples.
async fn live_through(app: &App, day: u32) {
    let stores = stores_of(app);
    write(app, move |tx| {
        for n in 0..uploads(day) {
            add_file(tx, u64::from(day) * 1000 + n)?;
        }
        Ok(())
    })
    .await;
    write(app, move |tx| add_run(tx, day)).await;
    let today = u32::try_from(app.catalogue.clock().now().seconds() / 86_400).expect("a day");
    write(app, move |tx| stores.iter().try_for_each(|store| tx.sample_usage(*store, today))).await;
}

fn stores_of(app: &App) -> Vec<StoreId> {
    app.catalogue.settings().topology.stores.keys().copied().collect()
}

/// Fewer at weekends, more each week.
fn uploads(day: u32) -> u64 {
    let day = u64::from(day);
    if matches!(day % 7, 5 | 6) { 25 } else { 80 + day / 2 }
}

fn noise(n: u64, salt: u64) -> u64 {
    let mut bytes = [0; 8];
    let seed = [n.to_le_bytes(), salt.to_le_bytes()].concat();
    blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes) >> 8
}

fn one_of<'a>(n: u64, salt: u64, words: &[&'a str]) -> &'a str {
    words[usize::try_from(noise(n, salt)).expect("64 bits") % words.len()]
}

struct Shape {
    scope: &'static str,
    path: String,
    kind: &'static str,
    size: u64,
    stores: &'static [&'static str],
}

/// What file `n` is.
fn shape(n: u64) -> Shape {
    let (day, own) = (n / 1000, n % 1000);
    let old = day < 40;
    let date = format!("{:02}-{:02}", 9 + day / 30, day % 30 + 1);
    match noise(n, 1) % 100 {
        0..38 => Shape {
            scope: "builds",
            path: format!(
                "{}/{}/2026-{date}/{}/{}",
                one_of(n, 2, &["webshop", "billing", "mobile-app", "firmware"]),
                one_of(n, 3, &["main", "main", "release-7", "fix/login-timeout"]),
                4000 + n,
                one_of(
                    n,
                    4,
                    &[
                        "image.tar.zst",
                        "test-report.html",
                        "app-release.apk",
                        "coverage.json",
                        "sbom.cdx.json"
                    ]
                )
            ),
            kind: "application/octet-stream",
            size: 20_000_000 + noise(n, 5) % 480_000_000,
            stores: if old { &["cold"] } else { &["local"] },
        },
        38..62 => Shape {
            scope: "packages",
            path: format!(
                "debian/pool/main/{}_{}.{}-{own}_amd64.deb",
                one_of(
                    n,
                    2,
                    &[
                        "a/acme-agent/acme-agent",
                        "l/libacme2/libacme2",
                        "w/webshop/webshop",
                        "p/postgresql-acme/postgresql-acme"
                    ]
                ),
                day / 10,
                day % 10
            ),
            kind: "application/vnd.debian.binary-package",
            size: 2_000_000 + noise(n, 5) % 260_000_000,
            stores: &["local", "disk2"],
        },
        62..78 => Shape {
            scope: "media",
            path: format!(
                "{}/2026/{date} {}/IMG_{:04}.CR3",
                one_of(n, 2, &["photos", "photos", "product shots"]),
                one_of(n, 3, &["Trade fair Köln", "Warehouse", "Team day", "Catalogue autumn"]),
                n % 9973
            ),
            kind: "image/x-canon-cr3",
            size: 300_000_000 + noise(n, 5) % 2_600_000_000,
            stores: match n % 50 {
                0 => &["vault"],
                1..20 => &["disk2", "nas", "vault"],
                _ => &["disk2", "vault"],
            },
        },
        78..88 => Shape {
            scope: "backups",
            path: format!(
                "{}/2026-{date}T02-{:02}.dump.zst",
                one_of(
                    n,
                    2,
                    &["postgres/shop", "postgres/billing", "gitea", "vm/mail", "vm/files"]
                ),
                own % 60
            ),
            kind: "application/zstd",
            size: 2 * GB + noise(n, 5) % (11 * GB),
            stores: &["disk2", "cold", "vault"],
        },
        _ => Shape {
            scope: "logs",
            path: format!(
                "{}/2026/{date}/{:04}.log.zst",
                one_of(n, 2, &["nginx/access", "nginx/error", "mail", "firewall"]),
                own
            ),
            kind: "application/zstd",
            size: 40_000_000 + noise(n, 5) % 500_000_000,
            stores: if old { &["local"] } else { &["disk2"] },
        },
    }
}

fn add_file(tx: &mut Tx<'_>, n: u64) -> Result<(), CatalogueError> {
    let shape = shape(n);
    let file = Furniture {
        digest: Digest(*blake3::hash(&n.to_le_bytes()).as_bytes()),
        scope: shape.scope,
        // Log files that a build links to: `builds` keeps them where `logs` would have them gone.
        also: (shape.scope == "logs" && n.is_multiple_of(6) && shape.stores == ["local"])
            .then_some("builds"),
        path: shape.path,
        kind: shape.kind,
        size: shape.size,
        stores: shape.stores,
        missing: (shape.scope == "media" && n.is_multiple_of(53)).then_some("nas"),
    };
    file.record(tx)?;
    if n.is_multiple_of(97) {
        let scope = tx.topology().scope(file.scope).expect("made before").id;
        tx.remove_entry(scope, &file.path())?;
    }
    Ok(())
}

struct Furniture {
    digest: Digest,
    scope: &'static str,
    also: Option<&'static str>,
    path: String,
    kind: &'static str,
    size: u64,
    stores: &'static [&'static str],
    missing: Option<&'static str>,
}

impl Furniture {
    fn path(&self) -> FilePath {
        FilePath::new(self.path.clone()).expect("a path")
    }

    fn record(&self, tx: &mut Tx<'_>) -> Result<(), CatalogueError> {
        let mut file = tx.file_or_new(self.digest, self.size)?;
        let stored_at = tx.now();
        for name in self.stores {
            let store = tx.topology().store(name).expect("made before").id;
            let is_missing = self.missing == Some(*name);
            let state = if is_missing { ReplicaState::Missing } else { ReplicaState::Present };
            file.put_replica(Replica { store, state, stored_at, verified_at: Some(stored_at) });
        }
        for scope in [Some(self.scope), self.also].into_iter().flatten() {
            let id = tx.topology().scope(scope).expect("made before").id;
            tx.place_entry(id, &self.path(), file.clone(), self.kind)?;
            file = tx.file_by_digest(&self.digest)?.expect("just placed");
        }
        Ok(())
    }
}

/// New packages whose bytes lie in `local`: first small ones that are copied at once, then large ones that
/// no picture sees the end of, so that holes will do for their bytes.
fn waiting(root: &Path) -> Vec<Furniture> {
    let one = |n: u64| {
        let is_small = n < WAITING / 2;
        let (size, digest) = if is_small {
            let bytes = support::bytes(n, 2_000_000 + usize::try_from(n).expect("small") * 700_000);
            let digest = support::digest(&bytes);
            put_bytes(root, &digest, |path| fs::write(path, &bytes));
            (bytes.len() as u64, digest)
        } else {
            let digest = Digest(*blake3::hash(&[7, u8::try_from(n).expect("few")]).as_bytes());
            let size = GB + noise(n, 9) % (3 * GB);
            put_bytes(root, &digest, |path| OsFile::create(path)?.set_len(size));
            (size, digest)
        };
        let name = if n == 0 {
            "acme-agent"
        } else {
            one_of(n, 2, &["webshop", "billing", "libacme2", "kiosk-image"])
        };
        Furniture {
            digest,
            scope: "packages",
            also: None,
            path: format!("images/{name}/{name}-8.{n}.0.qcow2"),
            kind: "application/x-qemu-disk",
            size,
            stores: &["local"],
            missing: None,
        }
    };
    (0..WAITING).map(one).collect()
}

fn put_bytes(root: &Path, digest: &Digest, make: impl FnOnce(&Path) -> std::io::Result<()>) {
    let path = root.join(support::object_name(digest));
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    make(&path).expect("the bytes are written");
}

fn add_run(tx: &mut Tx<'_>, day: u32) -> Result<(), CatalogueError> {
    let id = tx.new_run_id()?;
    let started_at = tx.now();
    let n = u64::from(day);
    let files = uploads(day);
    let moved = Count { files: files / 3, bytes: (files / 3) * 260_000_000 };
    let copied = Count { files: files / 2, bytes: files / 2 * 900_000_000 };
    let error = |phase: &str, scope: &str, store: &str, cause: &str, files: u64| RunError {
        phase: phase.to_owned(),
        scope: Some(scope.to_owned()),
        store: Some(store.to_owned()),
        cause: cause.to_owned(),
        remedy: None,
        files,
        bytes: files * 310_000_000,
        digests: (0..files.min(10))
            .map(|d| Digest(*blake3::hash(&d.to_le_bytes()).as_bytes()))
            .collect(),
    };
    let (outcome, errors) = match day {
        31 => (
            Outcome::Failed,
            vec![error(
                "plan",
                "builds",
                "local",
                "the catalogue cannot be written: the disk of the catalogue is full",
                0,
            )],
        ),
        44 => (Outcome::Cancelled, vec![]),
        52 | 59 => (
            Outcome::Incomplete,
            vec![
                error(
                    "populate",
                    "media",
                    "nas",
                    "the store is unavailable: its marker cannot be read. Is /mnt/nas mounted?",
                    412,
                ),
                error(
                    "store limit",
                    "builds",
                    "local",
                    "no other store has room for what should leave: raise a limit or add a store",
                    37,
                ),
            ],
        ),
        _ => (Outcome::Complete, vec![]),
    };
    let run = Run {
        id: Some(id),
        dry_run: false,
        outcome,
        started_at,
        finished_at: Some(Timestamp(
            started_at.0 + 1_000_000 * i64::try_from(380 + noise(n, 6) % 2400).expect("seconds"),
        )),
        copied,
        moved,
        removed: Count { files: n / 4, bytes: n / 4 * 120_000_000 },
        retained: Count { files: 12, bytes: 4 * GB },
        errors,
        warnings: vec![],
        moves: None,
        progress: None,
    };
    tx.put_run(id, &run)
}

/// The last days' changes, so that there is something to see: a drain, limits, tokens.
async fn change_minds(app: &Arc<App>) {
    let name = |text: &str| text.parse().expect("a name");
    let drain = json!({ "policy": { "drain": "disk2", "read_only": true } });
    let (logs, local) = (name("logs"), "local".parse().expect("a name"));
    ops::links::edit(app, &by("session"), &logs, &local, &read(drain)).await.expect("a drain");
    let tokens = [
        json!({ "name": "ansible", "role": "admin" }),
        json!({ "name": "build farm", "role": "write", "scope": "builds", "expires": "90d" }),
        json!({ "name": "apt mirror", "role": "read", "scope": "packages" }),
        json!({ "name": "restic on mail", "role": "write", "scope": "backups", "expires": "7d" }),
    ];
    for token in tokens {
        ops::tokens::create(app, &by("session"), &read(token)).await.expect("a token");
    }
}
