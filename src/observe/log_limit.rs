//! A limit on the rate of log messages that callers or a broken disk can cause.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::counters::millis_now;

/// Limits a log message to one in an interval.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    /// The interval of the last message, counted from 1970 on; 0 is never.
    logged: AtomicU64,
    /// The number of messages left out since.
    unlogged: AtomicU64,
}

impl LogLimit {
    /// Calls `log` unless it was called in this interval of `seconds` already. It gets the number of messages left out since
    /// the last one; `None` for 0.
    pub(crate) fn log(&self, seconds: u64, log: impl FnOnce(Option<u64>)) {
        let interval = millis_now() / 1_000 / seconds;
        if self.logged.swap(interval, Relaxed) == interval {
            self.unlogged.fetch_add(1, Relaxed);
        } else {
            let unlogged = self.unlogged.swap(0, Relaxed);
            log(Some(unlogged).filter(|unlogged| *unlogged > 0));
        }
    }
}
