//! What is kept, within its bounds.
//!
//! Without a disk all of it is in memory. With one, memory holds a window of it: what is on its way, what is next, and what
//! has just arrived. The rest, the `tail` of an rpc, is on the disk alone, and is read as there is room.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::Event;
use super::ends::Ends;
use super::entry::Entry;
use super::waiting::Waiting;

/// With a disk: how many events of an rpc are in memory at most …
const WINDOW: usize = 256;

/// … how many bytes of all rpcs, about …
const WINDOW_BYTES: usize = 8 << 20;

/// … of which each rpc has so many in any case, so that one that is stuck holds up no other …
const RESERVE: usize = 256 << 10;

/// … how many of an rpc that have failed and wait for their time …
const FAILED: usize = 64;

/// … and how many that have just arrived, while older ones are on the disk alone.
const LIVE: usize = 64;

/// How long it takes at most until it is seen that there is room again.
const NO_ROOM: Duration = Duration::from_millis(20);

/// So few read back are left when more are read.
const LOW: usize = 64;

/// The events of all rpcs.
#[derive(Debug)]
pub(super) struct Outbox {
    max_events: usize,
    max_bytes: usize,
    on_disk: bool,
    /// Kept: waiting, or taken and neither done nor put back.
    events: usize,
    bytes: usize,
    /// Of those the ones in memory.
    memory: usize,
    arrivals: u64,
    /// With a disk: those that have ended and of which the disk has not heard yet.
    pub(super) ends: Ends,
    shelves: BTreeMap<&'static str, Shelf>,
}

/// The events of an rpc.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Those in memory that wait.
    pub(super) waiting: Waiting,
    pub(super) tail: Tail,
}

/// What is on the disk alone.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// How many are kept, in memory or not.
    kept: usize,
    /// The numbers of those in memory, on their way or waiting.
    loaded: HashSet<u64>,
    /// Their bytes.
    memory: usize,
    /// Whether it is being read.
    asked: bool,
    /// When the next one is due, as far as is known.
    due: Option<Instant>,
    /// When the oldest one had arrived that was there at the start.
    oldest: Option<Instant>,
}

impl Tail {
    /// How many are on the disk alone.
    pub(super) fn len(&self) -> usize {
        self.kept.saturating_sub(self.loaded.len())
    }

    /// One is due by then.
    pub(super) fn is_due(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Whether so many bytes more are within what the rpc has in any case, or the first at all.
    fn has_reserve(&self, bytes: usize) -> bool {
        self.loaded.is_empty() || self.memory + bytes <= RESERVE
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.loaded.contains(&number)
    }

    /// Whether somebody other than the queue may change one that is not in memory.
    pub(super) fn is_quiet(&self, number: u64) -> bool {
        !self.asked && !self.has(number)
    }
}

impl Outbox {
    pub(super) fn new(max_events: usize, max_bytes: usize, on_disk: bool) -> Self {
        let (events, bytes, memory, arrivals) = (0, 0, 0, 0);
        let (ends, shelves) = (Ends::default(), BTreeMap::new());
        Self { max_events, max_bytes, on_disk, events, bytes, memory, arrivals, ends, shelves }
    }

    /// Counts what is on the disk alone.
    pub(super) fn found(&mut self, rpc: &'static str, events: usize, bytes: usize, oldest: Option<Instant>) {
        self.events += events;
        self.bytes += bytes;
        let tail = &mut self.of(rpc).tail;
        tail.kept += events;
        tail.oldest = tail.oldest.or(oldest);
        tail.is_due(Instant::now());
    }

    /// From this number on nothing has been kept before.
    pub(super) fn number_from(&mut self, number: u64) {
        self.arrivals = self.arrivals.max(number);
    }

    /// The next number, for an event that comes another way.
    pub(super) fn numbers(&mut self, count: u64) -> u64 {
        self.arrivals += count;
        self.arrivals - count
    }

    /// Takes an event in; gives it back, with the room that it lacks, where there is none. It is kept until it is `done`.
    pub(super) fn keep(&mut self, event: Event, now: Instant, taken: usize) -> Result<Box<Entry>, (Box<Entry>, usize)> {
        let entry = Entry::new(event, self.arrivals, now);
        let size = entry.size();
        let bytes = self.bytes.saturating_add(size).saturating_add(taken);
        if self.events >= self.max_events || bytes > self.max_bytes {
            let lacks = if self.events >= self.max_events { usize::MAX } else { bytes - self.max_bytes };
            return Err((entry, lacks));
        }
        self.count(&entry);
        Ok(entry)
    }

    /// Counts an event as kept, and on the disk alone until it is in memory.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.arrivals += 1;
        self.events += 1;
        self.bytes += entry.size();
        if self.on_disk {
            self.of(entry.callback.rpc).tail.kept += 1;
        }
    }

    /// Whether an event that arrives may be in memory: always without a disk, else while the order of what is on the disk
    /// alone does not matter to it.
    pub(super) fn has_room_for(&mut self, entry: &Entry) -> bool {
        if !self.on_disk {
            return true;
        }
        let room = self.memory + entry.size() <= WINDOW_BYTES;
        let shelf = self.of(entry.callback.rpc);
        let room = room || shelf.tail.has_reserve(entry.size());
        // It is counted already.
        room && shelf.tail.len() == 1 && shelf.tail.loaded.len() < WINDOW
    }

    /// Whether one that has no other before it may be in memory although others are on the disk alone.
    pub(super) fn has_room_for_live(&mut self, entry: &Entry) -> bool {
        let room = self.memory + entry.size() <= WINDOW_BYTES;
        let shelf = self.of(entry.callback.rpc);
        let room = room || shelf.tail.has_reserve(entry.size());
        room && shelf.waiting.fresh() < LIVE && !shelf.tail.has(entry.number)
    }

    /// Whether one that has failed may stay in memory until its time has come.
    pub(super) fn has_room_for_failed(&mut self, entry: &Entry) -> bool {
        !self.on_disk || self.of(entry.callback.rpc).waiting.failed() < FAILED
    }

    /// An event is in memory.
    pub(super) fn load(&mut self, entry: &Entry) {
        let tail = &mut self.of(entry.callback.rpc).tail;
        if tail.loaded.insert(entry.number) {
            tail.memory += entry.size();
            self.memory += entry.size();
        }
    }

    /// An event is on the disk alone.
    pub(super) fn unload(&mut self, entry: &Entry) {
        if !self.on_disk {
            return;
        }
        let tail = &mut self.of(entry.callback.rpc).tail;
        if tail.loaded.remove(&entry.number) {
            tail.memory = tail.memory.saturating_sub(entry.size());
            self.memory = self.memory.saturating_sub(entry.size());
        }
    }

    /// Whether more of an rpc is to be read now; if so, the numbers of those that are in memory already.
    pub(super) fn reads(&mut self, rpc: &'static str, now: Instant) -> Option<HashSet<u64>> {
        if !self.on_disk {
            return None;
        }
        let room = self.memory < WINDOW_BYTES / 2;
        let Shelf { waiting, tail } = self.of(rpc);
        if !room && !tail.has_reserve(0) {
            return None;
        }
        let due = tail.due.is_some_and(|due| due <= now);
        if tail.asked || tail.len() == 0 || waiting.backlog() >= LOW || !due {
            return None;
        }
        tail.asked = true;
        tail.due = None;
        Some(tail.loaded.clone())
    }

    /// What was asked for has been read; the next of what was not is due then.
    pub(super) fn was_read(&mut self, rpc: &'static str, next: Option<Instant>) {
        let tail = &mut self.of(rpc).tail;
        tail.asked = false;
        tail.oldest = None;
        if let Some(next) = next {
            tail.is_due(next);
        }
    }

    /// Lets go of an event that was taken: its end has come.
    pub(super) fn done(&mut self, entry: &Entry) {
        self.unload(entry);
        self.gone(entry.callback.rpc, 1, entry.size());
    }

    /// Lets go of events that were on the disk alone.
    pub(super) fn gone(&mut self, rpc: &'static str, events: usize, bytes: usize) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
        if !self.on_disk {
            return;
        }
        let tail = &mut self.of(rpc).tail;
        tail.kept = tail.kept.saturating_sub(events).max(tail.loaded.len());
    }

    /// Makes every event due.
    pub(super) fn make_due(&mut self, now: Instant) {
        for shelf in self.shelves.values_mut() {
            shelf.waiting.make_due(now);
            shelf.tail.is_due(now);
        }
    }

    /// Lets go of everything, taken or not, and keeps nothing more; says how many events that were.
    pub(super) fn close(&mut self) -> usize {
        self.max_events = 0;
        self.shelves.clear();
        (self.bytes, self.memory) = (0, 0);
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
        self.shelves.get(rpc).map_or(0, |shelf| shelf.waiting.len() + shelf.tail.len())
    }

    /// When the next event of an rpc is due, as far as is known. What is due on the disk and is not being read by now has
    /// to wait for room.
    pub(super) fn next_due(&self, rpc: &str, now: Instant) -> Option<Instant> {
        let Shelf { waiting, tail } = self.shelves.get(rpc)?;
        let tail = tail.due.filter(|_| self.on_disk && !tail.asked && tail.len() > 0);
        let tail = tail.map(|due| due.max(now + NO_ROOM));
        waiting.next_due().into_iter().chain(tail).min()
    }

    /// When the oldest event of an rpc that waits has arrived. What is on the disk alone counts until it is first read.
    pub(super) fn oldest(&self, rpc: &str) -> Option<Instant> {
        let Shelf { waiting, tail } = self.shelves.get(rpc)?;
        waiting.oldest().into_iter().chain(tail.oldest.filter(|_| tail.len() > 0)).min()
    }

    /// The rpcs that have had an event.
    pub(super) fn rpcs(&self) -> Vec<&'static str> {
        self.shelves.keys().copied().collect()
    }

    pub(super) fn of(&mut self, rpc: &'static str) -> &mut Shelf {
        self.shelves.entry(rpc).or_default()
    }
}
