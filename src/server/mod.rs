//! The HTTP side: files, admin API, page, probes (SPEC 10).
//!
//! - `listen` accepts connections, `pace` bounds how long they may do nothing.
//! - `site` takes one request: `access` says who asks, then one room answers.
//! - `files` are answered without axum's router: their addresses are read raw, and every small
//!   download pays for what stands in its way. `admin` and the pages are rare.
//! - `errors` is the only map from what went wrong to a status.

mod access;
pub mod admin;
mod attempts;
pub mod errors;
mod files;
mod host;
mod listen;
mod metrics;
mod pace;
mod pages;
mod probes;
mod query;
mod sessions;
mod site;
mod tls;
mod token_uses;
mod welcome;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

pub use listen::Server;
pub use tls::check as check_tls;
pub use welcome::Welcome;

use crate::app::App;
use crate::config::Config;
use site::{Entrance, Site};

/// How often the last uses of tokens are looked through for those that are due to be written.
const FLUSH_EVERY: Duration = Duration::from_mins(1);

/// What the public port answers, for use without a connection.
pub fn router(app: Arc<App>) -> Router {
    Site::new(app).router(Entrance::Port)
}

/// What the admin socket answers: every request is that of an instance admin.
pub fn admin_router(app: Arc<App>) -> Router {
    Site::new(app).router(Entrance::Socket)
}

/// Serves until SIGTERM or SIGINT, then drains. `greet` tells whoever started it what they need to
/// know. The caller closes the app, however it went.
pub async fn serve(app: Arc<App>, config: Arc<Config>, greet: impl FnOnce(&Welcome)) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let grant = config.limits.shutdown_timeout;
    let server = Server::bind(app, config).await?;
    greet(&server.welcome().await);
    tell_manager(&[NotifyState::Ready]);
    let beats = tokio::spawn(beat());
    let reloads = tokio::spawn(server.clone().reload_at(hangup));
    let impatient = server.clone();
    let patience = stop_patience(grant);
    let stop = async move {
        let signal = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal, "no new requests, draining");
        tell_manager(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(patience)]);
        tokio::spawn(async move {
            let signal = either(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal, "once more: open connections are cut off");
            impatient.cut_off();
        });
    };
    server.run(stop).await;
    beats.abort();
    reloads.abort();
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Microseconds that an orderly end may take: the grant for requests, once more for the run of
/// maintenance, and the catalogue's last writes.
fn stop_patience(grant: Duration) -> u32 {
    let whole = grant.saturating_mul(2).saturating_add(Duration::from_secs(30));
    u32::try_from(whole.as_micros()).unwrap_or(u32::MAX)
}

/// Does nothing when no service manager listens.
fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Tells the service manager that the runtime still turns, twice as often as it wants to know.
async fn beat() {
    let Some(period) = sd_notify::watchdog_enabled().map(|period| period / 2) else { return };
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell_manager(&[NotifyState::Watchdog]);
    }
}

impl Server {
    /// Runs until `stop` is ready and requests have drained or the deadline has passed.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let site = self.site();
        site.app.maintenance.spawn_timer();
        let flushing = tokio::spawn(flush(Arc::clone(site)));
        self.serve(stop).await;
        flushing.abort();
        if let Err(error) = site.access.uses.flush(&site.app.catalogue).await {
            tracing::warn!(%error, "the last uses of tokens could not be written");
        }
    }

    async fn reload_at(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.reload();
        }
    }
}

async fn flush(site: Arc<Site>) {
    let mut ticks = tokio::time::interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = site.access.uses.flush(&site.app.catalogue).await {
            tracing::warn!(%error, "the last uses of tokens could not be written");
        }
    }
}
