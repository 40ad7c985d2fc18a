//! Notifications: what is told, to whom, how often, and what never is (SPEC 12).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hayloft::config::{Config, Notify, NotifyEvent, NotifyKind};
use hayloft::domain::{Policy, ReplicaState};
use hayloft::stores::Backend;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::house::{HOUR, House, populate};
use crate::support::faulty::{Fault, Operation, When};
use crate::support::instance::Instance;
use crate::support::{ports, s3};

const EVENTS: [NotifyEvent; 7] = [
    NotifyEvent::RunFailed,
    NotifyEvent::RunIncomplete,
    NotifyEvent::RunComplete,
    NotifyEvent::StoreUnavailable,
    NotifyEvent::StoreAvailable,
    NotifyEvent::LimitForecast,
    NotifyEvent::ReplicaLost,
];

/// What a receiver was sent.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    title: String,
    priority: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The event of a JSON notification.
    fn event(&self) -> String {
        self.json()["event"].as_str().expect("an event").to_owned()
    }
}

/// A receiver on the loopback.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    /// Statuses of the next answers; 200 when there is none.
    answers: Arc<Mutex<VecDeque<u16>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let answers: Arc<Mutex<VecDeque<u16>>> = Arc::default();
        let (kept, scripted) = (Arc::clone(&got), Arc::clone(&answers));
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (kept, scripted) = (Arc::clone(&kept), Arc::clone(&scripted));
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (kept, scripted) = (Arc::clone(&kept), Arc::clone(&scripted));
                    async move {
                        let got = read(request).await;
                        kept.lock().expect("unpoisoned").push(got);
                        let status = scripted.lock().expect("unpoisoned").pop_front();
                        let answer = Response::builder().status(status.unwrap_or(200));
                        Ok::<_, Infallible>(
                            answer.body(Full::<bytes::Bytes>::default()).expect("an answer"),
                        )
                    }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                // A receiver that is gone must not answer on a connection that was kept.
                http.keep_alive(false);
                tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { address, got, answers, server }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().expect("unpoisoned").clone()
    }

    /// Waits until `count` notifications have come, and a moment longer for one too many.
    async fn wait(&self, count: usize) -> Vec<Got> {
        let begun = Instant::now();
        while self.got().len() < count && begun.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        let got = self.got();
        assert_eq!(got.len(), count, "{got:#?}");
        got
    }
}

async fn read(request: Request<Incoming>) -> Got {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (title, priority) = (header("title"), header("priority"));
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    Got { path, title, priority, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
}

fn receiver(kind: NotifyKind, url: String, on: &[NotifyEvent]) -> Notify {
    Notify { kind, url, on: on.to_vec() }
}

fn hears(receiver: &Receiver, on: &[NotifyEvent]) -> impl FnOnce(&mut Config) + use<> {
    let notify = vec![self::receiver(NotifyKind::Json, receiver.url("/"), on)];
    move |config| config.notify = notify
}

#[tokio::test]
async fn each_kind_of_receiver_gets_its_own_shape() {
    let ear = Receiver::start().await;
    let of = |kind, path| receiver(kind, ear.url(path), &[NotifyEvent::StoreUnavailable]);
    let notify = vec![
        of(NotifyKind::Json, "/json"),
        of(NotifyKind::Ntfy, "/ntfy"),
        of(NotifyKind::Slack, "/slack"),
        receiver(NotifyKind::Json, ear.url("/deaf"), &[NotifyEvent::RunComplete]),
    ];
    let mut house = House::with(|config| config.notify = notify);
    let shelf = house.store("a").await;
    shelf.faulty.inject(Operation::ReadMarker, When::Always, Fault::Unavailable);
    house.vacuum().await;
    let mut got = ear.wait(3).await;
    got.sort_by(|a, b| a.path.cmp(&b.path));
    let paths: Vec<_> = got.iter().map(|g| g.path.as_str()).collect();
    assert_eq!(paths, ["/json", "/ntfy", "/slack"]);
    let json = got[0].json();
    assert_eq!(json["event"], "store-unavailable");
    assert_eq!(json["facts"]["store"], "a");
    assert!(json["text"].as_str().is_some_and(|t| t.starts_with("store a: ")), "{json}");
    assert!(json["at"].as_str().is_some_and(|t| t.starts_with("2023-")), "{json}");
    assert_eq!(got[1].title, "Hayloft: store-unavailable");
    assert_eq!(got[1].priority, "high");
    assert!(got[1].body.starts_with("store a: "), "{got:?}");
    let slack = got[2].json();
    assert_eq!(slack.as_object().map(serde_json::Map::len), Some(1));
    assert!(slack["text"].as_str().is_some_and(|t| t.starts_with("Hayloft: store a: ")), "{slack}");
    assert_eq!(house.maintenance.notified(), (3, 0));
}

#[tokio::test]
async fn every_run_that_ends_is_told_by_its_outcome() {
    let ear = Receiver::start().await;
    let mut house = House::with(hears(&ear, &EVENTS));
    house.store("a").await;
    house.link("s", "a", Some(100), Policy::default()).await;
    house.put("s", "f", 10).await;
    house.vacuum().await;
    assert_eq!(ear.wait(1).await[0].event(), "run-complete");
    let full = house.limited_store("full", None, Some(5)).await;
    house.link("s", "full", None, populate()).await;
    let run = house.vacuum().await;
    let got = ear.wait(2).await.remove(1);
    assert_eq!(got.event(), "run-incomplete");
    let facts = &got.json()["facts"];
    assert_eq!(facts["run"], run.id.expect("an id"));
    assert_eq!(facts["errors"][0]["store"], "full", "{facts:#}");
    let text = got.json()["text"].to_string();
    assert!(text.contains("full: "), "{text}");
    drop(full);
}

#[tokio::test]
async fn a_notification_is_tried_again_after_a_500_and_after_a_refused_connection() {
    let ear = Receiver::start().await;
    ear.answers.lock().expect("unpoisoned").push_back(500);
    // A port that nobody listens on yet.
    let address = (Ipv4Addr::LOCALHOST, ports::claim()).into();
    let on = [NotifyEvent::RunComplete];
    let notify = vec![
        receiver(NotifyKind::Json, ear.url("/"), &on),
        receiver(NotifyKind::Slack, format!("http://{address}/"), &on),
    ];
    let mut house = House::with(|config| config.notify = notify);
    house.store("a").await;
    house.vacuum().await;
    ear.wait(1).await;
    let late = Receiver::start_at(address).await;
    let got = ear.wait(2).await;
    assert_eq!(got[0].body, got[1].body, "the same event");
    late.wait(1).await;
    assert_eq!(house.maintenance.notified(), (2, 0));
}

#[tokio::test]
async fn a_store_that_fails_is_told_once_and_one_that_comes_and_goes_not_every_time() {
    let ear = Receiver::start().await;
    let mut house =
        House::with(hears(&ear, &[NotifyEvent::StoreUnavailable, NotifyEvent::StoreAvailable]));
    let shelf = house.store("a").await;
    house.vacuum().await;
    shelf.faulty.inject(Operation::ReadMarker, When::Always, Fault::Unavailable);
    for _ in 0..3 {
        house.vacuum().await;
    }
    assert_eq!(ear.wait(1).await[0].event(), "store-unavailable");
    shelf.faulty.heal();
    house.vacuum().await;
    ear.wait(1).await;
    house.clock.advance(HOUR);
    house.vacuum().await;
    house.vacuum().await;
    assert_eq!(ear.wait(2).await[1].event(), "store-available");
}

/// Loses the bytes of a file and has it noticed.
async fn lose(house: &House, store: &str, digest: hayloft::domain::Digest) {
    let shelf = house.shelf(store);
    shelf.memory.delete(&digest).await.expect("deleted");
    let file = house.file(digest).expect("a file");
    assert!(!house.transfer.confirm(&file, shelf.id).await);
    assert_eq!(house.state(digest, store), Some(ReplicaState::Missing));
}

#[tokio::test]
async fn lost_replicas_are_told_once_with_their_number_store_and_scopes() {
    let ear = Receiver::start().await;
    let mut house = House::with(hears(&ear, &[NotifyEvent::ReplicaLost]));
    for name in ["a", "b"] {
        house.store(name).await;
        house.link("s", name, Some(100), Policy::default()).await;
    }
    let mut files = Vec::new();
    for path in ["one", "two", "three"] {
        files.push(house.put("s", path, 10).await);
    }
    house.plant("b", files[0]).await;
    lose(&house, "a", files[0]).await;
    lose(&house, "a", files[1]).await;
    house.vacuum().await;
    house.vacuum().await;
    let got = ear.wait(1).await.remove(0).json();
    assert_eq!(got["event"], "replica-lost");
    let facts = &got["facts"];
    assert_eq!((&facts["store"], &facts["missing"]), (&"a".into(), &2.into()));
    assert_eq!(facts["scopes"], serde_json::json!(["s"]));
    assert_eq!(facts["digests"].as_array().map(Vec::len), Some(2));
    assert_eq!(facts["without_other_replica"], 1, "{facts:#}");

    let house = house.restart().await;
    house.vacuum().await;
    ear.wait(1).await;
    lose(&house, "a", files[2]).await;
    house.vacuum().await;
    ear.wait(1).await;
    house.clock.advance(HOUR);
    house.vacuum().await;
    let got = ear.wait(2).await.remove(1).json();
    assert_eq!((&got["facts"]["missing"], &got["facts"]["missing_in_all"]), (&1.into(), &3.into()));
}

#[tokio::test]
async fn a_receiver_that_has_moved_is_not_taken_for_one_that_listens() {
    let ear = Receiver::start().await;
    let house = House::with(hears(&ear, &[NotifyEvent::RunComplete]));
    ear.answers.lock().expect("unpoisoned").push_back(301);
    let tested = house.maintenance.test_receivers().await;
    assert!(!tested[0].delivered, "{tested:#?}");
    let problem = tested[0].problem.as_deref().unwrap_or_default();
    assert!(problem.contains("301") && problem.contains("redirects"), "{problem}");
    ear.wait(1).await;
}

#[tokio::test]
async fn a_receiver_that_is_down_does_not_hold_up_the_end() {
    let url = format!("http://127.0.0.1:{}/", ports::claim());
    let notify = vec![receiver(NotifyKind::Json, url, &[NotifyEvent::RunComplete])];
    let mut house = House::with(|config| config.notify = notify);
    house.store("a").await;
    house.vacuum().await;
    // The pauses between the attempts are 42 s in all.
    let end = tokio::time::timeout(Duration::from_secs(20), house.maintenance.shutdown());
    end.await.expect("the end");
    assert_eq!(house.maintenance.notified(), (0, 1), "given up, and counted");
}

#[tokio::test]
async fn a_limit_that_comes_near_is_told_once() {
    const DAY: Duration = Duration::from_hours(24);
    let ear = Receiver::start().await;
    let mut house = House::with(hears(&ear, &[NotifyEvent::LimitForecast]));
    let store = house.limited_store("a", None, Some(1300)).await.id;
    house.limited_store("far", None, Some(1 << 40)).await;
    house.link("s", "a", Some(100), Policy::default()).await;
    for day in 0..10 {
        house.put("s", &format!("f{day}"), 100).await;
        let today = u32::try_from(house.clock.now().seconds() / 86_400).expect("a day");
        let sampled = house.catalogue().write(move |tx| tx.sample_usage(store, today));
        sampled.await.expect("sampled");
        house.clock.advance(DAY);
    }
    house.put("s", "f10", 100).await;
    house.maintenance.spawn_timer();
    let got = ear.wait(1).await.remove(0).json();
    assert_eq!(got["event"], "limit-forecast");
    let facts = &got["facts"];
    assert_eq!((&facts["store"], &facts["limit"]), (&"a".into(), &"hard".into()));
    assert_eq!((&facts["limit_bytes"], &facts["bytes"]), (&1300.into(), &1100.into()));
    assert!(got["text"].as_str().is_some_and(|t| t.contains("in 2 days, on 2023-")), "{got}");
    let expected = house.maintenance.expected_limits();
    assert_eq!(expected.len(), 1, "the other store does not grow: {expected:?}");

    let house = house.restart().await;
    house.maintenance.spawn_timer();
    ear.wait(1).await;
    // Another limit is another story.
    house.maintenance.shutdown().await;
    house.limit_store("a", None, Some(1400)).await;
    let house = house.restart().await;
    house.maintenance.spawn_timer();
    ear.wait(2).await;
    house.maintenance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_can_be_tried_and_no_secret_is_sent_shown_or_logged() {
    let ear = Receiver::start_at((Ipv4Addr::LOCALHOST, ports::claim()).into()).await;
    let provider = s3::in_process(s3::Faults::default()).await;
    provider.make_bucket("bucket");
    let urls = [ear.url("/hush1/json"), ear.url("/hush2/slack")];
    let settings = format!(
        "[[notify]]\nkind = \"json\"\nurl = \"{}\"\n[[notify]]\nkind = \"slack\"\nurl = \"{}\"\n\
         [log]\nlevel = \"debug\"\n",
        urls[0], urls[1]
    );
    let mut server = Instance::started(&settings).await;
    let tested = server.ok(&["notify", "test"]);
    ear.wait(2).await;
    assert_eq!(tested[0]["delivered"], true, "{tested}");
    assert_eq!(tested[0]["url"], format!("http://{}/…", ear.address.ip()));

    server.add_s3("cloud", "bucket", &provider, &[]);
    provider.faults.drop_every.store(1, Ordering::SeqCst);
    assert_eq!(server.cli(&["vacuum"]).code, 1);
    // Both receivers: the store, and the run that was incomplete without it.
    let got = ear.wait(6).await;
    let events: Vec<_> = got.iter().filter(|g| g.path == "/hush1/json").map(Got::event).collect();
    assert!(events.contains(&"store-unavailable".to_owned()), "{events:?}");
    assert!(events.contains(&"run-incomplete".to_owned()), "{events:?}");

    drop(ear);
    let failed = server.cli(&["notify", "test"]);
    assert_eq!(failed.code, 1);
    server.stop();
    let told: String = got.iter().map(|g| g.body.clone() + &g.title).collect();
    let all = format!("{told}{}{}{}", failed.stdout, failed.stderr, server.log());
    for secret in [s3::SECRET, "hush1", "hush2"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn without_receivers_the_test_says_so() {
    let house = House::new();
    assert_eq!(house.maintenance.test_receivers().await, []);
}
