//! After events: in the queue, on disk, and those that left.

use std::fmt;
use std::time::Duration;

use super::{Label, Writer, counter, gauge};
use crate::admin::{PolicySources, Sources};
use crate::contract::Timing;
use crate::observe::durations::Histogram;
use crate::outbox::{Backlog, COMMIT_BUCKETS, Cluster, Counts, Disk, Held, Reason, RpcBacklog};

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let all: Vec<Of<'_>> = sources.policies.iter().map(Of::from).collect();
    // An rpc that has had events has a sample of 0 now.
    let by_rpc = |count: fn(&RpcBacklog) -> usize| {
        let callbacks = || sources.status.callbacks();
        all.iter().flat_map(move |Of { target, backlog, .. }| {
            callbacks().filter_map(move |(callback, counters)| {
                let events = backlog.rpcs.iter().find(|rpc| rpc.rpc == callback.rpc).map_or(0, count);
                let had_events = callback.timing == Timing::After && counters.last_seen() > 0;
                let labels = [("rpc", callback.service_and_method()), *target];
                (events > 0 || had_events).then(|| (labels, gauge(events as f64)))
            })
        })
    };
    let of_each = |value: fn(&Of<'_>) -> f64| all.iter().map(move |of| ([of.target], gauge(value(of))));
    let counted = |count: fn(&Counts) -> u64| all.iter().map(move |of| ([of.target], counter(count(&of.counts))));
    let help = "After events that wait for their turn or their next attempt";
    out.family("events_waiting", help, by_rpc(|rpc| rpc.waiting))?;
    let help = "Of these the ones that are parked: others of their key do not wait for them";
    out.family("events_parked", help, by_rpc(|rpc| rpc.parked))?;
    let help = "Keys of which an After event fails while others wait behind it";
    out.family("events_blocked_keys", help, of_each(|of| of.backlog.blocked_keys as f64))?;
    let help = "What the After events that are kept take, about";
    out.family("events_bytes", help, of_each(|of| of.backlog.bytes as f64))?;
    let help = "The age of the oldest After event that waits";
    let oldest = of_each(|of| of.backlog.oldest.unwrap_or(Duration::ZERO).as_secs_f64());
    out.family("events_oldest_age_seconds", help, oldest)?;
    let help = "After events that the policy service has answered";
    out.family("events_delivered", help, counted(|counts| counts.delivered))?;
    out.family("events_retried", "Attempts after an After event's first", counted(|counts| counts.retried))?;
    let undelivered = all.iter().flat_map(|of| {
        let sample =
            |reason: Reason| ([("reason", reason.as_str()), of.target], counter(of.counts.undelivered(reason)));
        Reason::ALL.map(sample)
    });
    out.family("events_undelivered", "After events that were lost or given up, by why", undelivered)?;
    let is_named = sources.are_named();
    let disks: Vec<_> = all.iter().filter_map(|of| Some((of.target, of.backlog.disk.as_ref()?))).collect();
    write_disks(&disks, is_named, out)?;
    let clusters: Vec<_> = all.iter().filter_map(|of| Some((of.target, of.backlog.cluster.as_ref()?))).collect();
    write_clusters(&clusters, is_named, out)
}

/// The events on their way to one policy.
struct Of<'a> {
    /// The label of the receiver.
    target: Label<'a>,
    backlog: Backlog,
    counts: Counts,
}

impl<'a> From<&'a PolicySources> for Of<'a> {
    fn from(of: &'a PolicySources) -> Self {
        Self { target: ("target", &of.name), backlog: of.events.backlog(), counts: of.events.counts() }
    }
}

fn write_clusters(clusters: &[(Label<'_>, &Cluster)], is_named: bool, out: &mut Writer<'_>) -> fmt::Result {
    let each = |value: fn(&Cluster) -> f64| clusters.iter().map(move |(of, cluster)| (*of, gauge(value(cluster))));
    let counted = |count: fn(&Cluster) -> u64| clusters.iter().map(move |(of, cluster)| (*of, counter(count(cluster))));
    let help = "1 if a server of NATS is connected, 0 if not";
    out.of_named("nats_connected", help, is_named, each(|cluster| f64::from(u8::from(cluster.connected))))?;
    let help = "1 if events are published as they arrive, 0 if they go to the spill";
    out.of_named("nats_takes_events", help, is_named, each(|cluster| f64::from(u8::from(cluster.takes_events))))?;
    let streams = |value: fn(&Held) -> u64| {
        clusters.iter().flat_map(move |(of, cluster)| {
            let streams = [("events", &cluster.events), ("later", &cluster.later), ("dead", &cluster.dead)];
            streams.map(|(stream, held)| (("stream", stream), *of, gauge(value(held) as f64)))
        })
    };
    let help = "Events in a stream of NATS, of all copies: the same from each";
    out.of_named_and("nats_stream_events", help, is_named, streams(|held| held.events))?;
    let help = "Bytes of a stream of NATS: the same from each copy";
    out.of_named_and("nats_stream_bytes", help, is_named, streams(|held| held.bytes))?;
    let help = "After events here that NATS has not taken yet";
    out.of_named("nats_spill_events", help, is_named, each(|cluster| cluster.spill.events as f64))?;
    out.of_named("nats_spill_bytes", "Their bytes, about", is_named, each(|cluster| cluster.spill.bytes as f64))?;
    let help = "Publishes of events that NATS did not confirm";
    out.of_named("nats_publish_failures", help, is_named, counted(|cluster| cluster.publish_failures))?;
    let help = "After events that went to the spill";
    out.of_named("nats_spilled", help, is_named, counted(|cluster| cluster.spilled))?;
    let help = "After events that came again: their copy had died, stopped, or was not heard";
    out.of_named("nats_redelivered", help, is_named, counted(|cluster| cluster.redelivered))?;
    let help = "After events that were given up here, as NATS was not heard for too long";
    out.of_named("nats_given_up", help, is_named, counted(|cluster| cluster.given_up))?;
    let help = "Pulls that went silent and were made again";
    out.of_named("nats_pulls_restarted", help, is_named, counted(|cluster| cluster.pulls_restarted))
}

fn write_disks(disks: &[(Label<'_>, &Disk)], is_named: bool, out: &mut Writer<'_>) -> fmt::Result {
    let each = |value: fn(&Disk) -> f64| disks.iter().map(move |(of, disk)| (*of, gauge(value(disk))));
    let help = "After events on disk that are to be delivered";
    out.of_named("outbox_events", help, is_named, each(|disk| disk.events as f64))?;
    let help = "After events on disk that ended undelivered";
    out.of_named("outbox_dead", help, is_named, each(|disk| disk.dead as f64))?;
    let help = "Unimplemented After events that ended undelivered and were evicted for their bound";
    let evicted = disks.iter().map(|(of, disk)| (*of, counter(disk.unimplemented_evicted)));
    out.of_named("outbox_dead_evicted", help, is_named, evicted)?;
    let help = "What the files of the outbox take on the disk, the log of what was last written (-wal) among them";
    out.of_named("outbox_bytes", help, is_named, each(|disk| disk.file_bytes as f64))?;
    let bounds = || COMMIT_BUCKETS.iter().map(|bound| bound.as_secs_f64()).chain([f64::INFINITY]);
    let commits = disks.iter().map(|(of, disk)| {
        let commits = Histogram {
            count: disk.commits.iter().sum(),
            sum: disk.commit_time.as_secs_f64(),
            buckets: bounds().zip(disk.commits.iter().copied()).collect(),
        };
        (*of, commits)
    });
    let help = "How long commits to the disk took, their fsync included";
    out.of_named("outbox_commit_duration_seconds", help, is_named, commits)
}
