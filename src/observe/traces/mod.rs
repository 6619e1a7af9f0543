//! Traces: a span for each webhook and for each attempt of a policy call, exported by OTLP.
//!
//! W3C Trace Context connects them: the webhook's span is a child of the caller's `traceparent`, and stands in the event's
//! metadata for all attempts; each attempt's own `traceparent` goes to the policy. A span holds IDs, names and outcomes, never
//! content. If traces are off, the caller's `traceparent` goes to the policy unchanged.
//!
//! - `context`: the trace headers.
//! - `spans`: the spans and their attributes.
//! - `export`: the exporter, its queue and counters.
//! - `variables`: OpenTelemetry's own environment variables.

mod context;
mod export;
mod spans;
mod variables;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config;
pub(crate) use context::Context;
pub(crate) use export::Counts;
pub(crate) use spans::WebhookSpan;

/// Minimum time to export the last spans, even if the drain time is over.
const MIN_SHUTDOWN: Duration = Duration::from_millis(500);

/// Maximum time to export the last spans: a collector that hangs must not use up the drain time.
const MAX_SHUTDOWN: Duration = Duration::from_secs(2);

/// The tracer. Clones share it; the default is off and costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<On>>);

#[derive(Debug)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// Set if the caller's sampled flag decides, as it does by default.
    obeys_caller: bool,
    counts: Arc<Counts>,
}

impl Traces {
    /// Starts the exporter, if the settings name a collector and no variable of OpenTelemetry turns traces off. Must be called
    /// within a Tokio runtime. Does not connect yet. Fails if the exporter cannot be set up, as when the system has no root
    /// certificates.
    pub fn start(settings: &config::Traces) -> Result<Self, ExporterBuildError> {
        let Some(endpoint) = &settings.endpoint else { return Ok(Self::default()) };
        if let Some(variable) = variables::turned_off_by() {
            info!(variable, "traces off");
            return Ok(Self::default());
        }
        let sampler = variables::sampler()
            .unwrap_or_else(|| Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample))));
        let obeys_caller = matches!(sampler, Sampler::ParentBased(_));
        let counts = Arc::<Counts>::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_span_processor(export::processor(endpoint, counts.clone())?)
            .with_resource(resource())
            .build();
        let tracer = provider.tracer("hookgate");
        Ok(Self(Some(Arc::new(On { provider, tracer, obeys_caller, counts }))))
    }

    /// Returns the counters of spans; none if traces are off.
    pub fn counts(&self) -> Option<&Counts> {
        self.0.as_ref().map(|on| &*on.counts)
    }

    /// Exports the remaining spans until `until`, but for half a second at least and two seconds at most. Spans that end later
    /// are lost.
    pub async fn shut_down(&self, until: Instant) {
        let Some(on) = &self.0 else { return };
        let left = until.saturating_duration_since(Instant::now()).clamp(MIN_SHUTDOWN, MAX_SHUTDOWN);
        let provider = on.provider.clone();
        // Blocks on the exporter's thread, which needs the runtime.
        let ended = spawn_blocking(move || provider.shutdown_with_timeout(left)).await;
        if let Ok(Err(error)) = ended {
            warn!(%error, "last spans may be lost");
        }
    }
}

/// Returns the attributes of this process. OpenTelemetry's own variables, such as `OTEL_SERVICE_NAME`, take precedence.
fn resource() -> Resource {
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let name = Resource::builder().build().get(&Key::new("service.name")).map(|name| name.to_string());
    let is_named = name.is_some_and(|name| !name.is_empty() && !name.starts_with("unknown_service"));
    if is_named { resource.build() } else { resource.with_service_name("hookgate").build() }
}
