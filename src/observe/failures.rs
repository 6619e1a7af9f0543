//! The last failure of an rpc, as `/status` shows it.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::counters::millis_now;
use crate::failure::Failure;

/// The last failure of an rpc, and the number of failures so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The class: `unavailable`.
    pub class: String,
    /// The gRPC status that the policy itself gave, if it gave one.
    pub status: Option<String>,
    /// The cause, as in the log.
    pub cause: String,
    /// The time in milliseconds since 1970.
    pub at_ms: u64,
    /// The number of failures since the start.
    pub count: u64,
}

/// The failures of an rpc: the last one is kept.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Option<LastFailure>>);

impl Failures {
    /// Notes a failure.
    pub(crate) fn note(&self, failure: &Failure) {
        let status = failure.status.filter(|code| *code != Code::Ok).map(|code| format!("{code:?}"));
        let (class, cause) = (failure.class.to_string(), failure.cause.clone());
        let mut last = self.0.lock();
        let count = last.as_ref().map_or(0, |last| last.count) + 1;
        *last = Some(LastFailure { class, status, cause, at_ms: millis_now(), count });
    }

    /// Returns the last failure, if there was one. Without `quotes` the code of a status that the policy gave stands for its
    /// message, which may quote content.
    pub(crate) fn last(&self, quotes: bool) -> Option<LastFailure> {
        let mut last = self.0.lock().clone()?;
        if let (Some(status), false) = (&last.status, quotes) {
            last.cause.clone_from(status);
        }
        Some(last)
    }
}
