//! The endpoints of a policy, shared by the calls that they carry and the tasks that keep them connected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::call::CallSender;
use super::endpoints::{Endpoint, Endpoints, Failed, Health, Pick, Picked, Ready, State};
use super::frames::Activity;
use super::subchannel::Subchannel;
use crate::config;

/// How long a call waits for the attempt that it has hurried. A refusal takes far less.
const RECONNECT_WAIT: Duration = Duration::from_millis(100);

/// One connection an address.
#[derive(Debug)]
pub(super) struct Pool {
    endpoints: Mutex<Endpoints>,
    changes: watch::Sender<()>,
}

/// How an address of the policy service stands.
#[derive(Debug, Clone, Serialize)]
pub struct AddressStatus {
    /// Where it is.
    pub address: config::Address,
    /// `ready`, `connecting`, `draining`, or why it is not connected or gets no calls.
    pub state: String,
    /// CallSender whose response has not ended.
    pub in_flight: usize,
    /// True while it is connected and not draining.
    #[serde(skip)]
    pub is_ready: bool,
    /// One of [`KINDS`](Self::KINDS).
    #[serde(skip)]
    pub kind: &'static str,
}

impl AddressStatus {
    /// The names of the states in metrics.
    pub const KINDS: [&str; 7] = ["ready", "not_serving", "ejected", "unanswered", "connecting", "failed", "draining"];
}

impl Pool {
    /// Without addresses, which calls wait for.
    pub(super) fn new() -> Self {
        let endpoints = Mutex::new(Endpoints { asked: 1, ..Endpoints::default() });
        Self { endpoints, changes: watch::Sender::new(()) }
    }

    /// Picks a connection for a call. Waits where one is about to be ready; says why there is none, as of after the call:
    /// an address that failed promptly is tried once more.
    pub(super) async fn pick(&self) -> Result<Picked, String> {
        let (mut since, mut changes, mut patience) = (None, None, None);
        loop {
            let pick = self.endpoints().pick(&mut since);
            let reconnect_requested = match pick {
                Pick::Go(picked) => return Ok(picked),
                Pick::Fail(why) => return Err(why),
                Pick::Wait => None,
                Pick::WaitForReconnect { anew, why } => {
                    if anew {
                        self.changes.send_replace(());
                    }
                    Some((*patience.get_or_insert_with(|| Instant::now() + RECONNECT_WAIT), why))
                }
            };
            let Some(changes) = &mut changes else {
                // Whatever changes from here on is seen.
                changes = Some(self.changes());
                continue;
            };
            // Never an error: the sender is ours.
            match reconnect_requested {
                None => drop(changes.changed().await),
                Some((until, why)) => drop(timeout_at(until, changes.changed()).await.map_err(|_| why)?),
            }
        }
    }

    /// An attempt to connect begins; gives its number.
    pub(super) fn begin(&self, address: &config::Address) -> u64 {
        let endpoints = &mut *self.endpoints();
        endpoints.attempts += 1;
        if let Some(endpoint) = endpoints.endpoint(address) {
            endpoint.reconnect_requested = false;
        }
        endpoints.attempts
    }

    /// Has the name looked up at once.
    pub(super) fn look_up(&self) {
        self.change(|endpoints| endpoints.asked += 1);
    }

    /// Takes in what the name leads to, as asked for when `asked`; gives the addresses that are new.
    pub(super) fn resolved(&self, asked: u64, addresses: &[config::Address]) -> Vec<config::Address> {
        let mut new = Vec::new();
        self.change(|endpoints| {
            (endpoints.resolved, endpoints.unresolved) = (asked, None);
            endpoints.list.iter_mut().for_each(|endpoint| endpoint.named = addresses.contains(&endpoint.address));
            for address in addresses {
                if endpoints.endpoint(address).is_none() {
                    new.push(address.clone());
                    endpoints.list.push(Endpoint {
                        address: address.clone(),
                        named: true,
                        state: State::Connecting,
                        reconnect_requested: false,
                        outlier: Arc::default(),
                    });
                }
            }
        });
        new
    }

    /// Takes in that the name leads nowhere. Addresses that were known stay.
    pub(super) fn unresolved(&self, asked: u64, why: String) {
        self.change(|endpoints| (endpoints.resolved, endpoints.unresolved) = (asked, Some(why)));
    }

    /// An address is connected.
    pub(super) fn ready(&self, address: &config::Address, sender: CallSender, activity: Activity) -> Arc<Subchannel> {
        self.change(|endpoints| {
            let endpoint = endpoints.endpoint(address);
            let outlier = endpoint.as_ref().map(|endpoint| endpoint.outlier.clone()).unwrap_or_default();
            let subchannel = Arc::new(Subchannel::new(address.clone(), activity, outlier, self.changes.clone()));
            if let Some(endpoint) = endpoint {
                let subchannel = subchannel.clone();
                endpoint.state = State::Ready(Ready { sender, subchannel, health: Health::Unknown, watched: false });
                endpoints.generation += 1;
            }
            subchannel
        })
    }

    /// A connection takes no more calls. Another attempt begins at once, and unless it was drained, so does a look at the name:
    /// calls wait.
    pub(super) fn lost(&self, subchannel: &Arc<Subchannel>) {
        self.change(|endpoints| {
            // It may be known already.
            let endpoint = endpoints.endpoint(&subchannel.address);
            if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.state.holds(subchannel)) {
                let before = std::mem::replace(&mut endpoint.state, State::Connecting);
                endpoints.asked += u64::from(matches!(before, State::Ready(_)));
                endpoints.generation += 1;
            }
        });
    }

    /// An attempt failed, or a connection was no good; the next attempt comes after a pause.
    pub(super) fn failed(&self, address: &config::Address, failed: Failed) {
        self.change(|endpoints| {
            if let Some(endpoint) = endpoints.endpoint(address) {
                let before = std::mem::replace(&mut endpoint.state, State::TransientFailure(failed));
                endpoints.generation += u64::from(matches!(before, State::Ready(_)));
            }
        });
    }

    /// Whether a call waits for another attempt at this address.
    pub(super) fn is_reconnect_requested(&self, address: &config::Address) -> bool {
        self.endpoints().endpoint(address).is_some_and(|endpoint| endpoint.reconnect_requested)
    }

    /// Returns true if the name leads to this address.
    pub(super) fn is_named(&self, address: &config::Address) -> bool {
        self.endpoints().endpoint(address).is_some_and(|endpoint| endpoint.named)
    }

    /// Ends when the name leads to this address, or does not, as asked.
    pub(super) async fn until_named(&self, address: &config::Address, named: bool) {
        self.until(|| self.is_named(address) == named).await;
    }

    /// Ends when the name has left a connection, and others take its calls.
    pub(super) async fn until_draining(&self, subchannel: &Arc<Subchannel>) {
        let is_draining = || {
            self.endpoints().endpoint(&subchannel.address).is_some_and(
                |endpoint| matches!(&endpoint.state, State::Draining(held) if Arc::ptr_eq(held, subchannel)),
            )
        };
        self.until(is_draining).await;
    }

    /// Ends when a call would be carried at once, or none would, as asked.
    pub(super) async fn until_any_ready(&self, ready: bool) {
        self.until(|| self.any_ready() == ready).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        let mut changes = self.changes();
        while !reached() {
            // Never an error: the sender is ours.
            drop(changes.changed().await);
        }
    }

    /// Whether an address without a connection is still to be connected. If not, it is forgotten.
    pub(super) fn keeps(&self, address: &config::Address) -> bool {
        self.change(|endpoints| {
            endpoints.list.retain(|endpoint| endpoint.address != *address || endpoint.named);
            endpoints.endpoint(address).is_some()
        })
    }

    /// How often the addresses had to be asked for; whether they have to be now; whether they may help.
    pub(super) fn name(&self) -> (u64, bool, bool) {
        let endpoints = self.endpoints();
        let failing = endpoints.list.iter().any(|endpoint| matches!(endpoint.state, State::TransientFailure(_)));
        (endpoints.asked, endpoints.asked > endpoints.resolved, failing || endpoints.unresolved.is_some())
    }

    /// Whether a call would be carried at once.
    pub(super) fn any_ready(&self) -> bool {
        self.endpoints().list.iter().any(|endpoint| endpoint.state.ready().is_some())
    }

    /// The connections whose health nobody asks for yet, and whether these are all; from now on somebody does.
    pub(super) fn take_unchecked(&self) -> (Vec<Arc<Subchannel>>, bool) {
        let mut endpoints = self.endpoints();
        let all = !endpoints.list.iter().any(|endpoint| endpoint.state.ready().is_some_and(|ready| ready.watched));
        let take_unchecked = endpoints.list.iter_mut().filter_map(|endpoint| match &mut endpoint.state {
            State::Ready(ready) => (!std::mem::replace(&mut ready.watched, true)).then(|| ready.subchannel.clone()),
            _ => None,
        });
        (take_unchecked.collect(), all)
    }

    /// The handle that a connection takes calls with, as long as it does.
    pub(super) fn calls(&self, subchannel: &Arc<Subchannel>) -> Option<CallSender> {
        self.endpoints().ready(subchannel).map(|ready| ready.sender.clone())
    }

    /// Takes in what a connection says of its health. Counts it among the serving_events where it begins to serve.
    pub(super) fn set_health(&self, subchannel: &Arc<Subchannel>, health: Health, serving_events: &AtomicU64) {
        let arrives = matches!(health, Health::Serving | Health::Presumed);
        self.change(|endpoints| {
            let Some(ready) = endpoints.ready(subchannel) else { return };
            if ready.health != health {
                ready.health = health;
                endpoints.generation += 1;
                serving_events.fetch_add(u64::from(arrives), Ordering::Relaxed);
            }
        });
    }

    /// The health of every connected address.
    pub(super) fn health(&self) -> Vec<(config::Address, Health)> {
        let endpoints = self.endpoints();
        let ready = endpoints.list.iter().filter_map(|endpoint| {
            endpoint.state.ready().map(|ready| (endpoint.address.clone(), ready.health.clone()))
        });
        ready.collect()
    }

    /// Counts connections made and lost, and changes of their health.
    pub(super) fn generation(&self) -> u64 {
        self.endpoints().generation
    }

    /// Tells when something has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every address, and why the name has no others.
    pub(super) fn status(&self) -> (Vec<AddressStatus>, Option<String>) {
        let endpoints = self.endpoints();
        let ready = |endpoint: &Endpoint| endpoint.state.describe().0 == "ready";
        let any_ready = endpoints.list.iter().any(ready);
        let addresses = endpoints.list.iter().map(|endpoint| {
            let in_flight = match &endpoint.state {
                State::Ready(Ready { subchannel, .. }) | State::Draining(subchannel) => {
                    subchannel.in_flight.load(Ordering::Relaxed)
                }
                State::Connecting | State::TransientFailure(_) => 0,
            };
            let (kind, state) = match endpoint.state.describe() {
                // It gets the calls all the same.
                ("ejected", _) if !any_ready => ("ready", "ready"),
                described => described,
            };
            let (address, is_ready) = (endpoint.address.clone(), endpoint.state.ready().is_some());
            AddressStatus { address, state: state.to_owned(), in_flight, is_ready, kind }
        });
        (addresses.collect(), endpoints.unresolved.clone())
    }

    fn change<R>(&self, change: impl FnOnce(&mut Endpoints) -> R) -> R {
        let result = {
            let endpoints = &mut *self.endpoints();
            let result = change(endpoints);
            endpoints.drain_departed();
            result
        };
        self.changes.send_replace(());
        result
    }

    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
