//! The endpoints of a policy, one an address: the state of each, and which one is picked for the next call.
//!
//! States are gRPC's: `Connecting`, `Ready`, `TransientFailure`; and `Draining` for one that the name has left, whose calls in
//! flight end.
//!
//! **The pick** is the ready endpoint with the fewest calls in flight; equal ones take turns. Before that count come, in this
//! order: what its health says (one that does not serve is picked where none does, one that has not said yet where none says
//! that it serves), whether it owes an answer past a call's deadline ([`Subchannel::is_unanswered`]: calls wait for that
//! answer, a second at most), and whether it is ejected ([`Outlier`]: picked where all are). One that serves and is either of
//! these counts as one that has not said yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::call::CallSender;
use super::outlier::Outlier;
use super::subchannel::{InFlight, Subchannel};
use crate::config::Address;

/// The endpoints, and what has been done about them.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) list: Vec<Endpoint>,
    /// Where the search for the next connection begins, so that idle ones take turns.
    pub(super) turn: usize,
    /// Counts the look-ups of the name that were due at once, and those of them that are done.
    pub(super) asked: u64,
    pub(super) resolved: u64,
    /// Counts connections made and lost, and answers about their health.
    pub(super) generation: u64,
    /// Counts attempts to connect.
    pub(super) attempts: u64,
    /// Why the name has no addresses.
    pub(super) unresolved: Option<String>,
}

/// An address that the policy is called at.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// True while the name leads there.
    pub(super) named: bool,
    pub(super) state: State,
    /// True while a call waits for another attempt.
    pub(super) reconnect_requested: bool,
    pub(super) outlier: Arc<Outlier>,
}

/// The state of an endpoint.
#[derive(Debug)]
pub(super) enum State {
    /// CallSender wait for what becomes of the attempt.
    Connecting,
    Ready(Ready),
    /// Takes no new calls.
    Draining(Arc<Subchannel>),
    /// Of the attempts after it, calls wait for one at most.
    TransientFailure(Failed),
}

/// An endpoint that is connected.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) sender: CallSender,
    pub(super) subchannel: Arc<Subchannel>,
    pub(super) health: Health,
    /// True once somebody asks for its health.
    pub(super) watched: bool,
}

/// The health of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Health {
    Serving,
    /// It answers HTTP 404 to health, as servers do that have no health service; called like one that serves.
    Presumed,
    /// It has not been asked, or has not answered yet.
    Unknown,
    NotServing(String),
}

/// A failed attempt to connect.
#[derive(Debug)]
pub(super) struct Failed {
    /// Which one it was: its number among all of the pool's.
    pub(super) attempt: u64,
    pub(super) why: String,
    /// It took no time and little work: nothing listens there, or what does hangs up.
    pub(super) fast: bool,
}

/// A connection that is picked for a call, counted as one in flight.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) sender: CallSender,
    pub(super) in_flight: InFlight,
}

/// The result of a pick.
pub(super) enum Pick {
    Go(Picked),
    Fail(String),
    Wait,
    /// Wait for an attempt that begins soon, and not for long: an address that refused may be a black hole by now.
    WaitForReconnect {
        /// True if it is this call that has it begin.
        anew: bool,
        why: String,
    },
}

impl Endpoints {
    /// Picks a connection for a call. `since` is the count of attempts when the call came: it waits for one attempt after
    /// that.
    pub(super) fn pick(&mut self, since: &mut Option<u64>) -> Pick {
        let since = *since.get_or_insert(self.attempts);
        self.turn = self.turn.wrapping_add(1);
        let count = self.list.len();
        let in_turn = (0..count).map(|n| &self.list[(self.turn + n) % count]);
        let ready = in_turn.filter_map(|endpoint| endpoint.state.ready());
        if let Some(ready) = ready.min_by_key(|ready| ready.rank()) {
            if ready.subchannel.is_unanswered() {
                return Pick::Wait;
            }
            return Pick::Go(Picked { sender: ready.sender.clone(), in_flight: ready.subchannel.begin() });
        }
        let connecting = self.list.iter().any(|endpoint| matches!(endpoint.state, State::Connecting));
        if connecting || self.asked > self.resolved {
            return Pick::Wait;
        }
        let (mut waits, mut anew) = (false, false);
        for endpoint in &mut self.list {
            if matches!(&endpoint.state, State::TransientFailure(failed) if failed.fast && failed.attempt <= since) {
                waits = true;
                anew |= !std::mem::replace(&mut endpoint.reconnect_requested, true);
            }
        }
        let failed = self.list.iter().filter_map(|endpoint| match &endpoint.state {
            State::TransientFailure(Failed { why, .. }) => Some(format!("{}: {why}", endpoint.address)),
            _ => None,
        });
        let whys: Vec<_> = failed.chain(self.unresolved.clone()).collect();
        let why = whys.join("; ");
        if waits { Pick::WaitForReconnect { anew, why } } else { Pick::Fail(why) }
    }

    /// Drains the endpoints that the name has left, once one that it leads to is connected and in no worse health.
    pub(super) fn drain_departed(&mut self) {
        let named = self.list.iter().filter(|endpoint| endpoint.named);
        let Some(best) = named.filter_map(|endpoint| endpoint.state.ready()).map(|ready| ready.health.rank()).min()
        else {
            return;
        };
        for endpoint in self.list.iter_mut().filter(|endpoint| !endpoint.named) {
            if let Some(ready) = endpoint.state.ready().filter(|ready| best <= ready.health.rank()) {
                endpoint.state = State::Draining(ready.subchannel.clone());
                self.generation += 1;
            }
        }
    }

    pub(super) fn endpoint(&mut self, address: &Address) -> Option<&mut Endpoint> {
        self.list.iter_mut().find(|endpoint| endpoint.address == *address)
    }

    /// The endpoint that is connected by this connection.
    pub(super) fn ready(&mut self, subchannel: &Arc<Subchannel>) -> Option<&mut Ready> {
        self.list.iter_mut().find_map(|endpoint| match &mut endpoint.state {
            State::Ready(ready) if Arc::ptr_eq(&ready.subchannel, subchannel) => Some(ready),
            _ => None,
        })
    }
}

impl State {
    pub(super) fn ready(&self) -> Option<&Ready> {
        match self {
            Self::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    pub(super) fn holds(&self, subchannel: &Arc<Subchannel>) -> bool {
        match self {
            Self::Ready(Ready { subchannel: held, .. }) | Self::Draining(held) => Arc::ptr_eq(held, subchannel),
            Self::Connecting | Self::TransientFailure(_) => false,
        }
    }

    /// Its name in metrics, and what `/status` says.
    pub(super) fn describe(&self) -> (&'static str, &str) {
        match self {
            Self::Connecting => ("connecting", "connecting"),
            Self::TransientFailure(failed) => ("failed", &failed.why),
            Self::Draining(_) => ("draining", "draining"),
            Self::Ready(Ready { health: Health::NotServing(why), .. }) => ("not_serving", why),
            Self::Ready(ready) if ready.subchannel.is_unanswered() => ("unanswered", "no answer to a call or ping yet"),
            Self::Ready(ready) if ready.subchannel.is_ejected() => ("ejected", "ejected: its calls fail"),
            Self::Ready(_) => ("ready", "ready"),
        }
    }
}

impl Health {
    /// The least is the best.
    fn rank(&self) -> u8 {
        match self {
            Self::Serving | Self::Presumed => 0,
            Self::Unknown => 1,
            Self::NotServing(_) => 2,
        }
    }
}

impl Ready {
    /// The least is picked.
    fn rank(&self) -> (u8, bool, bool, usize) {
        let in_flight = self.subchannel.in_flight.load(Ordering::Relaxed);
        let unanswered = self.subchannel.is_unanswered();
        let ejected = self.subchannel.outlier.is_ejected(in_flight);
        // Its last health check counts no more: a fresh endpoint is picked before it.
        let health = self.health.rank().max(u8::from(unanswered || ejected));
        (health, unanswered, ejected, in_flight)
    }
}
