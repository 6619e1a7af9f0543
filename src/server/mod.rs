//! The HTTP front: a stack of tower layers around one handler.
//!
//! `listener` and `connections` accept connections, within `limits`, until `shutdown`; `inherited` are sockets that the process
//! was started with. `handshake` performs TLS, and `connection` serves HTTP/1.1 with hyper; `progress` bounds the time of each
//! step. Each request is a `Call` with a `Record` of it and its `caller`; it passes [`layer_stack`] (`layers`, `record`,
//! `access`) to the `handler`. That finds the `webhook`, reads the `body` (`work` takes long ones to other threads), asks the
//! policy and makes a `decision`, from which `reply` makes the HTTP response. A `refusal` is a decision too: `refused` answers
//! requests by their head alone, `heads` those that hyper could not parse.

mod access;
mod body;
mod caller;
mod connection;
mod connections;
mod decision;
mod handler;
mod handshake;
mod heads;
pub(crate) mod inherited;
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

use crate::config::ConfigHandle;
use crate::observe::counters::Status;
use crate::observe::decisions::Decisions;
use crate::outbox::Events;
use crate::policy::{Policy, Transport};
use caller::Connection;
use layers::FromFn;
use listener::Listener;
pub(crate) use refusal::Refusal;
pub(crate) use reply::{CAUSE, OUTCOME, REPLACED_CODE, RULE};
use shutdown::DrainDeadline;
pub use shutdown::Stop;
use work::{BlockingPool, Calls};

/// The HTTP response to a webhook; its body is never streamed.
type Response = http::Response<Full<Bytes>>;

/// The state of the HTTP front: a policy to ask, After events to deliver, and what all calls share.
#[derive(Debug)]
pub struct ServerState<T> {
    policy: Policy<T>,
    events: Events,
    calls: Calls,
    work: BlockingPool,
    shared: Arc<Shared>,
}

/// The part of the state that the layers need.
#[derive(Debug)]
struct Shared {
    config: ConfigHandle,
    status: Arc<Status>,
    decisions: Decisions,
    /// True from the beginning of the shutdown. Each call reads it; `CancellationToken::is_cancelled` locks a mutex.
    draining: AtomicBool,
    /// Cancelled at the beginning of the shutdown, for tasks that await it.
    stopping: CancellationToken,
    deadline: DrainDeadline,
}

impl<T: Transport> ServerState<T> {
    /// Answers by `policy`, and by the rules of `config` where it gives no verdict.
    pub fn new(policy: Policy<T>, events: Events, decisions: Decisions, config: ConfigHandle) -> Arc<Self> {
        let (status, stopping, deadline) = (Arc::default(), CancellationToken::new(), DrainDeadline::default());
        let draining = AtomicBool::new(false);
        let shared = Arc::new(Shared { config, status, decisions, draining, stopping, deadline });
        Arc::new(Self { policy, events, calls: Calls::default(), work: BlockingPool::default(), shared })
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
    webhooks: Arc<ServerState<T>>,
    until: impl Future<Output = Stop>,
) {
    let give_up = connections::serve(listener.into(), webhooks.clone(), layer_stack(), until).await;
    webhooks.events.flush(give_up).await;
    webhooks.policy.traces().shut_down(give_up).await;
}

/// The layers around the handler, outermost first. There is no routing by path here: the URL in OpenIM's configuration may have
/// any prefix, and [`Webhook::route`](webhook::Webhook::route) finds the callback.
///
/// The stack holds no state and boxes no future. It stands on hyper: with an axum `Router` whose fallback is the handler, which
/// boxes the request's body, the handler's future and the reply's body, a message took 11 % more CPU time and a small one 9 %
/// (medians of 12 interleaved rounds of `bench/` in one run).
fn layer_stack<T: Transport>() -> impl layers::Next<T> {
    ServiceBuilder::new()
        // Sets "connection: close" while draining, after a large reply, and on plaintext connections from before TLS.
        .layer(FromFn(layers::set_connection_close))
        // Answers if publishing the record panics: a denial, or an allow if the callback fails open.
        .layer(FromFn(layers::catch_panic))
        // Counts, times, logs, traces, and writes to the decision log.
        .layer(FromFn(record::record))
        // Answers if a layer or the handler below panics; that decision is recorded.
        .layer(FromFn(layers::catch_panic))
        // Rejects unauthorized callers.
        .layer(FromFn(access::check_access))
        // Decodes, asks the policy, decides and replies.
        .service_fn(handler::answer)
}
