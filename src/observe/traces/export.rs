//! The exporter of spans: a bounded queue, a background thread, and counters of lost spans. No call waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use opentelemetry::Context;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use tracing::warn;

use crate::cut::cut;
use crate::failure::LONGEST_CAUSE;
use crate::observe::log_limit::LogLimit;

/// Maximum number of queued spans, of about a kilobyte each.
const QUEUE: usize = 8_192;

/// Maximum number of spans sent together.
const BATCH: usize = 512;

/// Maximum time that a span waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// Interval with at most one log message about lost spans, in seconds.
const LOG_INTERVAL: u64 = 60;

/// Counters of the spans that were sampled.
#[derive(Debug, Default)]
pub struct Counts {
    /// Spans that the collector took.
    pub exported: AtomicU64,
    /// Spans dropped because the queue was full.
    pub queue_full: AtomicU64,
    /// Spans that the collector did not take.
    pub failed: AtomicU64,
    queued: AtomicUsize,
    log: LogLimit,
}

/// Returns a processor that sends ended spans to the collector at `endpoint`. It connects when there is a span to send.
pub(super) fn processor(
    endpoint: &Uri,
    counts: Arc<Counts>,
) -> Result<impl SpanProcessor + 'static, ExporterBuildError> {
    let mut exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
    if endpoint.scheme() == Some(&Scheme::HTTPS) {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    let exporter = Counting { next: exporter.build()?, counts: counts.clone() };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    Ok(Counting { next: BatchSpanProcessor::builder(exporter).with_batch_config(batches).build(), counts })
}

impl Counts {
    fn lose(&self, counter: &AtomicU64, spans: u64, cause: &str) {
        counter.fetch_add(spans, Relaxed);
        self.log.log(LOG_INTERVAL, |_| {
            let lost = self.queue_full.load(Relaxed) + self.failed.load(Relaxed);
            warn!(cause = %cut(cause, LONGEST_CAUSE), lost, "spans lost");
        });
    }
}

/// Counts what goes to `next`: a processor or an exporter.
#[derive(Debug)]
struct Counting<N> {
    next: N,
    counts: Arc<Counts>,
}

/// Drops and counts spans while the queue is full. The batch processor has the same limit, but does not count.
impl SpanProcessor for Counting<BatchSpanProcessor> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.queued.fetch_add(1, Relaxed) < QUEUE {
            self.next.on_end(span);
        } else {
            self.counts.queued.fetch_sub(1, Relaxed);
            self.counts.lose(&self.counts.queue_full, 1, "queue full, the collector is too slow");
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Counts exported and failed spans. The exporter of OTLP leaves shutdown and flush to the trait's defaults.
impl SpanExporter for Counting<opentelemetry_otlp::SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.queued.fetch_sub(spans, Relaxed);
        let result = self.next.export(batch).await;
        match &result {
            Ok(()) => drop(self.counts.exported.fetch_add(spans as u64, Relaxed)),
            Err(error) => self.counts.lose(&self.counts.failed, spans as u64, &error.to_string()),
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}
