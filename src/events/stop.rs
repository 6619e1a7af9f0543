//! The end: what is left is delivered in a hurry, and then given up.

use std::sync::Arc;

use tracing::warn;

use super::Reason;
use super::queue::{Phase, Queue};
use crate::error::Failure;

impl Queue {
    /// From now on nothing waits for long.
    pub(super) fn hurry(self: &Arc<Self>) {
        let state = &mut *self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Hurrying;
            self.forget_pauses(state);
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
                let cause = lane.last_failure.as_ref().map(Failure::cause);
                let reason = Reason::Shutdown.as_str();
                warn!(rpc, waiting, in_flight, reason, class, cause, "events end undelivered");
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
