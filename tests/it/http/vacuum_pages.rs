//! The pages of the vacuum, as a browser without JavaScript sees them.

use std::time::Duration;

use hayloft::api::{Count, Outcome, Run, RunError};
use hayloft::catalogue::CatalogueError;
use hayloft::config::Schedule;
use hayloft::domain::{Policy, Timestamp};

use super::bench::{ADMIN, Bench, Reply, WRITER};

async fn page(bench: &Bench, target: &str) -> String {
    let reply = bench.ask_as(Some(ADMIN), "GET", target).send().await;
    assert_eq!(reply.status, 200, "{target}: {}", text(&reply));
    text(&reply)
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).expect("text")
}

async fn press(bench: &Bench, target: &str) -> Reply {
    bench.ask_as(Some(ADMIN), "POST", target).body(b"").send().await
}

/// A page's markup, asserted to have all of these.
#[track_caller]
fn has(markup: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(markup.contains(text), "{text:?} is not in {markup}");
    }
}

async fn far(bench: &Bench) {
    bench.store("far", None).await;
    let populate = Policy { populate: true, ..Policy::default() };
    bench.link("s", "far", None, populate).await;
}

/// `far` wants every file of `s`; nothing starts by itself.
async fn populating(files: usize) -> Bench {
    let bench = Bench::start_with(|c| c.maintenance.schedule = Schedule::Off).await;
    far(&bench).await;
    for n in 0..files {
        bench.put(&format!("/files/s/docs/file-{n}"), format!("{n}").as_bytes()).await;
    }
    bench
}

async fn ended(bench: &Bench, id: u64) {
    for _ in 0..500 {
        let run = bench.app.maintenance.run(id, false).await.expect("read").expect("a run");
        if run.finished_at.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the run does not end");
}

#[tokio::test]
async fn the_plan_is_fetched_once_and_stands_on_the_page_from_then_on() {
    let bench = populating(3).await;
    let first = page(&bench, "/vacuum").await;
    has(&first, &["data-load=\"/fragments/vacuum/plan\"", "Start a run now", "There was none yet"]);
    let part = page(&bench, "/fragments/vacuum/plan").await;
    let plan = [
        "The next run would copy 3 files (3 B).",
        "the scope populates this store",
        "docs/file-2",
        "href=\"/stores/far\"",
        "/vacuum/plan?action=copy&#38;from=main&#38;to=far#files",
    ];
    has(&part, &plan);
    assert!(!part.contains("<html"), "a part of a page");
    let second = page(&bench, "/vacuum").await;
    has(&second, &plan);
    assert!(!second.contains("data-load"), "it is fresh");
    bench.stop().await;
}

#[tokio::test]
async fn a_run_is_started_watched_and_shown_with_its_result() {
    let bench = populating(2).await;
    let started = press(&bench, "/vacuum/start").await;
    let target = started.header("location").expect("a way on").to_owned();
    assert_eq!((started.status, target.as_str()), (303, "/vacuum/runs/1?done=run-started"));
    ended(&bench, 1).await;
    let shown = page(&bench, &target).await;
    let result = ["Every policy is met.", "2 files, 2 B", "docs/file-1", "complete"];
    has(&shown, &["<h1 tabindex=\"-1\">Run 1</h1>"]);
    has(&shown, &result);
    has(&page(&bench, "/fragments/vacuum/runs/1").await, &result[1..]);
    assert!(!shown.contains("/assets/run.js"), "nothing to watch");
    let history = page(&bench, "/vacuum").await;
    has(&history, &["<a href=\"/vacuum/runs/1\">1</a>", "mark complete"]);
    let plan = page(&bench, "/vacuum/plan").await;
    has(&plan, &["The next run would move nothing."]);
    bench.stop().await;
}

#[tokio::test]
async fn a_long_plan_has_pages_and_filters() {
    let bench = populating(130).await;
    let first = page(&bench, "/vacuum/plan").await;
    has(&first, &["1 to 100 of 130", "/vacuum/plan?page=2#files"]);
    let second = page(&bench, "/vacuum/plan?page=2").await;
    has(&second, &["101 to 130 of 130", "rel=\"prev\""]);
    assert!(!second.contains("rel=\"next\""));
    has(&page(&bench, "/vacuum/plan?page=99999999").await, &["101 to 130 of 130"]);
    for (query, said) in [
        ("page=-1", "page is a number, not &quot;-1&quot;"),
        ("action=fly", "action is copy, move or remove, not &quot;fly&quot;"),
    ] {
        let reply = bench.ask_as(Some(ADMIN), "GET", &format!("/vacuum/plan?{query}")).send().await;
        assert_eq!(reply.status, 400, "{query}");
        has(&String::from_utf8_lossy(&reply.body), &[said]);
    }
    let filtered = page(&bench, "/vacuum/plan?action=copy&to=far&scope=s&page=2").await;
    has(&filtered, &["101 to 130 of 130 that match", "Show all"]);
    has(&page(&bench, "/vacuum/plan?action=remove").await, &["None match."]);
    bench.stop().await;
}

#[tokio::test]
async fn names_are_text_whatever_they_hold() {
    let bench = populating(0).await;
    let path = "%3Cscript%3Ealert(1)%3C/script%3E%22'%E2%80%AE.txt";
    assert_eq!(bench.put(&format!("/files/s/{path}"), b"x").await.status, 201);
    let shown = page(&bench, "/vacuum/plan").await;
    assert!(!shown.contains("<script>alert"), "{shown}");
    has(&shown, &["&#60;script&#62;alert(1)&#60;/script&#62;", "<bdi>"]);
    let odd = page(&bench, "/vacuum/plan?scope=%22%3E%3Cscript%3E&from=%3Cb%3E").await;
    assert!(!odd.contains("\"><script>") && !odd.contains("<b>"), "{odd}");
    bench.stop().await;
}

#[tokio::test]
async fn a_run_is_paused_resumed_and_cancelled_by_forms() {
    // The run waits for its hour.
    let hours = other_minute();
    let bench = Bench::start_with(|config| {
        config.maintenance.schedule = Schedule::Off;
        config.maintenance.window = Some(hours.parse().expect("a window"));
    })
    .await;
    far(&bench).await;
    bench.put("/files/s/a", b"a").await;
    press(&bench, "/vacuum/start").await;
    let waiting = page(&bench, "/vacuum/runs/1").await;
    let wait = format!("Copies wait for {hours}");
    has(&waiting, &[&wait, "data-run=\"1\"", "/assets/run.js", "<progress"]);
    // A second start leads to the run that is there.
    let again = press(&bench, "/vacuum/start").await;
    assert_eq!(again.header("location"), Some("/vacuum/runs/1"));
    let list = page(&bench, "/vacuum").await;
    has(&list, &["No other one starts until it ends", "Run 1 at work"]);
    assert!(!list.contains("Start a run now"));
    let paused = press(&bench, "/vacuum/runs/1/pause").await;
    assert_eq!(paused.header("location"), Some("/vacuum/runs/1?done=run-paused"));
    let shown = page(&bench, "/vacuum/runs/1").await;
    has(&shown, &["mark paused", "data-when=\"running\" hidden"]);
    has(&page(&bench, "/vacuum").await, &["paused: resume or cancel it"]);
    press(&bench, "/vacuum/runs/1/resume").await;
    has(&page(&bench, "/vacuum/runs/1").await, &["data-when=\"paused\" hidden"]);
    let cancelled = press(&bench, "/vacuum/runs/1/cancel").await;
    assert_eq!(cancelled.header("location"), Some("/vacuum/runs/1?done=run-cancelled"));
    ended(&bench, 1).await;
    has(&page(&bench, "/vacuum/runs/1").await, &["cancelled", "What was moved stays moved"]);
    // Too late: the page says how it ended.
    let late = press(&bench, "/vacuum/runs/1/pause").await;
    assert_eq!((late.status, late.header("location")), (303, Some("/vacuum/runs/1")));
    bench.stop().await;
}

/// A minute of the day that it is not.
fn other_minute() -> &'static str {
    if jiff::Zoned::now().hour() == 0 { "12:00-12:01" } else { "00:00-00:01" }
}

/// Enters a run that this process did not make.
async fn enter(bench: &Bench, outcome: Outcome, errors: Vec<RunError>) {
    let ended = !matches!(outcome, Outcome::Running | Outcome::Paused);
    let job = move |tx: &mut hayloft::catalogue::Tx<'_>| {
        let id = tx.new_run_id()?;
        let run = Run {
            id: Some(id),
            dry_run: false,
            outcome,
            started_at: Timestamp(1_700_000_000_000_000),
            finished_at: ended.then_some(Timestamp(1_700_000_060_000_000)),
            copied: Count { files: 1_204, bytes: 83_000_000_000 },
            moved: Count::default(),
            removed: Count::default(),
            retained: Count { files: 2, bytes: 20 },
            errors: errors.clone(),
            warnings: vec!["say `hayloft status`".to_owned()],
            moves: None,
            progress: None,
        };
        tx.put_run(id, &run)
    };
    bench.app.catalogue.write::<_, CatalogueError, _>(job).await.expect("a run");
}

#[tokio::test]
async fn a_run_left_by_an_earlier_process_can_be_taken_up_or_given_up() {
    let bench = populating(1).await;
    enter(&bench, Outcome::Paused, Vec::new()).await;
    let shown = page(&bench, "/vacuum/runs/1").await;
    has(
        &shown,
        &["The process that was at it has ended", "Resume", "Cancel", "1,204 files, 83.0 GB"],
    );
    has(&page(&bench, "/vacuum").await, &["paused: resume or cancel it before another one starts"]);
    let start = press(&bench, "/vacuum/start").await;
    assert_eq!(start.header("location"), Some("/vacuum/runs/1"));
    press(&bench, "/vacuum/runs/1/resume").await;
    ended(&bench, 1).await;
    has(&page(&bench, "/vacuum/runs/1").await, &["Every policy is met."]);
    bench.stop().await;
}

#[tokio::test]
async fn a_run_that_failed_says_what_and_what_to_do() {
    let bench = populating(1).await;
    let digest = crate::support::digest(b"0");
    let error = |phase: &str, store: Option<&str>, cause: &str, files| RunError {
        phase: phase.to_owned(),
        scope: Some("s".to_owned()),
        store: store.map(str::to_owned),
        cause: cause.to_owned(),
        remedy: None,
        files,
        bytes: files,
        digests: if files > 0 { vec![digest] } else { Vec::new() },
    };
    let errors = vec![
        error("stores", Some("far"), "no answer <b>", 0),
        error("drain", Some("main"), "no room: raise it with `hayloft store manage`", 12),
        error("run", None, "it broke", 0),
    ];
    enter(&bench, Outcome::Failed, errors).await;
    let shown = page(&bench, "/vacuum/runs/1").await;
    has(
        &shown,
        &[
            "It could not go on",
            "no answer &lt;b&gt;",
            "href=\"/stores/far#check\"",
            "<code class=\"command\">hayloft store manage</code>",
            "docs/file-0",
            "The first 1 of them",
            "Look into the log",
            "<code class=\"command\">hayloft status</code>",
            "The moves of the last run are kept",
            "Kept for other scopes",
        ],
    );
    has(&page(&bench, "/vacuum").await, &["far: no answer", "and 2 more"]);
    bench.stop().await;
}

#[tokio::test]
async fn the_vacuum_is_for_admins_and_unknown_runs_are_not_found() {
    let bench = populating(0).await;
    for target in ["/vacuum/runs/77", "/vacuum/runs/abc", "/vacuum/elsewhere"] {
        let reply = bench.ask_as(Some(ADMIN), "GET", target).send().await;
        assert_eq!(reply.status, 404, "{target}");
        has(&text(&reply), &["<!doctype html>"]);
    }
    let reply = bench.ask_as(Some(WRITER), "POST", "/vacuum/start").body(b"").send().await;
    assert_ne!(reply.status, 303);
    assert!(bench.app.maintenance.current().is_none());
    let get = bench.ask_as(Some(ADMIN), "GET", "/vacuum/start").send().await;
    assert_eq!(get.status, 405);
    bench.stop().await;
}

#[tokio::test]
async fn the_plan_has_its_warnings_on_every_page_and_one_file_is_one() {
    let bench = populating(0).await;
    let archive = Policy { write_only: true, ..Policy::default() };
    bench.put("/files/s/only", b"12345").await;
    bench.link("s", "main", Some(100), archive).await;
    for target in ["/vacuum/plan", "/fragments/vacuum/plan"] {
        let markup = page(&bench, target).await;
        has(&markup, &["1 file (5 B) of scope s is only in stores that it cannot read"]);
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_long_history_is_shown_in_part_until_all_is_asked_for() {
    let bench = populating(0).await;
    for _ in 0..25 {
        enter(&bench, Outcome::Complete, Vec::new()).await;
    }
    let rows = |markup: &str| markup.matches("<a href=\"/vacuum/runs/").count();
    let short = page(&bench, "/vacuum").await;
    assert_eq!(rows(&short), 20, "{short}");
    has(&short, &["Show all 25"]);
    let all = page(&bench, "/vacuum?all").await;
    assert_eq!(rows(&all), 25);
    assert!(!all.contains("Show all"));
    bench.stop().await;
}
