//! What is kept, within its bounds, and which event is next.
//!
//! All of it is memory: a crash loses it. What keeps events on a disk takes this place; an event is there from `keep` to
//! `done`, and `put_back` is all that changes about it between the two.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Event;
use super::entry::Entry;

/// The room that a list of events keeps when it is empty.
const SPARE_ROOM: usize = 64;

/// The events of all rpcs.
#[derive(Debug)]
pub(super) struct Outbox {
    max_events: usize,
    max_bytes: usize,
    /// Kept: waiting, or taken and neither done nor put back.
    events: usize,
    bytes: usize,
    arrivals: u64,
    waiting: BTreeMap<&'static str, Waiting>,
}

/// The events of an rpc that wait.
#[derive(Debug, Default)]
struct Waiting {
    /// Those that have not been tried, in the order of arrival.
    fresh: VecDeque<Box<Entry>>,
    /// Those that have failed, by the time of the next attempt and the order of arrival.
    failed: BTreeMap<(Instant, u64), Box<Entry>>,
}

/// Which event is taken where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefer {
    /// One that has failed before, as it is older.
    Failed,
    /// One that has not been tried: it cannot be at fault for what failed before it.
    Fresh,
}

impl Outbox {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self { max_events, max_bytes, events: 0, bytes: 0, arrivals: 0, waiting: BTreeMap::new() }
    }

    /// Takes an event in; gives it back where there is no room. It is kept until it is `done`.
    pub(super) fn keep(&mut self, event: Event, now: Instant) -> Result<Box<Entry>, Box<Entry>> {
        let entry = Entry::new(event, self.arrivals, now);
        let size = entry.size();
        if self.events >= self.max_events || self.bytes.saturating_add(size) > self.max_bytes {
            return Err(entry);
        }
        self.arrivals += 1;
        self.events += 1;
        self.bytes += size;
        Ok(entry)
    }

    /// Lets an event wait that has not been tried.
    pub(super) fn push(&mut self, entry: Box<Entry>) {
        self.of(entry.callback.rpc).fresh.push_back(entry);
    }

    /// Lets an event wait that has failed, until it is `due`.
    pub(super) fn put_back(&mut self, entry: Box<Entry>, due: Instant) {
        self.of(entry.callback.rpc).failed.insert((due, entry.number), entry);
    }

    /// The next event of an rpc whose time has come.
    pub(super) fn take(&mut self, rpc: &'static str, now: Instant, prefer: Prefer) -> Option<Box<Entry>> {
        let waiting = self.of(rpc);
        match prefer {
            Prefer::Failed => waiting.take_failed(now).or_else(|| waiting.take_fresh()),
            Prefer::Fresh => waiting.take_fresh().or_else(|| waiting.take_failed(now)),
        }
    }

    /// An event of an rpc that is as old as `age` and would be next in its list.
    pub(super) fn take_aged(&mut self, rpc: &'static str, now: Instant, age: Duration) -> Option<Box<Entry>> {
        let aged = |entry: &Entry| now.saturating_duration_since(entry.arrived) >= age;
        let waiting = self.of(rpc);
        if waiting.fresh.front().is_some_and(|entry| aged(entry)) {
            return waiting.take_fresh();
        }
        let first = waiting.failed.first_entry().filter(|first| aged(first.get()));
        first.map(|first| first.remove())
    }

    /// Lets go of an event that was taken: its end has come.
    pub(super) fn done(&mut self, entry: &Entry) {
        self.events -= 1;
        self.bytes -= entry.size();
    }

    /// Makes every event due.
    pub(super) fn make_due(&mut self, now: Instant) {
        for waiting in self.waiting.values_mut() {
            let failed = std::mem::take(&mut waiting.failed);
            waiting.failed = failed.into_values().map(|entry| ((now, entry.number), entry)).collect();
        }
    }

    /// Lets go of everything, taken or not, and keeps nothing more; says how many events that were.
    pub(super) fn close(&mut self) -> usize {
        self.max_events = 0;
        self.waiting.clear();
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }

    /// How many events are kept.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// How many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many events of an rpc wait.
    pub(super) fn waiting(&self, rpc: &str) -> usize {
        self.waiting.get(rpc).map_or(0, |waiting| waiting.fresh.len() + waiting.failed.len())
    }

    /// When the next event of an rpc is due. A fresh one has been so all the time.
    pub(super) fn next_due(&self, rpc: &str) -> Option<Instant> {
        let waiting = self.waiting.get(rpc)?;
        let fresh = waiting.fresh.front().map(|entry| entry.arrived);
        fresh.or_else(|| waiting.failed.keys().next().map(|(due, _)| *due))
    }

    /// When the oldest event of an rpc that waits has arrived.
    pub(super) fn oldest(&self, rpc: &str) -> Option<Instant> {
        let waiting = self.waiting.get(rpc)?;
        let failed = waiting.failed.values().map(|entry| entry.arrived).min();
        waiting.fresh.front().map(|entry| entry.arrived).into_iter().chain(failed).min()
    }

    fn of(&mut self, rpc: &'static str) -> &mut Waiting {
        self.waiting.entry(rpc).or_default()
    }
}

impl Waiting {
    fn take_fresh(&mut self) -> Option<Box<Entry>> {
        let entry = self.fresh.pop_front();
        if self.fresh.is_empty() {
            self.fresh.shrink_to(SPARE_ROOM);
        }
        entry
    }

    fn take_failed(&mut self, now: Instant) -> Option<Box<Entry>> {
        let first = self.failed.first_entry().filter(|first| first.key().0 <= now);
        first.map(|first| first.remove())
    }
}
