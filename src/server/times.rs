//! How long the parts of a webhook's way took.

use std::time::Duration;

use tokio::time::Instant;

use crate::contract::Callback;
use crate::observe::durations::{Durations, Phase};

/// The points in time that a webhook has passed. What was not reached is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Its head was there.
    pub(super) arrived: Instant,
    /// Its body was read and made a message.
    pub(super) decoded: Option<Instant>,
    /// The policy had answered, or it was known that it does not.
    pub(super) answered: Option<Instant>,
    /// Its reply was made.
    pub(super) replied: Instant,
}

impl Times {
    /// It has just arrived.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self { arrived: now, decoded: None, answered: None, replied: now }
    }

    /// Counts how long each phase took that it came to the end of.
    pub(super) fn observe(&self, durations: &Durations, callback: &Callback) {
        let Some(decoded) = self.decoded else { return };
        durations.observe(callback, Phase::Decode, decoded - self.arrived);
        let Some(answered) = self.answered else { return };
        durations.observe(callback, Phase::Policy, answered - decoded);
        durations.observe(callback, Phase::Reply, self.replied - answered);
    }

    /// The same, as the decision log has it.
    pub(super) fn parts(&self) -> Vec<(&'static str, Duration)> {
        let mut parts = Vec::with_capacity(4);
        if let Some(decoded) = self.decoded {
            parts.push(("decode_us", decoded - self.arrived));
            if let Some(answered) = self.answered {
                parts.extend([("policy_us", answered - decoded), ("reply_us", self.replied - answered)]);
            }
        }
        parts.push(("took_us", self.took()));
        parts
    }

    /// All of it.
    pub(super) fn took(&self) -> Duration {
        self.replied - self.arrived
    }
}
