//! What `/metrics` shows: counters kept as things happen, and the state of the catalogue as it is
//! when asked.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, LabelValueEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::errors::Failure;
use crate::api::Count;
use crate::app::App;
use crate::catalogue::{CatalogueError, Counter as Counted};
use crate::domain::{ReplicaState, Store};
use crate::transfer::HealthState;

/// What an address is about; few values, so that they make good labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    Files,
    ByHash,
    Api,
    Probe,
    Page,
    Other,
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(match self {
            Self::Files => "files",
            Self::ByHash => "by-hash",
            Self::Api => "api",
            Self::Probe => "probe",
            Self::Page => "page",
            Self::Other => "other",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Route,
    status: u16,
}

/// Counters of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    received: Counter<u64, AtomicU64>,
    sent: Counter<u64, AtomicU64>,
    uploads: Gauge<i64, AtomicI64>,
    downloads: Gauge<i64, AtomicI64>,
}

/// Something that is counted for as long as it lives.
#[derive(Debug)]
pub struct UnderWay(Gauge<i64, AtomicI64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub fn answered(&self, route: Route, status: StatusCode) {
        self.requests.get_or_create(&Answered { route, status: status.as_u16() }).inc();
    }

    pub fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.inc_by(bytes as u64);
    }

    pub fn upload(&self) -> UnderWay {
        self.uploads.inc();
        UnderWay(self.uploads.clone())
    }

    pub fn download(&self) -> UnderWay {
        self.downloads.inc();
        UnderWay(self.downloads.clone())
    }

    /// The text format of Prometheus.
    pub fn text(&self, app: &Arc<App>) -> Result<String, Failure> {
        let mut registry = Registry::with_prefix("hayloft");
        let r = &mut registry;
        r.register("requests", "Requests answered", self.requests.clone());
        r.register_with_unit(
            "received",
            "Bytes of files received",
            Unit::Bytes,
            self.received.clone(),
        );
        r.register_with_unit("sent", "Bytes of files sent", Unit::Bytes, self.sent.clone());
        r.register("uploads_under_way", "Uploads under way", self.uploads.clone());
        r.register("downloads_under_way", "Downloads under way", self.downloads.clone());
        r.register_collector(Box::new(Picture::take(app)?));
        let mut text = String::new();
        encode(&mut text, &registry).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(text)
    }
}

/// One measured value with the label of its store or its kind.
type Sample = (Option<(&'static str, String)>, u64);

/// The state of the instance at one moment.
#[derive(Debug, Default)]
struct Picture(Vec<(&'static str, &'static str, Vec<Sample>)>);

impl Picture {
    fn take(app: &App) -> Result<Self, CatalogueError> {
        let snapshot = app.catalogue.snapshot()?;
        let settings = app.catalogue.settings();
        let mut picture = Self::default();
        let total = snapshot.count(&Counted::Total)?;
        picture.single("files", "Distinct files with an entry", total.files);
        picture.single("files_bytes", "Bytes of distinct files with an entry", total.bytes);
        let stores: Vec<(&Store, _)> = settings
            .topology
            .stores_by_name()
            .into_iter()
            .map(|store| Ok((store, snapshot.store_counts(store.id)?)))
            .collect::<Result<_, CatalogueError>>()?;
        let last = snapshot.runs(1)?.pop();
        drop(snapshot);
        let count = |counts: &std::collections::BTreeMap<ReplicaState, Count>, state| {
            counts.get(&state).copied().unwrap_or_default()
        };
        picture.each("store_files", "Files present", &stores, |_, counts| {
            Some(count(counts, ReplicaState::Present).files)
        });
        picture.each("store_bytes", "Bytes present", &stores, |_, counts| {
            Some(count(counts, ReplicaState::Present).bytes)
        });
        picture.each("store_deleting_bytes", "Bytes given up", &stores, |_, counts| {
            Some(count(counts, ReplicaState::Deleting).bytes)
        });
        picture.each("store_missing_files", "Files found missing", &stores, |_, counts| {
            Some(count(counts, ReplicaState::Missing).files)
        });
        picture.each("store_corrupt_files", "Files found damaged", &stores, |_, counts| {
            Some(count(counts, ReplicaState::Corrupt).files)
        });
        let ledger = app.catalogue.ledger();
        picture.each("store_reserved_bytes", "Bytes promised to uploads", &stores, |store, _| {
            Some(ledger.reserved(store.id))
        });
        picture.each("store_soft_max_bytes", "The soft limit", &stores, |s, _| s.soft_max_size);
        picture.each("store_max_bytes", "The hard limit", &stores, |s, _| s.max_size);
        picture.each("store_available", "1 unless unavailable when last used", &stores, |s, _| {
            let state = app.transfer.stores.last_seen(s.id);
            Some(u64::from(!matches!(state, HealthState::Unavailable(_))))
        });
        if let Ok(meta) = std::fs::metadata(app.catalogue.path()) {
            use std::os::unix::fs::MetadataExt;
            let allocated = meta.blocks() * 512;
            picture.single("catalogue_bytes", "Bytes of the catalogue on disk", allocated);
        }
        picture.run(last.as_ref());
        Ok(picture)
    }

    fn run(&mut self, last: Option<&crate::api::Run>) {
        let Some(run) = last else { return };
        let kinds = [("copied", run.copied), ("moved", run.moved), ("removed", run.removed)];
        let labelled = |of: fn(Count) -> u64| {
            kinds.map(|(kind, count)| (Some(("action", kind.to_owned())), of(count))).to_vec()
        };
        self.0.push(("last_run_files", "Files in the last run", labelled(|c| c.files)));
        self.0.push(("last_run_bytes", "Bytes in the last run", labelled(|c| c.bytes)));
        self.single("last_run_errors", "Kinds of errors in the last run", run.errors.len() as u64);
        let seconds = |at: crate::domain::Timestamp| u64::try_from(at.seconds()).unwrap_or(0);
        let finished = run.finished_at.map(seconds);
        self.single(
            "last_run_finished_seconds",
            "When the last run ended, 0 while it runs",
            finished.unwrap_or(0),
        );
        let outcome = Some(("outcome", format!("{:?}", run.outcome).to_lowercase()));
        self.0.push(("last_run_outcome", "How the last run ended", vec![(outcome, 1)]));
    }

    fn single(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.0.push((name, help, vec![(None, value)]));
    }

    fn each<T>(
        &mut self,
        name: &'static str,
        help: &'static str,
        stores: &[(&Store, T)],
        value: impl Fn(&Store, &T) -> Option<u64>,
    ) {
        let sample = |(store, counts): &(&Store, T)| {
            Some((Some(("store", store.name.to_string())), value(store, counts)?))
        };
        self.0.push((name, help, stores.iter().filter_map(sample).collect()));
    }
}

impl Collector for Picture {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;
        for (name, help, samples) in &self.0 {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            // Beyond 9 exabytes a gauge may as well be full.
            let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            if let [(None, value)] = samples.as_slice() {
                gauge(*value).encode(metric)?;
                continue;
            }
            for (label, value) in samples {
                let labels: Vec<_> =
                    label.iter().map(|(key, text)| (*key, text.as_str())).collect();
                gauge(*value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
