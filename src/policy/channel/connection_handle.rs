//! A handle of one connection of a channel, whatever the balancer picks: a transport for its health checks.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;

use super::call::ResponseBody;
use super::endpoint::Health;
use super::subchannel::Subchannel;
use super::target::Responding;
use super::{Channel, Error};
use crate::config::Address;

/// A connection of a channel. Its calls do not count as in flight.
#[derive(Clone)]
pub(in crate::policy) struct ConnectionHandle {
    pub(super) channel: Channel,
    pub(super) subchannel: Arc<Subchannel>,
}

impl ConnectionHandle {
    /// The address that it leads to.
    pub(in crate::policy) fn address(&self) -> &Address {
        &self.subchannel.address
    }

    /// Returns true while the connection takes new calls.
    pub(in crate::policy) fn is_connected(&self) -> bool {
        self.channel.target().pool.lock().ready_mut(&self.subchannel).is_some()
    }

    /// Records its health.
    pub(in crate::policy) fn set_health(&self, health: Health) {
        self.channel.target().pool.change(|balancer| balancer.set_health(&self.subchannel, health));
    }

    /// Records that a call over it has passed its deadline without an answer.
    pub(in crate::policy) fn call_is_overdue(&self) {
        self.subchannel.call_is_overdue();
    }

    /// Ends when the connection takes no new calls.
    pub(in crate::policy) async fn closed(&self) {
        loop {
            let changed = self.channel.connections_changed();
            if !self.is_connected() {
                return;
            }
            changed.await;
        }
    }
}

impl tonic::codegen::Service<Request<Body>> for ConnectionHandle {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Responding {
        let target = self.channel.target();
        let sender = target.pool.lock().ready_mut(&self.subchannel).map(|ready| ready.sender.clone());
        match sender {
            Some(sender) => target.call(request, Some(sender)),
            None => Box::pin(async { Err(Error::NotConnected("the connection has closed".to_owned())) }),
        }
    }
}

impl PartialEq for ConnectionHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.subchannel, &other.subchannel)
    }
}
