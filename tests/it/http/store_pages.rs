//! Stores on the admin page, as a browser without scripts sees them (SPEC 2, 10).

use hayloft::config::Schedule;
use hayloft::domain::Policy;

use super::bench::Bench;
use super::scope_pages::{form, leads_to, page, text};

/// `s` has three files in `main`, and `far` wants them; nothing starts by itself.
async fn with_work() -> Bench {
    let bench = Bench::start_with(|c| c.maintenance.schedule = Schedule::Off).await;
    bench.store("far", None).await;
    let populate = Policy { populate: true, ..Policy::default() };
    bench.link("s", "far", None, populate).await;
    for name in ["a", "b", "c"] {
        assert_eq!(bench.put(&format!("/files/s/{name}"), name.as_bytes()).await.status, 201);
    }
    bench
}

async fn vacuum(bench: &Bench) {
    let run = bench.app.maintenance.start().await.expect("a run");
    let mut watch = bench.app.maintenance.watch(run.id.expect("an id")).expect("under way");
    watch.wait_for(|run| run.finished_at.is_some()).await.expect("it ends");
    while bench.app.maintenance.current().is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn bars_show_what_the_next_run_would_move_and_not_what_the_last_one_moved() {
    let bench = with_work().await;
    let pages = [
        ("/", "/fragments/overview/stores"),
        ("/stores", "/fragments/stores"),
        ("/stores/far", "/fragments/stores/far/use"),
    ];
    for (address, part) in pages {
        let markup = page(&bench, address).await;
        assert!(markup.contains(&format!("data-load=\"{part}\"")), "{address}: {markup}");
        assert!(!markup.contains("would come"), "{address}: nobody looked yet: {markup}");
    }
    let part = page(&bench, "/fragments/overview/stores").await;
    assert!(part.contains("0 B used, 3 B would come"), "{part}");
    assert!(part.contains("as looked at <time") && !part.contains("<html"), "{part}");
    for (address, part) in pages {
        for address in [address, part] {
            let markup = page(&bench, address).await;
            assert!(markup.contains("3 B would come"), "{address}: {markup}");
            assert!(markup.contains("as looked at <time"), "{address}: {markup}");
        }
    }
    vacuum(&bench).await;
    for (address, _) in pages {
        let markup = page(&bench, address).await;
        assert!(!markup.contains("would come"), "{address}: they have come: {markup}");
    }
    // Without scripts a link leads to the same.
    let asked = page(&bench, "/?look").await;
    assert!(asked.contains("as looked at <time") && !asked.contains("would come"), "{asked}");
    let drain = [("drain", "true"), ("read_only", "on")];
    let saved = form(&bench, "/scopes/s/links/main", &drain).send().await;
    assert_eq!(saved.status, 303, "{}", text(&saved));
    assert!(!page(&bench, "/").await.contains("as looked at"), "of another policy");
    bench.stop().await;
}

#[tokio::test]
async fn a_store_and_a_scope_named_new_can_be_reached_from_everywhere() {
    let bench = Bench::start().await;
    bench.store("new", None).await;
    bench.scope("new", false).await;
    bench.link("new", "new", Some(1), Policy::default()).await;
    let populate = Policy { populate: true, ..Policy::default() };
    bench.link("s", "new", None, populate).await;
    assert_eq!(bench.put("/files/s/x", b"x").await.status, 201);
    assert_eq!(bench.put("/files/new/y", b"y").await.status, 201);
    let token = [("name", "t"), ("role", "read"), ("scope", "new")];
    assert_eq!(form(&bench, "/access", &token).send().await.status, 200);
    let pages = [
        "/",
        "/?look",
        "/scopes",
        "/scopes/%6Eew",
        "/scopes/new/links/new",
        "/stores",
        "/stores/%6Eew",
        "/stores/%6Eew/evacuation",
        "/stores/%6Eew/delete",
        "/stores/%6Eew/delete?count=1",
        "/vacuum/plan",
        "/access",
        "/browse/new/file?path=y",
    ];
    for address in pages {
        let markup = page(&bench, address).await;
        for (before, _) in markup.match_indices("/new\"") {
            let from = markup[..before].rfind('"').map_or(0, |quote| quote + 1);
            let target = &markup[from..before + 4];
            let makes = ["/stores/new", "/scopes/new"].contains(&target);
            let at = &markup[from.saturating_sub(30)..from];
            let is_button = at.contains("class=\"button\"");
            assert!(!makes || is_button, "{address}: {target} is where a new one is made");
        }
    }
    assert!(page(&bench, "/stores/%6Eew").await.contains("action=\"/stores/%6Eew\""));
    let limit = [("backend", "local"), ("max_size", "5GB"), ("instance_wide", "on")];
    leads_to(form(&bench, "/stores/%6Eew", &limit), "/stores/%6Eew?done=saved").await;
    assert!(page(&bench, "/stores/%6Eew").await.contains("of 5.0 GB"));
    bench.stop().await;
}
