//! What can be read of the events: how many are kept, and what became of the others.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::{Phase, Queue};

/// What is kept at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events, waiting or on their way: what the bound on events is about.
    pub events: usize,
    /// Their size, about.
    pub bytes: usize,
    /// The age of the oldest one that waits.
    pub oldest: Option<Duration>,
    /// The rpcs that have any, in the order of their names.
    pub rpcs: Vec<RpcBacklog>,
}

/// The events of an rpc that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcBacklog {
    /// The rpc's path.
    pub rpc: &'static str,
    /// Events that wait for their turn or for the next attempt.
    pub waiting: usize,
    /// Events on their way to the policy.
    pub in_flight: usize,
    /// The age of the oldest one that waits.
    pub oldest: Option<Duration>,
    /// How long nothing is tried because the policy keeps failing.
    pub paused: Option<Duration>,
}

/// What has become of the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The policy gave its verdict.
    pub delivered: u64,
    /// Attempts after an event's first.
    pub retried: u64,
    undelivered: [u64; Reason::ALL.len()],
}

/// Why an event ended undelivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It came when the queue was full.
    Full,
    /// The policy does not answer this callback.
    Unimplemented,
    /// The policy's answer is invalid.
    InvalidReply,
    /// It has been tried as often as it may be.
    Attempts,
    /// It is as old as it may become.
    Age,
    /// hookgate stopped.
    Shutdown,
}

impl Reason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::Unimplemented, Self::InvalidReply, Self::Attempts, Self::Age, Self::Shutdown];

    /// Its name in logs: `invalid_reply`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unimplemented => "unimplemented",
            Self::InvalidReply => "invalid_reply",
            Self::Attempts => "attempts",
            Self::Age => "age",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Counts {
    /// How many ended undelivered for this reason.
    pub fn undelivered(&self, reason: Reason) -> u64 {
        self.undelivered[reason as usize]
    }

    /// Counts what ends undelivered.
    pub(super) fn lose(&mut self, reason: Reason, events: usize) {
        self.undelivered[reason as usize] += events as u64;
    }
}

impl Queue {
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn backlog(&self) -> Backlog {
        let now = Instant::now();
        let state = self.lock();
        let outbox = &state.outbox;
        let rpcs = state.lanes.iter().map(|(rpc, lane)| RpcBacklog {
            rpc,
            waiting: outbox.waiting(rpc),
            in_flight: if state.phase == Phase::Closed { 0 } else { lane.in_flight() },
            oldest: outbox.oldest(rpc).map(|arrived| now - arrived),
            paused: lane.paused_until().filter(|until| *until > now).map(|until| until - now),
        });
        let rpcs: Vec<_> = rpcs.filter(|rpc| rpc.waiting + rpc.in_flight > 0).collect();
        let oldest = rpcs.iter().filter_map(|rpc| rpc.oldest).max();
        Backlog { events: outbox.events(), bytes: outbox.bytes(), oldest, rpcs }
    }
}
