//! The endpoints of a target, shared by the calls that pick one and the tasks that keep them connected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::balancer::{Balancer, Pick, Picked};
use super::call::CallSender;
use super::endpoint::{Endpoint, Failed, Health, Ready, State};
use super::frame_reader::Activity;
use super::status::AddressStatus;
use super::subchannel::Subchannel;
use crate::config::Address;

/// Maximum wait of a call for the reconnect that it has requested; a refused connection is known far sooner.
const RECONNECT_WAIT: Duration = Duration::from_millis(100);

/// The endpoints of a target: one lock, never held over an `await`, and a notification of every change.
#[derive(Debug)]
pub(super) struct Pool {
    balancer: Mutex<Balancer>,
    changes: watch::Sender<()>,
}

impl Pool {
    /// No endpoints yet: calls wait for the first look-up of the name.
    pub(super) fn new() -> Self {
        let balancer = Mutex::new(Balancer { look_ups_requested: 1, ..Balancer::default() });
        Self { balancer, changes: watch::Sender::new(()) }
    }

    /// Picks a connection for a call. Waits while an endpoint is about to be ready; an error says why none is.
    pub(super) async fn pick(&self) -> Result<Picked, String> {
        let (mut attempts_before, mut changes, mut give_up) = (None, None, None);
        loop {
            let pick = self.balancer().pick(&mut attempts_before);
            let reconnecting = match pick {
                Pick::Ready(picked) => return Ok(picked),
                Pick::Fail(why) => return Err(why),
                Pick::Wait => None,
                Pick::WaitForReconnect(why) => {
                    Some((*give_up.get_or_insert_with(|| Instant::now() + RECONNECT_WAIT), why))
                }
            };
            let Some(changes) = &mut changes else {
                // Picks once more, so that no change before the subscription is missed.
                changes = Some(self.changes());
                continue;
            };
            // Never an error: the pool owns the sender.
            match reconnecting {
                None => drop(changes.changed().await),
                Some((give_up, why)) => drop(timeout_at(give_up, changes.changed()).await.map_err(|_| why)?),
            }
        }
    }

    /// Counts an attempt to connect, and returns its number. It fulfils the requests that came before it.
    pub(super) fn begin_attempt(&self, address: &Address) -> u64 {
        let balancer = &mut *self.balancer();
        balancer.attempts += 1;
        let attempt = balancer.attempts;
        if let Some(endpoint) = balancer.endpoint_mut(address) {
            (endpoint.attempt, endpoint.reconnect) = (attempt, Arc::default());
        }
        attempt
    }

    /// The requests of calls for another attempt to connect to this address.
    pub(super) fn reconnect_requests(&self, address: &Address) -> Arc<Notify> {
        self.balancer().endpoint(address).map(|endpoint| endpoint.reconnect.clone()).unwrap_or_default()
    }

    /// Requests a look-up of the name at once.
    pub(super) fn request_look_up(&self) {
        self.change(|balancer| balancer.look_ups_requested += 1);
    }

    /// The number of look-ups that were requested so far.
    pub(super) fn look_ups_requested(&self) -> u64 {
        self.balancer().look_ups_requested
    }

    /// Returns true if a look-up was requested and is not done.
    pub(super) fn look_up_is_requested(&self) -> bool {
        self.balancer().look_up_is_requested()
    }

    /// Returns true if the name may resolve to better addresses: it had none, or one of them fails.
    pub(super) fn look_up_could_help(&self) -> bool {
        let balancer = self.balancer();
        let failing = |endpoint: &Endpoint| matches!(endpoint.state, State::TransientFailure(_));
        balancer.unresolved.is_some() || balancer.endpoints.iter().any(failing)
    }

    /// Records the result of a look-up; `requested` is `look_ups_requested` when it began. Returns the new addresses.
    pub(super) fn resolved(&self, requested: u64, addresses: &[Address]) -> Vec<Address> {
        self.change(|balancer| {
            (balancer.look_ups_done, balancer.unresolved) = (requested, None);
            balancer
                .endpoints
                .iter_mut()
                .for_each(|endpoint| endpoint.resolved = addresses.contains(&endpoint.address));
            let mut new = Vec::new();
            for address in addresses {
                if balancer.endpoint(address).is_none() {
                    new.push(address.clone());
                    balancer.endpoints.push(Endpoint::new(address.clone()));
                }
            }
            new
        })
    }

    /// Records that a look-up has failed. Known addresses stay.
    pub(super) fn unresolved(&self, requested: u64, why: String) {
        self.change(|balancer| (balancer.look_ups_done, balancer.unresolved) = (requested, Some(why)));
    }

    /// Records that an address is connected.
    pub(super) fn connected(&self, address: &Address, sender: CallSender, activity: Activity) -> Arc<Subchannel> {
        self.change(|balancer| {
            let endpoint = balancer.endpoint_mut(address);
            let outlier = endpoint.as_ref().map(|endpoint| endpoint.outlier.clone()).unwrap_or_default();
            let subchannel = Arc::new(Subchannel::new(address.clone(), activity, outlier, self.changes.clone()));
            if let Some(endpoint) = endpoint {
                let subchannel = subchannel.clone();
                let (health, health_checked) = (Health::Unknown, false);
                endpoint.state = State::Ready(Ready { sender, subchannel, health, health_checked });
                balancer.generation += 1;
            }
            subchannel
        })
    }

    /// Records that a connection takes no more calls: another attempt begins at once and calls wait for it. Unless the
    /// connection was drained, the name is looked up too. May be called twice.
    pub(super) fn lost(&self, subchannel: &Arc<Subchannel>) {
        self.change(|balancer| {
            let Some(endpoint) = balancer.endpoint_mut(&subchannel.address) else { return };
            if endpoint.state.subchannel().is_some_and(|held| Arc::ptr_eq(held, subchannel)) {
                let before = std::mem::replace(&mut endpoint.state, State::Connecting);
                balancer.look_ups_requested += u64::from(matches!(before, State::Ready(_)));
                balancer.generation += 1;
            }
        });
    }

    /// Records that an attempt has failed; the next one comes after a pause.
    pub(super) fn failed(&self, address: &Address, failed: Failed) {
        self.change(|balancer| {
            if let Some(endpoint) = balancer.endpoint_mut(address) {
                let before = std::mem::replace(&mut endpoint.state, State::TransientFailure(failed));
                balancer.generation += u64::from(matches!(before, State::Ready(_)));
            }
        });
    }

    /// Returns true if the name resolves to this address.
    pub(super) fn is_resolved(&self, address: &Address) -> bool {
        self.balancer().endpoint(address).is_some_and(|endpoint| endpoint.resolved)
    }

    /// Ends when the name resolves to this address.
    pub(super) async fn until_resolved(&self, address: &Address) {
        self.until(|| self.is_resolved(address)).await;
    }

    /// Ends when a connection is to be drained.
    pub(super) async fn until_draining(&self, subchannel: &Arc<Subchannel>) {
        let is_this = |state: &State| matches!(state, State::Draining(held) if Arc::ptr_eq(held, subchannel));
        self.until(|| self.balancer().endpoint(&subchannel.address).is_some_and(|endpoint| is_this(&endpoint.state)))
            .await;
    }

    /// Ends when an endpoint is ready, or none is, as asked.
    pub(super) async fn until_any_ready(&self, ready: bool) {
        self.until(|| self.any_ready() == ready).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        let mut changes = self.changes();
        while !reached() {
            // Never an error: the pool owns the sender.
            drop(changes.changed().await);
        }
    }

    /// Removes the endpoint if the name no longer resolves to it; returns true if it was kept. Must be called only while the
    /// endpoint has no connection.
    pub(super) fn keep_if_resolved(&self, address: &Address) -> bool {
        self.change(|balancer| {
            balancer.endpoints.retain(|endpoint| endpoint.address != *address || endpoint.resolved);
            balancer.endpoint(address).is_some()
        })
    }

    /// Returns true if any endpoint is ready.
    pub(super) fn any_ready(&self) -> bool {
        self.balancer().endpoints.iter().any(|endpoint| endpoint.state.ready().is_some())
    }

    /// Takes the connections whose health no task checks yet, for the caller to check. The flag is true if all are taken now.
    pub(super) fn take_unchecked(&self) -> (Vec<Arc<Subchannel>>, bool) {
        let mut balancer = self.balancer();
        let is_checked = |endpoint: &Endpoint| endpoint.state.ready().is_some_and(|ready| ready.health_checked);
        let all = !balancer.endpoints.iter().any(is_checked);
        let unchecked = balancer.endpoints.iter_mut().filter_map(|endpoint| match &mut endpoint.state {
            State::Ready(ready) => {
                (!std::mem::replace(&mut ready.health_checked, true)).then(|| ready.subchannel.clone())
            }
            _ => None,
        });
        (unchecked.collect(), all)
    }

    /// The sender of a connection, while that takes new calls.
    pub(super) fn sender(&self, subchannel: &Arc<Subchannel>) -> Option<CallSender> {
        self.balancer().ready_mut(subchannel).map(|ready| ready.sender.clone())
    }

    /// Records the health of a connection. Counts it in `serving_events` if it begins to serve.
    pub(super) fn set_health(&self, subchannel: &Arc<Subchannel>, health: Health, serving_events: &AtomicU64) {
        let serves = matches!(health, Health::Serving | Health::Presumed);
        self.change(|balancer| {
            let Some(ready) = balancer.ready_mut(subchannel) else { return };
            if ready.health != health {
                ready.health = health;
                balancer.generation += 1;
                serving_events.fetch_add(u64::from(serves), Ordering::Relaxed);
            }
        });
    }

    /// The health of every connected address.
    pub(super) fn health(&self) -> Vec<(Address, Health)> {
        let balancer = self.balancer();
        let health_of = |endpoint: &Endpoint| Some((endpoint.address.clone(), endpoint.state.ready()?.health.clone()));
        balancer.endpoints.iter().filter_map(health_of).collect()
    }

    /// Counts connections made and lost, and changes of their health.
    pub(super) fn generation(&self) -> u64 {
        self.balancer().generation
    }

    /// Notifies of every change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The status of every address, and the error of the last look-up.
    pub(super) fn status(&self) -> (Vec<AddressStatus>, Option<String>) {
        let balancer = self.balancer();
        let any_ready = balancer.endpoints.iter().any(|endpoint| endpoint.state.describe().0 == "ready");
        let addresses = balancer.endpoints.iter().map(|endpoint| {
            let subchannel = endpoint.state.subchannel();
            let in_flight = subchannel.map_or(0, |subchannel| subchannel.in_flight.load(Ordering::Relaxed));
            let (kind, state) = match endpoint.state.describe() {
                // All are ejected, so it is picked nevertheless.
                ("ejected", _) if !any_ready => ("ready", "ready"),
                described => described,
            };
            let (address, is_ready) = (endpoint.address.clone(), endpoint.state.ready().is_some());
            AddressStatus { address, state: state.to_owned(), in_flight, is_ready, kind }
        });
        (addresses.collect(), balancer.unresolved.clone())
    }

    fn change<R>(&self, change: impl FnOnce(&mut Balancer) -> R) -> R {
        let result = {
            let balancer = &mut *self.balancer();
            let result = change(balancer);
            balancer.drain_unresolved();
            result
        };
        self.changes.send_replace(());
        result
    }

    fn balancer(&self) -> MutexGuard<'_, Balancer> {
        self.balancer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
