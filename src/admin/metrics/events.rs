//! After events: what waits, and what became of the others.

use std::fmt;
use std::time::Duration;

use prometheus_client::registry::Unit;

use super::writer::{Family, Writer, in_unit, plain};
use crate::admin::Sources;
use crate::contract::{Callback, Timing};
use crate::outbox::Reason;

const WAITING: Family = plain("events_waiting", "After events that wait for their turn or their next attempt");
const BYTES: Family = in_unit("events", Unit::Bytes, "What the After events that are kept take, about");
const OLDEST: Family = in_unit("events_oldest_age", Unit::Seconds, "The age of the oldest After event that waits");
const DELIVERED: Family = plain("events_delivered", "After events that the policy service has answered");
const RETRIED: Family = plain("events_retried", "Attempts after an After event's first");
const UNDELIVERED: Family = plain("events_undelivered", "After events that were lost or given up, by why");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let (backlog, counts) = (admin.events.backlog(), admin.events.counts());
    // An rpc that had events once and has none now says so.
    let waiting = Callback::all().iter().chain([Callback::fallback()]).filter_map(|callback| {
        let kept = backlog.rpcs.iter().find(|kept| kept.rpc == callback.rpc);
        let waits = kept.map_or(0, |kept| kept.waiting);
        let told = waits > 0 || (callback.timing == Timing::After && admin.status.last_seen(callback) > 0);
        told.then(|| ([("rpc", callback.service_and_method())], waits as f64))
    });
    out.gauges(&WAITING, waiting)?;
    out.gauge(&BYTES, backlog.bytes as f64)?;
    out.gauge(&OLDEST, backlog.oldest.unwrap_or(Duration::ZERO).as_secs_f64())?;
    out.counter(&DELIVERED, counts.delivered)?;
    out.counter(&RETRIED, counts.retried)?;
    let undelivered = Reason::ALL.map(|reason| ([("reason", reason.as_str())], counts.undelivered(reason)));
    out.counters(&UNDELIVERED, undelivered)
}
