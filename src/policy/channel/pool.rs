//! The endpoints of a target, shared by the calls that pick one and the tasks that keep them connected.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::balancer::{Balancer, Pick};
use super::call::CallSender;
use super::subchannel::InFlight;

/// Maximum wait of a call for the reconnect that it has requested; a refused connection is known far sooner.
const RECONNECT_WAIT: Duration = Duration::from_millis(100);

/// The endpoints of a target: one lock, never held over an `await`, and a notification of every change.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) balancer: Mutex<Balancer>,
    /// Notifies of every change.
    pub(super) changes: watch::Sender<()>,
}

impl Pool {
    /// No endpoints yet: calls wait for the first look-up of the name.
    pub(super) fn new() -> Self {
        let balancer = Mutex::new(Balancer { look_ups_requested: 1, ..Balancer::default() });
        Self { balancer, changes: watch::Sender::default() }
    }

    /// Picks a connection for a call. Waits while an endpoint is about to be ready; an error says why none is.
    pub(super) async fn pick(&self) -> Result<(CallSender, InFlight), String> {
        let (mut arrived, mut changes, mut give_up) = (None, None, None);
        loop {
            let pick = self.balancer.lock().pick(&mut arrived);
            let reconnecting = match pick {
                Pick::Ready(sender, in_flight) => return Ok((sender, in_flight)),
                Pick::Fail(why) => return Err(why),
                Pick::Wait => None,
                Pick::WaitForReconnect(why) => {
                    Some((*give_up.get_or_insert_with(|| Instant::now() + RECONNECT_WAIT), why))
                }
            };
            let Some(changes) = &mut changes else {
                // Picks once more, so that no change before the subscription is missed.
                changes = Some(self.changes.subscribe());
                continue;
            };
            // Never an error: the pool owns the sender.
            match reconnecting {
                None => drop(changes.changed().await),
                Some((give_up, why)) => drop(timeout_at(give_up, changes.changed()).await.map_err(|_| why)?),
            }
        }
    }

    /// Ends when the endpoints are in a state.
    pub(super) async fn until(&self, reached: impl Fn(&Balancer) -> bool) {
        let mut changes = self.changes.subscribe();
        while !reached(&self.balancer.lock()) {
            // Never an error: the pool owns the sender.
            drop(changes.changed().await);
        }
    }

    /// Changes the endpoints, and notifies of it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Balancer) -> R) -> R {
        let mut balancer = self.balancer.lock();
        let result = change(&mut balancer);
        balancer.drain_unresolved();
        self.changes.send_replace(());
        result
    }
}
