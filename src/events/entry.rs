//! An event that is kept: small, because there may be a hundred thousand.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::metadata::{MetadataMap, MetadataValue};
use tracing::warn;

use super::{Event, Reason};
use crate::callback::Callback;
use crate::error::Failure;
use crate::policy::Question;

/// An event and how far it has come.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) callback: &'static Callback,
    message: Bytes,
    /// The metadata as a list: a map of it has a kilobyte of room to grow.
    metadata: Box<[(HeaderName, HeaderValue)]>,
    budget: Duration,
    /// Its place in the order of arrival.
    pub(super) number: u64,
    pub(super) arrived: Instant,
    /// How often it has been tried, the attempt in flight included.
    pub(super) attempts: u32,
}

impl Entry {
    pub(super) fn new(event: Event, number: u64, arrived: Instant) -> Box<Self> {
        let Event { callback, message, metadata, budget } = event;
        let mut name = None;
        // A map that is taken apart gives the name of several values once.
        let metadata = metadata.into_headers().into_iter().filter_map(|(next, value)| {
            name = next.or(name.take());
            Some((name.clone()?, value))
        });
        Box::new(Self { callback, message, metadata: metadata.collect(), budget, number, arrived, attempts: 0 })
    }

    /// The memory that it takes, about.
    pub(super) fn size(&self) -> usize {
        let metadata = self.metadata.iter().map(|pair| size_of_val(pair) + pair.1.len()).sum::<usize>();
        size_of::<Self>() + self.message.len() + metadata
    }

    /// The next attempt, as it is put to the policy.
    pub(super) fn question(&self) -> Question {
        let mut headers = HeaderMap::with_capacity(self.metadata.len() + 2);
        for (name, value) in &self.metadata {
            headers.append(name, value.clone());
        }
        let mut metadata = MetadataMap::from_headers(headers);
        metadata.insert("hookgate-attempt", MetadataValue::from(self.attempts));
        let deadline = Instant::now() + self.budget;
        Question { callback: self.callback, message: self.message.clone(), metadata, deadline }
    }

    /// The command as posted: the fallback's row has none.
    pub(super) fn command(&self) -> &str {
        self.text("openim-command")
    }

    pub(super) fn operation_id(&self) -> &str {
        self.text("openim-operation-id")
    }

    pub(super) fn event_id(&self) -> &str {
        self.text("hookgate-event-id")
    }

    fn text(&self, name: &str) -> &str {
        let value = self.metadata.iter().find(|(candidate, _)| candidate == name);
        value.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
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
            cause = failure.map(Failure::cause),
            "an event ends undelivered",
        );
    }
}
