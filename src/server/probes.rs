//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use super::access::Caller;
use super::errors::Failure;
use super::metrics::CONTENT_TYPE as CONTENT_TYPE_OF_METRICS;
use super::site::Site;
use crate::catalogue::{CatalogueError, values};

/// A commit that takes longer means that nobody can be served.
const PATIENCE: Duration = Duration::from_secs(5);
/// Probes may come as often as they like: one commit in this time has to do.
const FRESH: Duration = Duration::from_secs(10);

/// The last proof that the catalogue takes writes.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<Instant>>);

pub async fn answer(site: &Arc<Site>, parts: &Parts) -> Result<Response, Failure> {
    require_read(&parts.method)?;
    if parts.uri.path() == "/readyz" {
        site.readiness.prove(site).await?;
    }
    Ok(text("ok\n".to_owned(), "text/plain; charset=utf-8"))
}

/// Any token will do, and none is needed when the configuration says so.
pub async fn metrics(
    site: &Arc<Site>,
    caller: &Caller,
    method: &Method,
) -> Result<Response, Failure> {
    require_read(method)?;
    if !site.app.config.metrics_public && caller.actor.is_anonymous() {
        return Err(caller.refusal());
    }
    let (app, metrics) = (Arc::clone(&site.app), Arc::clone(&site.metrics));
    let body = tokio::task::spawn_blocking(move || metrics.text(&app)).await;
    let body = body.map_err(|e| Failure::internal(format!("the metrics were cut off: {e}")))??;
    Ok(text(body, CONTENT_TYPE_OF_METRICS))
}

fn require_read(method: &Method) -> Result<(), Failure> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Failure::method_not_allowed("GET, HEAD")),
    }
}

fn text(body: String, kind: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Readiness {
    async fn prove(&self, site: &Site) -> Result<(), Failure> {
        let unready =
            |detail: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail);
        if !site.listening.load(Ordering::SeqCst) {
            return Err(unready("the server is starting or about to end".to_owned()));
        }
        let mut proved = self.0.lock().await;
        if proved.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        *proved = None;
        // The threads that may block serve every read: without one of them nobody is served either.
        let catalogue = Arc::clone(&site.app.catalogue);
        let read = tokio::task::spawn_blocking(move || catalogue.snapshot().map(drop));
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => return Err(unready(error.to_string())),
            Ok(Err(error)) => return Err(unready(format!("a read was cut off: {error}"))),
            Err(_) => {
                return Err(unready("no thread is free for a read: do all disks answer?".into()));
            }
        }
        let catalogue = &site.app.catalogue;
        let write = catalogue.write(|tx| {
            let now = tx.now();
            tx.set_value(&values::PROBED_AT, &now.0)?;
            Ok::<_, CatalogueError>(())
        });
        match tokio::time::timeout(PATIENCE, write).await {
            Ok(Ok(())) => *proved = Some(Instant::now()),
            Ok(Err(error)) => return Err(unready(error.to_string())),
            Err(_) => {
                return Err(unready("the catalogue takes no writes: is its disk well?".into()));
            }
        }
        Ok(())
    }
}
