//! Server time of every page of the admin site with a million files in the catalogue:
//! `make bench-pages`. The goal is a median under 50 ms; the program ends with 1 when a page is over it.
//!
//! `HAYLOFT_BENCH_FILES` is another number of files. The catalogue is kept under `target/bench-pages`.

mod catalogue;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hayloft::ops::{self, Actor};
use hayloft::server;
use tower::ServiceExt;

use catalogue::{Done, STORES, path, scope};

const FILES: u64 = 1_000_000;
const GOAL: Duration = Duration::from_millis(50);
const ROUNDS: usize = 20;
/// How long a preview may be "not ready yet" before it is measured.
const SETTLE: Duration = Duration::from_mins(1);
const LARGEST: usize = 64 << 20;
/// Parts that go through all files when they are asked for: the dry run for one file of a plan that is too
/// long to be kept, and the count of what a deletion would lose.
const GOES_THROUGH_ALL: [&str; 2] = ["/next?", "/loss"];

fn main() -> Done<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Done<ExitCode> {
    let files = std::env::var("HAYLOFT_BENCH_FILES").map_or(Ok(FILES), |n| n.parse())?;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench-pages/{files}"));
    let app = catalogue::open(&dir, files).await?;
    let admin = Actor::instance_admin("bench");
    let request = serde_json::from_value(serde_json::json!({ "name": "bench", "role": "admin" }))?;
    let token = ops::tokens::create(&app, &admin, &request).await?;
    let site = Site { router: server::router(app.clone()), token: token.token };
    let good = site.measure_all(files).await?;
    ops::tokens::revoke(&app, &admin, &token.id).await?;
    app.shutdown().await?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Site {
    router: Router,
    token: String,
}

struct Answer {
    status: StatusCode,
    text: String,
    took: Duration,
}

impl Site {
    async fn get(&self, address: &str) -> Done<Answer> {
        let request = Request::get(address)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Body::empty())?;
        let begun = Instant::now();
        let response = self.router.clone().oneshot(request).await?;
        let status = response.status();
        let body = to_bytes(response.into_body(), LARGEST).await?;
        let took = begun.elapsed();
        Ok(Answer { status, text: String::from_utf8(body.to_vec())?, took })
    }

    /// Measures the pages and what they load; prints a table. False when one is over the goal.
    async fn measure_all(&self, files: u64) -> Done<bool> {
        println!(
            "{files} files, {} scopes, {} stores; {ROUNDS} requests each, one at a time",
            catalogue::SCOPES,
            STORES.len()
        );
        println!("{:>9} {:>9} {:>9} {:>9}  page", "median ms", "p95 ms", "max ms", "KiB");
        let mut good = true;
        let mut parts = BTreeSet::new();
        for address in pages(files) {
            good &= self.measure(&address, &mut parts).await?;
        }
        for address in std::mem::take(&mut parts) {
            if GOES_THROUGH_ALL.iter().any(|part| address.contains(part)) {
                let answer = self.get(&address).await?;
                let took = answer.took.as_secs_f64();
                println!("{address}: {}, loaded after its page, once: {took:.1} s", answer.status);
                good &= answer.status.is_success();
                continue;
            }
            self.settle(&address).await?;
            good &= self.measure(&address, &mut parts).await?;
        }
        Ok(good)
    }

    async fn measure(&self, address: &str, parts: &mut BTreeSet<String>) -> Done<bool> {
        // The first answers fill caches and may start work in the background.
        let first = self.get(address).await?;
        if !first.status.is_success() {
            println!(
                "{address}: {} {}",
                first.status,
                first.text.lines().next().unwrap_or_default()
            );
            return Ok(false);
        }
        parts.extend(loaded_by(&first.text));
        self.get(address).await?;
        let mut took = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            took.push(self.get(address).await?.took);
        }
        took.sort();
        let (median, p95, max) = (took[ROUNDS / 2], took[ROUNDS * 95 / 100], took[ROUNDS - 1]);
        let [median_ms, p95, max] = [median, p95, max].map(|t| t.as_secs_f64() * 1000.0);
        let over = if median > GOAL { "  OVER" } else { "" };
        let kib = first.text.len().div_ceil(1024);
        println!(
            "{median_ms:9.2} {p95:9.2} {max:9.2} {kib:9}  {address}{over} (first {:.0})",
            first.took.as_secs_f64() * 1000.0
        );
        Ok(median <= GOAL)
    }

    /// Waits until a part has stopped to say that it loads itself again.
    async fn settle(&self, address: &str) -> Done<()> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLE && self.get(address).await?.text.contains("data-load") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waited = begun.elapsed().as_secs_f64();
        if waited > 0.2 {
            println!("{address} was ready after {waited:.1} s");
        }
        Ok(())
    }
}

fn pages(files: u64) -> Vec<String> {
    let (first, middle) = (scope(0), scope(5));
    let file = path(files / 2 / 10 * 10);
    let mut all: Vec<String> = [
        "/",
        "/signin",
        "/scopes",
        "/scopes/new",
        "/stores/new",
        "/vacuum",
        "/vacuum/runs/100",
        "/vacuum/runs/98",
        "/browse",
        "/access",
        "/access/changes",
        "/assets/style.css",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("/scopes/{first}"));
    all.push(format!("/scopes/{first}/links/{}", STORES[1]));
    for store in STORES {
        all.push(format!("/stores/{store}"));
    }
    for below in ["evacuation", "delete"] {
        all.push(format!("/stores/{}/{below}", STORES[1]));
    }
    all.push(format!("/browse/{first}"));
    all.push(format!("/browse/{middle}?prefix=projects/"));
    all.push(format!("/browse/{middle}?prefix=projects/p050/branch-05/"));
    all.push(format!("/browse/{middle}?q=projects/p05"));
    all.push(format!("/browse/{middle}?prefix=projects/&after=projects/p050/"));
    all.push(format!("/browse/{first}/file?path={file}"));
    all
}

/// The addresses in `data-load` of a page.
fn loaded_by(markup: &str) -> impl Iterator<Item = String> + '_ {
    let parts = markup.split("data-load=\"").skip(1);
    parts
        .filter_map(|rest| rest.split('"').next())
        .map(|address| address.replace("&#38;", "&").replace("&amp;", "&"))
}
