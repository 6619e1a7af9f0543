//! An event that is kept: small, because there may be a hundred thousand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::lane::LOG_INTERVAL;
use super::{Event, Reason};
use crate::contract;
use crate::contract::Callback;
use crate::contract::{Metadata, metadata};
use crate::failure::Failure;
use crate::observe::log_limit::LogLimit;
use crate::policy::PolicyCall;

/// An event and how far it has come.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) callback: &'static Callback,
    pub(super) message: Bytes,
    pub(super) metadata: Metadata,
    pub(super) budget: Duration,
    /// What it belongs to; those that belong to one thing are delivered one after another.
    pub(super) key: Option<Arc<str>>,
    /// Its place in the order of arrival.
    pub(super) number: u64,
    pub(super) arrived: Instant,
    /// How often it has been tried, the attempt in flight included.
    pub(super) attempts: u32,
    /// From when on its age counts, and how many attempts do not: other than at its arrival, if it was replayed.
    pub(super) since: Instant,
    pub(super) spared: u32,
}

impl Entry {
    pub(super) fn new(event: Event, number: u64, arrived: Instant) -> Box<Self> {
        let Event { callback, message, metadata, budget } = event;
        let key = contract::ordering_key(callback.request, callback.ordered_by, &message);
        let (attempts, spared, since) = (0, 0, arrived);
        Box::new(Self { callback, message, metadata, budget, key, number, arrived, attempts, since, spared })
    }

    /// The memory that it takes, about.
    pub(super) fn size(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.len());
        size_of::<Self>() + self.message.len() + self.metadata.size() + key
    }

    /// The attempt that has just begun, as it is put to the policy.
    pub(super) fn call(&self, began: Instant) -> PolicyCall {
        let Self { callback, budget, attempts: attempt, .. } = *self;
        let (message, metadata) = (self.message.clone(), self.metadata.clone());
        PolicyCall { callback, message, metadata, attempt, deadline: began + budget }
    }

    /// The encoded request message.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// How many attempts count against the limit.
    pub(super) fn counted_attempts(&self) -> u32 {
        self.attempts.saturating_sub(self.spared)
    }

    /// The command, as logs have it: the fallback's row has none.
    pub(super) fn command(&self) -> &str {
        self.metadata.shown_command()
    }

    pub(super) fn operation_id(&self) -> &str {
        self.metadata.get(&metadata::OPERATION_ID)
    }

    pub(super) fn event_id(&self) -> &str {
        self.metadata.get(&metadata::EVENT_ID)
    }

    /// Logs an attempt that failed: at debug if `limit` is reached.
    pub(super) fn log_attempt(&self, failure: &Failure, limit: &LogLimit) {
        let (rpc, event_id, attempts) = (self.callback.rpc, self.event_id(), self.attempts);
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

    /// The one line about an event that ends undelivered.
    pub(super) fn log_end(&self, reason: Reason, failure: Option<&Failure>) {
        warn!(
            command = self.command(),
            rpc = self.callback.rpc,
            operation_id = self.operation_id(),
            event_id = self.event_id(),
            attempts = self.attempts,
            reason = reason.as_str(),
            class = failure.map(|failure| failure.class.as_str()),
            cause = failure.map(|failure| &*failure.cause),
            "event dead-lettered",
        );
    }
}
