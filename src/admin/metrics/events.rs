//! After events: in the queue, on disk, and those that left.

use std::fmt;
use std::time::Duration;

use super::{Writer, counter, gauge};
use crate::admin::Sources;
use crate::contract::Timing;
use crate::observe::durations::Histogram;
use crate::outbox::{Backlog, COMMIT_BUCKETS, Disk, Reason};

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let (backlog, counts) = (sources.events.backlog(), sources.events.counts());
    // An rpc that has had events has a sample of 0 now.
    let waiting = sources.status.callbacks().filter_map(|(callback, counters)| {
        let waiting = backlog.rpcs.iter().find(|rpc| rpc.rpc == callback.rpc).map_or(0, |rpc| rpc.waiting);
        let had_events = callback.timing == Timing::After && counters.last_seen() > 0;
        (waiting > 0 || had_events).then(|| ([("rpc", callback.service_and_method())], gauge(waiting as f64)))
    });
    out.family("events_waiting", "After events that wait for their turn or their next attempt", waiting)?;
    out.gauge("events_bytes", "What the After events that are kept take, about", backlog.bytes as f64)?;
    let oldest = backlog.oldest.unwrap_or(Duration::ZERO).as_secs_f64();
    out.gauge("events_oldest_age_seconds", "The age of the oldest After event that waits", oldest)?;
    out.counter("events_delivered", "After events that the policy service has answered", counts.delivered)?;
    out.counter("events_retried", "Attempts after an After event's first", counts.retried)?;
    let undelivered = Reason::ALL.map(|reason| ([("reason", reason.as_str())], counter(counts.undelivered(reason))));
    out.family("events_undelivered", "After events that were lost or given up, by why", undelivered)?;
    backlog.disk.as_ref().map_or(Ok(()), |disk| write_disk(&backlog, disk, out))
}

fn write_disk(backlog: &Backlog, disk: &Disk, out: &mut Writer<'_>) -> fmt::Result {
    out.gauge("outbox_events", "After events on disk that are to be delivered", backlog.events as f64)?;
    out.gauge("outbox_dead", "After events on disk that ended undelivered", disk.dead as f64)?;
    let help = "Unimplemented After events that ended undelivered and were evicted for their bound";
    out.counter("outbox_dead_evicted", help, disk.unimplemented_evicted)?;
    let help = "What the files of the outbox take on the disk, the log of what was last written (-wal) among them";
    out.gauge("outbox_bytes", help, disk.file_bytes as f64)?;
    let bounds = COMMIT_BUCKETS.iter().map(|bound| bound.as_secs_f64()).chain([f64::INFINITY]);
    let commits = Histogram {
        count: disk.commits.iter().sum(),
        sum: disk.commit_time.as_secs_f64(),
        buckets: bounds.zip(disk.commits.iter().copied()).collect(),
    };
    let help = "How long commits to the disk took, their fsync included";
    out.family("outbox_commit_duration_seconds", help, [([], commits)])
}
