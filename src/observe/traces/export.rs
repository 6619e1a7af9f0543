//! The way to the collector: a bounded queue, a thread of its own, and a count of what is lost. Nothing waits for it.

use std::fmt::Display;
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

use super::Counts;
use crate::cut::cut;
use crate::failure::LONGEST_CAUSE;

/// How many spans wait for the collector at most; they take a kilobyte each, about.
const QUEUE: usize = 8_192;

/// How many spans are sent at a time.
const BATCH: usize = 512;

/// How long a span waits for others at most.
const DELAY: Duration = Duration::from_secs(1);

/// How often it is said that spans are lost.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// A collector that spans cannot be sent to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(#[from] ExporterBuildError);

/// Counts what becomes of the spans.
#[derive(Debug, Default)]
pub(super) struct Tally {
    queued: AtomicUsize,
    exported: AtomicU64,
    queue_full: AtomicU64,
    failed: AtomicU64,
    said: Mutex<Option<Instant>>,
}

/// What takes spans that have ended. Connects when there is one to send.
pub(super) fn processor(endpoint: &Uri, tally: Arc<Tally>) -> Result<impl SpanProcessor + 'static, Error> {
    let mut exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
    if endpoint.scheme() == Some(&Scheme::HTTPS) {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    let exporter = Counted { exporter: exporter.build()?, tally: tally.clone() };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let next = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    Ok(Bounded { next, tally })
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        let [exported, queue_full, failed] =
            [&self.exported, &self.queue_full, &self.failed].map(|counter| counter.load(Relaxed));
        Counts { exported, queue_full, failed }
    }

    fn lose(&self, counter: &AtomicU64, spans: u64, why: &dyn Display) {
        counter.fetch_add(spans, Relaxed);
        // Where another thread is about to say it, this one need not.
        if let Ok(mut said) = self.said.try_lock()
            && said.is_none_or(|at| at.elapsed() >= SAID_EVERY)
        {
            *said = Some(Instant::now());
            let Counts { queue_full, failed, .. } = self.counts();
            let why = why.to_string();
            let why = cut(&why, LONGEST_CAUSE);
            warn!(%why, lost = queue_full + failed, "spans are lost; this is said once a minute");
        }
    }
}

/// Drops what comes when too much waits.
#[derive(Debug)]
struct Bounded<P> {
    next: P,
    tally: Arc<Tally>,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.tally.queued.fetch_add(1, Relaxed) < QUEUE {
            self.next.on_end(span);
        } else {
            self.tally.queued.fetch_sub(1, Relaxed);
            self.tally.lose(&self.tally.queue_full, 1, &"the collector is slower than they come");
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

/// Counts what is sent, and what cannot be.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    tally: Arc<Tally>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.tally.queued.fetch_sub(spans, Relaxed);
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => drop(self.tally.exported.fetch_add(spans as u64, Relaxed)),
            Err(error) => self.tally.lose(&self.tally.failed, spans as u64, error),
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
