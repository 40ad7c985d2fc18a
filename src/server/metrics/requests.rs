//! Requests by route, method and status. A small download pays two clock readings and three atomic
//! additions for it, no lock and no allocation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::exposition::{Exposition, MetricKind};
use crate::histogram::Histogram;

/// What an address is about; few values, so that they make good labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Files,
    ByHash,
    Api,
    Probe,
    Page,
    Other,
}

const ROUTES: [&str; 6] = ["files", "by-hash", "api", "probe", "page", "other"];
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];
/// Whatever else clients make up.
const OTHER_METHOD: &str = "other";
/// Statuses from 100 on.
const STATUSES: usize = 500;
/// Upper ends of the buckets in microseconds: from a small file in memory to a large upload.
const BOUNDS: [u64; 12] = [
    100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000,
    60_000_000,
];

/// The requests of one route and method.
#[derive(Debug)]
struct Series {
    statuses: Box<[AtomicU64]>,
    durations: Histogram,
}

impl Series {
    fn new() -> Self {
        let statuses = (0..STATUSES).map(|_| AtomicU64::new(0)).collect();
        Self { statuses, durations: Histogram::new(&BOUNDS) }
    }
}

/// One series is made when its route and method are first used.
#[derive(Debug, Default)]
pub struct Requests([[OnceLock<Series>; METHODS.len() + 1]; ROUTES.len()]);

/// Where a method is counted.
#[derive(Debug, Clone, Copy)]
pub struct MethodSlot(usize);

impl From<&Method> for MethodSlot {
    fn from(method: &Method) -> Self {
        let place = METHODS.iter().position(|name| *name == method.as_str());
        Self(place.unwrap_or(METHODS.len()))
    }
}

impl MethodSlot {
    pub fn as_str(self) -> &'static str {
        METHODS.get(self.0).copied().unwrap_or(OTHER_METHOD)
    }
}

impl Requests {
    pub fn answered(&self, route: Route, method: MethodSlot, status: StatusCode, took: Duration) {
        let series = self.0[route as usize][method.0].get_or_init(Series::new);
        let place = usize::from(status.as_u16().saturating_sub(100)).min(STATUSES - 1);
        series.statuses[place].fetch_add(1, Ordering::Relaxed);
        series.durations.observe(took);
    }

    fn each(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 2], &Series)> {
        ROUTES.iter().zip(&self.0).flat_map(|(route, of_route)| {
            let methods = METHODS.iter().chain([&OTHER_METHOD]);
            methods.zip(of_route).filter_map(move |(method, series)| {
                Some(([("route", *route), ("method", *method)], series.get()?))
            })
        })
    }

    pub fn write(&self, page: &mut Exposition) {
        let mut metric = page.metric(
            MetricKind::Counter,
            "hayloft_requests_total",
            "Requests answered, by route, method and status.",
        );
        for ([route, method], series) in self.each() {
            for (status, count) in (100..).zip(&series.statuses) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    metric.sample(&[route, method, ("status", &status.to_string())], count);
                }
            }
        }
        let mut metric = page.metric(
            MetricKind::Histogram,
            "hayloft_request_duration_seconds",
            "Time from the header of a request to the header of its answer: with the body of an \
             upload, without that of a download.",
        );
        for (labels, series) in self.each() {
            metric.durations(&labels, &series.durations.read());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let requests = Requests::default();
        let took = Duration::from_micros(250);
        let get = MethodSlot::from(&Method::GET);
        let brew = Method::from_bytes(b"BREW").expect("a method");
        requests.answered(Route::Files, get, StatusCode::OK, took);
        requests.answered(Route::Files, get, StatusCode::OK, took);
        requests.answered(Route::Other, (&brew).into(), StatusCode::NOT_FOUND, took);
        let mut page = Exposition::default();
        requests.write(&mut page);
        let text = page.into_text();
        for line in [
            "hayloft_requests_total{route=\"files\",method=\"GET\",status=\"200\"} 2",
            "hayloft_requests_total{route=\"other\",method=\"other\",status=\"404\"} 1",
            "hayloft_request_duration_seconds_bucket{route=\"files\",method=\"GET\",le=\"0.0001\"} 0",
            "hayloft_request_duration_seconds_bucket{route=\"files\",method=\"GET\",le=\"0.0003\"} 2",
            "hayloft_request_duration_seconds_sum{route=\"files\",method=\"GET\"} 0.0005",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
