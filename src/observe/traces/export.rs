//! The exporter of spans: a bounded queue, a background thread, and counters of lost spans. No call waits for it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

/// Maximum number of queued spans, of about a kilobyte each.
const QUEUE: usize = 8_192;

/// Maximum number of spans sent together.
const BATCH: usize = 512;

/// Maximum time that a span waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// Minimum time between two log messages about lost spans.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The exporter cannot be set up, as when the system has no root certificates.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(#[from] ExporterBuildError);

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
    /// The time of the last log message about lost spans.
    logged: Mutex<Option<Instant>>,
}

/// Returns a processor that sends ended spans to the collector at `endpoint`. It connects when there is a span to send.
pub(super) fn processor(endpoint: &Uri, counts: Arc<Counts>) -> Result<impl SpanProcessor + 'static, Error> {
    let mut exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
    if endpoint.scheme() == Some(&Scheme::HTTPS) {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    Ok(bounded(exporter.build()?, counts))
}

/// Puts a bounded queue before an exporter.
fn bounded(exporter: impl SpanExporter + 'static, counts: Arc<Counts>) -> Bounded<BatchSpanProcessor> {
    let exporter = Counted { exporter, counts: counts.clone() };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let next = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    Bounded { next, counts }
}

impl Counts {
    fn lose(&self, counter: &AtomicU64, spans: u64, cause: &str) {
        counter.fetch_add(spans, Relaxed);
        // If the lock is held, another thread is about to log.
        if let Ok(mut logged) = self.logged.try_lock()
            && logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL)
        {
            *logged = Some(Instant::now());
            let lost = self.queue_full.load(Relaxed) + self.failed.load(Relaxed);
            warn!(cause = %cut(cause, LONGEST_CAUSE), lost, "spans lost");
        }
    }
}

/// Drops and counts spans while the queue is full. The batch processor has the same limit, but does not count.
#[derive(Debug)]
struct Bounded<P> {
    next: P,
    counts: Arc<Counts>,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
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

/// Counts exported and failed spans.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: Arc<Counts>,
}

/// The exporter of OTLP leaves shutdown and flush to the trait's defaults.
impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.queued.fetch_sub(spans, Relaxed);
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => drop(self.counts.exported.fetch_add(spans as u64, Relaxed)),
            Err(error) => self.counts.lose(&self.counts.failed, spans as u64, &error.to_string()),
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Hangs until the sender is dropped.
    #[derive(Debug)]
    struct Hangs(Mutex<Receiver<()>>);

    impl SpanExporter for Hangs {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().recv().unwrap_err();
            Ok(())
        }
    }

    #[test]
    fn spans_are_dropped_and_counted_while_the_queue_is_full() {
        const SPANS: u64 = 10_000;
        let counts = Arc::new(Counts::default());
        let (release, hangs) = channel();
        let processor = bounded(Hangs(Mutex::new(hangs)), counts.clone());
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("test");
        for _ in 0..SPANS {
            drop(tracer.start("span"));
        }
        let dropped = counts.queue_full.load(Relaxed);
        // Besides the queue there is the batch that hangs.
        let most = SPANS - QUEUE as u64;
        assert!((most - BATCH as u64..=most).contains(&dropped), "{dropped}");
        drop(release);
        provider.shutdown_with_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(counts.exported.load(Relaxed), SPANS - dropped);
        assert_eq!(counts.failed.load(Relaxed), 0);
    }
}
