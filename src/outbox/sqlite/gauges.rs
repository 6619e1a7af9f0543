//! Numbers of the store on disk that can be read at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::dead::Dead;

/// The upper bounds of the buckets in which commits are counted by their time.
pub(crate) const COMMIT_BUCKETS: [Duration; 9] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// Numbers that can be read at any time.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) dead: AtomicUsize,
    pub(super) dead_bytes: AtomicUsize,
    /// The bytes of dead letters that the policy does not implement.
    pub(super) unimplemented_bytes: AtomicUsize,
    /// Events of the latter that were evicted for their bound.
    pub(super) unimplemented_evicted: AtomicU64,
    /// Bytes of dead letters that are to make room, and have not been dropped yet.
    pub(super) promised: AtomicUsize,
    pub(super) unreadable: AtomicU64,
    pub(super) commits: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    pub(super) commit_micros: AtomicU64,
    /// The size of the files, as it was a moment ago.
    pub(super) file_bytes: AtomicU64,
    /// True if the writer has ended before it was told to.
    pub(super) stopped: AtomicBool,
}

impl Gauges {
    /// Counts the dead letters, as far as the disk has taken them.
    pub(super) fn dead(&self) -> Dead {
        let [events, bytes, unimplemented] =
            [&self.dead, &self.dead_bytes, &self.unimplemented_bytes].map(|gauge| gauge.load(Relaxed) as isize);
        Dead { events, bytes, unimplemented }
    }

    pub(super) fn count_dead(&self, change: Dead) {
        let add = |gauge: &AtomicUsize, change| gauge.store(gauge.load(Relaxed).saturating_add_signed(change), Relaxed);
        add(&self.dead, change.events);
        add(&self.dead_bytes, change.bytes);
        add(&self.unimplemented_bytes, change.unimplemented);
    }

    pub(super) fn recount_dead(&self, count: Dead) {
        self.count_dead(count - self.dead());
    }
}
