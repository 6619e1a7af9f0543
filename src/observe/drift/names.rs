//! Counters by name. Any caller can invent names, so their number and length are bounded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};

use super::Name;
use crate::cut::beginning;

/// Maximum bytes of a name; a longer one is truncated.
pub const LONGEST_NAME: usize = 128;

/// The name under which everything over the maximum number of names is counted.
pub const OTHER: &str = "other";

/// A counter with the times of its first and last increment, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Count {
    count: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
}

/// A bounded map of counters. A name has no control characters and at most [`LONGEST_NAME`] bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, Count>,
    other: Count,
}

impl Count {
    /// Adds `times`; `now` is in milliseconds since 1970.
    pub(super) fn add(&self, times: u64, now: u64) {
        if self.count.fetch_add(times, Relaxed) == 0 {
            self.first.store(now, Relaxed);
        }
        self.last.store(now, Relaxed);
    }

    /// Returns the counter of a name for a report, unless it is 0.
    pub(super) fn report(&self, rpc: Option<&str>, name: &str) -> Option<Name> {
        let time = |millis: &AtomicU64| rfc3339(millis.load(Relaxed));
        let (rpc, name, count) = (rpc.map(str::to_owned), name.to_owned(), self.count.load(Relaxed));
        (count > 0).then(|| Name { rpc, name, count, first_seen: time(&self.first), last_seen: time(&self.last) })
    }
}

/// Returns a time in milliseconds since 1970 as RFC 3339 has it, in UTC and whole seconds.
pub(super) fn rfc3339(millis: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}

impl Names {
    /// Counts a name, or `other` if there are `most` names already.
    pub(super) fn count(&mut self, name: &str, most: usize, now: u64) {
        let mut name = Cow::from(beginning(name, LONGEST_NAME));
        if name.contains(char::is_control) {
            name = name.replace(char::is_control, "?").into();
        }
        match self.known.get(&*name) {
            Some(count) => count.add(1, now),
            None if name == OTHER || self.known.len() >= most => self.other.add(1, now),
            None => self.known.entry(name.into_owned()).or_default().add(1, now),
        }
    }

    /// Counts `times` names that are not known, as `other`.
    pub(super) fn count_other(&self, times: usize, now: u64) {
        if times > 0 {
            self.other.add(times as u64, now);
        }
    }

    /// Returns the counters, in the order of their names, `other` last. `rpc` is the one that the names are of.
    pub(super) fn report(&self, rpc: Option<&str>) -> impl Iterator<Item = Name> {
        let known = self.known.iter().filter_map(move |(name, count)| count.report(rpc, name));
        known.chain(self.other.report(rpc, OTHER))
    }
}
