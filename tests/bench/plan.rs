//! What it takes to foresee a run over many files, whose bytes do not exist: `make bench-plan`.
//!
//! `HAYLOFT_BENCH_FILES` is another number of files than a million. The catalogue is that of
//! `make bench-pages`, kept under `target/bench-pages`. Each plan is made once per round: it is not cached.

mod catalogue;

use std::path::Path;
use std::time::{Duration, Instant};

use hayloft::app::App;
use hayloft::catalogue::Counter;
use hayloft::domain::{Drain, ReplicaState, ScopeId, StoreId, Timestamp, Topology};
use hayloft::maintenance::PreviewRequest;
use hayloft::ops::evacuation::Naming;
use hayloft::ops::{self, Actor};

use catalogue::{Done, STORES};

const FILES: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// What the administrator thinks of, by its effect on the configuration.
type Thought = (&'static str, fn(&mut Topology, &Known));

struct Known {
    /// In the order of `STORES`.
    stores: Vec<StoreId>,
    /// Of the first store.
    bytes: u64,
}

const THOUGHTS: [Thought; 5] = [
    ("as it is: archive lacks a twentieth", |_, _| ()),
    ("nothing to do but what was deleted", nothing),
    ("the least recently used 1 % leave local", shed),
    ("disk2 is populated, which has a third", populate),
    ("cold is drained", drain),
];

fn main() -> Done<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Done<()> {
    let files = std::env::var("HAYLOFT_BENCH_FILES").map_or(Ok(FILES), |n| n.parse())?;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench-pages/{files}"));
    let app = catalogue::open(&dir, files).await?;
    println!("{files} files, {} scopes, {} stores", catalogue::SCOPES, STORES.len());
    println!("{:>10} {:>9} {:>9} {:>8}  plan", "moves", "best s", "worst s", "peak MB");
    let known = known(&app)?;
    for (name, change) in THOUGHTS {
        let mut topology = app.catalogue.settings().topology.clone();
        change(&mut topology, &known);
        let (mut moves, mut took) = (0, Vec::new());
        for round in 0..ROUNDS {
            // A link that never was makes it another thought in each round.
            let at = Timestamp(i64::try_from(round)?);
            topology.unlinked.insert((ScopeId(u32::MAX), StoreId(u32::MAX)), at);
            let preview = app.maintenance.preview(PreviewRequest::With(topology.clone())).await?;
            moves = preview.moves_total;
            took.push(preview.took);
        }
        tell(moves, &mut took, name)?;
    }
    let admin = Actor::instance_admin("bench");
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        ops::evacuation::evacuation(&app, &admin, &STORES[3].parse()?, Naming::First).await?;
        took.push(begun.elapsed());
    }
    tell(0, &mut took, "can cold be given up?")?;
    app.shutdown().await?;
    Ok(())
}

fn nothing(topology: &mut Topology, _: &Known) {
    topology.links.values_mut().for_each(|link| link.policy.populate = false);
}

fn shed(topology: &mut Topology, known: &Known) {
    nothing(topology, known);
    if let Some(store) = topology.stores.get_mut(&known.stores[0]) {
        store.soft_max_size = Some(known.bytes - known.bytes / 100);
    }
}

fn populate(topology: &mut Topology, known: &Known) {
    nothing(topology, known);
    let links = topology.links.values_mut().filter(|link| link.store == known.stores[1]);
    links.for_each(|link| link.policy.populate = true);
}

fn drain(topology: &mut Topology, known: &Known) {
    nothing(topology, known);
    let links = topology.links.values_mut().filter(|link| link.store == known.stores[3]);
    links.for_each(|link| link.policy.drain = Drain::Anywhere);
}

fn known(app: &App) -> Done<Known> {
    let settings = app.catalogue.settings();
    let id = |name| settings.topology.store(name).map(|s| s.id).ok_or("a store is gone");
    let stores = STORES.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
    let counter = Counter::Store(stores[0], ReplicaState::Present);
    let bytes = app.catalogue.snapshot()?.count(&counter)?.bytes;
    Ok(Known { stores, bytes })
}

fn tell(moves: u64, took: &mut [Duration], name: &str) -> Done<()> {
    took.sort();
    let [best, .., worst] = took else { return Err("no round was made".into()) };
    let (best, worst) = (best.as_secs_f64(), worst.as_secs_f64());
    println!("{moves:>10} {best:>9.2} {worst:>9.2} {:>8}  {name}", peak_megabytes()?);
    Ok(())
}

/// The most memory that the process has had so far.
fn peak_megabytes() -> Done<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| text.split_whitespace().next()).ok_or("no VmHWM")?;
    Ok(kib.parse::<u64>()? / 1000)
}
