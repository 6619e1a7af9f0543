//! The HTTP front: a column of layers around one handler.
//!
//! A connection comes from `listener`, is accepted by `connections` within its `limits` and until the `shutdown`, may shake hands for TLS
//! (`handshake`), and is served by hyper, whose steps `progress` bounds in time. Each of its requests is a `Call` that goes down
//! [`column`] with its `Record`: `layers`, `record`, `access`, and the `handler`, which makes a `webhook` of it, reads its
//! `body`, asks, and makes a `decision`, of which `reply` makes the HTTP response. `heads` and `refused` answer what never
//! becomes a webhook.

mod access;
mod body;
mod caller;
mod connection;
mod connections;
mod decision;
mod handler;
mod handshake;
mod heads;
mod layers;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod progress;
mod record;
mod refusal;
mod refused;
mod reply;
mod shutdown;
pub(crate) mod webhook;
mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use crate::config::InForce;
use crate::observe::counters::Status;
use crate::observe::decisions::Decisions;
use crate::outbox::Events;
use crate::policy::{Policy, Transport};
use caller::Connection;
use layers::FromFn;
use listener::Listener;
pub(crate) use refusal::Refusal;
use shutdown::DrainDeadline;
pub use shutdown::Stop;
use work::{Calls, Work};

/// A reply, which is always whole.
type Response = http::Response<Full<Bytes>>;

/// The state of the HTTP front: a policy to ask, After events to deliver, and what all calls share.
#[derive(Debug)]
pub struct Webhooks<T> {
    policy: Policy<T>,
    events: Events,
    calls: Calls,
    work: Work,
    shared: Arc<Shared>,
}

/// The part of the state that the layers need.
#[derive(Debug)]
struct Shared {
    config: InForce,
    status: Arc<Status>,
    decisions: Decisions,
    /// Set when hookgate begins to stop, for each call: the token would lock its list of waiters.
    draining: AtomicBool,
    /// Cancelled when hookgate begins to stop, for those who wait for it.
    stopping: CancellationToken,
    deadline: DrainDeadline,
}

impl<T: Transport> Webhooks<T> {
    /// Answers by `policy`, and by the rules of `config` where it gives no verdict.
    pub fn new(policy: Policy<T>, events: Events, decisions: Decisions, config: InForce) -> Arc<Self> {
        let (status, stopping, deadline) = (Arc::default(), CancellationToken::new(), DrainDeadline::default());
        let draining = AtomicBool::new(false);
        let shared = Arc::new(Shared { config, status, decisions, draining, stopping, deadline });
        Arc::new(Self { policy, events, calls: Calls::default(), work: Work::default(), shared })
    }

    /// The counters.
    pub fn status(&self) -> &Arc<Status> {
        &self.shared.status
    }

    /// A token that is cancelled when hookgate begins to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }
}

/// Answers webhooks on `listener` until `until` ends, then finishes what is in flight.
pub async fn run<T: Transport>(
    listener: impl Into<Listener>,
    webhooks: Arc<Webhooks<T>>,
    until: impl Future<Output = Stop>,
) {
    let give_up = connections::serve(listener.into(), webhooks.clone(), column(), until).await;
    webhooks.events.flush(give_up).await;
    webhooks.policy.traces().shut_down(give_up).await;
}

/// The way of a call, from the outside in. Any path leads to the handler: the url that OpenIM is configured with is the
/// operator's choice.
///
/// The column holds no state and boxes no future. It stands on hyper: an axum `Router` around the handler boxes the request's
/// body, the handler's future (twice) and the reply's body. That alone was measured at 0.5 µs for a trivial handler, 3.5 % of
/// the CPU time of a small message.
fn column<T: Transport>() -> impl layers::Next<T> {
    ServiceBuilder::new()
        // Asks for the connection to be closed while draining, and after a large reply.
        .layer(FromFn(layers::close_when_draining))
        // Denies if the record cannot be published.
        .layer(FromFn(layers::deny_on_panic))
        // Counts, times, logs, traces, and writes to the decision log.
        .layer(FromFn(record::record))
        // Denies if anything below panics: a failure like any other, which is recorded.
        .layer(FromFn(layers::deny_on_panic))
        // Refuses callers that may not call.
        .layer(FromFn(access::check_access))
        // Decodes, asks the policy, decides and replies.
        .service_fn(handler::answer)
}
