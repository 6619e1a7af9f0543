//! The HTTP front: a stack of tower layers around one handler.
//!
//! `listener` and `connections` accept connections, within `limits`, until `shutdown`; `inherited` are sockets that the process
//! was started with. `handshake` performs TLS, and `connection` serves HTTP/1.1 with hyper; `progress` bounds the time of each
//! step. Each request is a `Call` with a `Record` of it and its `caller`; it passes [`layer_stack`] (`layers`, `record`,
//! `access`) to the `handler`. That finds the `webhook`, reads the `body` (`work` takes long ones to other threads), makes a
//! `plan`, asks the `policies`, joins their `verdicts` and makes a `decision`, from which `reply` makes the HTTP response. A
//! `shadow` is asked behind it, and `guards` look at both. A `refusal` is a decision too: `refused` answers requests by their
//! head alone, `heads` those that hyper could not parse.

mod access;
mod body;
mod caller;
mod connection;
mod connections;
mod decision;
pub(crate) mod guards;
mod handler;
mod handshake;
mod heads;
pub(crate) mod inherited;
mod layers;
pub(crate) mod limits;
pub(crate) mod listener;
mod plan;
mod policies;
pub(crate) mod progress;
mod record;
mod refusal;
mod refused;
mod reply;
mod shadow;
mod shutdown;
mod verdicts;
pub(crate) mod webhook;
mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use crate::config::ConfigHandle;
use crate::observe::counters::{PolicyCounters, Status};
use crate::observe::decisions::Decisions;
use crate::observe::traces::Traces;
use crate::policy::Transport;
use caller::Connection;
pub use guards::Guards;
use layers::FromFn;
use listener::Listener;
pub use policies::PolicyState;
pub(crate) use refusal::Refusal;
pub(crate) use reply::{CAUSE, OUTCOME, POLICIES, REPLACED_CODE, RULE};
use shutdown::DrainDeadline;
pub use shutdown::Stop;
use work::BlockingPool;

/// The HTTP response to a webhook; its body is never streamed.
type Response = http::Response<Full<Bytes>>;

/// The state of the HTTP front: policies to ask, After events to deliver, and what all calls share.
#[derive(Debug)]
pub struct ServerState<T> {
    /// The policies, by their indices in the configuration.
    policies: Vec<PolicyState<T>>,
    work: BlockingPool,
    shared: Arc<Shared>,
}

/// The part of the state that the layers need.
#[derive(Debug)]
struct Shared {
    config: ConfigHandle,
    status: Arc<Status>,
    decisions: Decisions,
    /// The counters of the named policies, by their indices.
    policies: Vec<Arc<PolicyCounters>>,
    guards: Guards,
    /// True from the beginning of the shutdown. Each call reads it; `CancellationToken::is_cancelled` locks a mutex.
    draining: AtomicBool,
    /// Cancelled at the beginning of the shutdown, for tasks that await it.
    stopping: CancellationToken,
    deadline: DrainDeadline,
}

impl<T: Transport> ServerState<T> {
    /// Answers by the policies of `config`, and by its rules where they give no verdict. There is one policy at least.
    pub fn new(policies: Vec<PolicyState<T>>, guards: Guards, decisions: Decisions, config: ConfigHandle) -> Arc<Self> {
        let (status, stopping, deadline) = (Arc::default(), CancellationToken::new(), DrainDeadline::default());
        let draining = AtomicBool::new(false);
        let counters = policies.iter().map(|asked| asked.counters.clone()).collect();
        let shared = Shared { config, status, decisions, policies: counters, guards, draining, stopping, deadline };
        let shared = Arc::new(shared);
        Arc::new(Self { policies, work: BlockingPool::default(), shared })
    }

    /// The counters.
    pub fn status(&self) -> &Arc<Status> {
        &self.shared.status
    }

    /// The exporter of spans, which all policies share.
    fn traces(&self) -> &Traces {
        self.policies[0].policy.traces()
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
    join_all(webhooks.policies.iter().map(|asked| asked.events.flush(give_up))).await;
    webhooks.traces().shut_down(give_up).await;
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
