//! The admin page when nobody is in: sessions that are over, refusals, sign-in links (SPEC 10).

use hayloft::ops::{Actor, tokens};

use super::bench::{ADMIN, Bench, Reply};

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// Every refusal is a page of ours: for people, kept nowhere, under the strict policy.
fn is_a_page(reply: &Reply, status: u16, words: &str) {
    let markup = text(reply);
    assert_eq!(reply.status, status, "{markup}");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{words}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{words}");
    let policy = reply.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && markup.contains(words), "{markup}");
}

#[tokio::test]
async fn a_part_of_a_page_says_that_the_session_is_over_and_is_no_sign_in_page() {
    let bench = Bench::start().await;
    for (method, target) in [
        ("GET", "/fragments/vacuum/plan"),
        ("GET", "/fragments/browse/s/next?path=a"),
        ("POST", "/fragments/scopes/s/links/main/effect"),
    ] {
        let reply = bench.ask_as(None, method, target).send().await;
        is_a_page(&reply, 401, "The session is over.");
        let markup = text(&reply);
        assert!(markup.contains("href=\"/signin\"") && !markup.contains("<html"), "{markup}");
    }
    let signed_in = bench.ask_as(None, "POST", "/scopes/new").body(b"name=x").send().await;
    is_a_page(&signed_in, 401, "Admin token");
    bench.stop().await;
}

#[tokio::test]
async fn scripts_of_a_page_are_not_challenged_as_programs_are() {
    let bench = Bench::start().await;
    let ask = |target: &str| bench.ask_as(None, "GET", target);
    for target in ["/files/s/", "/api/v1/status"] {
        let challenges = |reply: &Reply| {
            let all = reply.headers.iter().filter(|(name, _)| name == "www-authenticate");
            all.map(|(_, value)| value.split(' ').next().unwrap_or("").to_owned())
                .collect::<Vec<_>>()
        };
        for mode in ["cors", "same-origin", "no-cors"] {
            let script = ask(target).with("Sec-Fetch-Mode", mode).send().await;
            assert_eq!((script.status, challenges(&script)), (401, vec!["Bearer".into()]));
        }
        for program in [ask(target), ask(target).with("Sec-Fetch-Mode", "navigate")] {
            let both = vec!["Bearer".to_owned(), "Basic".to_owned()];
            assert_eq!(challenges(&program.send().await), both, "{target}");
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn refusals_before_the_door_are_pages() {
    let bench = Bench::start().await;
    let missing = bench.ask_as(None, "GET", "/assets/none.js").send().await;
    is_a_page(&missing, 404, "there is nothing here");
    let all = "GET, HEAD, POST";
    for (method, target, allow) in [
        ("DELETE", "/", "GET, HEAD"),
        ("DELETE", "/scopes", all),
        ("PUT", "/signin", all),
        ("GET", "/signout", "POST"),
    ] {
        let reply = bench.ask_as(Some(ADMIN), method, target).send().await;
        is_a_page(&reply, 405, "this address takes");
        assert_eq!(reply.header("allow"), Some(allow), "{target}");
    }
    let foreign = bench.ask_as(None, "POST", "/signin").with("Sec-Fetch-Site", "cross-site");
    is_a_page(&foreign.body(b"token=x").send().await, 403, "another web site");
    let within = bench.ask_as(Some(ADMIN), "DELETE", "/vacuum/plan").send().await;
    is_a_page(&within, 405, "this address takes");
    let part = bench.ask_as(Some("hl_admin_wrong"), "GET", "/fragments/vacuum/plan").send().await;
    assert_eq!(part.status, 401);
    assert!(!text(&part).contains("<html"), "{}", text(&part));
    bench.stop().await;
}

#[tokio::test]
async fn who_fails_too_often_is_told_so_beside_the_field() {
    let bench = Bench::start().await;
    let attempt = || {
        let ask = bench.ask_as(None, "POST", "/signin");
        ask.body(b"token=hl_admin_wrong&next=%2Fvacuum").send()
    };
    for _ in 0..10 {
        is_a_page(&attempt().await, 401, "This token is unknown");
    }
    let refused = attempt().await;
    is_a_page(&refused, 429, "too many attempts");
    assert!(text(&refused).contains("value=\"/vacuum\""), "{}", text(&refused));
    assert!(refused.header("retry-after").is_some());
    bench.stop().await;
}

#[tokio::test]
async fn only_a_get_uses_a_sign_in_link_up() {
    let bench = Bench::start().await;
    let admin = Actor::instance_admin("socket");
    let link = tokens::sign_in_link(&bench.app, &admin).await.expect("a link");
    let target = format!("/signin{}", link.url.split_once("/signin").expect("a link").1);
    for method in ["OPTIONS", "TRACE", "HEAD"] {
        let reply = bench.ask_as(None, method, &target).send().await;
        assert_eq!(reply.header("set-cookie"), None, "{method}");
    }
    let opened = bench.ask_as(None, "GET", &target).send().await;
    assert!(opened.header("set-cookie").is_some(), "{}", text(&opened));
    bench.stop().await;
}
