//! What `/metrics` shows: counters kept as things happen, and the state of the instance as it is
//! when asked. All figures are kept sums: nothing is scanned, whatever the number of files.
//!
//! Labels are names of scopes and stores, and words from fixed lists.

mod exposition;
mod process;
mod requests;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;

use super::errors::Failure;
use crate::app::App;
use crate::ops::metrics::collect;
use exposition::Exposition;
use requests::Requests;

pub use exposition::CONTENT_TYPE;
pub use requests::{MethodSlot, Route};

/// Counters of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Requests,
    received: AtomicU64,
    sent: AtomicU64,
    uploads: Arc<AtomicU64>,
    downloads: Arc<AtomicU64>,
}

/// Something that is counted for as long as it lives.
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicU64>);

impl UnderWay {
    fn begin(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub fn answered(&self, route: Route, method: MethodSlot, status: StatusCode, took: Duration) {
        self.requests.answered(route, method, status, took);
    }

    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn upload(&self) -> UnderWay {
        UnderWay::begin(&self.uploads)
    }

    pub fn download(&self) -> UnderWay {
        UnderWay::begin(&self.downloads)
    }

    /// The page in the text format of Prometheus. Blocks on the disk.
    pub fn text(&self, app: &App) -> Result<String, Failure> {
        let instance = collect(app)?;
        let mut page = Exposition::default();
        page.metric(
            exposition::MetricKind::Gauge,
            "hayloft_build_info",
            "1, with the version of the program.",
        )
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        process::write(&mut page, app.started_at);
        self.write(&mut page);
        state::write(&mut page, app, &instance);
        Ok(page.into_text())
    }

    fn write(&self, page: &mut Exposition) {
        self.requests.write(page);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.counter(
            "hayloft_received_bytes_total",
            "Bytes of files received from clients.",
            read(&self.received),
        );
        page.counter(
            "hayloft_sent_bytes_total",
            "Bytes of files sent to clients, those behind redirects not included.",
            read(&self.sent),
        );
        page.gauge("hayloft_uploads_under_way", "Uploads under way.", read(&self.uploads));
        page.gauge("hayloft_downloads_under_way", "Downloads under way.", read(&self.downloads));
    }
}
