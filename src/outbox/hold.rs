//! The hold of a key: the time for which its own failures may keep its other events waiting (`after.hold`).

use std::time::Duration;

use tokio::time::Instant;

/// A clock that runs while the policy answers.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The time it has run.
    ran: Duration,
    running_since: Option<Instant>,
}

impl Clock {
    pub(super) fn read(&self, at: Instant) -> Duration {
        self.ran + self.running_since.map_or(Duration::ZERO, |since| at.saturating_duration_since(since))
    }

    pub(super) fn run(&mut self, now: Instant) {
        self.running_since.get_or_insert(now);
    }

    pub(super) fn is_running(&self) -> bool {
        self.running_since.is_some()
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.ran = self.read(now);
        self.running_since = None;
    }
}

/// The part of the hold that a key has used since its last success.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// The clock at the first failed attempt of the event that goes on.
    pub(super) failing_since: Option<Duration>,
    /// The part that earlier events have used.
    pub(super) used: Duration,
}

impl Hold {
    /// Notes a failed attempt that began at `began` of the clock, which is at `now`. Returns the part that is used.
    pub(super) fn failed(&mut self, began: Duration, now: Duration) -> Duration {
        let since = *self.failing_since.get_or_insert(began);
        self.used + now.saturating_sub(since)
    }

    /// Notes that the event that went on keeps the others waiting no longer. What it used stays used.
    pub(super) fn stop(&mut self, now: Duration) {
        if let Some(since) = self.failing_since.take() {
            self.used += now.saturating_sub(since);
        }
    }

    /// Returns true if all of it is used.
    pub(super) fn is_spent(&self, hold: Duration) -> bool {
        self.used >= hold && !self.used.is_zero()
    }
}
