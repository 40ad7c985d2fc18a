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
mod html;
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

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

pub use listen::Server;

use crate::app::App;
use crate::config::Config;
use site::{Door, Site};

/// How often pending uses of tokens are written.
const FLUSH_EVERY: Duration = Duration::from_secs(30);

/// What the public port answers, for use without a connection.
pub fn router(app: Arc<App>) -> Router {
    Site::new(app).router(Door::Port)
}

/// What the admin socket answers: every request is that of an instance admin.
pub fn admin_router(app: Arc<App>) -> Router {
    Site::new(app).router(Door::Socket)
}

/// Serves until SIGTERM or SIGINT, then drains and closes the instance. The app is closed when this
/// returns, however it went.
pub async fn serve(app: Arc<App>, config: Arc<Config>) -> Result<()> {
    let served = serve_until_signal(&app, config).await;
    tell_manager(NotifyState::Stopping);
    let closed = app.shutdown().await;
    served?;
    closed.context("the catalogue could not be closed in order")
}

async fn serve_until_signal(app: &Arc<App>, config: Arc<Config>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let server = Server::bind(Arc::clone(app), config).await?;
    server.welcome().await;
    app.maintenance.spawn_timer();
    tell_manager(NotifyState::Ready);
    let beats = tokio::spawn(beat());
    let reloads = tokio::spawn(server.clone().reload_at(hangup));
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: no new requests, draining"),
                _ = interrupt.recv() => tracing::info!("SIGINT: no new requests, draining"),
            }
        })
        .await;
    beats.abort();
    reloads.abort();
    Ok(())
}

/// Does nothing when no service manager listens.
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
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
        tell_manager(NotifyState::Watchdog);
    }
}

impl Server {
    /// Logs a sign-in link on a fresh instance.
    async fn welcome(&self) {
        let base = self.base_url();
        if let Err(error) = sessions::welcome(&self.site().app, &base).await {
            tracing::error!(%error, "the sign-in link could not be made");
        }
    }

    /// Runs until `stop` is ready and requests have drained or the deadline has passed.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let flushing = tokio::spawn(flush(Arc::clone(self.site())));
        self.serve(stop).await;
        flushing.abort();
        let site = self.site();
        if let Err(error) = site.access.uses.flush(&site.app.catalogue).await {
            tracing::warn!(%error, "the last uses of tokens could not be written");
        }
    }

    async fn reload_at(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            match self.reload() {
                Ok(()) => tracing::info!("SIGHUP: certificate reloaded"),
                Err(error) => tracing::error!("SIGHUP: the certificate stays: {error:#}"),
            }
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
