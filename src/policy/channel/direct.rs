//! Calls over one connection of a channel, whatever the others do: its health.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;

use super::call::{self, Calls, ResponseBody};
use super::endpoints::Health;
use super::route::Route;
use super::subchannel::Subchannel;
use super::{Channel, Error};
use crate::config;

/// A connection, known by its channel.
#[derive(Clone)]
pub(in crate::policy) struct Direct {
    channel: Channel,
    subchannel: Arc<Subchannel>,
}

/// A transport over that connection. While it is held the connection is not closed.
#[derive(Clone)]
pub(in crate::policy) struct DirectTransport {
    route: Arc<Route>,
    calls: Calls,
}

impl Channel {
    /// Every connection that was not given before, and whether none of the others still stands.
    pub(in crate::policy) fn unwatched(&self) -> (Vec<Direct>, bool) {
        let (unwatched, all) = self.route().pool.unwatched();
        (unwatched.into_iter().map(|subchannel| Direct { channel: self.clone(), subchannel }).collect(), all)
    }

    /// The health of every connected address.
    pub(in crate::policy) fn health(&self) -> Vec<(config::Address, Health)> {
        self.route().pool.health()
    }

    /// The number of times that a connection began to serve, on whatever route.
    pub(in crate::policy) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// Waits for a connection as a call does; or says why there is none.
    pub(in crate::policy) async fn connected(&self) -> Result<(), Error> {
        self.route().pool.pick().await.map(drop).map_err(Error::NotConnected)
    }
}

impl Direct {
    /// Where it leads.
    pub(in crate::policy) fn address(&self) -> &config::Address {
        &self.subchannel.address
    }

    /// A transport over it, as long as it takes new calls.
    pub(in crate::policy) fn transport(&self) -> Option<DirectTransport> {
        let route = self.channel.route();
        let calls = route.pool.calls(&self.subchannel)?;
        Some(DirectTransport { route, calls })
    }

    /// Takes in what its health is.
    pub(in crate::policy) fn judge(&self, health: Health) {
        self.channel.route().pool.judged(&self.subchannel, health, &self.channel.arrivals);
    }

    /// Tells that a call over it has passed its deadline without an answer.
    pub(in crate::policy) fn call_is_overdue(&self) {
        self.subchannel.call_is_overdue();
    }

    /// Ends when it takes no new calls.
    pub(in crate::policy) async fn ended(&self) {
        loop {
            let changed = self.channel.turned_over();
            if self.transport().is_none() {
                return;
            }
            changed.await;
        }
    }
}

impl tonic::codegen::Service<Request<Body>> for DirectTransport {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        self.route.address(&mut head);
        let calls = self.calls.clone();
        Box::pin(async move {
            let message = call::message(body).await?;
            let stream = calls.free_stream().await.map_err(Error::NotTaken)?;
            let response = stream.send(head, message).map_err(Error::NotTaken)?;
            Ok(call::response(response, None).await?)
        })
    }
}
