//! The events of an rpc that are loaded from the store: which of them is next, and when to load more.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::entry::{Entry, Key};
use super::store::{Ask, Claimed, Kind};

/// Maximum number of events that are loaded at once, of each kind.
const CHUNK: usize = 64;

/// Maximum number of events that arrived and stay loaded while older ones are in the store alone.
const LIVE: usize = 64;

/// Maximum bytes of these, but for the last one.
const LIVE_BYTES: usize = 256 << 10;

/// Capacity that an empty list keeps.
const SPARE: usize = 8;

/// Events that are loaded, by the reason for which they may go.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Events of each kind; among the due ones those that are next of their key.
    lists: [VecDeque<Entry>; Kind::ALL.len()],
    /// Events that have just arrived.
    live: VecDeque<Entry>,
    live_bytes: usize,
    /// True if it is the turn of what has just arrived: it and what waited in the store take turns.
    is_turn_of_live: bool,
    is_asking: bool,
    /// The time at which the store has more of each kind, as far as it is known.
    next: [Option<Instant>; Kind::ALL.len()],
}

impl Loaded {
    /// Returns true if an event that arrives may stay loaded.
    pub(super) fn has_room_for_live(&self) -> bool {
        self.live.len() < LIVE && self.live_bytes < LIVE_BYTES
    }

    pub(super) fn push_live(&mut self, entry: Entry) {
        self.live_bytes += entry.size();
        self.live.push_back(entry);
    }

    /// Adds an event that may go, such as the next of its key.
    pub(super) fn push_due(&mut self, entry: Entry) {
        self.lists[Kind::Due as usize].push_back(entry);
    }

    /// Adds an event of a key that has used up its hold: it goes before those that are parked, as others may wait for it.
    pub(super) fn push_weak(&mut self, entry: Entry) {
        let list = &mut self.lists[Kind::Parked as usize];
        let at = list.iter().position(|other| other.progress.parked).unwrap_or(list.len());
        list.insert(at, entry);
    }

    /// Notes that the store has more of a kind from then on.
    pub(super) fn more_at(&mut self, kind: Kind, at: Instant) {
        let next = &mut self.next[kind as usize];
        *next = Some(next.map_or(at, |due| due.min(at)));
    }

    /// Returns a question to the store, if more is to be loaded now.
    pub(super) fn ask(&mut self, rpc: &'static str, now: Instant) -> Option<Ask> {
        if self.is_asking {
            return None;
        }
        let most = Kind::ALL.map(|kind| {
            let is_due = self.next[kind as usize].is_some_and(|due| due <= now);
            if is_due && self.has_room(kind) { CHUNK } else { 0 }
        });
        if most == [0; Kind::ALL.len()] {
            return None;
        }
        self.is_asking = true;
        for (next, most) in self.next.iter_mut().zip(most) {
            next.take_if(|_| most > 0);
        }
        Some(Ask { rpc, most })
    }

    fn has_room(&self, kind: Kind) -> bool {
        self.lists[kind as usize].len() < CHUNK / 2
    }

    /// Adds what the store had.
    pub(super) fn add(&mut self, claimed: Claimed) {
        self.is_asking = false;
        for ((kind, entries), next) in Kind::ALL.into_iter().zip(claimed.entries).zip(claimed.next) {
            self.lists[kind as usize].extend(entries);
            if let Some(at) = next {
                self.more_at(kind, at);
            }
        }
    }

    /// Returns true if nothing that is loaded would go before an event that arrives.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && [Kind::Due, Kind::Fresh].iter().all(|kind| self.lists[*kind as usize].is_empty())
    }

    /// Takes the next event: first those that have failed, unless others are preferred. A parked one only if there is room for it.
    pub(super) fn take(&mut self, prefers_fresh: bool, has_weak_room: bool) -> Option<Entry> {
        if prefers_fresh && let Some(fresh) = self.take_fresh() {
            return Some(fresh);
        }
        let due = pop(&mut self.lists[Kind::Due as usize]);
        let parked = |lists: &mut [VecDeque<Entry>; 3]| pop(&mut lists[Kind::Parked as usize]);
        due.or_else(|| if has_weak_room { parked(&mut self.lists) } else { None }).or_else(|| self.take_fresh())
    }

    fn take_fresh(&mut self) -> Option<Entry> {
        self.is_turn_of_live = !self.is_turn_of_live;
        let backlog = |loaded: &mut Self| pop(&mut loaded.lists[Kind::Fresh as usize]);
        match self.is_turn_of_live {
            true => self.pop_live().or_else(|| backlog(self)),
            false => backlog(self).or_else(|| self.pop_live()),
        }
    }

    fn pop_live(&mut self) -> Option<Entry> {
        let entry = pop(&mut self.live)?;
        // One that was dropped meanwhile is counted until there is none.
        self.live_bytes = if self.live.is_empty() { 0 } else { self.live_bytes.saturating_sub(entry.size()) };
        Some(entry)
    }

    /// Takes an event out by its number.
    pub(super) fn take_out(&mut self, number: u64) -> Option<Entry> {
        self.all_lists().find_map(|list| {
            let at = list.iter().position(|entry| entry.number() == number)?;
            list.remove(at)
        })
    }

    /// The keys whose order the events hold that are loaded.
    pub(super) fn orders(&self) -> impl Iterator<Item = &Key> {
        self.all().filter(|entry| !entry.progress.parked).filter_map(Entry::key)
    }

    /// The events that are loaded.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.lists.iter().chain([&self.live]).flatten()
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        self.all_lists().flat_map(std::mem::take).collect()
    }

    fn all_lists(&mut self) -> impl Iterator<Item = &mut VecDeque<Entry>> {
        self.lists.iter_mut().chain([&mut self.live])
    }

    /// Returns the time at which there is something to do: now, if an event is loaded that may go.
    pub(super) fn next_due(&self, now: Instant, has_weak_room: bool) -> Option<Instant> {
        let is_parked_loaded = !self.lists[Kind::Parked as usize].is_empty();
        if !self.is_empty() || (has_weak_room && is_parked_loaded) {
            return Some(now);
        }
        let kinds =
            Kind::ALL.into_iter().filter(|kind| *kind != Kind::Parked || (has_weak_room && self.has_room(*kind)));
        kinds.filter_map(|kind| self.next[kind as usize]).min().filter(|_| !self.is_asking)
    }

    /// Returns the arrival of the oldest event that is loaded.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.all().map(|entry| entry.event.arrived).min()
    }
}

fn pop(list: &mut VecDeque<Entry>) -> Option<Entry> {
    let entry = list.pop_front();
    if list.is_empty() {
        list.shrink_to(SPARE);
    }
    entry
}
