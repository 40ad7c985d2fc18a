//! The text format of Prometheus, version 0.0.4: what every collector reads.

use std::fmt::{Display, Write};

use crate::histogram::Durations;

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

type Labels<'a> = [(&'a str, &'a str)];

/// A page of metrics in the making.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// A metric; it appears with its first sample.
    pub fn metric(
        &mut self,
        kind: MetricKind,
        name: &'static str,
        help: &'static str,
    ) -> Metric<'_> {
        Metric { page: &mut self.0, kind, name, help, begun: false }
    }

    pub fn counter(&mut self, name: &'static str, help: &'static str, value: impl Display) {
        self.metric(MetricKind::Counter, name, help).sample(&[], value);
    }

    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Display) {
        self.metric(MetricKind::Gauge, name, help).sample(&[], value);
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

/// All samples of one name.
#[derive(Debug)]
pub struct Metric<'a> {
    page: &'a mut String,
    kind: MetricKind,
    name: &'static str,
    help: &'static str,
    begun: bool,
}

impl Metric<'_> {
    pub fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.line("", labels, value);
    }

    pub fn durations(&mut self, labels: &Labels<'_>, durations: &Durations) {
        for (bound, count) in &durations.buckets {
            self.bucket(labels, &bound.to_string(), *count);
        }
        self.bucket(labels, "+Inf", durations.count);
        self.line("_sum", labels, durations.sum);
        self.line("_count", labels, durations.count);
    }

    fn bucket(&mut self, labels: &Labels<'_>, bound: &str, count: u64) {
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
        self.line("_bucket", &labels, count);
    }

    fn line(&mut self, suffix: &str, labels: &Labels<'_>, value: impl Display) {
        let (name, kind, help) = (self.name, self.kind.as_str(), self.help);
        if !std::mem::replace(&mut self.begun, true) {
            self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        self.put(format_args!("{name}{suffix}"));
        for (i, (key, text)) in labels.iter().enumerate() {
            let before = if i == 0 { '{' } else { ',' };
            self.put(format_args!("{before}{key}=\"{}\"", escaped(text)));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.put(format_args!("{after} {value}\n"));
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = self.page.write_fmt(what);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_explained_once_and_its_labels_are_quoted() {
        let mut page = Exposition::default();
        let mut metric = page.metric(MetricKind::Gauge, "room_bytes", "Room");
        metric.sample(&[("store", "a\"b\\c\nd")], 7);
        metric.sample(&[("store", "x"), ("state", "y")], 0.5);
        page.metric(MetricKind::Gauge, "nothing", "Never shown");
        let expected = "# HELP room_bytes Room\n# TYPE room_bytes gauge\n\
                        room_bytes{store=\"a\\\"b\\\\c\\nd\"} 7\n\
                        room_bytes{store=\"x\",state=\"y\"} 0.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_histogram_ends_with_infinity_sum_and_count() {
        let mut page = Exposition::default();
        let durations = Durations { buckets: vec![(0.0001, 1), (1.0, 2)], count: 3, sum: 4.25 };
        page.metric(MetricKind::Histogram, "t_seconds", "Time")
            .durations(&[("op", "get")], &durations);
        let text = page.into_text();
        let samples: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "t_seconds_bucket{op=\"get\",le=\"0.0001\"} 1",
                "t_seconds_bucket{op=\"get\",le=\"1\"} 2",
                "t_seconds_bucket{op=\"get\",le=\"+Inf\"} 3",
                "t_seconds_sum{op=\"get\"} 4.25",
                "t_seconds_count{op=\"get\"} 3",
            ]
        );
    }
}
