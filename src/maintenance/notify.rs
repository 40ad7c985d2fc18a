//! Telling people and programs what happened (SPEC 12, `[[notify]]`): a POST per event and receiver,
//! retried, beside everything else. A receiver that fails never holds up maintenance.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Maintenance, locked};
use crate::api::{NotifyTested, Outcome, Run};
use crate::config::{Config, Notify, NotifyEvent, NotifyKind};
use crate::domain::{StoreId, Timestamp};
use crate::transfer::HealthState;

/// Waits before the second and the further attempts.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];
const TIMEOUT: Duration = Duration::from_secs(10);
/// When the process ends, every delivery under way gets one more attempt, for so long.
const FAREWELL: Duration = Duration::from_secs(3);
/// A store that comes and goes is told of this often.
const BETWEEN_CHANGES: Duration = Duration::from_mins(5);

/// What happened.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub kind: NotifyEvent,
    /// For people.
    pub text: String,
    /// For programs.
    pub facts: Value,
    pub at: Timestamp,
}

/// What was last told of a store.
#[derive(Debug, Clone, Copy)]
struct Told {
    usable: bool,
    at: Timestamp,
}

#[derive(Debug, Default)]
struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
}

/// Sends events to the configured receivers.
#[derive(Debug)]
pub(super) struct Notifier {
    receivers: Vec<Notify>,
    /// `None` when nobody wants to hear anything.
    client: Option<reqwest::Client>,
    stores: Mutex<BTreeMap<StoreId, Told>>,
    tally: Arc<Tally>,
    deliveries: TaskTracker,
    ending: CancellationToken,
}

impl Notifier {
    pub fn new(config: &Config) -> Self {
        let receivers = config.notify.clone();
        let wanted = !receivers.is_empty();
        let client = wanted.then(client).flatten();
        Self {
            receivers,
            client,
            stores: Mutex::default(),
            tally: Arc::default(),
            deliveries: TaskTracker::new(),
            ending: CancellationToken::new(),
        }
    }

    /// A run has ended.
    pub fn run_ended(&self, run: &Run, at: Timestamp) {
        let kind = match run.outcome {
            Outcome::Failed => NotifyEvent::RunFailed,
            Outcome::Incomplete => NotifyEvent::RunIncomplete,
            Outcome::Complete => NotifyEvent::RunComplete,
            Outcome::Cancelled | Outcome::Running | Outcome::Paused => return,
        };
        let id = run.id.unwrap_or_default();
        let (moved, copied, removed) = (run.moved.files, run.copied.files, run.removed.files);
        let mut text = format!("run {id}: {moved} moved, {copied} copied, {removed} removed");
        if let Some(first) = run.errors.first() {
            let errors = match run.errors.len() {
                1 => "1 error".to_owned(),
                many => format!("{many} errors, the first"),
            };
            let place: Vec<&str> =
                [&first.scope, &first.store].into_iter().flatten().map(|s| &**s).collect();
            let colon = if place.is_empty() { "" } else { ": " };
            text = format!("{text}; {errors}: {}{colon}{}", place.join("/"), first.cause);
        }
        let facts = json!({
            "run": id, "outcome": run.outcome, "moved": run.moved, "copied": run.copied,
            "removed": run.removed, "errors": run.errors,
        });
        self.tell(Event { kind, text, facts, at });
    }

    /// A store was looked at. Only a change is news; the first look is one when it is bad. What is
    /// held back for calm is told at a later look, if it is still so.
    pub fn store_seen(&self, (id, name): (StoreId, &str), state: &HealthState, at: Timestamp) {
        let usable = *state == HealthState::Ok;
        let mut stores = locked(&self.stores);
        match stores.get(&id) {
            None if usable => return,
            Some(told) if told.usable == usable || at.since(told.at) < BETWEEN_CHANGES => return,
            _ => stores.insert(id, Told { usable, at }),
        };
        drop(stores);
        let (kind, text) = match state {
            HealthState::Unavailable(why) | HealthState::Foreign(why) => {
                (NotifyEvent::StoreUnavailable, format!("store {name}: {why}"))
            }
            HealthState::Ok => {
                (NotifyEvent::StoreAvailable, format!("store {name} can be used again"))
            }
            HealthState::Unknown => return,
        };
        let facts = json!({ "store": name, "problem": state.problem().map(ToString::to_string) });
        self.tell(Event { kind, text, facts, at });
    }

    pub fn tell(&self, event: Event) {
        let Some(client) = &self.client else { return };
        let event = Arc::new(event);
        for receiver in self.receivers.iter().filter(|r| r.on.contains(&event.kind)) {
            let (client, tally) = (client.clone(), Arc::clone(&self.tally));
            let (receiver, event) = (receiver.clone(), Arc::clone(&event));
            let ending = self.ending.clone();
            self.deliveries.spawn(async move {
                let count = if deliver(&client, &receiver, &event, &ending).await {
                    &tally.delivered
                } else {
                    &tally.failed
                };
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    }

    /// Ends the deliveries. Nothing is told afterwards.
    pub async fn stop(&self) {
        self.ending.cancel();
        self.deliveries.close();
        if tokio::time::timeout(FAREWELL, self.deliveries.wait()).await.is_err() {
            let left = self.deliveries.len();
            tracing::error!(left, "notifications are given up: their receivers do not answer");
        }
    }
}

impl Maintenance {
    /// Sends a test to every receiver, whatever it wants to hear of, once and at the same time.
    pub async fn test_receivers(&self) -> Vec<NotifyTested> {
        let client = self.notifier.client.as_ref();
        let message = Message {
            word: "test",
            urgent: false,
            text: "a test: notifications arrive here",
            facts: &json!({}),
            at: self.now(),
        };
        let message = &message;
        let tests = self.notifier.receivers.iter().map(|receiver| async move {
            let problem = match client {
                Some(client) => attempt(client, receiver, message).await.err(),
                None => Some("no HTTP client could be made: see the log of the start".to_owned()),
            };
            NotifyTested {
                kind: receiver.kind.as_str().to_owned(),
                url: receiver.shown_url(),
                delivered: problem.is_none(),
                problem,
            }
        });
        futures_util::future::join_all(tests).await
    }

    /// Notifications that were delivered, and that were given up, since the start.
    pub fn notified(&self) -> (u64, u64) {
        let Tally { delivered, failed } = &*self.notifier.tally;
        (delivered.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }
}

fn client() -> Option<reqwest::Client> {
    crate::stores::install_crypto_provider();
    let built = reqwest::Client::builder()
        .timeout(TIMEOUT)
        // A redirected POST arrives as a GET without a body, or not at all.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("hayloft/", env!("CARGO_PKG_VERSION")))
        .build();
    built.inspect_err(|error| tracing::error!(%error, "no notification can be sent")).ok()
}

/// False when it was given up. When the process ends, the pause before the next attempt is cut short and
/// that attempt is the last.
async fn deliver(
    client: &reqwest::Client,
    receiver: &Notify,
    event: &Event,
    ending: &CancellationToken,
) -> bool {
    let (kind, url) = (receiver.kind.as_str(), receiver.shown_url());
    let message = Message {
        word: event.kind.as_str(),
        urgent: event.kind.is_urgent(),
        text: &event.text,
        facts: &event.facts,
        at: event.at,
    };
    let mut pauses = PAUSES.into_iter();
    loop {
        let Err(problem) = attempt(client, receiver, &message).await else { return true };
        let Some(pause) = pauses.next().filter(|_| !ending.is_cancelled()) else {
            tracing::error!(
                kind,
                url,
                event = message.word,
                problem,
                "a notification was not delivered"
            );
            return false;
        };
        tracing::warn!(kind, url, event = message.word, problem, "a notification is tried again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ending.cancelled() => {}
        }
    }
}

async fn attempt(
    client: &reqwest::Client,
    receiver: &Notify,
    message: &Message<'_>,
) -> Result<(), String> {
    match message.request(client, receiver).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status().is_redirection() => Err(redirected(&answer)),
        Ok(answer) => Err(format!("the receiver answers {}", answer.status())),
        // The URL may hold a secret [36].
        Err(error) => Err(why(&error.without_url())),
    }
}

/// Scheme and host only: the rest of the new address may be secret as well [36].
fn redirected(answer: &reqwest::Response) -> String {
    let location = answer.headers().get(reqwest::header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let there = location.and_then(|text| answer.url().join(text).ok());
    let there = there.map(|url| format!(" to {}", url.origin().ascii_serialization()));
    format!(
        "the receiver answers {} and redirects{}: write the address that it redirects to as `url`",
        answer.status(),
        there.unwrap_or_default()
    )
}

/// The error with its causes: "error sending request" alone helps nobody.
fn why(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

/// An event as it is sent.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    word: &'a str,
    urgent: bool,
    text: &'a str,
    facts: &'a Value,
    at: Timestamp,
}

impl Message<'_> {
    fn request(&self, client: &reqwest::Client, receiver: &Notify) -> reqwest::RequestBuilder {
        let request = client.post(&receiver.url);
        match receiver.kind {
            NotifyKind::Json => as_json(
                request,
                &json!({
                    "event": self.word, "text": self.text, "at": self.at, "facts": self.facts,
                }),
            ),
            NotifyKind::Ntfy => request
                .header("Title", format!("Hayloft: {}", self.word))
                .header("Priority", if self.urgent { "high" } else { "default" })
                .header("Tags", if self.urgent { "warning" } else { "package" })
                .body(self.text.to_owned()),
            NotifyKind::Slack => {
                as_json(request, &json!({ "text": format!("Hayloft: {}", for_slack(self.text)) }))
            }
        }
    }
}

fn as_json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header("Content-Type", "application/json").body(body.to_string())
}

/// These three begin links, mentions and entities there.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_slack_cannot_mention_anyone() {
        assert_eq!(for_slack("<!channel> a & b"), "&lt;!channel&gt; a &amp; b");
    }
}
