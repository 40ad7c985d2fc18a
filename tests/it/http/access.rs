//! Who may do what, and how they prove who they are (SPEC 10).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::bench::{ADMIN, Bench, EXPIRED, OF_S, READER, Reply, WRITER};
use crate::support::digest;

const NOBODY: Option<&str> = None;

#[tokio::test]
async fn each_caller_may_do_what_their_token_says() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"x").await.status, 201);
    assert_eq!(bench.put("/files/open/a", b"x").await.status, 201);
    let hex = digest(b"x").to_hex();
    let (in_s, in_open) = (format!("/by-hash/s/{hex}"), format!("/by-hash/open/{hex}"));
    let callers = [NOBODY, Some(READER), Some(WRITER), Some(ADMIN), Some(OF_S)];
    let matrix: [(&str, &str, [u16; 5]); 16] = [
        ("GET", "/files/s/a", [401, 200, 200, 200, 200]),
        ("HEAD", "/files/s/a", [401, 200, 200, 200, 200]),
        ("GET", &in_s, [401, 200, 200, 200, 200]),
        ("GET", "/files/s/", [401, 200, 200, 200, 200]),
        ("GET", "/files/s/missing", [401, 404, 404, 404, 404]),
        ("GET", "/files/open/a", [200, 200, 200, 200, 200]),
        ("HEAD", "/files/open/a", [200, 200, 200, 200, 200]),
        ("GET", &in_open, [200, 200, 200, 200, 200]),
        ("GET", "/files/open/", [401, 200, 200, 200, 403]),
        ("GET", "/files/unknown/a", [401, 404, 404, 404, 403]),
        ("GET", "/files/unknown/", [401, 404, 404, 404, 403]),
        ("DELETE", "/files/unknown/a", [401, 403, 404, 404, 403]),
        ("DELETE", "/files/open/missing", [401, 403, 404, 404, 403]),
        ("DELETE", "/files/s/missing", [401, 403, 404, 404, 404]),
        ("GET", "/metrics", [401, 200, 200, 200, 200]),
        ("GET", "/healthz", [200, 200, 200, 200, 200]),
    ];
    for (method, target, statuses) in matrix {
        for (caller, status) in callers.iter().zip(statuses) {
            let reply = bench.ask_as(*caller, method, target).send().await;
            assert_eq!(reply.status, status, "{caller:?} {method} {target}");
            if status >= 400 && method != "HEAD" {
                reply.problem();
            }
        }
    }
    for (caller, status) in callers.iter().zip([401, 403, 200, 200, 403]) {
        let put = bench.ask_as(*caller, "PUT", "/files/open/a").body(b"x").send().await;
        assert_eq!(put.status, status, "{caller:?}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn strangers_cannot_tell_an_unknown_scope_from_a_closed_one() {
    let bench = Bench::start().await;
    assert_eq!(bench.put("/files/s/a", b"x").await.status, 201);
    for caller in [NOBODY, Some("hl_ofs_secret")] {
        let closed = if caller.is_none() { "s" } else { "open" };
        for (method, rest) in [("GET", ""), ("PUT", "a"), ("DELETE", "a"), ("GET", "a//b")] {
            if caller.is_some() && rest == "a//b" {
                continue;
            }
            let there = bench.ask_as(caller, method, &format!("/files/{closed}/{rest}"));
            let nowhere = bench.ask_as(caller, method, &format!("/files/nowhere/{rest}"));
            let (there, nowhere) = (there.send().await, nowhere.send().await);
            assert_eq!((there.status, there.body), (nowhere.status, nowhere.body), "{method}");
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn bad_credentials_are_named_and_challenged() {
    let bench = Bench::start().await;
    let bad = ["hl_admin_wrong", "hl_nobody_secret", "nonsense", EXPIRED, ""];
    for token in bad {
        let reply = bench.ask_as(Some(token), "GET", "/files/open/a").send().await;
        assert_eq!(reply.problem(), (401, "unauthorized".into()), "{token}");
        let challenges: Vec<_> =
            reply.headers.iter().filter(|(n, _)| n == "www-authenticate").map(|(_, v)| v).collect();
        assert!(challenges[0].starts_with("Bearer") && challenges[1].starts_with("Basic"));
    }
    bench.stop().await;
}

fn basic(token: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("user:{token}")))
}

#[tokio::test]
async fn a_token_works_as_the_password_of_basic() {
    let bench = Bench::start().await;
    let put = |site: Option<(&str, String)>| {
        let ask = bench.ask_as(NOBODY, "PUT", "/files/s/a").with("Authorization", &basic(WRITER));
        let ask = match site {
            Some((name, value)) => ask.with(name, &value),
            None => ask,
        };
        ask.body(b"x").send()
    };
    assert_eq!(put(None).await.status, 201);
    let own = format!("http://{}", bench.address);
    assert_eq!(put(Some(("Origin", own))).await.status, 200);
    assert_eq!(put(Some(("Sec-Fetch-Site", "same-origin".into()))).await.status, 200);
    let foreign = [
        ("Origin", "https://evil.example".to_owned()),
        ("Origin", "null".to_owned()),
        ("Sec-Fetch-Site", "cross-site".to_owned()),
        ("Sec-Fetch-Site", "same-site".to_owned()),
    ];
    for header in foreign {
        let shown = format!("{header:?}");
        assert_eq!(put(Some(header)).await.problem(), (403, "cross-site".into()), "{shown}");
    }
    let read = bench.ask_as(NOBODY, "GET", "/files/s/a").with("Authorization", &basic(READER));
    assert_eq!(read.with("Origin", "https://evil.example").send().await.status, 200);
    let bearer = bench.ask("PUT", "/files/s/a").with("Origin", "https://evil.example");
    assert_eq!(bearer.body(b"x").send().await.status, 200, "no browser sends these unasked");
    bench.stop().await;
}

#[tokio::test]
async fn failed_attempts_are_limited_and_good_tokens_are_not() {
    let bench = Bench::start().await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let reply = bench.ask_as(Some("hl_none_guess"), "GET", "/files/s/a").send().await;
        statuses.push(reply.status);
        if reply.status == 429 {
            assert!(reply.header("retry-after").is_some());
        }
    }
    assert_eq!(statuses, [vec![401; 10], vec![429; 2]].concat());
    assert_eq!(bench.get("/files/s/a").await.status, 404);
    bench.stop().await;
}

#[tokio::test]
async fn the_admin_socket_needs_no_credentials() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::start().await;
    assert_eq!(bench.over_socket("GET", "/files/s/").await.status, 200);
    assert_eq!(bench.over_socket("GET", "/api/v1/nothing").await.problem().0, 404);
    let mode = std::fs::metadata(&bench.socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(bench.ask_as(NOBODY, "GET", "/api/v1/status").send().await.problem().0, 401);
    bench.stop().await;
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    set.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn an_admin_signs_in_with_a_token_and_out_again() {
    let bench = Bench::start().await;
    let sign_in = |token: &str| {
        let ask = bench.ask_as(NOBODY, "POST", "/signin");
        let ask = ask.with("Content-Type", "application/x-www-form-urlencoded");
        ask.body(format!("token={token}").as_bytes()).send()
    };
    assert_eq!(sign_in("hl_admin_wrong").await.status, 401);
    assert_eq!(sign_in(WRITER).await.status, 403, "the page is for admins");
    let signed_in = sign_in(ADMIN).await;
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/")));
    let cookie = cookie(&signed_in);
    let with_cookie = |method, target| bench.ask_as(NOBODY, method, target).with("Cookie", &cookie);
    let page = with_cookie("GET", "/").send().await;
    assert_eq!(page.status, 200);
    let text = String::from_utf8(page.body.clone()).expect("text");
    assert!(text.contains("main") && text.contains("Sign out"), "{text}");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(with_cookie("GET", "/files/s/").send().await.status, 200);
    let foreign = with_cookie("DELETE", "/files/s/a").with("Sec-Fetch-Site", "cross-site");
    assert_eq!(foreign.send().await.problem(), (403, "cross-site".into()));
    assert_eq!(with_cookie("POST", "/signout").body(b"").send().await.status, 303);
    assert_eq!(with_cookie("GET", "/files/s/").send().await.status, 401);
    let stranger = bench.ask_as(NOBODY, "GET", "/").send().await;
    assert!(String::from_utf8_lossy(&stranger.body).contains("Admin token"));
    bench.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_the_token_that_opened_it() {
    let bench = Bench::start().await;
    let ask = bench.ask_as(NOBODY, "POST", "/signin");
    let cookie = cookie(&ask.body(format!("token={ADMIN}").as_bytes()).send().await);
    let list = || bench.ask_as(NOBODY, "GET", "/files/s/").with("Cookie", &cookie).send();
    assert_eq!(list().await.status, 200);
    let revoke = |tx: &mut hayloft::catalogue::Tx<'_>| tx.delete_token("admin");
    bench.app.catalogue.write(revoke).await.expect("revoked");
    assert_eq!(list().await.status, 401);
    bench.stop().await;
}

#[tokio::test]
async fn the_list_of_changes_tells_tokens_of_one_name_apart() {
    let bench = Bench::start().await;
    let session = |target: &str, cookie: &str, body: &str| {
        let ask = bench.ask_as(NOBODY, "POST", target).with("Cookie", cookie);
        ask.with("Content-Type", "application/x-www-form-urlencoded").body(body.as_bytes()).send()
    };
    let ask = bench.ask_as(NOBODY, "POST", "/signin");
    let by_token = cookie(&ask.body(format!("token={ADMIN}").as_bytes()).send().await);
    // A name that turns what follows around.
    let made = session("/access", &by_token, "name=%E2%80%AEx&role=read").await;
    assert_eq!(made.status, 200);
    let link = bench.ask_as(Some(ADMIN), "POST", "/api/v1/tokens/link").body(b"").send().await;
    let link = link.json()["url"].as_str().expect("a link").to_owned();
    let target = &link[link.find("/signin").expect("its path")..];
    let by_link = cookie(&bench.ask_as(NOBODY, "GET", target).send().await);
    assert_eq!(session("/scopes/s/set", &by_link, "public_read=on").await.status, 303);

    let list = bench.ask_as(Some(ADMIN), "GET", "/api/v1/audit").send().await.json();
    let who: Vec<&str> =
        list.as_array().expect("a list").iter().filter_map(|e| e["who"].as_str()).collect();
    let expected = ["session by link", "token:admin (admin)", "session of token admin (admin)"];
    assert_eq!(who[..3], expected);
    for (target, markup) in [
        ("/access/changes", "<bdi>token "),
        ("/access/changes", "by <bdi>session of token admin (admin)</bdi>"),
        ("/access", "<bdi>\u{202e}x</bdi>"),
        ("/access", "Revoke the token \u{2068}\u{202e}x\u{2069}?"),
    ] {
        let page = bench.ask_as(Some(ADMIN), "GET", target).send().await;
        let text = String::from_utf8(page.body).expect("text");
        assert!(text.contains(markup), "{target}: {text}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn probes_tell_liveness_readiness_and_numbers() {
    let bench = Bench::start_with(|c| c.metrics_public = true).await;
    assert_eq!(bench.put("/files/s/a", &[1; 1000]).await.status, 201);
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(bench.ask_as(NOBODY, "GET", probe).send().await.status, 200, "{probe}");
    }
    let metrics = bench.ask_as(NOBODY, "GET", "/metrics").send().await;
    let text = String::from_utf8(metrics.body).expect("text");
    for line in [
        "hayloft_requests_total{route=\"files\",method=\"PUT\",status=\"201\"} 1",
        "hayloft_received_bytes_total 1000",
        "hayloft_uploads_under_way 0",
        "hayloft_store_bytes{store=\"main\",state=\"present\"} 1000",
        "hayloft_store_available{store=\"main\"} 1",
        "hayloft_files 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(text.starts_with("# HELP hayloft_build_info "), "{text}");
    bench.stop().await;
}
