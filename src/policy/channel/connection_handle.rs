//! A handle of one connection of a channel, whatever the balancer picks, for its health checks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::time::timeout;

use super::endpoint::Health;
use super::subchannel::Subchannel;
use super::{Channel, Error};
use crate::config::Address;
use crate::policy::CallError;

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
        self.channel.target().pool.balancer.lock().ready_mut(&self.subchannel).is_some()
    }

    /// Records its health.
    pub(in crate::policy) fn set_health(&self, health: Health) {
        self.channel.target().pool.change(|balancer| balancer.set_health(&self.subchannel, health));
    }

    /// Ends when the connection takes no new calls.
    pub(in crate::policy) async fn closed(&self) {
        self.channel.until(|| (!self.is_connected()).then_some(())).await;
    }

    /// Makes the call of a health check, which is reset if it takes longer than `limit`.
    pub(in crate::policy) async fn check(&self, call: Request<Bytes>, limit: Duration) -> Result<Bytes, CallError> {
        let target = self.channel.target();
        let sender = target.pool.balancer.lock().ready_mut(&self.subchannel).map(|ready| ready.sender.clone());
        let sender = sender.ok_or_else(|| Error::NotConnected("the connection has closed".to_owned()))?;
        timeout(limit, target.check(sender, call)).await.unwrap_or_else(|_| {
            self.subchannel.call_is_overdue();
            Err(Error::DeadlineExceeded.into())
        })
    }
}

impl PartialEq for ConnectionHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.subchannel, &other.subchannel)
    }
}
