//! After events: in the queue, on disk, and those that left.

use std::fmt;
use std::time::Duration;

use super::{Label, Writer, counter, gauge};
use crate::admin::Sources;
use crate::contract::Timing;
use crate::observe::durations::Histogram;
use crate::outbox::{COMMIT_BUCKETS, Cluster, Disk, Reason, RpcBacklog, TARGET};

/// The label of the receiver of the events.
const OF_POLICY: Label<'static> = ("target", TARGET);

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let (backlog, counts) = (sources.events.backlog(), sources.events.counts());
    // An rpc that has had events has a sample of 0 now.
    let by_rpc = |count: fn(&RpcBacklog) -> usize| {
        let rpcs = &backlog.rpcs;
        sources.status.callbacks().filter_map(move |(callback, counters)| {
            let events = rpcs.iter().find(|rpc| rpc.rpc == callback.rpc).map_or(0, count);
            let had_events = callback.timing == Timing::After && counters.last_seen() > 0;
            let labels = [("rpc", callback.service_and_method()), OF_POLICY];
            (events > 0 || had_events).then(|| (labels, gauge(events as f64)))
        })
    };
    let help = "After events that wait for their turn or their next attempt";
    out.family("events_waiting", help, by_rpc(|rpc| rpc.waiting))?;
    let help = "Of these the ones that are parked: others of their key do not wait for them";
    out.family("events_parked", help, by_rpc(|rpc| rpc.parked))?;
    let help = "Keys of which an After event fails while others wait behind it";
    out.family("events_blocked_keys", help, [([OF_POLICY], gauge(backlog.blocked_keys as f64))])?;
    let help = "What the After events that are kept take, about";
    out.family("events_bytes", help, [([OF_POLICY], gauge(backlog.bytes as f64))])?;
    let oldest = backlog.oldest.unwrap_or(Duration::ZERO).as_secs_f64();
    let help = "The age of the oldest After event that waits";
    out.family("events_oldest_age_seconds", help, [([OF_POLICY], gauge(oldest))])?;
    let help = "After events that the policy service has answered";
    out.family("events_delivered", help, [([OF_POLICY], counter(counts.delivered))])?;
    out.family("events_retried", "Attempts after an After event's first", [([OF_POLICY], counter(counts.retried))])?;
    let undelivered =
        Reason::ALL.map(|reason| ([("reason", reason.as_str()), OF_POLICY], counter(counts.undelivered(reason))));
    out.family("events_undelivered", "After events that were lost or given up, by why", undelivered)?;
    backlog.disk.as_ref().map_or(Ok(()), |disk| write_disk(disk, out))?;
    backlog.cluster.as_ref().map_or(Ok(()), |cluster| write_cluster(cluster, out))
}

fn write_cluster(cluster: &Cluster, out: &mut Writer<'_>) -> fmt::Result {
    let help = "1 if a server of NATS is connected, 0 if not";
    out.gauge("nats_connected", help, f64::from(u8::from(cluster.connected)))?;
    let help = "1 if events are published as they arrive, 0 if they go to the spill";
    out.gauge("nats_takes_events", help, f64::from(u8::from(cluster.takes_events)))?;
    let streams = [("events", cluster.events), ("later", cluster.later), ("dead", cluster.dead)];
    let held = streams.map(|(stream, held)| ([("stream", stream)], gauge(held.events as f64)));
    out.family("nats_stream_events", "Events in a stream of NATS, of all copies: the same from each", held)?;
    let held = streams.map(|(stream, held)| ([("stream", stream)], gauge(held.bytes as f64)));
    out.family("nats_stream_bytes", "Bytes of a stream of NATS: the same from each copy", held)?;
    out.gauge("nats_spill_events", "After events here that NATS has not taken yet", cluster.spill.events as f64)?;
    out.gauge("nats_spill_bytes", "Their bytes, about", cluster.spill.bytes as f64)?;
    out.counter("nats_publish_failures", "Publishes of events that NATS did not confirm", cluster.publish_failures)?;
    out.counter("nats_spilled", "After events that went to the spill", cluster.spilled)?;
    let help = "After events that came again: their copy had died, stopped, or was not heard";
    out.counter("nats_redelivered", help, cluster.redelivered)?;
    let help = "After events that were given up here, as NATS was not heard for too long";
    out.counter("nats_given_up", help, cluster.given_up)?;
    out.counter("nats_pulls_restarted", "Pulls that went silent and were made again", cluster.pulls_restarted)
}

fn write_disk(disk: &Disk, out: &mut Writer<'_>) -> fmt::Result {
    out.gauge("outbox_events", "After events on disk that are to be delivered", disk.events as f64)?;
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
