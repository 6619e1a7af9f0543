//! The process: its version, rejected callers, certificates, reloads, spans and the decision log.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

use prometheus_client::metrics::info::Info;
use strum::VariantArray;

use super::{Writer, counter, gauge};
use crate::admin::Sources;
use crate::observe::rejected::Reason;

pub(super) fn build(_: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    out.family("build", "The hookgate that runs", [([], info)])
}

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let count = |reason| counter(sources.status.callers_refused.counted(reason));
    let refused = Reason::VARIANTS.iter().map(|reason| ([("reason", reason.into())], count(*reason)));
    let help = "Callers that may not call, and connections that came to nothing, by why";
    out.family("callers_refused", help, refused)?;
    let config = sources.config.now();
    let expiries: Vec<_> = config.certificates().collect();
    let expiries = expiries.iter().map(|(certificate, expires)| {
        let since_1970 = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        ([("certificate", &**certificate)], gauge(since_1970.as_secs_f64()))
    });
    out.family("certificate_expiry_timestamp_seconds", "When a certificate expires, in seconds since 1970", expiries)?;
    let reloads = sources.reloads.counts();
    let results = [("ok", reloads.ok), ("refused", reloads.refused)];
    let results = results.map(|(result, count)| ([("result", result)], counter(count)));
    out.family("reloads", "How often the configuration was read anew, by what became of it", results)?;
    let help = "Whether the configuration in force is the one that was read last: 1 if it is";
    out.gauge("reload_last_successful", help, reloads.last_successful())?;
    if let Some(spans) = sources.traces.counts() {
        let exported = spans.exported.load(Relaxed);
        out.counter("spans_exported", "Spans that the collector of traces has taken", exported)?;
        let dropped = [("queue", &spans.queue_full), ("collector", &spans.failed)];
        let dropped = dropped.map(|(reason, spans)| ([("reason", reason)], counter(spans.load(Relaxed))));
        out.family("spans_dropped", "Spans that are lost, by why: queue is full, collector failed", dropped)?;
    }
    let dropped = sources.decisions.counts().dropped.load(Relaxed);
    out.counter("decisions_dropped", "Lines of the decision log that were left out", dropped)
}
