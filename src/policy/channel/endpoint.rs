//! An endpoint: one address of the policy service, with gRPC's connectivity states.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::call::CallSender;
use super::subchannel::Subchannel;
use crate::config::Address;

/// One address of the policy service.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// True while the name resolves to it.
    pub(super) resolved: bool,
    pub(super) state: State,
    /// The beginning of the last attempt to connect, or of the endpoint.
    pub(super) attempt: Instant,
    /// Notified if a call requests an attempt to reconnect.
    pub(super) reconnect: Arc<Notify>,
}

/// The state of an endpoint.
#[derive(Debug)]
pub(super) enum State {
    /// The first attempt to connect is under way, or the first one after a connection was lost. Calls wait for it.
    Connecting,
    /// The endpoint takes calls.
    Ready(Ready),
    /// The name no longer resolves to the endpoint: it takes no new calls, those in flight end.
    Draining(Arc<Subchannel>),
    /// The last attempt failed. Calls wait for one more attempt if that takes no time; else they fail.
    TransientFailure {
        /// The beginning of the attempt.
        attempt: Instant,
        why: String,
        /// True if it failed in no time: nothing listens there, or the listener hangs up.
        fast: bool,
    },
}

/// A connected endpoint.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) sender: CallSender,
    pub(super) subchannel: Arc<Subchannel>,
    pub(super) health: Health,
}

/// The reason for which an endpoint does not serve of which nothing but HTTP 404 came.
pub(in crate::policy) const NO_CONTRACT: &str = "nothing there speaks the contract: health and every rpc so far were answered with HTTP status \
                           404; see that the URL is the policy's gRPC address";

/// The health of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Health {
    Serving,
    /// The endpoint answers HTTP 404 to health checks, as servers without a health service do; picked like `Serving`.
    Presumed,
    /// The endpoint has not answered a health check yet.
    Unknown,
    NotServing(String),
}

impl Endpoint {
    /// An endpoint that is to be connected.
    pub(super) fn new(address: Address) -> Self {
        let (attempt, reconnect) = (Instant::now(), Arc::default());
        Self { address, resolved: true, state: State::Connecting, attempt, reconnect }
    }
}

impl State {
    pub(super) fn ready(&self) -> Option<&Ready> {
        match self {
            Self::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// The connection of the endpoint, if it has one.
    pub(super) fn subchannel(&self) -> Option<&Arc<Subchannel>> {
        match self {
            Self::Ready(Ready { subchannel, .. }) | Self::Draining(subchannel) => Some(subchannel),
            Self::Connecting | Self::TransientFailure { .. } => None,
        }
    }

    /// The name of the state in metrics, and its description in `/status`.
    pub(super) fn describe(&self) -> (&'static str, &str) {
        match self {
            Self::Connecting => ("connecting", "connecting"),
            Self::TransientFailure { why, .. } => ("failed", why),
            Self::Draining(_) => ("draining", "draining"),
            Self::Ready(Ready { health: Health::NotServing(why), .. }) => ("not_serving", why),
            Self::Ready(ready) => match ready.rank() {
                (_, true, ..) => ("unanswered", "no answer to a call or ping yet"),
                (_, _, true, _) => ("ejected", "ejected: its calls fail"),
                _ => ("ready", "ready"),
            },
        }
    }
}

impl Health {
    /// Returns true if an endpoint of this health is ready for calls.
    pub(in crate::policy) fn serves(&self) -> bool {
        matches!(self, Self::Serving | Self::Presumed)
    }

    /// Returns false if no call would be answered. A server of which nothing but HTTP 404 came so far may answer other rpcs.
    pub(super) fn may_serve(&self) -> bool {
        match self {
            Self::NotServing(why) => why == NO_CONTRACT,
            Self::Serving | Self::Presumed | Self::Unknown => true,
        }
    }

    /// The lowest rank is picked.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Serving | Self::Presumed => 0,
            Self::Unknown => 1,
            Self::NotServing(_) => 2,
        }
    }
}

impl Ready {
    /// The lowest rank is picked: by health, then unanswered, ejected, and calls in flight.
    pub(super) fn rank(&self) -> (u8, bool, bool, usize) {
        let in_flight = self.subchannel.in_flight.load(Ordering::Relaxed);
        let unanswered = self.subchannel.is_unanswered();
        let ejected = self.subchannel.outlier.is_ejected(in_flight);
        // Calls contradict the last health check: an endpoint that has not answered one yet is picked before this one.
        let health = self.health.rank().max(u8::from(unanswered || ejected));
        (health, unanswered, ejected, in_flight)
    }
}
