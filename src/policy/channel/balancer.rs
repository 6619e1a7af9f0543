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
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::call::CallSender;
use super::endpoint::{Endpoint, Health, Ready, State};
use super::status::AddressStatus;
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
    /// The error of the last look-up.
    pub(super) unresolved: Option<String>,
}

/// The result of a pick.
pub(super) enum Pick {
    /// A connection, which counts the call as in flight.
    Ready(CallSender, InFlight),
    /// Pick again after a change.
    Wait,
    /// Pick again after a change, within a bound: a reconnect was requested, but a host that refused the last attempt may drop
    /// packets by now. The text is the error of the last attempt.
    WaitForReconnect(String),
    /// No endpoint is connected, and why.
    Fail(String),
}

impl Balancer {
    /// Picks a connection for a call. `arrived` is the time of the call's first pick, which sets it if it must wait. An
    /// endpoint whose last failed attempt began before that, and failed fast, does not fail the call: the call requests a new
    /// attempt and waits for it.
    pub(super) fn pick(&mut self, arrived: &mut Option<Instant>) -> Pick {
        self.next = self.next.wrapping_add(1);
        let count = self.endpoints.len();
        let in_turn = (0..count).map(|n| &self.endpoints[(self.next + n) % count]);
        let best = in_turn.filter_map(|endpoint| endpoint.state.ready()).min_by_key(|ready| ready.rank());
        if let Some(ready) = best
            && !ready.subchannel.is_unanswered()
        {
            return Pick::Ready(ready.sender.clone(), ready.subchannel.begin());
        }
        let arrived = *arrived.get_or_insert_with(Instant::now);
        let connecting = self.endpoints.iter().any(|endpoint| matches!(endpoint.state, State::Connecting));
        if best.is_some() || connecting || self.look_up_is_requested() {
            return Pick::Wait;
        }
        let mut requested = false;
        let mut whys = Vec::new();
        for endpoint in &self.endpoints {
            let State::TransientFailure { attempt, why, fast } = &endpoint.state else { continue };
            whys.push(format!("{}: {why}", endpoint.address));
            if *fast && *attempt <= arrived {
                // An attempt that has begun since the call came needs no request.
                if endpoint.attempt <= arrived {
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

    /// Returns true if the name may resolve to better addresses: it had none, or one of them fails.
    pub(super) fn look_up_could_help(&self) -> bool {
        let failing = |endpoint: &Endpoint| matches!(endpoint.state, State::TransientFailure { .. });
        self.unresolved.is_some() || self.endpoints.iter().any(failing)
    }

    /// Records the result of a look-up; `requested` is `look_ups_requested` when it began. Returns the new addresses. The
    /// known ones stay if it has failed.
    pub(super) fn resolved(&mut self, requested: u64, found: Result<Vec<Address>, String>) -> Vec<Address> {
        self.look_ups_done = requested;
        let mut new = Vec::new();
        match found {
            Err(why) => self.unresolved = Some(why),
            Ok(addresses) => {
                self.unresolved = None;
                for endpoint in &mut self.endpoints {
                    endpoint.resolved = addresses.contains(&endpoint.address);
                }
                for address in addresses {
                    if self.endpoint(&address).is_none() {
                        self.endpoints.push(Endpoint::new(address.clone()));
                        new.push(address);
                    }
                }
            }
        }
        new
    }

    /// Returns true if the name resolves to this address.
    pub(super) fn is_resolved(&self, address: &Address) -> bool {
        self.endpoint(address).is_some_and(|endpoint| endpoint.resolved)
    }

    /// Removes the endpoint if the name no longer resolves to it; returns true if it was kept. Must be called only while the
    /// endpoint has no connection.
    pub(super) fn keep_if_resolved(&mut self, address: &Address) -> bool {
        self.endpoints.retain(|endpoint| endpoint.address != *address || endpoint.resolved);
        self.endpoint(address).is_some()
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
            }
        }
    }

    /// Returns true if a connection is to be drained.
    pub(super) fn is_draining(&self, subchannel: &Arc<Subchannel>) -> bool {
        let endpoint = self.endpoint(&subchannel.address);
        endpoint
            .is_some_and(|endpoint| matches!(&endpoint.state, State::Draining(held) if Arc::ptr_eq(held, subchannel)))
    }

    /// Records the beginning of an attempt to connect, which fulfils the requests that came before it. Returns the later ones.
    pub(super) fn begin_attempt(&mut self, address: &Address, attempt: Instant) -> Arc<Notify> {
        let requests = Arc::default();
        if let Some(endpoint) = self.endpoint_mut(address) {
            (endpoint.attempt, endpoint.reconnect) = (attempt, Arc::clone(&requests));
        }
        requests
    }

    /// Records that an address is connected.
    pub(super) fn connected(&mut self, subchannel: &Arc<Subchannel>, sender: CallSender) {
        let ready = Ready { sender, subchannel: subchannel.clone(), health: Health::Unknown };
        self.set_state(&subchannel.address, State::Ready(ready));
    }

    /// Records that a connection takes no more calls: another attempt begins at once and calls wait for it. Unless the
    /// connection was drained, the name is looked up too. May be called twice.
    pub(super) fn lost(&mut self, subchannel: &Arc<Subchannel>) {
        let was_ready = self.ready_mut(subchannel).is_some();
        if was_ready || self.is_draining(subchannel) {
            self.look_ups_requested += u64::from(was_ready);
            self.set_state(&subchannel.address, State::Connecting);
        }
    }

    /// Changes the state of an endpoint.
    pub(super) fn set_state(&mut self, address: &Address, state: State) {
        if let Some(endpoint) = self.endpoint_mut(address) {
            endpoint.state = state;
        }
    }

    /// Records the health of a connection.
    pub(super) fn set_health(&mut self, subchannel: &Arc<Subchannel>, health: Health) {
        if let Some(ready) = self.ready_mut(subchannel) {
            ready.health = health;
        }
    }

    /// Returns true if any endpoint is ready.
    pub(super) fn any_ready(&self) -> bool {
        self.ready().next().is_some()
    }

    /// The connected endpoints.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Ready> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.state.ready())
    }

    /// Finds the ready endpoint of a connection.
    pub(super) fn ready_mut(&mut self, subchannel: &Arc<Subchannel>) -> Option<&mut Ready> {
        self.endpoints.iter_mut().find_map(|endpoint| match &mut endpoint.state {
            State::Ready(ready) if Arc::ptr_eq(&ready.subchannel, subchannel) => Some(ready),
            _ => None,
        })
    }

    fn endpoint(&self, address: &Address) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.address == *address)
    }

    fn endpoint_mut(&mut self, address: &Address) -> Option<&mut Endpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.address == *address)
    }

    /// The status of every address.
    pub(super) fn status(&self) -> Vec<AddressStatus> {
        let any_ready = self.endpoints.iter().any(|endpoint| endpoint.state.describe().0 == "ready");
        let status = |endpoint: &Endpoint| {
            let subchannel = endpoint.state.subchannel();
            let in_flight = subchannel.map_or(0, |subchannel| subchannel.in_flight.load(Ordering::Relaxed));
            let (kind, state) = match endpoint.state.describe() {
                // All are ejected, so it is picked nevertheless.
                ("ejected", _) if !any_ready => ("ready", "ready"),
                described => described,
            };
            let (address, is_ready) = (endpoint.address.clone(), endpoint.state.ready().is_some());
            AddressStatus { address, state: state.to_owned(), in_flight, is_ready, kind }
        };
        self.endpoints.iter().map(status).collect()
    }
}
