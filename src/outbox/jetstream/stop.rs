//! The end of a copy: it gives back what it has in hand, and publishes what it has in its spill.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info};

use super::JetStream;
use super::publish::Publisher;
use crate::outbox::Reason;

/// Time for giving back what is in hand, once the drain time is over.
const GIVING_BACK: Duration = Duration::from_secs(2);

impl JetStream {
    /// Stops: nothing more begins, what is in flight may end until then, and the spill is published. What is left is given
    /// back. Returns the number of events that are lost.
    pub(in crate::outbox) async fn stop(self: &Arc<Self>, until: Instant) -> usize {
        self.stopping.cancel();
        let mut loops = std::mem::take(&mut *self.loops.lock().unwrap_or_else(PoisonError::into_inner));
        self.arriving.close();
        let ended = async {
            let looped = async { while loops.join_next().await.is_some() {} };
            tokio::join!(looped, self.arriving.wait(), self.publisher_is_idle());
        };
        let _ = timeout_at(until, ended).await;
        self.given_up.cancel();
        let _ =
            timeout_at(until.max(Instant::now()) + GIVING_BACK, async { while loops.join_next().await.is_some() {} })
                .await;
        let lost = self.publisher.spill.close().await;
        let left = self.publisher.spill.standing().events.saturating_sub(lost);
        if lost > 0 {
            let reason = Reason::Shutdown.as_str();
            error!(events = lost, reason, "events lost at shutdown, NATS has not taken them");
            self.pace.lock().counts.lose(Reason::Shutdown, lost);
        }
        if left > 0 {
            info!(events = left, "events left in the spill for the next start, NATS has not taken them");
        }
        let _ = timeout_at(Instant::now() + GIVING_BACK, self.publisher.api.client.flush()).await;
        lost
    }

    /// Waits until everything that is to be published is. What a file keeps is not waited for while nothing is taken.
    async fn publisher_is_idle(&self) {
        let Publisher { spill, .. } = &self.publisher;
        while spill.standing().events > 0 && (self.publisher.is_up() || !spill.is_durable()) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}
