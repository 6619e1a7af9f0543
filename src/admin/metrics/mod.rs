//! `/metrics`: written at each scrape from counters that exist anyway. Only durations are counted for it alone.
//!
//! A metric is a row in a function of [`GROUPS`]. No label may have an unbounded number of values: callbacks are those of
//! the table, reasons and states those of an enum, and unknown names are bounded by [`drift`](crate::observe::drift).

mod events;
mod policy;
mod process;
mod webhooks;

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::Sources;
use crate::observe::durations::Histogram;

/// The groups of metrics, in the order of the scrape.
const GROUPS: &[fn(&Sources, &mut Writer<'_>) -> fmt::Result] =
    &[process::build, webhooks::write, policy::write, events::write, process::write];

/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns a scrape: OpenMetrics if the client accepts that, otherwise the older text format of Prometheus, which curl and
/// `promtool check metrics` expect.
pub(super) async fn scrape(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut registry = Registry::with_prefix("hookgate");
    registry.register_collector(Box::new(sources));
    let mut out = String::new();
    let (content_type, written) = match accept.contains("application/openmetrics-text") {
        true => (OPEN_METRICS, text::encode(&mut out, &registry)),
        false => (prometheus_text::CONTENT_TYPE, prometheus_text::encode(&mut out, &registry)),
    };
    match written {
        Ok(()) => ([(header::CONTENT_TYPE, content_type)], out).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        GROUPS.iter().try_for_each(|write| write(self, &mut writer))
    }
}

/// A label and its value.
type Label<'a> = (&'static str, &'a str);

/// Writes families of metrics. Their names are given without the prefix `hookgate_` and the suffix `_total`.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    /// Writes a family with a sample for each set of labels. A family without samples is omitted.
    fn family<'l, M: EncodeMetric, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([Label<'l>; N], M)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        let Some((_, first)) = samples.peek() else { return Ok(()) };
        let kind = first.metric_type();
        // The encoder wants the unit by itself.
        let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
        let unit = units.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)));
        let (name, unit) = unit.map_or((name, None), |(name, unit)| (name, Some(unit)));
        let mut encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        samples.try_for_each(|(labels, metric)| metric.encode(encoder.encode_family(&labels)?))
    }

    /// Writes a family with a sample for each policy, under its label if the policies have names.
    fn of_named<'l, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        is_named: bool,
        samples: impl IntoIterator<Item = (Label<'l>, M)>,
    ) -> fmt::Result {
        let samples = samples.into_iter();
        match is_named {
            true => self.family(name, help, samples.map(|(policy, metric)| ([policy], metric))),
            false => self.family(name, help, samples.map(|(_, metric)| ([], metric))),
        }
    }

    /// Writes a family with samples for each policy by another label, under the policy's too if the policies have names.
    fn of_named_and<'l, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        is_named: bool,
        samples: impl IntoIterator<Item = (Label<'l>, Label<'l>, M)>,
    ) -> fmt::Result {
        let samples = samples.into_iter();
        match is_named {
            true => self.family(name, help, samples.map(|(label, policy, metric)| ([policy, label], metric))),
            false => self.family(name, help, samples.map(|(label, _, metric)| ([label], metric))),
        }
    }

    /// Writes a family of one sample without labels, which only grows.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, [([], counter(value))])
    }

    /// Writes a family of one sample without labels, which can go down.
    fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) -> fmt::Result {
        self.family(name, help, [([], gauge(value))])
    }
}

/// A sample that only grows.
fn counter(value: u64) -> ConstCounter {
    ConstCounter::new(value)
}

/// A sample that can go down; true is 1, and false 0.
fn gauge(value: impl Into<f64>) -> ConstGauge<f64> {
    ConstGauge::new(value.into())
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_histogram::<NoLabelSet>(self.sum, self.count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
