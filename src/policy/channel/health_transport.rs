//! CallSender over one connection of a channel, whatever the others do: its health.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;

use super::call::{self, CallSender, ResponseBody};
use super::endpoints::Health;
use super::subchannel::Subchannel;
use super::target::Target;
use super::{Channel, Error};
use crate::config;

/// A connection, known by its channel.
#[derive(Clone)]
pub(in crate::policy) struct ConnectionHandle {
    channel: Channel,
    subchannel: Arc<Subchannel>,
}

/// A transport over that connection. While it is held the connection is not closed.
#[derive(Clone)]
pub(in crate::policy) struct HealthTransport {
    target: Arc<Target>,
    sender: CallSender,
}

impl Channel {
    /// Every connection that was not given before, and whether none of the others still stands.
    pub(in crate::policy) fn take_unchecked(&self) -> (Vec<ConnectionHandle>, bool) {
        let (take_unchecked, all) = self.target().pool.take_unchecked();
        (
            take_unchecked
                .into_iter()
                .map(|subchannel| ConnectionHandle { channel: self.clone(), subchannel })
                .collect(),
            all,
        )
    }

    /// The health of every connected address.
    pub(in crate::policy) fn health(&self) -> Vec<(config::Address, Health)> {
        self.target().pool.health()
    }

    /// The number of times that a connection began to serve, on whatever target.
    pub(in crate::policy) fn serving_events(&self) -> u64 {
        self.serving_events.load(Ordering::Relaxed)
    }

    /// Waits for a connection as a call does; or says why there is none.
    pub(in crate::policy) async fn connected(&self) -> Result<(), Error> {
        self.target().pool.pick().await.map(drop).map_err(Error::NotConnected)
    }
}

impl ConnectionHandle {
    /// Where it leads.
    pub(in crate::policy) fn address(&self) -> &config::Address {
        &self.subchannel.address
    }

    /// A transport over it, as long as it takes new calls.
    pub(in crate::policy) fn transport(&self) -> Option<HealthTransport> {
        let target = self.channel.target();
        let sender = target.pool.calls(&self.subchannel)?;
        Some(HealthTransport { target, sender })
    }

    /// Takes in what its health is.
    pub(in crate::policy) fn set_health(&self, health: Health) {
        self.channel.target().pool.set_health(&self.subchannel, health, &self.channel.serving_events);
    }

    /// Tells that a call over it has passed its deadline without an answer.
    pub(in crate::policy) fn call_is_overdue(&self) {
        self.subchannel.call_is_overdue();
    }

    /// Ends when it takes no new calls.
    pub(in crate::policy) async fn ended(&self) {
        loop {
            let changed = self.channel.connections_changed();
            if self.transport().is_none() {
                return;
            }
            changed.await;
        }
    }
}

impl tonic::codegen::Service<Request<Body>> for HealthTransport {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        self.target.address(&mut head);
        let sender = self.sender.clone();
        Box::pin(async move {
            let message = call::message(body).await?;
            let stream = sender.ready_sender().await.map_err(Error::NotTaken)?;
            let response = stream.send(head, message).map_err(Error::NotTaken)?;
            Ok(call::response(response, None).await?)
        })
    }
}
