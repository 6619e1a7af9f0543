//! One target: the URL of a policy service, with its endpoints, its breaker and the tasks that keep it connected.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Uri, header};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::Error;
use super::breaker::Breaker;
use super::call::{CallSender, ReadySender, exchange};
use super::pool::Pool;
use super::resolver::Resolve;
use super::subchannel::InFlight;
use super::supervisor::Supervisor;
use super::tls::Tls;
use crate::config::{self, PolicyUrl};
use crate::policy::{CallError, grpc};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION")));

/// Maximum number of connections that are picked for one call, if they end just then.
const PICKS: usize = 3;

/// Maximum time that a call goes on after its deadline, until the policy ends it.
const LINGER: Duration = Duration::from_secs(5);

/// Maximum size of the response to a health check, in bytes.
const HEALTH_LIMIT: usize = 4 << 20;

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

    /// Makes a call over the connection that is picked, which then counts it as in flight.
    pub(super) async fn unary(
        &self,
        mut call: Request<Bytes>,
        deadline: Instant,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        self.fill_head(&mut call);
        let (sender, in_flight) = self.ready_sender(&mut call, deadline).await?;
        let subchannel = in_flight.subchannel.clone();
        let mut exchange = Box::pin(exchange(sender, call, limit, Some(in_flight)));
        if let Ok(result) = timeout_at(deadline, &mut exchange).await {
            return result;
        }
        subchannel.call_is_overdue();
        // The policy knows the deadline and ends the call. If it were reset instead, a policy that has stalled would see many
        // resets at once, take that for an attack (CVE-2023-44487), and close the connection.
        tokio::spawn(timeout(LINGER, exchange));
        Err(Error::DeadlineExceeded.into())
    }

    /// Makes the call of a health check over one connection.
    pub(super) async fn check(&self, sender: CallSender, mut call: Request<Bytes>) -> Result<Bytes, CallError> {
        self.fill_head(&mut call);
        let sender = sender.ready_sender().await.map_err(Error::NotProcessed)?;
        exchange(sender, call, HEALTH_LIMIT, None).await
    }

    /// Adds the parts of a call's head that all calls have.
    fn fill_head(&self, call: &mut Request<Bytes>) {
        let mut uri = std::mem::take(call.uri_mut()).into_parts();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        // Never an error, as every call has a path.
        *call.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *call.method_mut() = Method::POST;
        let headers = call.headers_mut();
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    }

    /// Waits until a picked connection can send a call, at most until its deadline; then writes its `grpc-timeout`.
    async fn ready_sender(
        &self,
        call: &mut Request<Bytes>,
        deadline: Instant,
    ) -> Result<(ReadySender, InFlight), CallError> {
        // Most calls wait for nothing, and need no timer. Those that wait pick anew, in a box, which keeps this future small.
        let at_once = self.pick_sender().now_or_never();
        let has_waited = at_once.is_none();
        let sender = match at_once {
            Some(sender) => sender?,
            None => {
                let picked = timeout_at(deadline, Box::pin(self.pick_sender())).await;
                picked.map_err(|_| Error::DeadlineExceeded)??
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::DeadlineExceeded.into());
        }
        grpc::set_timeout(call.headers_mut(), left, has_waited);
        Ok(sender)
    }

    async fn pick_sender(&self) -> Result<(ReadySender, InFlight), Error> {
        let mut picks = 0;
        loop {
            let (sender, in_flight) = self.pool.pick().await.map_err(Error::NotConnected)?;
            picks += 1;
            match sender.ready_sender().await {
                Ok(sender) => return Ok((sender, in_flight)),
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
