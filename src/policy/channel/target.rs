//! The way to one policy service: its addresses, and how connections to them are made and kept.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri, header};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::call::ReadySender;
use super::deadline;
use super::dial::Dialer;
use super::endpoints::Picked;
use super::pool::Pool;
use super::subchannel::InFlight;
use super::supervisor::Supervisor;
use super::tls::Tls;
use super::{Error, Resolve};
use crate::config::{self, PolicyUrl};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION")));

/// How many connections a call is offered to, when they end just as they get it.
const OFFERS: usize = 3;

/// The connections to one policy service, made in one way. When it is dropped they end.
pub(super) struct Target {
    pub(super) url: PolicyUrl,
    scheme: Scheme,
    authority: Authority,
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: Arc<Breaker>,
    supervisor: AbortHandle,
}

impl Target {
    /// Begins to connect.
    pub(super) fn begin(url: &PolicyUrl, settings: &config::Channel, resolve: Resolve, tls: Option<Tls>) -> Arc<Self> {
        let scheme = if url.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let dialer = Dialer::new(settings.clone(), tls);
        let authority = url.authority();
        let pool = Arc::new(Pool::new());
        let breaker = Arc::new(Breaker::new(settings.breaker_failures, settings.breaker_open));
        let (settings, dialer) = (settings.clone(), Arc::new(dialer));
        let supervisor = Supervisor { pool: pool.clone(), breaker: breaker.clone(), dialer, resolve, settings };
        let supervisor = tokio::spawn(supervisor.run()).abort_handle();
        Arc::new(Self { url: url.clone(), scheme, authority, pool, breaker, supervisor })
    }

    /// Ends when a call would be carried at once.
    pub(super) async fn connected(&self) {
        self.pool.until_any_ready(true).await;
    }

    /// Ends when no call would be.
    pub(super) async fn disconnected(&self) {
        self.pool.until_any_ready(false).await;
    }

    /// Addresses a request to the policy.
    pub(super) fn address(&self, head: &mut Parts) {
        let mut uri = std::mem::take(&mut head.uri).into_parts();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        // Never an error, as tonic gives every call a path.
        head.uri = Uri::from_parts(uri).unwrap_or_default();
        head.headers.insert(header::USER_AGENT, USER_AGENT);
    }

    /// Waits for a stream for a call with these headers, no longer than they say that it has. They say less then.
    pub(super) async fn stream(&self, headers: &mut HeaderMap) -> Result<(ReadySender, InFlight), Error> {
        let mut free = pin!(self.ready_sender());
        // Most calls wait for nothing, and need no clock.
        if let Poll::Ready(free) = poll_fn(|cx| Poll::Ready(free.as_mut().poll(cx))).await {
            return free;
        }
        let Some(deadline) = deadline::deadline(headers) else { return free.await };
        let free = timeout_at(deadline, free).await.map_err(|_| Error::Late)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late);
        }
        deadline::tell(headers, left);
        free
    }

    /// Waits for a connection that has a stream for a call.
    async fn ready_sender(&self) -> Result<(ReadySender, InFlight), Error> {
        let mut offers = 0;
        loop {
            let Picked { sender, in_flight } = self.pool.pick().await.map_err(Error::NotConnected)?;
            offers += 1;
            match sender.ready_sender().await {
                Ok(stream) => return Ok((stream, in_flight)),
                // It takes no calls; the next one may.
                Err(error) => {
                    self.pool.lost(in_flight.subchannel());
                    if offers == OFFERS {
                        return Err(Error::NotTaken(error));
                    }
                }
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}
