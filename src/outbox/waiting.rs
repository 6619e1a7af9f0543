//! The events of one rpc that are in memory and wait, and which of them is next.
//!
//! Of the events that belong to one thing the first alone is in a list or on its way; the others stand behind it, in the
//! order of arrival, until it has ended.

use std::collections::{BTreeMap, HashMap, VecDeque, hash_map};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry;

/// The room that a list of events keeps when it is empty.
const SPARE_ROOM: usize = 64;

/// The events of an rpc that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Those that have not been tried, in the order of arrival.
    fresh: VecDeque<Box<Entry>>,
    /// Those that were read back from the disk, when their time had come.
    backlog: VecDeque<Box<Entry>>,
    /// Those that have failed, by the time of the next attempt and the order of arrival.
    failed: BTreeMap<(Instant, u64), Box<Entry>>,
    /// What has an event in a list or on its way, and the events behind that one.
    busy: HashMap<Arc<str>, VecDeque<Box<Entry>>>,
    behind: usize,
    /// Whether it is the backlog's turn: it and what has just arrived take turns.
    backlogs_turn: bool,
}

/// Which event is taken where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefer {
    /// One that has failed before, as it is older.
    Failed,
    /// One that has not been tried: it cannot be at fault for what failed before it.
    Fresh,
}

impl Waiting {
    /// Takes in an event that arrives, and gives it back if nothing that it belongs to is before it.
    pub(super) fn arrive(&mut self, entry: Box<Entry>) -> Option<Box<Entry>> {
        let Some(key) = &entry.key else { return Some(entry) };
        match self.busy.entry(key.clone()) {
            hash_map::Entry::Occupied(mut behind) => {
                behind.get_mut().push_back(entry);
                self.behind += 1;
                None
            }
            hash_map::Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                Some(entry)
            }
        }
    }

    /// Whether an event of what this one belongs to is before it.
    pub(super) fn is_busy(&self, entry: &Entry) -> bool {
        entry.key.as_ref().is_some_and(|key| self.busy.contains_key(key))
    }

    /// Lets an event wait that has not been tried.
    pub(super) fn push(&mut self, entry: Box<Entry>) {
        self.fresh.push_back(entry);
    }

    /// Lets an event wait that was read back.
    pub(super) fn push_backlog(&mut self, entry: Box<Entry>) {
        self.backlog.push_back(entry);
    }

    /// Lets an event wait that has failed, until it is `due`.
    pub(super) fn put_back(&mut self, entry: Box<Entry>, due: Instant) {
        self.failed.insert((due, entry.number), entry);
    }

    /// An event has ended, so the next one of what it belongs to may go. Says whether there is one.
    pub(super) fn release(&mut self, entry: &Entry) -> bool {
        let Some(key) = &entry.key else { return false };
        let Some(mut behind) = self.busy.remove(key) else { return false };
        let Some(next) = behind.pop_front() else { return false };
        self.busy.insert(key.clone(), behind);
        self.behind -= 1;
        // It is older than what has arrived since.
        self.fresh.push_front(next);
        true
    }

    /// Lets go of what an event belongs to; gives those behind it.
    pub(super) fn forget(&mut self, entry: &Entry) -> VecDeque<Box<Entry>> {
        let behind = entry.key.as_ref().and_then(|key| self.busy.remove(key)).unwrap_or_default();
        self.behind -= behind.len();
        behind
    }

    /// The next event whose time has come.
    pub(super) fn take(&mut self, now: Instant, prefer: Prefer) -> Option<Box<Entry>> {
        match prefer {
            Prefer::Failed => self.take_failed(now).or_else(|| self.take_fresh()),
            Prefer::Fresh => self.take_fresh().or_else(|| self.take_failed(now)),
        }
    }

    /// An event that is as old as `age` and would be next in its list.
    pub(super) fn take_aged(&mut self, now: Instant, age: Duration) -> Option<Box<Entry>> {
        let aged = |entry: &Entry| now.saturating_duration_since(entry.since) >= age;
        for list in [&mut self.fresh, &mut self.backlog] {
            if list.front().is_some_and(|entry| aged(entry)) {
                return pop(list);
            }
        }
        let first = self.failed.first_entry().filter(|first| aged(first.get()));
        first.map(|first| first.remove())
    }

    /// Makes an event due that waits for its time, if it is here. Says whether it is.
    pub(super) fn hurry(&mut self, number: u64, now: Instant) -> bool {
        if let Some(at) = self.failed.keys().copied().find(|(_, failed)| *failed == number) {
            if let Some(entry) = self.failed.remove(&at) {
                self.failed.insert((at.0.min(now), number), entry);
            }
            return true;
        }
        let lists = [&self.fresh, &self.backlog].into_iter().chain(self.busy.values());
        lists.flatten().any(|entry| entry.number == number)
    }

    /// Takes an event out, wherever it waits. Says whether it was behind another.
    pub(super) fn take_out(&mut self, number: u64) -> Option<(Box<Entry>, bool)> {
        let at = self.failed.keys().copied().find(|(_, failed)| *failed == number);
        if let Some(entry) = at.and_then(|at| self.failed.remove(&at)) {
            return Some((entry, false));
        }
        let take = |list: &mut VecDeque<Box<Entry>>| {
            let at = list.iter().position(|entry| entry.number == number)?;
            list.remove(at)
        };
        if let Some(entry) = [&mut self.fresh, &mut self.backlog].into_iter().find_map(take) {
            return Some((entry, false));
        }
        let entry = self.busy.values_mut().find_map(take)?;
        self.behind -= 1;
        Some((entry, true))
    }

    /// Makes every event due.
    pub(super) fn make_due(&mut self, now: Instant) {
        let failed = std::mem::take(&mut self.failed);
        self.failed = failed.into_values().map(|entry| ((now, entry.number), entry)).collect();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.backlog.len() + self.failed.len() + self.behind
    }

    /// How many have not been tried and are before all that they belong to.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// How many were read back.
    pub(super) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// How many have failed.
    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// When the next one is due. A fresh one has been so all the time.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = self.fresh.front().or(self.backlog.front()).map(|entry| entry.arrived);
        now.or_else(|| self.failed.keys().next().map(|(due, _)| *due))
    }

    /// When the oldest one has arrived.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let failed = self.failed.values().map(|entry| entry.arrived).min();
        let fronts = [self.fresh.front(), self.backlog.front()].into_iter().flatten().map(|entry| entry.arrived);
        let behind = self.busy.values().filter_map(|behind| behind.front()).map(|entry| entry.arrived);
        fronts.chain(failed).chain(behind).min()
    }

    fn take_fresh(&mut self) -> Option<Box<Entry>> {
        self.backlogs_turn = !self.backlogs_turn;
        let (first, second) = match self.backlogs_turn {
            true => (&mut self.backlog, &mut self.fresh),
            false => (&mut self.fresh, &mut self.backlog),
        };
        pop(first).or_else(|| pop(second))
    }

    fn take_failed(&mut self, now: Instant) -> Option<Box<Entry>> {
        let first = self.failed.first_entry().filter(|first| first.key().0 <= now);
        first.map(|first| first.remove())
    }
}

fn pop(list: &mut VecDeque<Box<Entry>>) -> Option<Box<Entry>> {
    let entry = list.pop_front();
    if list.is_empty() {
        list.shrink_to(SPARE_ROOM);
    }
    entry
}
