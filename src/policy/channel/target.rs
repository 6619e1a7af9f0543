//! One target: the URL of a policy service, with its endpoints, its breaker and the tasks that keep it connected.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header, request};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;

use super::Error;
use super::breaker::Breaker;
use super::call::{self, CallSender, ReadySender, ResponseBody};
use super::deadline::{DEADLINE, set_grpc_timeout};
use super::pool::Pool;
use super::resolver::Resolve;
use super::subchannel::InFlight;
use super::supervisor::Supervisor;
use super::tls::Tls;
use crate::config::{self, PolicyUrl};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION")));

/// Maximum number of connections that are picked for one call, if they end just then.
const PICKS: usize = 3;

/// The response of a call, once it has begun.
pub(super) type Responding = BoxFuture<'static, Result<Response<ResponseBody>, Error>>;

/// A policy service as one configuration reaches it. Dropping it closes its connections, but for those that drain.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: PolicyUrl,
    scheme: Scheme,
    authority: Authority,
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: Arc<Breaker>,
    /// Aborted when the target is dropped.
    _supervisor: JoinSet<()>,
}

impl Target {
    /// Begins to connect.
    pub(super) fn begin(url: &PolicyUrl, settings: &config::Channel, resolve: Resolve, tls: Option<Tls>) -> Arc<Self> {
        let scheme = if url.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let pool = Arc::new(Pool::new());
        let breaker = Arc::new(Breaker::new(settings.breaker_failures, settings.breaker_open));
        let settings = settings.clone();
        let supervisor = Supervisor { pool: pool.clone(), breaker: breaker.clone(), tls, resolve, settings };
        let _supervisor = JoinSet::from_iter([supervisor.run()]);
        Arc::new(Self { url: url.clone(), scheme, authority: url.authority(), pool, breaker, _supervisor })
    }

    /// Makes a call: over the connection of `sender`, or over the one that is picked, which then counts it as in flight.
    pub(super) fn call(self: Arc<Self>, request: Request<Body>, sender: Option<CallSender>) -> Responding {
        let (mut head, body) = request.into_parts();
        self.address(&mut head);
        Box::pin(async move {
            let message = call::message(body).await?;
            let (sender, in_flight) = match sender {
                Some(sender) => (sender.ready_sender().await.map_err(Error::NotProcessed)?, None),
                None => self.ready_sender(&mut head.headers).await?,
            };
            let response = sender.send(head, message).map_err(Error::NotProcessed)?;
            Ok(call::response(response, in_flight).await?)
        })
    }

    fn address(&self, head: &mut request::Parts) {
        let mut uri = std::mem::take(&mut head.uri).into_parts();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        // Never an error, as tonic gives every call a path.
        head.uri = Uri::from_parts(uri).unwrap_or_default();
        head.headers.insert(header::USER_AGENT, USER_AGENT);
    }

    /// Waits until a picked connection can send a call, at most until its deadline; then updates `grpc-timeout`.
    async fn ready_sender(&self, headers: &mut HeaderMap) -> Result<(ReadySender, Option<InFlight>), Error> {
        let mut sender = pin!(self.pick_sender());
        // Most calls wait for nothing, and need no clock.
        if let Poll::Ready(sender) = poll_fn(|cx| Poll::Ready(sender.as_mut().poll(cx))).await {
            return sender;
        }
        let Ok(deadline) = DEADLINE.try_with(|deadline| *deadline) else { return sender.await };
        let sender = timeout_at(deadline, sender).await.map_err(|_| Error::DeadlineExceeded)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::DeadlineExceeded);
        }
        set_grpc_timeout(headers, left, true);
        sender
    }

    async fn pick_sender(&self) -> Result<(ReadySender, Option<InFlight>), Error> {
        let mut picks = 0;
        loop {
            let (sender, in_flight) = self.pool.pick().await.map_err(Error::NotConnected)?;
            picks += 1;
            match sender.ready_sender().await {
                Ok(sender) => return Ok((sender, Some(in_flight))),
                Err(error) => {
                    self.pool.change(|balancer| balancer.lost(&in_flight.subchannel));
                    if picks == PICKS {
                        return Err(Error::NotProcessed(error));
                    }
                }
            }
        }
    }
}
