//! Scopes, links and files on the admin page: forms that work without scripts (SPEC 10).

use super::bench::{ADMIN, Ask, Bench, Reply, WRITER};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hayloft::domain::Policy;

fn encoded(fields: &[(&str, &str)]) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let one = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = fields.iter().map(|(k, v)| format!("{}={}", one(k), one(v))).collect();
    pairs.join("&")
}

pub fn form(bench: &Bench, target: &str, fields: &[(&str, &str)]) -> Ask {
    let ask = bench.ask_as(Some(ADMIN), "POST", target);
    let ask = ask.with("Content-Type", "application/x-www-form-urlencoded");
    ask.body(encoded(fields).as_bytes())
}

pub async fn page(bench: &Bench, target: &str) -> String {
    let reply = bench.ask_as(Some(ADMIN), "GET", target).send().await;
    assert_eq!(reply.status, 200, "{target}: {}", text(&reply));
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{target}");
    assert!(reply.header("content-security-policy").is_some_and(|p| p.contains("'self'")));
    text(&reply)
}

pub fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// What stands in the field of that name: its markup up to the next field.
pub fn field<'a>(markup: &'a str, name: &str) -> &'a str {
    let at = markup.find(&format!("id=\"f-{name}\"")).unwrap_or_else(|| panic!("{name}: {markup}"));
    let rest = &markup[at..];
    &rest[..rest[1..].find("class=\"field").map_or(rest.len(), |end| end + 1)]
}

pub async fn leads_to(ask: Ask, target: &str) {
    let reply = ask.send().await;
    assert_eq!((reply.status, reply.header("location")), (303, Some(target)), "{}", text(&reply));
}

#[tokio::test]
async fn a_scope_is_made_linked_changed_and_deleted_without_scripts() {
    let bench = Bench::start().await;
    bench.store("cold", None).await;
    let bad = form(&bench, "/scopes/new", &[("name", "1\"bad"), ("link.cold", "on")]).send().await;
    let markup = text(&bad);
    assert_eq!(bad.status, 422, "{markup}");
    assert!(field(&markup, "name").contains("value=\"1&#34;bad\""), "{markup}");
    assert!(field(&markup, "name").contains("aria-invalid"), "{markup}");
    assert!(field(&markup, "link.cold").contains("checked"), "{markup}");
    let twice = text(&form(&bench, "/scopes/new", &[("name", "s")]).send().await);
    assert!(field(&twice, "name").contains("there is a scope s already"), "{twice}");
    // A scope of this name does not hide the page that makes scopes.
    let made = form(&bench, "/scopes/new", &[("name", "new"), ("link.main", "on")]);
    leads_to(made, "/scopes/%6Eew?done=scope-created").await;
    assert!(page(&bench, "/scopes/%6Eew?done=scope-created").await.contains("was created"));
    assert!(page(&bench, "/scopes/new").await.contains("New scope"));

    let link = "/scopes/new/links/cold";
    assert!(page(&bench, link).await.contains("Link cold to new"));
    let typed = [("upload_priority", "50"), ("soft_max_size", "80GB"), ("from", "matrix")];
    leads_to(form(&bench, link, &typed), "/scopes?done=linked").await;
    let markup = page(&bench, link).await;
    assert!(field(&markup, "soft_max_size").contains("value=\"80GB\""), "{markup}");
    let matrix = page(&bench, "/scopes").await;
    assert!(matrix.contains("up 50, down –") && matrix.contains("soft limit 80.0 GB"), "{matrix}");

    let unlink = form(&bench, "/scopes/new/links/cold/unlink", &[]);
    leads_to(unlink, "/scopes/%6Eew?done=unlinked").await;
    let kept = form(&bench, "/scopes/new/delete", &[("word", "new")]).send().await;
    assert_eq!(kept.status, 422);
    assert!(text(&kept).contains("still has 0 files and 1 link"), "{}", text(&kept));
    let wrong = form(&bench, "/scopes/new/delete", &[("word", "s"), ("force", "on")]).send().await;
    assert_eq!(wrong.status, 422);
    let gone = form(&bench, "/scopes/new/delete", &[("word", "new"), ("force", "on")]);
    leads_to(gone, "/scopes?done=scope-deleted").await;
    bench.stop().await;
}

#[tokio::test]
async fn a_refused_link_says_why_beside_the_field_and_keeps_what_was_typed() {
    let bench = Bench::start().await;
    bench.store("cold", None).await;
    bench.link("s", "cold", None, Policy { read_only: true, ..Policy::default() }).await;
    let link = "/scopes/s/links/main";
    let send = async |fields: &[(&str, &str)]| {
        let reply = form(&bench, link, fields).send().await;
        assert_eq!(reply.status, 422, "{fields:?}");
        text(&reply)
    };
    let markup = send(&[("upload_priority", "high"), ("soft_max_size", "80GB")]).await;
    assert!(field(&markup, "upload_priority").contains("whole number"), "{markup}");
    assert!(field(&markup, "soft_max_size").contains("80GB"), "{markup}");
    let markup = send(&[("populate", "on"), ("drain", "true"), ("upload_priority", "7")]).await;
    assert!(field(&markup, "populate").contains("contradict"), "{markup}");
    assert!(field(&markup, "upload_priority").contains("value=\"7\""), "{markup}");
    let markup = send(&[("drain", "cold")]).await;
    assert!(field(&markup, "drain").contains("is read_only in scope s"), "{markup}");

    let problem = bench
        .ask_as(Some(ADMIN), "PATCH", "/api/v1/scopes/s/stores/main")
        .with("Content-Type", "application/json")
        .body(br#"{"policy":{"drain":"cold"}}"#)
        .send()
        .await;
    assert_eq!(problem.problem(), (409, "drain-target-refused".into()));
    assert_eq!(problem.json()["field"], "drain");
    bench.stop().await;
}

/// The value of the hidden field that says what the page showed.
fn shown(markup: &str) -> String {
    let at = markup.find("name=\"shown\" value=\"").expect("the field") + 20;
    let value = markup[at..].split('"').next().expect("a value");
    value.replace("&amp;", "&")
}

#[tokio::test]
async fn a_drain_to_a_store_that_is_no_longer_linked_stays_until_somebody_changes_it() {
    let bench = Bench::start().await;
    bench.store("cold", None).await;
    let target = hayloft::domain::StoreName::new("cold").expect("a name");
    let drain = hayloft::domain::Drain::Into(target);
    let policy = Policy { drain: drain.clone(), ..Policy::default() };
    bench.link("s", "main", Some(100), policy).await;
    let link = "/scopes/s/links/main";
    let markup = page(&bench, link).await;
    assert!(
        field(&markup, "drain")
            .contains("<option value=\"cold\" selected>yes, to cold (not linked)</option>"),
        "{markup}"
    );
    let first = shown(&markup);
    let typed = [("shown", &*first), ("upload_priority", "7"), ("drain", "cold")];
    leads_to(form(&bench, link, &typed), "/scopes/s?done=saved").await;
    let settings = bench.app.catalogue.settings();
    let now = settings.topology.link(bench.scope_id("s"), bench.store_id("main")).expect("linked");
    assert_eq!((now.upload_priority, &now.policy.drain), (Some(7), &drain));
    bench.stop().await;
}

#[tokio::test]
async fn a_form_that_was_open_for_long_changes_only_what_was_typed_into_it() {
    let bench = Bench::start().await;
    let link = "/scopes/s/links/main";
    let first = shown(&page(&bench, link).await);
    let other = Policy { read_only: true, soft_max_size: Some(5_000), ..Policy::default() };
    bench.link("s", "main", Some(50), other.clone()).await;
    // A first try is refused; what the page showed at first still counts.
    let typed = [("shown", &*first), ("upload_priority", "100"), ("download_priority", "high")];
    let refused = text(&form(&bench, link, &typed).send().await);
    let again = shown(&refused);
    assert_eq!(again, first);
    let typed = [("shown", &*again), ("upload_priority", "100"), ("download_priority", "3")];
    leads_to(form(&bench, link, &typed), "/scopes/s?done=saved").await;
    let link_now = || {
        let settings = bench.app.catalogue.settings();
        settings.topology.link(bench.scope_id("s"), bench.store_id("main")).expect("linked").clone()
    };
    let now = link_now();
    assert_eq!((now.upload_priority, now.download_priority), (Some(50), Some(3)));
    assert_eq!(now.policy, other);
    let untouched = [("shown", &*again), ("upload_priority", "100")];
    leads_to(form(&bench, link, &untouched), "/scopes/s?done=saved").await;
    assert_eq!(link_now(), now);
    bench.stop().await;
}

#[tokio::test]
async fn no_two_fields_of_a_page_share_an_id() {
    let bench = Bench::start().await;
    bench.store("cold", None).await;
    let policy = || Policy::default();
    bench.link("s", "cold", Some(1), policy()).await;
    let target = hayloft::domain::StoreName::new("cold").expect("a name");
    let drain = hayloft::domain::Drain::Into(target);
    bench.link("s", "main", Some(100), Policy { drain, ..policy() }).await;
    assert_eq!(bench.put("/files/s/a", b"x").await.status, 201);
    let refused = form(&bench, "/scopes/s/links/cold", &[("read_only", "on")]).send().await;
    let markup = text(&refused);
    assert_eq!(refused.status, 422, "{markup}");
    assert!(markup.contains("Save it all the same") && markup.contains("Unlink it all the same"));
    let mut ids: Vec<_> =
        markup.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
    bench.stop().await;
}

#[tokio::test]
async fn the_effect_of_a_change_is_shown_before_it_is_saved() {
    let bench = Bench::start().await;
    bench.store("cold", None).await;
    for name in ["a", "b", "c"] {
        assert_eq!(bench.put(&format!("/files/s/{name}"), name.as_bytes()).await.status, 201);
    }
    let fragment = "/fragments/scopes/s/links/cold/effect";
    assert!(page(&bench, fragment).await.contains("nothing to do"));
    let seen = text(&form(&bench, fragment, &[("populate", "on")]).send().await);
    let sentence =
        "With this, the next run would copy 3 files, 3 B, from main to cold. Without it: nothing.";
    assert!(seen.contains(sentence), "{seen}");
    // The same for those who have no scripts; nothing is saved by it.
    let asked = form(&bench, "/scopes/s/links/cold", &[("populate", "on"), ("effect", "on")]);
    let asked = asked.send().await;
    assert_eq!(asked.status, 200);
    assert!(text(&asked).contains(sentence), "{}", text(&asked));
    assert!(page(&bench, "/scopes/s").await.contains("Link cold"));
    let refused = form(&bench, fragment, &[("populate", "on"), ("read_only", "on")]).send().await;
    assert!(text(&refused).contains("could not be saved"), "{}", text(&refused));
    bench.stop().await;
}

#[tokio::test]
async fn unlinking_by_force_needs_the_name_of_the_store() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"x").await.status, 201);
    let unlink = "/scopes/s/links/main/unlink";
    for fields in [&[][..], &[("force", "on")], &[("force", "on"), ("word", "cold")]] {
        let reply = form(&bench, unlink, fields).send().await;
        assert_eq!(reply.status, 422, "{fields:?}");
    }
    assert!(page(&bench, "/scopes/s/links/main").await.contains("This would be refused"));
    let forced = form(&bench, unlink, &[("force", "on"), ("word", "main")]);
    leads_to(forced, "/scopes/s?done=unlinked").await;
    bench.stop().await;
}

#[tokio::test]
async fn folders_are_listed_by_pages_whatever_the_names() {
    let bench = Bench::start().await;
    let evil = "<script>x</script>\"' #?%&\u{202e}txt";
    let address = |path: &str| {
        let parts =
            path.split('/').map(|part| encoded(&[(part, "")]).trim_end_matches('=').to_owned());
        format!("/files/s/{}", parts.collect::<Vec<_>>().join("/"))
    };
    for path in ["many/1/x", "many/2/y", "many/2/z", &format!("odd/{evil}"), "top.txt"] {
        assert_eq!(bench.put(&address(path), path.as_bytes()).await.status, 201, "{path}");
    }
    for n in 0..250 {
        assert_eq!(bench.put(&format!("/files/s/many/f{n:03}"), b"same").await.status, 201);
    }
    let top = page(&bench, "/browse/s").await;
    assert!(top.contains(">many/</bdi>") && top.contains(">top.txt</bdi>"), "{top}");
    assert!(!top.contains("f000"), "{top}");
    let first = page(&bench, "/browse/s?prefix=many/").await;
    assert!(first.contains("f197<") && !first.contains("f198<") && first.contains(">2/</bdi>"));
    let next =
        first.split("href=\"").find(|rest| rest.contains(">Next page<")).expect("a next page");
    let next = next[..next.find('"').expect("an end")].replace("&#38;", "&");
    let second = page(&bench, &next).await;
    assert!(second.contains("f198<") && second.contains("f249<") && !second.contains("Next page"));
    let found = page(&bench, "/browse/s?prefix=many/&q=f24").await;
    assert!(found.contains("f240<") && !found.contains("f199<"), "{found}");

    let odd = page(&bench, "/browse/s?prefix=odd/").await;
    // Its slash makes a folder of the first part.
    assert!(odd.contains("&#60;script&#62;x&#60;/</bdi>") && !odd.contains("<script>x"), "{odd}");
    let query = encoded(&[("path", &format!("odd/{evil}"))]);
    let file = page(&bench, &format!("/browse/s/file?{query}")).await;
    assert!(!file.contains("<script>x") && file.contains("Downloads get it from"), "{file}");
    let next = page(&bench, &format!("/fragments/browse/s/next?{query}")).await;
    assert!(next.contains("Nothing: it is where"), "{next}");
    bench.stop().await;
}

#[tokio::test]
async fn a_deleted_file_is_listed_and_brought_back() {
    let bench = Bench::start().await;
    for path in ["a%20b", "kept"] {
        assert_eq!(bench.put(&format!("/files/s/{path}"), b"x").await.status, 201);
    }
    assert_eq!(bench.put("/files/s/kept", b"newer").await.status, 200);
    leads_to(form(&bench, "/browse/s/delete?path=a%20b", &[]), "/browse/s?done=file-deleted").await;
    assert_eq!(bench.get("/files/s/a%20b").await.status, 404);
    let again = form(&bench, "/browse/s/delete?path=a%20b", &[]).send().await;
    assert_eq!(again.status, 404);
    assert!(page(&bench, "/access/changes").await.contains("file.delete"));
    let later = bench.ask_as(Some(ADMIN), "GET", "/access/changes?after=now").send().await;
    assert_eq!(later.status, 400);
    assert!(text(&later).contains("after is a number, not"), "{}", text(&later));
    let deleted = page(&bench, "/browse/s?deleted=1").await;
    assert!(
        deleted.contains("undelete?path=a%20b") && deleted.contains("replaced by a newer file")
    );
    let back = form(&bench, "/browse/s/undelete?path=a%20b", &[]);
    leads_to(back, "/browse/s/file?path=a%20b&done=file-undeleted").await;
    assert_eq!(bench.get("/files/s/a%20b").await.status, 200);
    bench.stop().await;
}

/// A form with files: (name, content), with what stands before them.
fn sent(bench: &Bench, target: &str, before: &str, files: &[(&str, &str)]) -> Ask {
    let mut body = before.to_owned();
    for (name, content) in files {
        let head = "Content-Disposition: form-data; name=\"files\"; filename=";
        let kind = "Content-Type: text/plain";
        let end = "\r\n";
        body.extend(["--edge\r\n", head, "\"", name, "\"\r\n", kind, end, end, content, end]);
    }
    body.push_str("--edge--\r\n");
    let ask = bench.ask_as(Some(ADMIN), "POST", target);
    ask.with("Content-Type", "multipart/form-data; boundary=edge").body(body.as_bytes())
}

const REPLACE: &str = "--edge\r\nContent-Disposition: form-data; name=\"replace\"\r\n\r\non\r\n";

#[tokio::test]
async fn files_are_uploaded_without_scripts() {
    let bench = Bench::start_with(|c| c.limits.max_upload = Some(100_000)).await;
    let target = "/browse/s/upload?prefix=in%2F";
    assert!(page(&bench, "/browse/s?prefix=in/").await.contains(&format!("action=\"{target}\"")));
    let large = "x\r\n--edg".repeat(10_000);
    let both = [("a.txt", "one"), ("q%22 <b>.txt", &*large)];
    leads_to(sent(&bench, target, "", &both), "/browse/s?prefix=in%2F&done=files-uploaded").await;
    let stored = bench.get("/files/s/in/a.txt").await;
    assert_eq!((stored.header("content-type"), text(&stored)), (Some("text/plain"), "one".into()));
    assert_eq!(text(&bench.get("/files/s/in/q%22%20%3Cb%3E.txt").await), large);

    // Nothing is replaced unasked, what is too large is refused, and the others come in.
    let too_large = "y".repeat(100_001);
    let some = [("a.txt", "two"), ("big", &*too_large), ("dir/b.txt", "three"), ("..", "x")];
    let refused = sent(&bench, target, "", &some).send().await;
    let markup = text(&refused);
    assert_eq!(refused.status, 422, "{markup}");
    let beside = field(&markup, "files");
    assert!(beside.contains("aria-invalid") && beside.contains("1 file stored"), "{beside}");
    assert!(beside.contains("<bdi>a.txt</bdi>: there is a file of this name already"), "{beside}");
    assert!(beside.contains("<bdi>big</bdi>: uploads are limited to 100000 bytes"), "{beside}");
    assert!(beside.contains("<bdi>..</bdi>: "), "{beside}");
    assert_eq!(text(&bench.get("/files/s/in/a.txt").await), "one");
    assert_eq!(text(&bench.get("/files/s/in/b.txt").await), "three");
    assert_eq!(bench.get("/files/s/in/big").await.status, 404);
    let replaced = sent(&bench, target, REPLACE, &[("a.txt", "two")]);
    leads_to(replaced, "/browse/s?prefix=in%2F&done=files-uploaded").await;
    assert_eq!(text(&bench.get("/files/s/in/a.txt").await), "two");
    bench.stop().await;
}

#[tokio::test]
async fn a_form_without_a_file_or_without_an_end_stores_nothing() {
    let bench = Bench::start().await;
    let target = "/browse/s/upload?prefix=";
    let none = sent(&bench, target, REPLACE, &[("", "")]).send().await;
    let markup = text(&none);
    assert_eq!(none.status, 422, "{markup}");
    assert!(field(&markup, "files").contains("Choose a file first."), "{markup}");
    assert!(field(&markup, "replace").contains(" checked"), "{markup}");
    let no_form = form(&bench, target, &[("files", "x")]).send().await;
    assert_eq!(no_form.status, 400);
    assert!(text(&no_form).contains("the form cannot be read"), "{}", text(&no_form));
    let cut_off = bench.ask_as(Some(ADMIN), "POST", target);
    let cut_off = cut_off.with("Content-Type", "multipart/form-data; boundary=edge");
    let head = "--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n";
    let reply = cut_off.chunked(&[head.as_bytes(), b"half"]).send().await;
    assert_eq!(reply.status, 400, "{}", text(&reply));
    assert_eq!(bench.get("/files/s/a").await.status, 404);
    // From another site, and for strangers, it is refused like every other form.
    let basic = format!("Basic {}", BASE64.encode(format!("user:{ADMIN}")));
    let ask = bench.ask_as(None, "POST", target).with("Authorization", &basic);
    assert_eq!(ask.with("Sec-Fetch-Site", "cross-site").body(b"x").send().await.status, 403);
    assert_eq!(bench.ask_as(Some(WRITER), "POST", target).body(b"x").send().await.status, 401);
    bench.stop().await;
}

#[tokio::test]
async fn strangers_and_other_sites_change_nothing() {
    let bench = Bench::start().await;
    let pages =
        ["/scopes", "/scopes/s", "/scopes/s/links/main", "/browse/s", "/browse/s/file?path=a"];
    for target in pages {
        for token in [None, Some(WRITER)] {
            let reply = bench.ask_as(token, "GET", target).send().await;
            assert!(text(&reply).contains("Admin token"), "{target}");
            assert!(!text(&reply).contains("public read"), "{target}");
        }
    }
    let stranger = bench.ask_as(None, "POST", "/scopes/s/set").body(b"public_read=on").send().await;
    assert_eq!(stranger.status, 401);
    let basic = format!("Basic {}", BASE64.encode(format!("user:{ADMIN}")));
    for target in ["/scopes/s/set", "/scopes/s/delete", "/browse/s/delete?path=a"] {
        let ask = bench.ask_as(None, "POST", target).with("Authorization", &basic);
        let reply = ask.with("Sec-Fetch-Site", "cross-site").body(b"public_read=on").send().await;
        assert_eq!(reply.status, 403, "{target}");
    }
    assert!(!page(&bench, "/scopes/s").await.contains("public read"));
    bench.stop().await;
}
