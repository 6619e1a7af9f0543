//! The end: what is left is delivered in a hurry, and then given up; or it stays on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use super::Reason;
use super::limiter::Limiter;
use super::scheduler::{Phase, Scheduler, Stored};
use super::sqlite::{Closed, SqliteStore};

/// Maximum time for the last events to be written to disk.
pub(crate) const CLOSING: Duration = Duration::from_secs(10);

impl Scheduler {
    /// Hurries: nothing waits for long from now on; with a store that lasts, nothing more begins.
    pub(super) fn hurry(self: &Arc<Self>) {
        let state = &mut *self.lock();
        if state.phase != Phase::Running {
            return;
        }
        if self.disk.is_some() {
            // What waits keeps its time for the next start.
            state.phase = Phase::Leaving;
            self.idle.notify_waiters();
        } else {
            state.phase = Phase::Hurrying;
            self.forget_pauses(state);
        }
    }

    /// Leaves on disk what is left, when what is in flight has ended or `until` has come. Returns the number of events
    /// that the store did not take: they are lost.
    pub(super) async fn leave(&self, disk: &SqliteStore, until: Instant) -> usize {
        // What is then still in flight has not been delivered as far as anybody knows, so it stays too.
        let _ = timeout_at(until, self.quiet()).await;
        let (left, refused, number) = {
            let state = &mut *self.lock();
            let in_flight: Vec<u64> = state.in_flight.keys().copied().collect();
            let is_refused = |number: &&u64| matches!(self.store_held(state, **number), Stored::NotKept);
            let refused = in_flight.iter().filter(is_refused).count();
            state.limiters.values_mut().for_each(Limiter::stop_timer);
            (state.close(), refused, state.number)
        };
        self.idle.notify_waiters();
        match disk.close(number).await {
            Closed::Lost(lost) => {
                let lost = (lost + refused).min(left);
                if lost > 0 {
                    let reason = Reason::Shutdown.as_str();
                    error!(events = lost, reason, "events lost at shutdown, not on disk");
                }
                if left > lost {
                    info!(events = left - lost, "events left on disk for the next start");
                }
                lost
            }
            Closed::Gone => {
                warn!(events = left, "outbox writer gone at close; unwritten events are lost");
                0
            }
            Closed::Late => {
                warn!(events = left, "outbox close timed out; written events are intact");
                0
            }
        }
    }

    /// Waits until no event is in flight.
    async fn quiet(&self) {
        loop {
            let notified = self.idle.notified();
            if self.lock().limiters.values().all(|limiter| limiter.in_flight() == 0) {
                return;
            }
            notified.await;
        }
    }

    /// Gives up what is left; returns the number of events.
    pub(super) fn close(&self) -> usize {
        let state = &mut *self.lock();
        for (rpc, limiter) in &mut state.limiters {
            limiter.stop_timer();
            let (waiting, in_flight) = (limiter.waiting, limiter.in_flight());
            if waiting + in_flight > 0 {
                let class = limiter.last_failure.as_ref().map(|failure| failure.class.as_str());
                let cause = limiter.last_failure.as_ref().map(|failure| &*failure.cause);
                let reason = Reason::Shutdown.as_str();
                warn!(rpc, waiting, in_flight, reason, class, cause, "events lost at shutdown");
            }
        }
        let left = state.close();
        state.counts.lose(Reason::Shutdown, left);
        self.idle.notify_waiters();
        left
    }

    pub(super) async fn idle(&self) {
        loop {
            // It hears what is notified from here on, so nothing falls between the look and the wait.
            let notified = self.idle.notified();
            if self.lock().events == 0 {
                return;
            }
            notified.await;
        }
    }
}
