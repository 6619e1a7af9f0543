//! A limit on the rate of log messages that callers or a broken disk can cause.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The beginning of the time that limits are measured in: a clock that is set changes nothing.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Limits a log message to one in a time.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    /// The time of the last message, in milliseconds, from 1 on; 0 is never.
    logged: AtomicU64,
    /// The number of messages left out since.
    unlogged: AtomicU64,
}

impl LogLimit {
    /// Calls `log` unless it was called in the last `seconds` already. It gets the number of messages left out since the last
    /// one; `None` for 0.
    pub(crate) fn log(&self, seconds: u64, log: impl FnOnce(Option<u64>)) {
        let now = STARTED.elapsed().as_millis() as u64 + 1;
        let last = self.logged.load(Relaxed);
        let is_due = last == 0 || now >= last + seconds * 1_000;
        if is_due && self.logged.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            let unlogged = self.unlogged.swap(0, Relaxed);
            log(Some(unlogged).filter(|unlogged| *unlogged > 0));
        } else {
            self.unlogged.fetch_add(1, Relaxed);
        }
    }
}
