//! The end: what is left is delivered in a hurry, and then given up; or it stays on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

use super::Reason;
use super::lane::Lane;
use super::queue::{Phase, Queue};
use super::store::{Op, Store};

/// Maximum time for the last events to be written to disk.
pub(crate) const CLOSING: Duration = Duration::from_secs(10);

impl Queue {
    /// From now on nothing waits for long; where it is on disk, nothing more begins.
    pub(super) fn hurry(self: &Arc<Self>) {
        let state = &mut *self.lock();
        if state.phase == Phase::Running {
            state.phase = if self.store.is_some() { Phase::Leaving } else { Phase::Hurrying };
            self.forget_pauses(state);
        }
    }

    /// Leaves on disk what is left, when what is on its way has ended or `until` has come. Says how many events the disk
    /// did not take: they are lost.
    pub(super) async fn leave(&self, store: &Store, until: Instant) -> usize {
        // What is then still on its way has not been delivered as far as anybody knows, so it stays too.
        let _ = timeout_at(until, self.quiet()).await;
        let (left, number) = {
            let state = &mut *self.lock();
            state.phase = Phase::Closed;
            state.lanes.values_mut().for_each(Lane::stop_timer);
            (state.outbox.close(), state.outbox.numbers(0))
        };
        self.idle.notify_waiters();
        let (told, closed) = oneshot::channel();
        store.send(Op::Close { number, told });
        let lost = match timeout(CLOSING, closed).await {
            Ok(Ok(owed)) => owed.min(left),
            Ok(Err(_)) => {
                warn!(events = left, "outbox writer gone at close; unwritten events are lost");
                return 0;
            }
            Err(_) => {
                warn!(events = left, "outbox close timed out; written events are intact");
                return 0;
            }
        };
        if lost > 0 {
            self.lock().counts.lose(Reason::Shutdown, lost);
            let reason = Reason::Shutdown.as_str();
            error!(events = lost, reason, "events lost at shutdown, not on disk");
        }
        if left > lost {
            info!(events = left - lost, "events left on disk for the next start");
        }
        lost
    }

    /// Waits until no event is on its way.
    async fn quiet(&self) {
        loop {
            let notified = self.idle.notified();
            if self.lock().lanes.values().all(|lane| lane.in_flight() == 0) {
                return;
            }
            notified.await;
        }
    }

    /// Gives up what is left; says how many events that are.
    pub(super) fn close(&self) -> usize {
        let state = &mut *self.lock();
        state.phase = Phase::Closed;
        for (rpc, lane) in &mut state.lanes {
            lane.stop_timer();
            let (waiting, in_flight) = (state.outbox.waiting(rpc), lane.in_flight());
            if waiting + in_flight > 0 {
                let class = lane.last_failure.as_ref().map(|failure| failure.class.as_str());
                let cause = lane.last_failure.as_ref().map(|failure| &*failure.cause);
                let reason = Reason::Shutdown.as_str();
                warn!(rpc, waiting, in_flight, reason, class, cause, "events lost at shutdown");
            }
        }
        let left = state.outbox.close();
        state.counts.lose(Reason::Shutdown, left);
        self.idle.notify_waiters();
        left
    }

    pub(super) async fn idle(&self) {
        loop {
            // It hears what is notified from here on, so nothing falls between the look and the wait.
            let notified = self.idle.notified();
            if self.lock().outbox.events() == 0 {
                return;
            }
            notified.await;
        }
    }
}
