//! One connection to an endpoint, gRPC's *subchannel*, as its calls, the pick and its [keepalive](super::keepalive) share it.
//!
//! A call that passes its deadline without an answer leaves the connection *unanswered*: the keepalive pings it at once, and
//! it is picked for no new call until the peer has sent something, be it the ping's acknowledgement.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, watch};

use super::frames::Activity;
use super::outlier::Outlier;
use crate::config::Address;

tokio::task_local! {
    /// Set around a call that goes on after its deadline.
    static OVERDUE: ();
}

/// The shared state of one connection.
#[derive(Debug)]
pub(super) struct Subchannel {
    pub(super) address: Address,
    pub(super) in_flight: AtomicUsize,
    /// Set by the first response.
    pub(super) answered: AtomicBool,
    /// Failures in a row of the address, over all of its connections.
    pub(super) outlier: Arc<Outlier>,
    activity: Activity,
    /// The reads counted when a call passed its deadline, plus one; 0 is none.
    unanswered: AtomicU64,
    /// The responses counted when a ping was answered last, plus one; 0 is none, or long ago.
    pinged: AtomicU64,
    overdue: Notify,
    changes: watch::Sender<()>,
}

/// A call on a connection, counted until its response has ended.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Subchannel>);

/// Runs a call whose deadline is over: each poll that finds no answer tells the connection that it carries the call.
pub(in crate::policy) fn overdue<F: Future>(call: F) -> impl Future<Output = F::Output> {
    OVERDUE.scope((), call)
}

impl Subchannel {
    pub(super) fn new(address: Address, activity: Activity, outlier: Arc<Outlier>, changes: watch::Sender<()>) -> Self {
        Self {
            address,
            in_flight: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            outlier,
            activity,
            unanswered: AtomicU64::new(0),
            pinged: AtomicU64::new(0),
            overdue: Notify::new(),
            changes,
        }
    }

    /// Counts one more call.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    /// Records that a call has passed its deadline, and has the peer pinged.
    pub(super) fn call_is_overdue(&self) {
        self.unanswered.store(self.activity.reads() + 1, Relaxed);
        self.overdue.notify_one();
    }

    /// Returns true if a call has passed its deadline and the peer has sent nothing since. Servers close a connection with
    /// `too_many_pings` that is pinged again and again between two responses; so after an answered ping this waits for a
    /// response, or for [`allow_ping`](Self::allow_ping).
    pub(super) fn is_unanswered(&self) -> bool {
        // In this order: a response is counted after the read that it came with.
        let responses = self.activity.responses();
        self.unanswered.load(Relaxed) == self.activity.reads() + 1 && self.pinged.load(Relaxed) != responses + 1
    }

    /// Ends when a call has passed its deadline, since the last time it did.
    pub(super) async fn overdue(&self) {
        self.overdue.notified().await;
    }

    /// Records that the peer has answered a ping, or sent something else in its time.
    pub(super) fn answer(&self) {
        self.unanswered.store(0, Relaxed);
        self.pinged.store(self.activity.responses() + 1, Relaxed);
        self.wake_picks();
    }

    /// Has calls that wait for a connection look again.
    pub(super) fn wake_picks(&self) {
        self.changes.send_replace(());
    }

    /// Records that the last ping is long enough ago.
    pub(super) fn allow_ping(&self) {
        self.pinged.store(0, Relaxed);
    }

    /// The number of times that bytes have come from the peer.
    pub(super) fn reads(&self) -> u64 {
        self.activity.reads()
    }

    /// Returns true if the address is ejected.
    pub(super) fn is_ejected(&self) -> bool {
        self.outlier.is_ejected(self.in_flight.load(Relaxed))
    }
}

impl InFlight {
    pub(super) fn subchannel(&self) -> &Arc<Subchannel> {
        &self.0
    }

    /// Tells the connection if the call has passed its deadline. Reads no clock: whoever lets the call go on has.
    pub(super) fn pending(&self) {
        if OVERDUE.try_with(|()| ()).is_ok() {
            self.0.call_is_overdue();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
