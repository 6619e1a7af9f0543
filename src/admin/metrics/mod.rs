//! What Prometheus reads: written when it asks, from what is counted anyway. Durations alone are counted for it.
//!
//! A source is a function in a file of its own, and a line in `SOURCES`. No label grows without bound: callbacks are
//! those of the table, reasons and states those of an enum, and what callers name is bounded by [`drift`](crate::observe::drift).

mod callbacks;
mod callers;
mod certificates;
mod decisions;
mod events;
mod outbox;
mod policy;
mod reloads;
mod spans;
mod writer;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::admin::Sources;
use writer::{Writer, plain};

/// What writes metrics of one kind of thing.
type Source = fn(&Sources, &mut Writer<'_>) -> fmt::Result;

/// Everything that is told, in this order.
const SOURCES: &[Source] = &[
    build,
    callbacks::write,
    callers::write,
    policy::write,
    events::write,
    outbox::write,
    certificates::write,
    reloads::write,
    spans::write,
    decisions::write,
];

/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A scrape: its content type and its text. It is OpenMetrics for those who accept that, and Prometheus's older text
/// format for others, curl and `promtool check metrics` among them.
pub(crate) fn scrape(admin: &Sources, accept: &str) -> Result<(&'static str, String), fmt::Error> {
    let mut registry = Registry::with_prefix("hookgate");
    registry.register_collector(Box::new(All(admin.clone())));
    let mut out = String::new();
    if accept.contains("application/openmetrics-text") {
        text::encode(&mut out, &registry)?;
        return Ok((OPEN_METRICS, out));
    }
    prometheus_text::encode(&mut out, &registry)?;
    Ok((prometheus_text::CONTENT_TYPE, out))
}

#[derive(Debug)]
struct All(Sources);

impl Collector for All {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        SOURCES.iter().try_for_each(|write| write(&self.0, &mut writer))
    }
}

fn build(_: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    out.info(&plain("build", "The hookgate that runs"), [("version", env!("CARGO_PKG_VERSION"))])
}
