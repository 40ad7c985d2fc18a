//! An instance whose catalogue has as many files as asked for. Their bytes do not exist: no page
//! reads them.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hayloft::api::{
    Count, LinkChange, MoveAction, Outcome, PolicyChange, Run, RunError, ScopeCreate, StoreCreate,
};
use hayloft::app::{App, Role};
use hayloft::catalogue::{AuditRecord, CatalogueError, Tx};
use hayloft::clock::Clock;
use hayloft::config::Config;
use hayloft::domain::{
    Digest, FilePath, Replica, ReplicaState, ScopeId, ScopeName, StoreId, StoreName, Timestamp,
};
use hayloft::ops::{self, Actor};

pub const SCOPES: u32 = 10;
pub const STORES: [&str; 4] = ["local", "disk2", "archive", "cold"];
/// The files arrive over so many days, each with its usage sample.
const DAYS: u64 = 60;
const DAY: Duration = Duration::from_hours(24);
/// Files written in one commit.
const BATCH: u64 = 20_000;
/// As many as are kept (SPEC 7, SPEC 10).
const RUNS: u64 = 100;
const CHANGES: u64 = 10_000;

pub type Done<T> = Result<T, Box<dyn Error>>;

/// The name of scope `n`.
pub fn scope(n: u32) -> String {
    format!("scope-{n}")
}

/// The path of file `n` in its scope: 100 directories with 20 branches each.
pub fn path(n: u64) -> String {
    let own = n / u64::from(SCOPES);
    format!(
        "projects/p{:03}/branch-{:02}/build-{own:07}/artifact.tar.zst",
        own % 100,
        own / 100 % 20
    )
}

/// Opens the instance in `dir`, and fills it first when it is new.
pub async fn open(dir: &Path, files: u64) -> Done<Arc<App>> {
    let config = config(dir)?;
    let full = dir.join("full");
    if !full.exists() {
        for half in ["data", "stores"].map(|name| dir.join(name)) {
            if half.exists() {
                std::fs::remove_dir_all(half)?;
            }
        }
        std::fs::create_dir_all(dir.join("stores"))?;
        let start = Clock::System.now().before(DAY * u32::try_from(DAYS)?);
        let app = App::open_at(Arc::clone(&config), Role::Command, Clock::manual(start)).await?;
        fill(&app, dir, files).await?;
        app.shutdown().await?;
        std::fs::write(full, "")?;
    }
    Ok(App::open(config, Role::Server).await?)
}

fn config(dir: &Path) -> Done<Arc<Config>> {
    std::fs::create_dir_all(dir)?;
    let file = dir.join("config.toml");
    let root = dir.display();
    std::fs::write(
        &file,
        format!(
            "data_dir = \"{root}/data\"\nadmin_socket = \"{root}/s\"\n[maintenance]\nschedule = \"off\"\n"
        ),
    )?;
    Ok(Arc::new(Config::load(Some(&file), [])?))
}

async fn fill(app: &Arc<App>, dir: &Path, files: u64) -> Done<()> {
    arrange(app, dir).await?;
    let stores: Vec<StoreId> = {
        let settings = app.catalogue.settings();
        STORES.iter().filter_map(|name| settings.topology.store(name).map(|s| s.id)).collect()
    };
    let per_day = files.div_ceil(DAYS);
    let today = |app: &App| u32::try_from(app.catalogue.clock().now().seconds() / 86_400);
    for from in (0..files).step_by(usize::try_from(per_day)?) {
        let until = files.min(from + per_day);
        for batch in (from..until).step_by(usize::try_from(BATCH)?) {
            let (end, stores) = (until.min(batch + BATCH), stores.clone());
            app.catalogue
                .write(move |tx| (batch..end).try_for_each(|n| add(tx, n, &stores)))
                .await?;
        }
        let (day, sampled) = (today(app)?, stores.clone());
        app.catalogue
            .write(move |tx| sampled.iter().try_for_each(|store| tx.sample_usage(*store, day)))
            .await?;
        app.catalogue.clock().advance(DAY);
        eprint!("\r{until} of {files} files");
    }
    eprintln!();
    app.catalogue.write(|tx| (0..RUNS).try_for_each(|_| add_run(tx))).await?;
    app.catalogue.write(|tx| (0..CHANGES).try_for_each(|n| add_change(tx, n))).await?;
    Ok(())
}

/// Every scope writes to `local`, keeps its newest files there and the others on `disk2`, and has
/// everything in `archive`; `cold` takes what overflows.
async fn arrange(app: &Arc<App>, dir: &Path) -> Done<()> {
    let actor = Actor::instance_admin("bench");
    for name in &STORES[1..] {
        let request = serde_json::json!({
            "name": name, "backend": "local", "root": dir.join("stores").join(name),
            "soft_max_size": 90_000_000_000_000_u64,
        });
        ops::stores::create(app, &actor, &serde_json::from_value::<StoreCreate>(request)?).await?;
    }
    for n in 0..SCOPES {
        let name: ScopeName = scope(n).parse()?;
        let request = serde_json::json!({ "name": name, "stores": STORES[1..] });
        ops::scopes::create(app, &actor, &serde_json::from_value::<ScopeCreate>(request)?).await?;
        let archive: StoreName = STORES[2].parse()?;
        let policy =
            PolicyChange { populate: Some(true), write_only: Some(true), ..Default::default() };
        let change = LinkChange { policy: Some(policy), ..Default::default() };
        ops::links::edit(app, &actor, &name, &archive, &change).await?;
    }
    Ok(())
}

/// Numbers that look random, the same each time.
fn noise(n: u64, salt: u64) -> u64 {
    let mixed = (n ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
}

fn add(tx: &mut Tx<'_>, n: u64, stores: &[StoreId]) -> Result<(), CatalogueError> {
    let digest = Digest(*blake3::hash(&n.to_le_bytes()).as_bytes());
    // From 1 KiB to 64 MiB.
    let size = 1024 << (noise(n, 1) % 17);
    let mut file = tx.file_or_new(digest, size + noise(n, 2) % 1000)?;
    let kind = noise(n, 3) % 100;
    let held: &[usize] = match kind {
        0..5 => &[0],
        5..40 => &[0, 2],
        40..60 => &[1, 2],
        60..80 => &[2, 3],
        80..90 => &[0, 1, 2],
        90..99 => &[0, 2, 3],
        _ => &[2],
    };
    let now = tx.now();
    for store in held {
        let state = if noise(n, 4).is_multiple_of(5000) {
            ReplicaState::Missing
        } else {
            ReplicaState::Present
        };
        file.put_replica(Replica {
            store: stores[*store],
            state,
            stored_at: now,
            verified_at: Some(now),
        });
    }
    let scope = u32::try_from(n % u64::from(SCOPES)).unwrap_or(0) + 1;
    let path = FilePath::new(path(n)).map_err(|e| CatalogueError::Corrupt(e.to_string()))?;
    tx.place_entry(ScopeId(scope), &path, file, "application/zstd")?;
    if noise(n, 5).is_multiple_of(100) {
        tx.remove_entry(ScopeId(scope), &path)?;
    }
    Ok(())
}

fn add_run(tx: &mut Tx<'_>) -> Result<(), CatalogueError> {
    let id = tx.new_run_id()?;
    let day = u32::try_from(RUNS.saturating_sub(id)).unwrap_or(0);
    let started_at = tx.now().before(DAY * day);
    let error = |n: u64| RunError {
        phase: "populate".to_owned(),
        scope: Some(scope(0)),
        store: Some(STORES[3].to_owned()),
        cause: format!("the store did not answer within 60 s, attempt {n}"),
        remedy: None,
        files: 12,
        bytes: 12 << 30,
        digests: (0..10).map(|d| Digest([d; 32])).collect(),
    };
    let errors: Vec<_> = if id.is_multiple_of(7) { (0..20).map(error).collect() } else { vec![] };
    let count = Count { files: 1200 + id, bytes: (83 + id) << 30 };
    let outcome = if errors.is_empty() { Outcome::Complete } else { Outcome::Incomplete };
    let run = Run {
        id: Some(id),
        dry_run: false,
        outcome,
        started_at,
        finished_at: Some(Timestamp(started_at.0 + 1_860_000_000)),
        copied: count,
        moved: count,
        removed: count,
        retained: Count::default(),
        errors,
        warnings: vec![format!("{:?} of one file was skipped", MoveAction::Copy)],
        moves: None,
        progress: None,
    };
    tx.put_run(id, &run)
}

fn add_change(tx: &mut Tx<'_>, n: u64) -> Result<(), CatalogueError> {
    let value = |limit: u64| serde_json::json!({ "soft_max_size": limit, "policy": { "populate": false, "drain": false } });
    tx.append_audit(&AuditRecord {
        at: tx.now(),
        who: "token:ansible".to_owned(),
        what: "link.edit".to_owned(),
        subject: format!("{}/{}", scope(0), STORES[1]),
        before: Some(value(n)),
        after: Some(value(n + 1)),
    })
}
