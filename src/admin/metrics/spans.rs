//! The traces' own way: spans that the collector has, and spans that it will never have.

use std::fmt;

use super::writer::{Family, Writer, plain};
use crate::admin::Sources;

const EXPORTED: Family = plain("spans_exported", "Spans that the collector of traces has taken");
const DROPPED: Family = plain("spans_dropped", "Spans that are lost, by why: queue is full, collector failed");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let Some(counts) = admin.traces.counts() else { return Ok(()) };
    out.counter(&EXPORTED, counts.exported)?;
    out.counters(&DROPPED, [([("reason", "queue")], counts.queue_full), ([("reason", "collector")], counts.failed)])
}
