//! Telling people and programs what happened (SPEC 12, `[[notify]]`): a POST per event and receiver,
//! retried, beside everything else. A receiver that fails never holds up maintenance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::sane;
use crate::api::{Outcome, Run};
use crate::config::{Config, Notify, NotifyEvent, NotifyKind};
use crate::domain::{StoreId, Timestamp};
use crate::transfer::HealthState;

/// Waits before the second and the further attempts.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];
const TIMEOUT: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Debug, Clone)]
struct Event {
    kind: NotifyEvent,
    /// For people.
    text: String,
    /// For programs.
    facts: Value,
    at: Timestamp,
}

/// Sends events to the configured receivers.
#[derive(Debug)]
pub(super) struct Notifier {
    receivers: Vec<Notify>,
    /// `None` when nobody wants to hear anything.
    client: Option<reqwest::Client>,
    /// Whether a store could be used when it was last looked at.
    usable: Mutex<BTreeMap<StoreId, bool>>,
}

impl Notifier {
    pub fn new(config: &Config) -> Self {
        let receivers = config.notify.clone();
        let wanted = !receivers.is_empty();
        let client = wanted.then(client).flatten();
        Self { receivers, client, usable: Mutex::default() }
    }

    /// A run has ended.
    pub fn run_ended(&self, tasks: &TaskTracker, run: &Run, at: Timestamp) {
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
            text = format!("{text}; {} errors, the first: {}", run.errors.len(), first.cause);
        }
        let facts = json!({
            "run": id, "outcome": run.outcome, "moved": run.moved, "copied": run.copied,
            "removed": run.removed, "errors": run.errors,
        });
        self.tell(tasks, Event { kind, text, facts, at });
    }

    /// A store was looked at. Only a change is news; the first look is one when it is bad.
    pub fn store_seen(
        &self,
        tasks: &TaskTracker,
        (id, name): (StoreId, &str),
        state: &HealthState,
        at: Timestamp,
    ) {
        let before = sane(&self.usable).insert(id, *state == HealthState::Ok);
        let (kind, text) = match (before.unwrap_or(true), state) {
            (true, HealthState::Unavailable(why) | HealthState::Foreign(why)) => {
                (NotifyEvent::StoreUnavailable, format!("store {name}: {why}"))
            }
            (false, HealthState::Ok) => {
                (NotifyEvent::StoreAvailable, format!("store {name} can be used again"))
            }
            _ => return,
        };
        self.tell(tasks, Event { kind, text, facts: json!({ "store": name }), at });
    }

    fn tell(&self, tasks: &TaskTracker, event: Event) {
        let Some(client) = &self.client else { return };
        let event = Arc::new(event);
        for receiver in self.receivers.iter().filter(|r| r.on.contains(&event.kind)) {
            let job = deliver(client.clone(), receiver.clone(), Arc::clone(&event));
            tasks.spawn(job);
        }
    }
}

fn client() -> Option<reqwest::Client> {
    crate::stores::install_crypto_provider();
    let built = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .user_agent(concat!("hayloft/", env!("CARGO_PKG_VERSION")))
        .build();
    built.inspect_err(|error| tracing::error!(%error, "no notification can be sent")).ok()
}

async fn deliver(client: reqwest::Client, receiver: Notify, event: Arc<Event>) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let problem = match request(&client, &receiver, &event).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => format!("the receiver answers {}", answer.status()),
            // The URL may hold a secret [36].
            Err(error) => error.without_url().to_string(),
        };
        let Some(pause) = pauses.next() else {
            tracing::error!(kind = ?receiver.kind, problem, "a notification was not delivered");
            return;
        };
        tracing::warn!(kind = ?receiver.kind, problem, "a notification is tried again");
        tokio::time::sleep(pause).await;
    }
}

fn request(client: &reqwest::Client, receiver: &Notify, event: &Event) -> reqwest::RequestBuilder {
    let request = client.post(&receiver.url);
    let name = serde_json::to_value(event.kind).unwrap_or_default();
    match receiver.kind {
        NotifyKind::Json => {
            let body = json!({
                "event": name, "text": event.text, "at": event.at, "facts": event.facts,
            });
            request.header("Content-Type", "application/json").body(body.to_string())
        }
        NotifyKind::Ntfy => {
            let urgent =
                matches!(event.kind, NotifyEvent::RunFailed | NotifyEvent::StoreUnavailable);
            request
                .header("Title", format!("Hayloft: {}", name.as_str().unwrap_or_default()))
                .header("Priority", if urgent { "high" } else { "default" })
                .body(event.text.clone())
        }
        NotifyKind::Slack => {
            let body = json!({ "text": format!("Hayloft: {}", event.text) });
            request.header("Content-Type", "application/json").body(body.to_string())
        }
    }
}
