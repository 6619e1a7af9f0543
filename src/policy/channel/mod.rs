//! A gRPC channel to the policy service: a *subchannel* (one connection) to every *endpoint* (address) of its name, kept up in
//! the background.
//!
//! | | |
//! |---|---|
//! | `supervisor` | looks the name up, connects and drains endpoints |
//! | `endpoints`, `pool` | their states (`Connecting`, `Ready`, `TransientFailure`, draining) and the pick |
//! | `outlier` | ejects endpoints that fail fast |
//! | `dial`, `frames`, `goaway` | a connection: TCP, TLS, HTTP/2 |
//! | `subchannel`, `keepalive` | what it carries, and whether its peer is alive |
//! | `breaker` | circuit breakers by rpc |
//! | `direct` | calls over one connection, for its health, which [`health`](super::health) asks for |
//!
//! A call goes to the ready endpoint with the fewest calls in flight. Without one it fails at once, with two exceptions, so
//! that no call fails while a policy is there. Where the first attempt, at start or just after a connection was lost, is still
//! under way, it waits for that (the policy restarts behind a listening socket, or says GOAWAY). Where nothing listened the
//! last time, it has another attempt made and waits for that (the policy has just come back): a refusal takes no time.
//!
//! It also waits where every ready endpoint owes an answer past a call's deadline: a second at most, for that answer or for
//! another endpoint.

mod breaker;
mod call;
mod deadline;
mod dial;
mod endpoints;
mod frames;
mod goaway;
mod health_transport;
mod keepalive;
mod outlier;
mod pool;
mod subchannel;
mod supervisor;
mod target;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use http::{Request, Response};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::rustls::RootCertStore;
use tonic::Status as GrpcStatus;
use tonic::body::Body;
use tracing::{error, info};

pub(super) use breaker::Outcome;
pub use breaker::{Breaker, State as BreakerState};
pub use call::ResponseBody;
pub(super) use deadline::DEADLINE;
pub(super) use endpoints::Health;
pub(super) use health_transport::{ConnectionHandle, HealthTransport};
pub use pool::AddressStatus;
pub(super) use subchannel::overdue;

use super::rpcs::Rpcs;
use crate::config::{self, PolicyTls, PolicyUrl};
use target::Target;
use tls::Tls;

/// A transport for [`Policy`](super::Policy). Clones are one and the same.
#[derive(Clone)]
pub struct Channel {
    /// What calls go to; another one takes its place when the configuration changes.
    current: Arc<watch::Sender<Arc<Target>>>,
    rpcs: Arc<Rpcs>,
    /// Counts connections that began to serve.
    serving_events: Arc<AtomicU64>,
}

/// Finds the addresses of the policy service.
pub type Resolve = Arc<dyn Fn() -> Resolving + Send + Sync>;

/// Addresses, once they are found.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<config::Address>>> + Send>>;

/// How a channel stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Every address that is called, or tried.
    pub addresses: Vec<AddressStatus>,
    /// Why the name could not be looked up the last time.
    pub name: Option<String>,
    /// The worst state of any rpc's breaker.
    pub breaker: BreakerState,
    /// The rpcs whose breaker is not closed.
    pub breakers: BTreeMap<&'static str, BreakerState>,
}

/// Why a call has no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address is connected. The call was not sent.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// The call's time was over before there was a stream for it. It was not sent.
    #[error("the budget is spent")]
    Late,
    /// A connection ended before it took the call, or the policy refused it unseen.
    #[error("the call was not taken")]
    NotTaken(#[source] h2::Error),
    /// The connection or the stream broke under the call. The policy may have seen it.
    #[error("the call was cut off")]
    CutOff(#[source] h2::Error),
    /// tonic gave no whole message.
    #[error("the call has no message")]
    NoMessage(#[source] GrpcStatus),
}

impl Channel {
    /// Begins to connect to the policy service at a URL, in the background: over TLS as `tls` says where the URL has it.
    pub fn connect(url: PolicyUrl, settings: &config::Channel, tls: &PolicyTls) -> Self {
        Self::over(Target::begin(&url, settings, system_resolver(&url), own_tls(&url, tls)))
    }

    /// Like [`connect`](Self::connect), with other means to find addresses, and other roots to trust.
    pub fn connect_with(url: PolicyUrl, settings: &config::Channel, resolve: Resolve, roots: RootCertStore) -> Self {
        let tls = url.is_tls().then(|| Tls::trusting(name(&url), roots));
        Self::over(Target::begin(&url, settings, resolve, tls))
    }

    fn over(target: Arc<Target>) -> Self {
        Self { current: Arc::new(watch::Sender::new(target)), rpcs: Arc::default(), serving_events: Arc::default() }
    }

    /// Goes over to the policy service at a URL, reached in this way, as soon as it is connected; or when, after the time
    /// for a connection, the way before is not connected any more either. CallSender in flight stay where they are.
    pub async fn replace(&self, url: PolicyUrl, settings: &config::Channel, tls: &PolicyTls) {
        // The system's roots are read from the disk.
        let (asked, tls) = (url.clone(), tls.clone());
        let Ok(tls) = spawn_blocking(move || own_tls(&asked, &tls)).await else { return };
        let next = Target::begin(&url, settings, system_resolver(&url), tls);
        let before = self.target();
        let too_late = async {
            sleep(settings.connect_timeout).await;
            error!(%url, "the policy cannot be connected in the new way; until it is, calls go on as before");
            before.disconnected().await;
        };
        tokio::select! {
            () = next.connected() => info!(%url, "calls go the new way"),
            () = too_late => {}
        }
        drop(before);
        let before = self.current.send_replace(next);
        // An answer that has begun needs its connection to its end.
        tokio::spawn(async move {
            sleep(config::LONGEST_TIMEOUT).await;
            drop(before);
        });
    }

    /// The URL of the policy service.
    pub fn url(&self) -> PolicyUrl {
        self.target().url.clone()
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        let target = self.target();
        let (addresses, name) = target.pool.status();
        let (breaker, breakers) = (target.breaker.state(), target.breaker.not_closed());
        Status { addresses, name, breaker, breakers }
    }

    /// Looks the name up at once.
    pub fn look_up(&self) {
        self.target().pool.look_up();
    }

    /// Ends when the state of a connection has changed since the call.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut replaced = self.current.subscribe();
        let mut changes = self.target().pool.changes();
        async move {
            tokio::select! {
                _ = changes.changed() => {}
                _ = replaced.changed() => {}
            }
        }
    }

    /// Ends when a connection has come, gone, or said something new of its health since the call.
    pub(super) fn connections_changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut replaced = self.current.subscribe();
        let pool = self.target().pool.clone();
        let (mut changes, before) = (pool.changes(), pool.generation());
        async move {
            while pool.generation() == before {
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = replaced.changed() => return,
                }
            }
        }
    }

    pub(super) fn breaker(&self) -> Arc<Breaker> {
        self.target().breaker.clone()
    }

    /// The best answer that an rpc has had.
    pub(super) fn rpcs(&self) -> &Rpcs {
        &self.rpcs
    }

    fn target(&self) -> Arc<Target> {
        self.current.borrow().clone()
    }
}

impl From<h2::Error> for Error {
    fn from(error: h2::Error) -> Self {
        if not_taken(&error) { Self::NotTaken(error) } else { Self::CutOff(error) }
    }
}

/// Whether a call that failed so cannot have been seen by the policy (RFC 9113, 8.7). Anything else may have been.
fn not_taken(error: &h2::Error) -> bool {
    // Of all that wait, h2 gives a GOAWAY to those alone that it says were not looked at.
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

impl tonic::codegen::Service<Request<Body>> for Channel {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let target = self.target();
        let (mut head, body) = request.into_parts();
        target.address(&mut head);
        Box::pin(async move {
            let message = call::message(body).await?;
            let (stream, in_flight) = target.stream(&mut head.headers).await?;
            let response = stream.send(head, message).map_err(Error::NotTaken)?;
            Ok(call::response(response, Some(in_flight)).await?)
        })
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// Whom a certificate must be for; behind a socket, where there is none, nobody.
fn name(url: &PolicyUrl) -> &str {
    url.host().map_or("", |(host, _)| host)
}

/// How TLS is spoken to a policy service whose URL has it.
fn own_tls(url: &PolicyUrl, settings: &PolicyTls) -> Option<Tls> {
    url.is_tls().then(|| Tls::new(name(url), settings))
}

fn system_resolver(url: &PolicyUrl) -> Resolve {
    let url = url.clone();
    Arc::new(move || {
        let url = url.clone();
        Box::pin(async move {
            match (&url, url.host()) {
                (PolicyUrl::Unix(path), _) => Ok(vec![config::Address::Unix(path.clone())]),
                (_, Some(name)) => Ok(tokio::net::lookup_host(name).await?.map(config::Address::Tcp).collect()),
                (_, None) => Ok(Vec::new()),
            }
        })
    })
}
