//! A gRPC channel to the policy service, over h2.
//!
//! # Parts
//!
//! A [`Channel`] has one *target*: a URL as one configuration reaches it. A reload that changes the URL, the
//! `channel.*` settings or TLS makes another target and switches to it once it is connected. A target has an *endpoint* for
//! each address that the name resolves to (gRPC calls that a subchannel), and an endpoint has at most one connection, whose
//! shared state is here called *subchannel*.
//!
//! | module | |
//! |---|---|
//! | `target` | makes calls; owns the next four |
//! | `pool` | the endpoints behind a lock, and a notification of changes |
//! | `balancer`, `endpoint` | the pick (least request), and the states below |
//! | `supervisor`, `resolver` | tasks that resolve the name and keep endpoints connected |
//! | `breaker` | circuit breakers by rpc |
//! | `status` | the status in `/status` and metrics |
//! | `subchannel`, `outlier` | what calls share of a connection, and of an address: calls in flight, outlier detection |
//! | `dial`, `tls` | connecting: TCP, TLS |
//! | `connection`, `stream` | HTTP/2 over h2: the peer's SETTINGS and GOAWAY; the stream under h2, which gathers writes |
//! | `keepalive` | pings, which find out that a peer is dead |
//! | `call` | one call: request and response |
//! | `connection_handle` | calls over a given connection, for its [health](super::health) |
//!
//! # States of an endpoint
//!
//! gRPC's connectivity states, with two differences: there is no `Idle`, as endpoints connect at once and stay connected; and
//! an endpoint stays in `TransientFailure` while it retries, so that calls do not wait for each retry. `Shutdown` is the drop
//! of the target: it aborts its tasks and closes its connections, except those that finish their last calls in a task of
//! their own.
//!
//! | state | left when | then | calls |
//! |---|---|---|---|
//! | `Connecting` | the peer's SETTINGS come | `Ready` | wait |
//! | | the attempt fails, or takes longer than `channel.connect_timeout` | `TransientFailure` | |
//! | `Ready` | GOAWAY, a broken connection, no answer to a ping | `Connecting`, and the name is looked up; calls in flight end if the peer lives | are sent |
//! | | the second connection in a row ends within `channel.reconnect_max` and without a response | `TransientFailure` | |
//! | | the name no longer resolves to it, and another endpoint is ready and in no worse health | `Draining` | |
//! | `Draining` | the last call in flight has ended | the endpoint is removed | none |
//! | | the name resolves to it again | `Connecting`; calls in flight end on the old connection | |
//! | `TransientFailure` | the next attempt succeeds: after a backoff, or at once if a call requests it | `Ready` | fail; see below |
//! | | the name no longer resolves to it | the endpoint is removed | |
//!
//! Calls fail fast (gRPC's `wait_for_ready` is false): if no endpoint is ready, a call fails at once, except that it waits
//!
//! - while an endpoint is `Connecting`, or a look-up of the name is requested and not done;
//! - for one more attempt, 100 ms at most, if the last one failed fast (connection refused, or closed at once).
//!
//! It also waits, a second at most, while the best ready endpoint is *unanswered*: silent since a call passed its deadline.
//!
//! # Invariants
//!
//! - A call is sent twice only if the policy cannot have seen the first one (RFC 9113, 8.7), and never after its deadline.
//! - A policy call that was sent is not reset at its deadline: it goes on in a task of its own, for five seconds at most.
//!   Health checks are reset at their timeout.
//! - The pool's lock is never held over an `await`, and a call takes it once if an endpoint is ready.
//! - The state of an endpoint is written only under the pool's lock. One supervisor task an endpoint connects and serves it,
//!   and ends with it; a connection that is replaced drains in a task of its own.

mod balancer;
mod breaker;
mod call;
mod connection;
mod connection_handle;
mod dial;
mod endpoint;
mod keepalive;
mod outlier;
mod pool;
mod resolver;
mod status;
mod stream;
mod subchannel;
mod supervisor;
mod target;
mod tls;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::RootCertStore;
use tracing::{error, info};

pub(crate) use breaker::Breaker;
pub use breaker::BreakerState;
pub(super) use breaker::Outcome;
pub(super) use connection_handle::ConnectionHandle;
pub(super) use endpoint::{Health, NO_CONTRACT};
pub use resolver::Resolve;
pub use status::{AddressStatus, Status};

use super::evidence::Evidence;
use super::{CallError, Transport};
use crate::config::{self, PolicyTls, PolicyUrl};
use balancer::Balancer;
use endpoint::Ready;
use resolver::system_resolver;
use target::Target;
use tls::Tls;

/// Carries the calls of a [`Policy`](super::Policy). Clones share everything.
#[derive(Debug, Clone)]
pub struct Channel {
    target: Arc<watch::Sender<Arc<Target>>>,
    evidence: Arc<Evidence>,
}

/// Reasons why a call has no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address is connected. The call was not sent.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// The deadline passed, before there was a stream for the call or before it was answered.
    #[error("the budget is spent")]
    DeadlineExceeded,
    /// The connection ended before it took the call, or the policy refused the call unseen.
    #[error("the call was not taken")]
    NotProcessed(#[source] h2::Error),
    /// The connection or the stream broke during the call. The policy may have seen it.
    #[error("the call was cut off")]
    Interrupted(#[source] h2::Error),
}

impl Channel {
    /// Begins to connect to the policy service at a URL, in the background; with these TLS settings if the URL has TLS.
    pub fn connect(url: PolicyUrl, settings: &config::Channel, tls: &PolicyTls) -> Self {
        Self::new(Target::begin(&url, settings, system_resolver(&url), Tls::new(&url, tls, None)))
    }

    /// Like [`connect`](Self::connect), with another resolver and other trusted roots.
    pub fn connect_with(url: PolicyUrl, settings: &config::Channel, resolve: Resolve, roots: RootCertStore) -> Self {
        let tls = Tls::new(&url, &PolicyTls::default(), Some(Arc::new(roots)));
        Self::new(Target::begin(&url, settings, resolve, tls))
    }

    fn new(target: Arc<Target>) -> Self {
        Self { target: Arc::new(watch::Sender::new(target)), evidence: Arc::default() }
    }

    /// Switches to the policy service at a URL as soon as it is connected; if that takes longer than
    /// `channel.connect_timeout`, as soon as the present one is not connected either. Calls in flight stay where they are.
    pub async fn replace(&self, url: PolicyUrl, settings: &config::Channel, tls: &PolicyTls) {
        // Reads the system's roots from the disk.
        let (asked, tls) = (url.clone(), tls.clone());
        let Ok(tls) = spawn_blocking(move || Tls::new(&asked, &tls, None)).await else { return };
        let next = Target::begin(&url, settings, system_resolver(&url), tls);
        let before = self.target();
        let too_late = async {
            sleep(settings.connect_timeout).await;
            error!(%url, "new policy channel not connected, calls go on as before");
            before.pool.until(|balancer| !balancer.any_ready()).await;
        };
        tokio::select! {
            () = next.pool.until(Balancer::any_ready) => info!(%url, "switched to new policy channel"),
            () = too_late => {}
        }
        drop(before);
        let before = self.target.send_replace(next);
        // Responses that have begun need their connection until they end.
        tokio::spawn(async move {
            sleep(config::LONGEST_TIMEOUT).await;
            drop(before);
        });
    }

    /// The URL of the policy service.
    pub fn url(&self) -> PolicyUrl {
        self.target().url.clone()
    }

    /// The status now.
    pub fn status(&self) -> Status {
        let target = self.target();
        let (breaker, breakers) = (target.breaker.state(), target.breaker.not_closed());
        let balancer = target.pool.balancer.lock();
        Status { addresses: balancer.status(), name: balancer.unresolved.clone(), breaker, breakers }
    }

    /// Looks the name up at once.
    pub fn look_up(&self) {
        self.target().pool.change(|balancer| balancer.look_ups_requested += 1);
    }

    /// Ends when the state of a connection has changed since the call of this function.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut replaced = self.target.subscribe();
        let mut changes = self.target().pool.changes.subscribe();
        async move {
            tokio::select! {
                _ = changes.changed() => {}
                _ = replaced.changed() => {}
            }
        }
    }

    /// The connections that take new calls, and their health.
    pub(super) fn connections(&self) -> Vec<(ConnectionHandle, Health)> {
        let target = self.target();
        let balancer = target.pool.balancer.lock();
        let connection = |ready: &Ready| {
            (ConnectionHandle { channel: self.clone(), subchannel: ready.subchannel.clone() }, ready.health.clone())
        };
        balancer.ready().map(connection).collect()
    }

    /// Returns true if one of the connections is known to serve.
    pub(super) fn is_ready(&self) -> bool {
        self.target().pool.balancer.lock().ready().any(|ready| ready.health.serves())
    }

    /// Returns true if one of the connections may serve: it is not known that it does not.
    pub(super) fn may_serve(&self) -> bool {
        self.target().pool.balancer.lock().ready().any(|ready| ready.health.may_serve())
    }

    /// Waits until the connections that take new calls, or their health, are no longer the known ones.
    pub(super) async fn connections_other_than(
        &self,
        known: &[(ConnectionHandle, Health)],
    ) -> Vec<(ConnectionHandle, Health)> {
        self.until(|| Some(self.connections()).filter(|now| *now != known)).await
    }

    /// Waits until `found`, which is called again after every change, finds something.
    async fn until<R>(&self, mut found: impl FnMut() -> Option<R>) -> R {
        loop {
            // Subscribes before it looks, so that no change is missed.
            let changed = self.changed();
            if let Some(found) = found() {
                return found;
            }
            changed.await;
        }
    }

    /// Waits for a connection as a call does. An error says why there is none.
    pub(super) async fn connected(&self) -> Result<(), Error> {
        self.target().pool.pick().await.map(drop).map_err(Error::NotConnected)
    }

    pub(super) fn breaker(&self) -> Arc<Breaker> {
        self.target().breaker.clone()
    }

    /// The best answer that an rpc has had.
    pub(super) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn target(&self) -> Arc<Target> {
        self.target.borrow().clone()
    }
}

impl From<h2::Error> for Error {
    fn from(error: h2::Error) -> Self {
        // RFC 9113, 8.7. With a GOAWAY, h2 fails only the streams above its last stream ID, which the peer has not processed.
        let is_unseen = error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
        if error.is_remote() && is_unseen { Self::NotProcessed(error) } else { Self::Interrupted(error) }
    }
}

impl Transport for Channel {
    async fn unary(&self, call: Request<Bytes>, deadline: Instant, limit: usize) -> Result<Bytes, CallError> {
        self.target().unary(call, deadline, limit).await
    }
}
