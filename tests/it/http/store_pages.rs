//! Stores on the admin page, as a browser without scripts sees them (SPEC 2, 10).

use hayloft::config::Schedule;
use hayloft::domain::Policy;

use super::bench::{ADMIN, Bench, Reply};
use super::scope_pages::{field, form, leads_to, page, text};

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

async fn api(bench: &Bench, method: &str, target: &str, body: &str) -> Reply {
    let ask = bench.ask_as(Some(ADMIN), method, &format!("/api/v1/{target}"));
    ask.with("Content-Type", "application/json").body(body.as_bytes()).send().await
}

/// What is typed into a form.
type Fields = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn what_is_wrong_with_a_store_stands_beside_its_field() {
    const ID: (&str, &str) = ("access_key_id", "AK");
    const SECRET: (&str, &str) = ("secret_access_key", "geheim");
    let bench = Bench::start().await;
    let full = bench.root("full");
    std::fs::create_dir_all(&full).expect("made");
    std::fs::write(full.join("letter.txt"), "dear reader").expect("written");
    let full = full.to_str().expect("text");
    let main = bench.root("main");
    let main = main.to_str().expect("text");
    let free = bench.root("free");
    let free = free.to_str().expect("text");
    let local = [
        ("root", "is not absolute", [("root", "not/absolute"), ("max_size", "")]),
        ("root", "does not exist", [("root", "/no/where/at/all"), ("max_size", "")]),
        ("root", "is the same as", [("root", main), ("max_size", "")]),
        ("adopt", "is not empty", [("root", full), ("max_size", "")]),
        ("soft_max_size", "above the hard limit", [("root", free), ("max_size", "1GB")]),
    ];
    for (name, why, fields) in local {
        let mut fields = fields.to_vec();
        fields.extend([("backend", "local"), ("name", "x"), ("soft_max_size", "2GB")]);
        let refused = form(&bench, "/stores/new", &fields).send().await;
        assert_eq!(refused.status, 422, "{fields:?}");
        let markup = text(&refused);
        assert!(field(&markup, name).contains(why), "{name}: {markup}");
        assert!(markup.contains("see below"), "{markup}");
    }
    let taken = [("backend", "local"), ("name", "main"), ("root", free)];
    let taken = text(&form(&bench, "/stores/new", &taken).send().await);
    assert!(field(&taken, "name").contains("there is a store main already"), "{taken}");

    let s3: [(&str, &str, Fields); 6] = [
        ("bucket", "not a bucket name", &[("bucket", "b"), ID, SECRET]),
        ("access_key_id", "needs credentials", &[("bucket", "bucket")]),
        ("secret_access_key", "two parts", &[("bucket", "bucket"), ID]),
        ("access_key_id", "two parts", &[("bucket", "bucket"), SECRET]),
        ("endpoint", "https://HOST", &[("bucket", "bucket"), ID, SECRET, ("endpoint", "s3.x")]),
        ("presign_ttl", "10 s to 1 h", &[("bucket", "bucket"), ID, SECRET, ("presign_ttl", "9s")]),
    ];
    for (name, why, fields) in s3 {
        let mut fields = fields.to_vec();
        fields.extend([("backend", "s3"), ("name", "x")]);
        let refused = form(&bench, "/stores/new", &fields).send().await;
        assert_eq!(refused.status, 422, "{fields:?}");
        let markup = text(&refused);
        assert!(field(&markup, name).contains(why), "{name}: {markup}");
        assert!(!markup.contains("geheim") && !markup.contains("--access"), "{markup}");
    }
    let asked = r#"{"name":"x","backend":"local","root":"not/absolute"}"#;
    let problem = api(&bench, "POST", "stores", asked).await;
    assert_eq!(problem.problem(), (400, "invalid-request".into()));
    assert_eq!(problem.json()["field"], "root", "the API says the same");
    bench.stop().await;
}

/// What the hidden field `name` of a page holds.
fn hidden(markup: &str, name: &str) -> String {
    let begin = format!("type=\"hidden\" name=\"{name}\" value=\"");
    let at = markup.find(&begin).expect("a hidden field") + begin.len();
    let value = markup[at..].split('"').next().expect("its end");
    value.replace("&#34;", "\"").replace("&quot;", "\"").replace("&amp;", "&")
}

#[tokio::test]
async fn a_form_that_was_open_for_long_undoes_nothing() {
    let bench = Bench::start().await;
    let shown = hidden(&page(&bench, "/stores/main").await, "shown");
    let elsewhere = r#"{"soft_max_size":4000000000}"#;
    assert_eq!(api(&bench, "PATCH", "stores/main", elsewhere).await.status, 200);
    let typed = [
        ("backend", "local"),
        ("shown", shown.as_str()),
        ("soft_max_size", ""),
        ("max_size", "5GB"),
        ("instance_wide", "on"),
    ];
    leads_to(form(&bench, "/stores/main", &typed), "/stores/main?done=saved").await;
    let store = api(&bench, "GET", "stores/main", "").await.json();
    assert_eq!(
        (&store["soft_max_size"], &store["max_size"]),
        (&4_000_000_000_u64.into(), &5_000_000_000_u64.into())
    );
    // Refused, the form keeps what was shown when it was filled in.
    let wrong = [("shown", shown.as_str()), ("soft_max_size", "lots"), ("max_size", "5GB")];
    let refused = text(&form(&bench, "/stores/main", &wrong).send().await);
    assert_eq!(hidden(&refused, "shown"), shown);
    bench.stop().await;
}

#[tokio::test]
async fn a_check_starts_by_itself_after_the_creation_only() {
    let bench = Bench::start().await;
    let root = bench.root("fresh");
    let root = root.to_str().expect("text");
    let made = [("backend", "local"), ("name", "fresh"), ("root", root)];
    let target = "/stores/fresh?check=1&done=store-created";
    leads_to(form(&bench, "/stores/new", &made), target).await;
    assert!(page(&bench, target).await.contains("data-at-once=\"check\""));
    for target in ["/stores/fresh", "/stores/fresh?done=saved", "/stores/fresh?done=store-created"]
    {
        assert!(!page(&bench, target).await.contains("data-at-once"), "{target}");
    }
    bench.stop().await;
}

/// The object of `main` that holds these bytes.
fn object(bench: &Bench, bytes: &[u8]) -> std::path::PathBuf {
    bench.root("main").join(crate::support::object_name(&crate::support::digest(bytes)))
}

#[tokio::test]
async fn a_store_that_lacks_a_file_is_not_called_empty() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"a").await.status, 201);
    std::fs::remove_file(object(&bench, b"a")).expect("removed");
    assert_eq!(bench.get("/files/s/a").await.status, 503);
    for scope in ["s", "open"] {
        let target = format!("scopes/{scope}/stores/main");
        assert_eq!(api(&bench, "DELETE", &format!("{target}?force=true"), "").await.status, 204);
    }
    let markup = page(&bench, "/stores/main/delete").await;
    assert!(markup.contains("1 file missing"), "{markup}");
    assert!(!markup.contains("The store is empty"), "{markup}");
    bench.stop().await;
}

#[tokio::test]
async fn a_wrong_name_in_the_form_of_force_stays_there() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"a").await.status, 201);
    let typed = [("force", "on"), ("force_name", "mian")];
    let refused = form(&bench, "/stores/main/delete", &typed).send().await;
    assert_eq!(refused.status, 422);
    let markup = text(&refused);
    assert!(field(&markup, "force_name").contains("that is not the name"), "{markup}");
    assert!(field(&markup, "force_name").contains("value=\"mian\""), "{markup}");
    let orderly = field(&markup, "name");
    assert!(!orderly.contains("mian") && !orderly.contains("aria-invalid"), "{markup}");
    assert!(markup.contains("1 file (1 B) would lose"), "{markup}");
    let orderly = form(&bench, "/stores/main/delete", &[("name", "main")]).send().await;
    assert!(text(&orderly).contains("still has 1 replica"), "{}", text(&orderly));
    let forced = form(&bench, "/stores/main/delete", &[("force", "on"), ("force_name", "main")]);
    assert!(text(&forced.send().await).contains("main is deleted"));
    bench.stop().await;
}

#[tokio::test]
async fn reconciling_says_what_was_found() {
    let bench = Bench::start().await;
    for name in ["a", "b", "c"] {
        assert_eq!(bench.put(&format!("/files/s/{name}"), name.as_bytes()).await.status, 201);
    }
    std::fs::remove_file(object(&bench, b"a")).expect("removed");
    let reply = form(&bench, "/stores/main/reconcile", &[]).send().await;
    assert_eq!(reply.status, 200);
    let said = "2 objects found, 2 known, 0 adopted, 1 missing. The marker is ours.";
    assert!(text(&reply).contains(said), "{}", text(&reply));
    leads_to(bench.ask_as(Some(ADMIN), "GET", "/stores/main/reconcile"), "/stores/main").await;
    bench.stop().await;
}
