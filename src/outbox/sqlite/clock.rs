//! Points in time that outlive the process: milliseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The system's clock as it was at the start, and from then on one that does not jump.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    milliseconds: i64,
}

impl Clock {
    /// Begins now, and no earlier than `latest`: what was written before a clock was set back must not lie in the future.
    pub(in crate::outbox) fn start(latest: i64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self { start: Instant::now(), milliseconds: i64::try_from(now).unwrap_or(i64::MAX).max(latest) }
    }

    /// Now.
    pub(in crate::outbox) fn now(&self) -> i64 {
        self.of(Instant::now())
    }

    /// A point in time as it is written.
    pub(in crate::outbox) fn of(&self, at: Instant) -> i64 {
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        match at.checked_duration_since(self.start) {
            Some(after) => self.milliseconds.saturating_add(milliseconds(after)),
            None => self.milliseconds.saturating_sub(milliseconds(self.start - at)),
        }
    }

    /// A point in time as it was written. One that an `Instant` cannot express becomes the start of this process.
    pub(in crate::outbox) fn instant(&self, milliseconds: i64) -> Instant {
        let distance = Duration::from_millis(milliseconds.abs_diff(self.milliseconds));
        if milliseconds >= self.milliseconds {
            self.start.checked_add(distance).unwrap_or(self.start)
        } else {
            self.start.checked_sub(distance).unwrap_or(self.start)
        }
    }
}
