//! What carries calls to the policy service: connections to every address of its name, kept up in the background.
//!
//! A call goes to the connection with the fewest calls. Without one it fails at once, with two exceptions, so that no call
//! fails while a policy is there. Where the first attempt, at start or just after a connection was lost, is still under
//! way, it waits for that (the policy restarts behind a listening socket, or says GOAWAY). Where nothing listened the last
//! time, it has another attempt made and waits for that (the policy has just come back): a refusal takes no time.

mod breaker;
mod call;
mod dial;
mod frames;
mod keeper;
mod members;
mod pool;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::rustls::RootCertStore;
use tonic::Status as GrpcStatus;
use tonic::body::Body;
use tracing::warn;

pub(super) use breaker::Outcome;
pub use breaker::{Breaker, State as BreakerState};
pub use call::{Deadline, ResponseBody};
pub use pool::Address;

use crate::config;
use call::FreeStream;
use dial::Dial;
use keeper::Keeper;
use members::{Carrier, Place};
use pool::Pool;

/// A transport for [`Policy`](super::Policy). Clones are one and the same.
#[derive(Clone)]
pub struct Channel {
    /// What calls go to; another one takes its place when the configuration changes.
    current: Arc<watch::Sender<Arc<Shared>>>,
}

/// The connections to one policy service, made in one way.
struct Shared {
    scheme: Scheme,
    authority: Authority,
    pool: Arc<Pool>,
    breaker: Arc<Breaker>,
    keeper: AbortHandle,
}

/// Finds the addresses of the policy service.
pub type Resolve = Arc<dyn Fn() -> Resolving + Send + Sync>;

/// Addresses, once they are found.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a channel stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Every address that is called, or tried.
    pub addresses: Vec<Address>,
    /// Why the name could not be looked up the last time.
    pub name: Option<String>,
    /// Whether the policy is asked.
    pub breaker: BreakerState,
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

/// How many connections a call is offered to, when they end just as they get it.
const OFFERS: usize = 3;

/// A wait that makes a difference to what the policy is told.
const NOTICEABLE: Duration = Duration::from_millis(1);

/// How long a call can go on: the longest that OpenIM waits for its reply.
const LONGEST_CALL: Duration = Duration::from_secs(15);

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION")));

impl Channel {
    /// Begins to connect to the policy service at a URL, in the background. TLS uses the roots that the system trusts.
    pub fn connect(url: Uri, settings: &config::Channel) -> Self {
        let roots = if is_tls(&url) { dial::system_roots() } else { RootCertStore::empty() };
        Self::connect_with(url.clone(), settings, system_resolver(&url), roots)
    }

    /// Like [`connect`](Self::connect), with other means to find addresses, and other roots to trust.
    pub fn connect_with(url: Uri, settings: &config::Channel, resolve: Resolve, roots: RootCertStore) -> Self {
        Self { current: Arc::new(watch::Sender::new(Shared::begin(&url, settings, resolve, roots))) }
    }

    /// Goes over to the policy service at a URL, reached in this way: as soon as it is connected, or cannot be within
    /// the time for a connection. Calls in flight stay where they are.
    pub async fn replace(&self, url: Uri, settings: &config::Channel) {
        let roots = if is_tls(&url) { dial::system_roots() } else { RootCertStore::empty() };
        let next = Shared::begin(&url, settings, system_resolver(&url), roots);
        let mut changes = next.pool.changes();
        let connected = async {
            while !next.pool.any_ready() {
                drop(changes.changed().await);
            }
        };
        if timeout(settings.connect_timeout, connected).await.is_err() {
            warn!("the policy is not connected in the new way; calls go there all the same");
        }
        let before = self.current.send_replace(next);
        // An answer that has begun needs its connection to its end.
        tokio::spawn(async move {
            sleep(LONGEST_CALL).await;
            drop(before);
        });
    }

    /// The URL of the policy service, as far as it matters: `http://policy:50051`.
    pub fn url(&self) -> String {
        let shared = self.shared();
        format!("{}://{}", shared.scheme, shared.authority)
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        let shared = self.shared();
        let (addresses, name) = shared.pool.status();
        Status { addresses, name, breaker: shared.breaker.state() }
    }

    /// Ends when the state of a connection has changed since the call.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut replaced = self.current.subscribe();
        let mut changes = self.shared().pool.changes();
        async move {
            tokio::select! {
                _ = changes.changed() => {}
                _ = replaced.changed() => {}
            }
        }
    }

    /// Ends when a connection has come or gone since the call.
    pub(super) fn turned_over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut replaced = self.current.subscribe();
        let pool = self.shared().pool.clone();
        let (mut changes, before) = (pool.changes(), pool.turnover());
        async move {
            while pool.turnover() == before {
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = replaced.changed() => return,
                }
            }
        }
    }

    pub(super) fn breaker(&self) -> Arc<Breaker> {
        self.shared().breaker.clone()
    }

    fn shared(&self) -> Arc<Shared> {
        self.current.borrow().clone()
    }
}

impl Shared {
    /// Begins to connect.
    fn begin(url: &Uri, settings: &config::Channel, resolve: Resolve, roots: RootCertStore) -> Arc<Self> {
        let tls = is_tls(url).then(|| (host(url), roots));
        let dial = Dial::new(settings.clone(), tls);
        let authority = url.authority().cloned().unwrap_or_else(|| Authority::from_static("policy"));
        let scheme = if is_tls(url) { Scheme::HTTPS } else { Scheme::HTTP };
        let pool = Arc::new(Pool::new());
        let breaker = Arc::new(Breaker::new(settings.breaker_failures, settings.breaker_open));
        let (settings, dial) = (settings.clone(), Arc::new(dial));
        let keeper = Keeper { pool: pool.clone(), breaker: breaker.clone(), dial, resolve, settings };
        let keeper = tokio::spawn(keeper.run()).abort_handle();
        Arc::new(Self { scheme, authority, pool, breaker, keeper })
    }

    async fn send(self: Arc<Self>, mut head: Parts, body: Body) -> Result<Response<ResponseBody>, Error> {
        let body = body.collect().await.map_err(Error::NoMessage)?.to_bytes();
        let began = Instant::now();
        let (stream, place) = match head.extensions.remove() {
            Some(deadline @ Deadline(at)) => {
                let free = timeout_at(at, self.free_stream()).await.map_err(|_| Error::Late)??;
                if began.elapsed() >= NOTICEABLE
                    && let Some(timeout) = deadline.grpc_timeout()
                {
                    head.headers.insert("grpc-timeout", timeout);
                }
                free
            }
            None => self.free_stream().await?,
        };
        let response = stream.send(head, body).map_err(Error::NotTaken)?.await?;
        place.load.answered.store(true, Ordering::Relaxed);
        Ok(ResponseBody::of(response))
    }

    /// Waits for a connection that has a stream for a call.
    async fn free_stream(&self) -> Result<(FreeStream, Place), Error> {
        let mut offers = 0;
        loop {
            let Carrier { calls, place } = self.pool.carrier().await.map_err(Error::NotConnected)?;
            offers += 1;
            match calls.free_stream().await {
                Ok(stream) => return Ok((stream, place)),
                // It takes no calls; the next one may.
                Err(error) => {
                    self.pool.lost(place.address, &place.load);
                    if offers == OFFERS {
                        return Err(Error::NotTaken(error));
                    }
                }
            }
        }
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
        let shared = self.shared();
        let (mut head, body) = request.into_parts();
        let mut uri = head.uri.into_parts();
        uri.scheme = Some(shared.scheme.clone());
        uri.authority = Some(shared.authority.clone());
        // Never an error, as tonic gives every call a path.
        head.uri = Uri::from_parts(uri).unwrap_or_default();
        head.headers.insert(header::USER_AGENT, USER_AGENT);
        Box::pin(shared.send(head, body))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("authority", &self.shared().authority).finish_non_exhaustive()
    }
}

fn is_tls(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTPS)
}

/// A URL's host; of an IPv6 address without its brackets.
fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn system_resolver(url: &Uri) -> Resolve {
    let host = host(url).to_owned();
    let port = url.port_u16().unwrap_or(if is_tls(url) { 443 } else { 80 });
    Arc::new(move || {
        let host = host.clone();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}
