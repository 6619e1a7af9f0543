//! An event that is kept: small, because there may be a hundred thousand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::limiter::LOG_INTERVAL;
use super::{Event, Reason};
use crate::contract::{self, Callback, Metadata, metadata};
use crate::failure::Failure;
use crate::observe::log_limit::LogLimit;
use crate::policy::PolicyCall;

/// An event, and its progress. Clones share the event.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) event: Arc<Kept>,
    pub(super) progress: Progress,
}

/// An event as it arrived.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) callback: &'static Callback,
    pub(super) message: Bytes,
    pub(super) metadata: Metadata,
    /// The time that each attempt is given.
    pub(super) budget: Duration,
    /// The key of its order; none if it has no order.
    pub(super) key: Option<Key>,
    /// Its place in the order of arrival: `hookgate-sequence`.
    pub(super) number: u64,
    pub(super) arrived: Instant,
}

/// The attempts of an event so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// The number of attempts, the one in flight included.
    pub(super) attempts: u32,
    /// The attempts before it was replayed, which do not count against the limit.
    pub(super) spared: u32,
    /// The start of its age: its arrival, or its replay.
    pub(super) since: Instant,
    /// True if the events behind it do not wait for it: it was parked, or replayed.
    pub(super) parked: bool,
}

/// The key of an order: events of one key are delivered one after another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The rpcs that share the order.
    pub(super) domain: &'static str,
    /// The values of the fields that the contract orders by.
    pub(super) value: Arc<str>,
}

impl Entry {
    /// An event that arrives; it has no number yet.
    pub(super) fn new(event: Event, arrived: Instant) -> Self {
        let Event { callback, message, metadata, budget, ordered } = event;
        let value = ordered.then(|| contract::ordering_key(callback.request, callback.ordered_by, &message));
        let key = value.flatten().map(|value| Key { domain: callback.order_domain, value });
        let progress = Progress { attempts: 0, spared: 0, since: arrived, parked: false };
        Self { event: Arc::new(Kept { callback, message, metadata, budget, key, number: 0, arrived }), progress }
    }

    /// Gives an event that arrives its number.
    pub(super) fn set_number(&mut self, number: u64) {
        if let Some(event) = Arc::get_mut(&mut self.event) {
            event.number = number;
        }
    }

    /// Lets go of the message, which has no room.
    pub(super) fn forget_message(&mut self) {
        let Kept { callback, metadata, budget, key, number, arrived, .. } = &*self.event;
        let (metadata, key, message) = (metadata.clone(), key.clone(), Bytes::new());
        let (callback, budget, number, arrived) = (*callback, *budget, *number, *arrived);
        self.event = Arc::new(Kept { callback, message, metadata, budget, key, number, arrived });
    }

    pub(super) fn number(&self) -> u64 {
        self.event.number
    }

    pub(super) fn rpc(&self) -> &'static str {
        self.event.callback.rpc
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.event.key.as_ref()
    }

    /// The approximate memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let Kept { message, metadata, key, .. } = &*self.event;
        let key = key.as_ref().map_or(0, |key| key.value.len());
        size_of::<Kept>() + size_of::<Self>() + message.len() + metadata.size() + key
    }

    /// The attempt that has just begun, as a call.
    pub(super) fn call(&self, began: Instant) -> PolicyCall {
        let Kept { callback, message, metadata, budget, key, number, .. } = &*self.event;
        let is_ordered = key.is_some();
        PolicyCall {
            callback,
            message: message.clone(),
            metadata: metadata.clone(),
            attempt: self.progress.attempts,
            sequence: is_ordered.then_some(*number),
            late: is_ordered && self.progress.parked,
            deadline: began + *budget,
        }
    }

    /// The number of attempts that count against the limit.
    pub(super) fn counted_attempts(&self) -> u32 {
        self.progress.attempts.saturating_sub(self.progress.spared)
    }

    /// The command for logs: the fallback's row has none.
    pub(super) fn command(&self) -> &str {
        self.event.metadata.shown_command()
    }

    pub(super) fn operation_id(&self) -> &str {
        self.event.metadata.get(&metadata::OPERATION_ID)
    }

    pub(super) fn event_id(&self) -> &str {
        self.event.metadata.get(&metadata::EVENT_ID)
    }

    /// Logs an attempt that failed: at debug if `limit` is reached.
    pub(super) fn log_attempt(&self, failure: &Failure, limit: &LogLimit) {
        let (rpc, event_id, attempts) = (self.rpc(), self.event_id(), self.progress.attempts);
        let (class, cause) = (failure.class.as_str(), &failure.cause);
        let mut is_logged = false;
        limit.log(LOG_INTERVAL, |unlogged| {
            is_logged = true;
            warn!(rpc, event_id, attempts, class, cause, unlogged, "event attempt failed");
        });
        if !is_logged {
            debug!(rpc, event_id, attempts, class, cause, "event attempt failed");
        }
    }

    /// Logs the one line about an event that ends undelivered.
    pub(super) fn log_end(&self, reason: Reason, failure: Option<&Failure>) {
        self.log(reason, failure, "event dead-lettered");
    }

    /// Logs the one line about an event that is lost: nothing keeps it.
    pub(super) fn log_dropped(&self, reason: Reason, failure: Option<&Failure>) {
        self.log(reason, failure, "event dropped");
    }

    fn log(&self, reason: Reason, failure: Option<&Failure>, what: &'static str) {
        warn!(
            command = self.command(),
            rpc = self.rpc(),
            operation_id = self.operation_id(),
            event_id = self.event_id(),
            attempts = self.progress.attempts,
            reason = reason.as_str(),
            class = failure.map(|failure| failure.class.as_str()),
            cause = failure.map(|failure| &*failure.cause),
            "{what}",
        );
    }
}
