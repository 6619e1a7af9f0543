//! The status of the events: how many are kept, and what became of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

use super::jetstream::Cluster;
use super::limiter::Limiter;
use super::scheduler::{Phase, Scheduler};
use crate::observe::failures::LastFailure;

/// The events that are kept at a moment. As JSON it has the totals alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backlog {
    /// Events, waiting or on their way: what the bound on events is about.
    pub events: usize,
    /// Their size, about.
    pub bytes: usize,
    /// The parked events: their failures have used up the hold of their key, and the others of it do not wait for them.
    pub parked: usize,
    /// Keys of which an event fails while others wait behind it.
    pub blocked_keys: usize,
    /// The age of the oldest one that waits.
    #[serde(rename = "oldest_ms", serialize_with = "milliseconds", deserialize_with = "from_milliseconds")]
    pub oldest: Option<Duration>,
    /// The rpcs that have any, in the order of their names.
    #[serde(skip)]
    pub rpcs: Vec<RpcBacklog>,
    /// The state of the disk, where there is one.
    #[serde(skip)]
    pub disk: Option<Disk>,
    /// The cluster that keeps the events, where there is one.
    #[serde(skip)]
    pub cluster: Option<Cluster>,
}

/// The events on disk at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Events that are to be delivered.
    pub events: usize,
    /// Events that ended undelivered and are kept for whoever looks for them.
    pub dead: usize,
    /// Their bytes.
    pub dead_bytes: usize,
    /// The bytes of dead letters that the policy does not implement.
    pub unimplemented_bytes: usize,
    /// Events of the latter that were evicted since the start.
    pub unimplemented_evicted: u64,
    /// The size of the files, the log of what was last written (`-wal`) among them, as it was about a second ago.
    pub file_bytes: u64,
    /// Bytes of events that the disk has not taken yet: those of a moment, unless it fails or hangs.
    pub unwritten_bytes: usize,
    /// True if nothing can be written any more until a restart, as the thread that writes has ended.
    pub stopped: bool,
    /// Rows that could not be read and were set aside, since the start.
    pub unreadable: u64,
    /// Commits since the start, by their time: one count for each of [`COMMIT_BUCKETS`](super::COMMIT_BUCKETS), and one for
    /// those that took longer. As JSON it is their sum.
    #[serde(serialize_with = "sum", skip_deserializing)]
    pub commits: Vec<u64>,
    /// The time of all commits.
    #[serde(rename = "commit_ms", serialize_with = "milliseconds", skip_deserializing)]
    pub commit_time: Duration,
}

/// The events of an rpc that are kept. As JSON it is the value that stands under the rpc.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcBacklog {
    /// The rpc's path.
    #[serde(skip)]
    pub rpc: &'static str,
    /// Events that wait for their turn or for the next attempt.
    pub waiting: usize,
    /// The waiting events that are parked.
    pub parked: usize,
    /// Events on their way to the policy.
    pub in_flight: usize,
    /// The age of the oldest one that waits.
    #[serde(rename = "oldest_ms", serialize_with = "milliseconds", deserialize_with = "from_milliseconds")]
    pub oldest: Option<Duration>,
    /// The time for which nothing is tried, as the policy keeps failing.
    #[serde(rename = "paused_ms", serialize_with = "milliseconds", deserialize_with = "from_milliseconds")]
    pub paused: Option<Duration>,
}

/// The counts of events by what has become of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The policy gave its verdict.
    pub delivered: u64,
    /// Attempts after an event's first.
    pub retried: u64,
    undelivered: [u64; Reason::ALL.len()],
}

/// The reason for which an event ended undelivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An arrival when the queue was full.
    Full,
    /// An arrival when the disk had not taken what came before it for too long.
    Disk,
    /// The policy does not answer this callback.
    Unimplemented,
    /// The policy's answer is invalid.
    InvalidReply,
    /// The policy refuses a message of its size.
    RefusedSize,
    /// The last of the attempts that there may be.
    Attempts,
    /// The age that an event may reach.
    Age,
    /// hookgate stopped.
    Shutdown,
    /// Its webhook was larger than a limit.
    TooLarge,
    /// Its webhook found no room in memory, or no time to be read.
    Overloaded,
    /// Its webhook's body did not come whole, or not in time.
    Unread,
}

impl Reason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Full,
        Self::Disk,
        Self::Unimplemented,
        Self::InvalidReply,
        Self::RefusedSize,
        Self::Attempts,
        Self::Age,
        Self::Shutdown,
        Self::TooLarge,
        Self::Overloaded,
        Self::Unread,
    ];

    /// Its name in logs: `invalid_reply`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Disk => "disk",
            Self::Unimplemented => "unimplemented",
            Self::InvalidReply => "invalid_reply",
            Self::RefusedSize => "refused_size",
            Self::Attempts => "attempts",
            Self::Age => "age",
            Self::Shutdown => "shutdown",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::Unread => "unread",
        }
    }
}

impl Counts {
    /// Returns the number of events that ended undelivered for this reason.
    pub fn undelivered(&self, reason: Reason) -> u64 {
        self.undelivered[reason as usize]
    }

    /// Adds other counts.
    pub(super) fn and(mut self, others: &Self) -> Self {
        self.delivered += others.delivered;
        self.retried += others.retried;
        self.undelivered.iter_mut().zip(others.undelivered).for_each(|(count, other)| *count += other);
        self
    }

    /// Counts what ends undelivered.
    pub(super) fn lose(&mut self, reason: Reason, events: usize) {
        self.undelivered[reason as usize] += events as u64;
    }
}

impl Scheduler {
    /// Counts an event that never came so far.
    pub(super) fn lose_unread(&self, reason: Reason) {
        self.lock().counts.lose(reason, 1);
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn failures(&self, quotes: bool) -> BTreeMap<&'static str, LastFailure> {
        last_failures(&self.lock().limiters, quotes)
    }

    pub(super) fn backlog(&self) -> Backlog {
        let now = Instant::now();
        let state = self.lock();
        let rpcs = state.limiters.iter().map(|(rpc, limiter)| {
            let paused = limiter.paused_until().filter(|until| *until > now);
            let oldest = limiter.loaded.oldest().into_iter().chain(self.store.oldest(rpc)).min();
            RpcBacklog {
                rpc,
                waiting: limiter.waiting,
                parked: limiter.parked,
                in_flight: if state.phase == Phase::Closed { 0 } else { limiter.in_flight() },
                oldest: oldest.filter(|_| limiter.waiting > 0).map(|arrived| now.saturating_duration_since(arrived)),
                paused: paused.map(|until| until - now),
            }
        });
        let rpcs: Vec<_> = rpcs.filter(|rpc| rpc.waiting + rpc.in_flight > 0).collect();
        let oldest = rpcs.iter().filter_map(|rpc| rpc.oldest).max();
        let parked = rpcs.iter().map(|rpc| rpc.parked).sum();
        let (events, bytes, blocked_keys) = (state.events, state.bytes, state.keys.blocked());
        drop(state);
        let disk = self.disk.as_ref().map(|disk| disk.disk(events));
        Backlog { events, bytes, parked, blocked_keys, oldest, rpcs, disk, cluster: None }
    }
}

/// Returns the last failure of each rpc that had one. `quotes` is set if causes may quote the policy.
pub(super) fn last_failures(
    limiters: &BTreeMap<&'static str, Limiter>,
    quotes: bool,
) -> BTreeMap<&'static str, LastFailure> {
    let last = limiters.iter().filter_map(|(rpc, limiter)| Some((*rpc, limiter.noted.last(quotes)?)));
    last.collect()
}

fn milliseconds<S: Serializer>(time: &(impl Into<Option<Duration>> + Copy), to: S) -> Result<S::Ok, S::Error> {
    let time: Option<Duration> = (*time).into();
    time.map(|time| time.as_millis()).serialize(to)
}

fn from_milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::deserialize(from)?.map(Duration::from_millis))
}

fn sum<S: Serializer>(counts: &[u64], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(counts.iter().sum())
}
