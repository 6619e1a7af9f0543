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
use super::call::FreeStream;
use super::dial::Dial;
use super::endpoints::Picked;
use super::keeper::Keeper;
use super::pool::Pool;
use super::subchannel::InFlight;
use super::time;
use super::tls::Tls;
use super::{Error, Resolve};
use crate::config::{self, PolicyUrl};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION")));

/// How many connections a call is offered to, when they end just as they get it.
const OFFERS: usize = 3;

/// The connections to one policy service, made in one way. When it is dropped they end.
pub(super) struct Route {
    pub(super) url: PolicyUrl,
    scheme: Scheme,
    authority: Authority,
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: Arc<Breaker>,
    keeper: AbortHandle,
}

impl Route {
    /// Begins to connect.
    pub(super) fn begin(url: &PolicyUrl, settings: &config::Channel, resolve: Resolve, tls: Option<Tls>) -> Arc<Self> {
        let scheme = if url.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let dial = Dial::new(settings.clone(), tls);
        let authority = url.authority();
        let pool = Arc::new(Pool::new());
        let breaker = Arc::new(Breaker::new(settings.breaker_failures, settings.breaker_open));
        let (settings, dial) = (settings.clone(), Arc::new(dial));
        let keeper = Keeper { pool: pool.clone(), breaker: breaker.clone(), dial, resolve, settings };
        let keeper = tokio::spawn(keeper.run()).abort_handle();
        Arc::new(Self { url: url.clone(), scheme, authority, pool, breaker, keeper })
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
    pub(super) async fn stream(&self, headers: &mut HeaderMap) -> Result<(FreeStream, InFlight), Error> {
        let mut free = pin!(self.free_stream());
        // Most calls wait for nothing, and need no clock.
        if let Poll::Ready(free) = poll_fn(|cx| Poll::Ready(free.as_mut().poll(cx))).await {
            return free;
        }
        let Some(deadline) = time::deadline(headers) else { return free.await };
        let free = timeout_at(deadline, free).await.map_err(|_| Error::Late)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late);
        }
        time::tell(headers, left);
        free
    }

    /// Waits for a connection that has a stream for a call.
    async fn free_stream(&self) -> Result<(FreeStream, InFlight), Error> {
        let mut offers = 0;
        loop {
            let Picked { calls, in_flight } = self.pool.pick().await.map_err(Error::NotConnected)?;
            offers += 1;
            match calls.free_stream().await {
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

impl Drop for Route {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
