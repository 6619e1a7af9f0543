//! The status of the cluster: the promise that holds, the sizes of the streams, and the counters.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use super::JetStream;
use super::api::{ApiError, code};
use super::publish::Publisher;
use super::streams::{self, Held};
use crate::observe::failures::LastFailure;
use crate::outbox::status::{RpcBacklog, last_failures};
use crate::outbox::{Backlog, Counts};

/// Clocks that are further apart are worth a warning.
const APART: Duration = Duration::from_secs(5);

/// Seconds between two lines about clocks that are apart.
const CLOCK_LOG_INTERVAL: u64 = 3600;

/// The cluster as it was seen a moment ago.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The fault of the streams, if hookgate serves without them.
    pub(super) problem: Option<String>,
    pub(super) events: Held,
    pub(super) later: Held,
    pub(super) dead: Held,
}

/// The cluster, as one copy sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// True if a server is connected.
    pub connected: bool,
    /// True if events are published as they arrive; false if they go to the spill.
    pub takes_events: bool,
    /// The fault of the streams; none if they are as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The version of the server.
    pub server: String,
    /// The promise in words: which losses the events survive.
    pub promise: String,
    /// The number of nodes that have each event.
    pub replicas: usize,
    /// The number of partitions.
    pub partitions: usize,
    /// Events with an order that are not delivered yet, in all copies' hands or waiting.
    pub events: Held,
    /// Events that are parked, or have no order and wait.
    pub later: Held,
    /// Dead letters.
    pub dead: Held,
    /// Events here that the cluster has not taken yet.
    pub spill: SpillStatus,
    /// Events that this copy has in hand.
    pub in_hand: usize,
    /// Messages that were published since the start.
    pub published: u64,
    /// Publishes that failed.
    pub publish_failures: u64,
    /// Events that went to the spill.
    pub spilled: u64,
    /// Events that were another copy's before, or were given back.
    pub redelivered: u64,
    /// Events that this copy has given up as the cluster was not heard for too long.
    pub given_up: u64,
    /// Pulls that went silent and were made again.
    pub pulls_restarted: u64,
}

/// The spill at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpillStatus {
    /// Events.
    pub events: usize,
    /// Their bytes, about.
    pub bytes: usize,
    /// True if a restart finds them again.
    pub durable: bool,
}

/// Returns the promise that holds with so many replicas.
fn promise(replicas: usize) -> String {
    let power = "power that is lost on most nodes at once may take what was confirmed within their sync_interval (2 minutes \
                 unless set; always excludes that)";
    match replicas {
        0 | 1 => "each event is on one node: it is as safe as that node's disk, power loss may take what was confirmed within \
                  its sync_interval (2 minutes unless set; always excludes that), and while the node is away nothing is \
                  delivered"
            .to_owned(),
        replicas => {
            let nodes = (replicas - 1) / 2;
            let nodes = if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") };
            format!("each event is on most of {replicas} nodes before its webhook is answered: it survives the loss of {nodes}; {power}")
        }
    }
}

impl JetStream {
    /// Logs which promise holds.
    pub(super) fn log_promise(&self) {
        let replicas = self.pace.settings.nats.replicas;
        let info = self.publisher.api.client.server_info();
        let (server, promise) = (info.version.as_str(), promise(replicas));
        if replicas < 3 {
            warn!(server, replicas, promise, "After events are in NATS JetStream, on fewer than three nodes");
        } else {
            info!(server, replicas, promise, "After events are in NATS JetStream");
        }
        if info.max_payload < self.largest_message {
            let (max_payload, body) = (info.max_payload, self.largest_message);
            warn!(
                max_payload,
                limits_body = body,
                "max_payload of NATS is smaller than limits.body, larger events are delivered by the copy that got them"
            );
        }
    }

    /// Warns if this machine's clock and the servers' are apart: due times and ages are by the clock of the copy that reads them.
    pub(super) async fn compare_clocks(&self) {
        let Publisher { api, names, .. } = &self.publisher;
        let Some(theirs) = streams::server_time(api, &names.events).await else { return };
        // This clock goes on from the start, whatever is done to the machine's.
        let apart_ms = theirs.abs_diff(u64::try_from(self.publisher.clock.now()).unwrap_or(0));
        if u128::from(apart_ms) > APART.as_millis() {
            self.clock_log.log(CLOCK_LOG_INTERVAL, |_| {
                warn!(
                    apart_ms,
                    "clocks of this machine and of NATS are apart, parked events come early or late by that"
                );
            });
        }
    }

    /// Looks at how much the streams have. Returns false if one of them is not there.
    pub(super) async fn look(&self) -> bool {
        let Publisher { api, names, .. } = &self.publisher;
        let held = |name| streams::held(api, name);
        let (events, later, dead) = tokio::join!(held(&names.events), held(&names.later), held(&names.dead));
        let is_gone = |held: &Result<Held, ApiError>| held.as_ref().is_err_and(|error| error.is(code::NO_STREAM));
        let is_any_gone = [&events, &later, &dead].into_iter().any(is_gone);
        let seen = &mut *self.seen();
        seen.events = events.unwrap_or(seen.events);
        seen.later = later.unwrap_or(seen.later);
        seen.dead = dead.unwrap_or(seen.dead);
        !is_any_gone
    }

    /// Returns true if nothing waits in the streams or here.
    pub(in crate::outbox) async fn is_idle(&self) -> bool {
        let Publisher { api, names, spill, .. } = &self.publisher;
        let held = |name| streams::held(api, name);
        let (events, later) = tokio::join!(held(&names.events), held(&names.later));
        let is_empty = |held: Result<Held, _>| held.is_ok_and(|held| held.events == 0);
        spill.standing().events == 0 && is_empty(events) && is_empty(later)
    }

    pub(in crate::outbox) fn cluster(&self) -> Cluster {
        let Publisher { api, spill, counters, .. } = &self.publisher;
        let (seen, standing) = (self.seen(), spill.standing());
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        Cluster {
            connected: api.client.connection_state() == async_nats::connection::State::Connected,
            takes_events: self.publisher.is_up(),
            problem: seen.problem.clone(),
            server: api.client.server_info().version,
            promise: promise(self.pace.settings.nats.replicas),
            replicas: self.pace.settings.nats.replicas,
            partitions: self.pace.settings.nats.partitions,
            events: seen.events,
            later: seen.later,
            dead: seen.dead,
            spill: SpillStatus { events: standing.events, bytes: standing.bytes, durable: spill.is_durable() },
            in_hand: self.pace.lock().hands.len(),
            published: count(&counters.published),
            publish_failures: count(&counters.failed),
            spilled: count(&counters.spilled),
            redelivered: count(&counters.redelivered),
            given_up: count(&counters.given_up),
            pulls_restarted: count(&counters.restarted),
        }
    }

    pub(in crate::outbox) fn resume(&self) {
        self.pace.resume();
    }

    pub(in crate::outbox) fn counts(&self) -> Counts {
        self.pace.lock().counts
    }

    pub(in crate::outbox) fn failures(&self, quotes: bool) -> BTreeMap<&'static str, LastFailure> {
        last_failures(&self.pace.lock().limiters, quotes)
    }

    /// Adds what the cluster keeps to what this machine does.
    pub(in crate::outbox) fn add_to(&self, backlog: &mut Backlog) {
        let cluster = self.cluster();
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        backlog.events += size(cluster.events.events + cluster.later.events) + cluster.spill.events;
        backlog.bytes += size(cluster.events.bytes + cluster.later.bytes) + cluster.spill.bytes;
        let (now, clock) = (Instant::now(), &self.publisher.clock);
        for oldest in
            [cluster.events, cluster.later].iter().filter(|held| held.events > 0).filter_map(|held| held.oldest)
        {
            let arrived = clock.instant(i64::try_from(oldest).unwrap_or(i64::MAX));
            backlog.oldest = backlog.oldest.max(Some(now.saturating_duration_since(arrived)));
        }
        let state = self.pace.lock();
        // What is behind one is in the stream: an event that fails holds up its partition.
        backlog.blocked_keys += state.keys.failing();
        for (rpc, limiter) in &state.limiters {
            let paused = limiter.paused_until().filter(|until| *until > now).map(|until| until - now);
            if limiter.in_flight() == 0 && paused.is_none() {
                continue;
            }
            match backlog.rpcs.iter_mut().find(|of| of.rpc == *rpc) {
                Some(of) => {
                    of.in_flight += limiter.in_flight();
                    of.paused = of.paused.max(paused);
                }
                None => {
                    let in_flight = limiter.in_flight();
                    backlog.rpcs.push(RpcBacklog { rpc, waiting: 0, parked: 0, in_flight, oldest: None, paused });
                }
            }
        }
        drop(state);
        backlog.rpcs.sort_by_key(|of| of.rpc);
        backlog.cluster = Some(cluster);
    }
}
