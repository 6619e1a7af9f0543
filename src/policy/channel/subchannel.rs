//! A subchannel: the state of one connection that its calls, the balancer and its [keepalive](super::keepalive) share.
//!
//! A call that passes its deadline leaves the connection *unanswered*: the keepalive pings the peer at once, and the
//! balancer picks the connection for no new call until the peer has sent anything, as the ping's acknowledgement.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, watch};

use super::frame_reader::Activity;
use super::outlier::Outlier;
use crate::config::Address;

tokio::task_local! {
    /// Set while a call is polled after its deadline.
    static OVERDUE: ();
}

/// The shared state of one connection.
#[derive(Debug)]
pub(super) struct Subchannel {
    pub(super) address: Address,
    pub(super) in_flight: AtomicUsize,
    /// Set by the first response.
    pub(super) answered: AtomicBool,
    /// Outlier detection of the address, which outlives this connection.
    pub(super) outlier: Arc<Outlier>,
    activity: Activity,
    /// The number of reads when a call last passed its deadline, plus one; 0 if none has.
    unanswered: AtomicU64,
    /// The number of responses when a ping was last answered, plus one; 0 if that was long ago or never.
    pinged: AtomicU64,
    overdue: Notify,
    changes: watch::Sender<()>,
}

/// A guard that counts a call as in flight until its response has ended.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Subchannel>);

/// Runs a call after its deadline: each poll without an answer marks its connection as unanswered.
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

    /// Records that a call has passed its deadline, and notifies the keepalive.
    pub(super) fn call_is_overdue(&self) {
        self.unanswered.store(self.activity.reads() + 1, Relaxed);
        self.overdue.notify_one();
    }

    /// Returns true if a call has passed its deadline and the peer has sent nothing since. After an answered ping it takes
    /// a response, or [`allow_ping`](Self::allow_ping), before this can be true again: servers close a connection with
    /// `too_many_pings` if it is pinged repeatedly between two responses.
    pub(super) fn is_unanswered(&self) -> bool {
        // In this order, as a response is counted after its read.
        let responses = self.activity.responses();
        self.unanswered.load(Relaxed) == self.activity.reads() + 1 && self.pinged.load(Relaxed) != responses + 1
    }

    /// Waits until a call has passed its deadline, since the last wait.
    pub(super) async fn overdue(&self) {
        self.overdue.notified().await;
    }

    /// Records that the peer has answered a ping, or sent anything else in time.
    pub(super) fn answer(&self) {
        self.unanswered.store(0, Relaxed);
        self.pinged.store(self.activity.responses() + 1, Relaxed);
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

    /// The number of reads with any bytes.
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

    /// Marks the connection as unanswered if the call is [`overdue`]. Reads no clock.
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
