//! The load balancer: picks the endpoint for a call.
//!
//! The pick is the ready endpoint with the fewest calls in flight (least request); equal ones take turns. Before that
//! count come, in this order:
//!
//! 1. Health: serving or presumed so first; then unknown, and serving ones that are unanswered or ejected; then not serving.
//! 2. Unanswered ([`Subchannel::is_unanswered`](super::subchannel::Subchannel::is_unanswered)): after the others of the same
//!    health. If the best one is unanswered, the call waits for the answer to its ping, a second at most.
//! 3. Ejected ([`Outlier`](super::outlier::Outlier)): after the others of the same health.

use std::sync::Arc;

use super::call::CallSender;
use super::endpoint::{Endpoint, Failed, Ready, State};
use super::subchannel::{InFlight, Subchannel};
use crate::config::Address;

/// The endpoints of a target.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    pub(super) endpoints: Vec<Endpoint>,
    /// The index at which the next pick begins, so that idle endpoints take turns.
    pub(super) next: usize,
    /// The number of look-ups of the name that were requested.
    pub(super) look_ups_requested: u64,
    /// The value of `look_ups_requested` when the last finished look-up began.
    pub(super) look_ups_done: u64,
    /// Counts connections made and lost, and changes of their health.
    pub(super) generation: u64,
    /// Counts attempts to connect.
    pub(super) attempts: u64,
    /// The error of the last look-up.
    pub(super) unresolved: Option<String>,
}

/// A connection that was picked for a call, which it counts as in flight.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) sender: CallSender,
    pub(super) in_flight: InFlight,
}

/// The result of a pick.
pub(super) enum Pick {
    Ready(Picked),
    /// Pick again after a change.
    Wait,
    /// Pick again after a change, within a bound: a reconnect was requested, but a host that refused the last attempt may drop
    /// packets by now. The text is the error of the last attempt.
    WaitForReconnect(String),
    /// No endpoint is connected, and why.
    Fail(String),
}

impl Balancer {
    /// Picks a connection for a call. `attempts_before` is the counter of attempts to connect at the call's first pick, which
    /// sets it. An endpoint whose last failure is no newer, and was fast, does not fail the call: the call requests a new attempt and waits
    /// for it.
    pub(super) fn pick(&mut self, attempts_before: &mut Option<u64>) -> Pick {
        let attempts_before = *attempts_before.get_or_insert(self.attempts);
        self.next = self.next.wrapping_add(1);
        let count = self.endpoints.len();
        let in_turn = (0..count).map(|n| &self.endpoints[(self.next + n) % count]);
        let ready = in_turn.filter_map(|endpoint| endpoint.state.ready());
        if let Some(ready) = ready.min_by_key(|ready| ready.rank()) {
            if ready.subchannel.is_unanswered() {
                return Pick::Wait;
            }
            return Pick::Ready(Picked { sender: ready.sender.clone(), in_flight: ready.subchannel.begin() });
        }
        let connecting = self.endpoints.iter().any(|endpoint| matches!(endpoint.state, State::Connecting));
        if connecting || self.look_up_is_requested() {
            return Pick::Wait;
        }
        let mut requested = false;
        let mut whys = Vec::new();
        for endpoint in &self.endpoints {
            let State::TransientFailure(Failed { attempt, why, fast }) = &endpoint.state else { continue };
            whys.push(format!("{}: {why}", endpoint.address));
            if *fast && *attempt <= attempts_before {
                // An attempt that has begun since the call came needs no request.
                if endpoint.attempt <= attempts_before {
                    endpoint.reconnect.notify_one();
                }
                requested = true;
            }
        }
        whys.extend(self.unresolved.clone());
        let why = whys.join("; ");
        if requested { Pick::WaitForReconnect(why) } else { Pick::Fail(why) }
    }

    /// Returns true if a look-up was requested and is not done.
    pub(super) fn look_up_is_requested(&self) -> bool {
        self.look_ups_requested > self.look_ups_done
    }

    /// Drains the endpoints to which the name no longer resolves, once another one is connected and in no worse health.
    pub(super) fn drain_unresolved(&mut self) {
        let resolved = self.endpoints.iter().filter(|endpoint| endpoint.resolved);
        let Some(best) = resolved.filter_map(|endpoint| endpoint.state.ready()).map(|ready| ready.health.rank()).min()
        else {
            return;
        };
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| !endpoint.resolved) {
            if let Some(ready) = endpoint.state.ready().filter(|ready| best <= ready.health.rank()) {
                endpoint.state = State::Draining(ready.subchannel.clone());
                self.generation += 1;
            }
        }
    }

    pub(super) fn endpoint(&self, address: &Address) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.address == *address)
    }

    pub(super) fn endpoint_mut(&mut self, address: &Address) -> Option<&mut Endpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.address == *address)
    }

    /// Finds the ready endpoint of a connection.
    pub(super) fn ready_mut(&mut self, subchannel: &Arc<Subchannel>) -> Option<&mut Ready> {
        self.endpoints.iter_mut().find_map(|endpoint| match &mut endpoint.state {
            State::Ready(ready) if Arc::ptr_eq(&ready.subchannel, subchannel) => Some(ready),
            _ => None,
        })
    }
}
