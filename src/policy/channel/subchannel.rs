//! A subchannel: the state of one connection that its calls, the balancer and its [keepalive](super::keepalive) share.
//!
//! A call that passes its deadline leaves the connection *unanswered*: the keepalive pings the peer at once, and the
//! balancer picks the connection for no new call until the peer has sent anything, as the ping's acknowledgement.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

use tokio::sync::{Notify, watch};

use super::outlier::Outlier;
use crate::config::Address;

/// The shared state of one connection.
#[derive(Debug)]
pub(super) struct Subchannel {
    pub(super) address: Address,
    pub(super) in_flight: AtomicUsize,
    /// Outlier detection of the address, which outlives this connection.
    pub(super) outlier: Arc<Outlier>,
    /// The number of reads with any bytes.
    reads: AtomicU64,
    /// The number of responses that have begun, but for those to health checks.
    responses: AtomicU64,
    /// The number of reads when a call last passed its deadline, plus one; 0 if none has.
    unanswered: AtomicU64,
    /// The number of responses when a ping was last answered, plus one; 0 if that was long ago or never.
    pinged: AtomicU64,
    /// Notified if a call has passed its deadline.
    pub(super) overdue: Notify,
    changes: watch::Sender<()>,
}

/// A guard that counts a call as in flight until its response has ended.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) subchannel: Arc<Subchannel>,
}

impl Subchannel {
    /// The state of a connection that is to be made. `changes` wakes the calls that wait for a pick.
    pub(super) fn new(address: Address, outlier: Arc<Outlier>, changes: watch::Sender<()>) -> Self {
        let (in_flight, reads, responses, unanswered, pinged, overdue) = Default::default();
        Self { address, in_flight, outlier, reads, responses, unanswered, pinged, overdue, changes }
    }

    /// Counts one more call.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight { subchannel: self.clone() }
    }

    /// Counts a read with any bytes.
    pub(super) fn count_read(&self) {
        self.reads.fetch_add(1, Release);
    }

    /// The number of reads with any bytes.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Acquire)
    }

    /// Counts a response that has begun.
    pub(super) fn count_response(&self) {
        self.responses.fetch_add(1, Release);
    }

    /// The number of responses that have begun, but for those to health checks.
    pub(super) fn responses(&self) -> u64 {
        self.responses.load(Acquire)
    }

    /// Records that a call has passed its deadline, and notifies the keepalive.
    pub(super) fn call_is_overdue(&self) {
        self.unanswered.store(self.reads() + 1, Relaxed);
        self.overdue.notify_one();
    }

    /// Returns true if a call has passed its deadline and the peer has sent nothing since. After an answered ping it takes
    /// a response, or [`allow_ping`](Self::allow_ping), before this can be true again: servers close a connection with
    /// `too_many_pings` if it is pinged repeatedly between two responses.
    pub(super) fn is_unanswered(&self) -> bool {
        // In this order, as a response is counted after its read.
        let responses = self.responses();
        self.unanswered.load(Relaxed) == self.reads() + 1 && self.pinged.load(Relaxed) != responses + 1
    }

    /// Records that the peer has answered a ping, or sent anything else in time.
    pub(super) fn answer(&self) {
        self.unanswered.store(0, Relaxed);
        self.pinged.store(self.responses() + 1, Relaxed);
        self.wake_picks();
    }

    /// Wakes the calls that wait for a pick.
    pub(super) fn wake_picks(&self) {
        self.changes.send_replace(());
    }

    /// Allows another ping for a call past its deadline.
    pub(super) fn allow_ping(&self) {
        self.pinged.store(0, Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.subchannel.in_flight.fetch_sub(1, Relaxed);
    }
}
