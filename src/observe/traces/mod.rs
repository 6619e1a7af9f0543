//! Traces: a span for each webhook and one for each attempt at the policy, sent to a collector by OTLP.
//!
//! What carries a trace is a `traceparent`, as W3C has it: the caller's comes with the webhook, the webhook's own goes into
//! the metadata, where an After event keeps it for all its attempts, and each attempt's goes to the policy. A span holds
//! IDs, names and outcomes, never content. Where traces are off, the caller's `traceparent` goes to the policy as it came.
//!
//! - `context`: the headers that carry a trace.
//! - `spans`: what a span says, and when it ends.
//! - `export`: the way to the collector: bounded, behind every verdict.

mod context;
mod export;
mod spans;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::warn;

use crate::config;
pub(crate) use context::Context;
pub use export::Error;
use export::Tally;
pub(crate) use spans::{AttemptOf, AttemptSpan, WebhookSpan};

/// The least time that the last spans are given, when all the drain time has gone into calls and events.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// The most: a collector that takes nothing must not use up the whole drain time.
const LAST_SPANS_AT_MOST: Duration = Duration::from_secs(2);

/// Where spans go. Its clones are one; the default one is off and costs nothing.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<On>>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    tally: Arc<Tally>,
}

/// What became of the spans that were sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// The collector took them.
    pub exported: u64,
    /// They came when the queue was full.
    pub queue_full: u64,
    /// The collector did not take them.
    pub failed: u64,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Traces {
    /// Begins to send spans, where there is a collector to send them to. Must be used within a Tokio runtime. Does not
    /// connect yet: the error is of a collector that never could be, as of certificates that the system does not have.
    pub fn start(settings: &config::Traces) -> Result<Self, Error> {
        let Some(endpoint) = &settings.endpoint else { return Ok(Self::default()) };
        let tally = Arc::new(Tally::default());
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample))))
            .with_span_processor(export::processor(endpoint, tally.clone())?)
            .with_resource(resource())
            .build();
        let tracer = provider.tracer("hookgate");
        Ok(Self(Some(Arc::new(On { provider, tracer, tally }))))
    }

    /// What became of the spans so far; nothing where traces are off.
    pub fn counts(&self) -> Option<Counts> {
        self.0.as_ref().map(|on| on.tally.counts())
    }

    /// Sends what is left, until then or a moment longer, but for two seconds at most. Spans that end later are lost.
    pub async fn shut_down(&self, until: Instant) {
        let Some(on) = &self.0 else { return };
        let left = until.saturating_duration_since(Instant::now()).clamp(LAST_SPANS, LAST_SPANS_AT_MOST);
        let provider = on.provider.clone();
        // It waits for the exporter's thread, which needs this one.
        let ended = spawn_blocking(move || provider.shutdown_with_timeout(left)).await;
        if let Ok(Err(error)) = ended {
            warn!(%error, "the last spans may be lost");
        }
    }
}

/// Who sends the spans. OpenTelemetry's own variables, as `OTEL_SERVICE_NAME`, go before our name.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&Key::new("service.name")).map(|name| name.to_string()).unwrap_or_default();
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if name.is_empty() || name.starts_with("unknown_service") {
        resource = resource.with_service_name("hookgate");
    }
    resource.build()
}
