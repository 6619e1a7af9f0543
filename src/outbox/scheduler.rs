//! The scheduler: which event is attempted when, from its arrival to its end.
//!
//! One lock over all of it, held for moments and never while anything is awaited. A waiting event has no task: an rpc
//! has one timer at most, and a delivery in flight the task of the webhook that waits for it or one of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::attempt::{Attempt, Attended, Make, by_asking};
use super::entry::{Entry, Key};
use super::key_order::Keys;
use super::limiter::Limiter;
use super::memory::MemoryStore;
use super::pulse::Pulse;
use super::sqlite::SqliteStore;
use super::store::{EventStore, Kind, NoRoom, Place, Saved};
use super::{Counts, Event, Reason};
use crate::config::{self, WhenFull};
use crate::observe::decisions::Decisions;
use crate::policy::{Policy, Transport};

/// The state that all events share.
pub(super) struct Scheduler {
    pub(super) make: Box<Make>,
    /// Returns true if the policy is known to be ready, by its health.
    pub(super) is_policy_ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) settings: config::After,
    pub(super) decisions: Decisions,
    pub(super) store: Box<dyn EventStore>,
    /// The store if it is on disk: for the questions and changes of people.
    pub(super) disk: Option<SqliteStore>,
    /// The runtime of the deliveries.
    pub(super) runtime: Handle,
    pub(super) pulse: Pulse,
    state: Mutex<State>,
    /// Notifies when nothing is kept, or nothing is in flight, any more.
    pub(super) idle: Notify,
}

/// The state under the lock.
pub(super) struct State {
    pub(super) limiters: BTreeMap<&'static str, Limiter>,
    pub(super) keys: Keys,
    /// The events in flight.
    pub(super) in_flight: HashMap<u64, InFlight>,
    /// The events that are kept: those that wait, and those in flight.
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// The number of the next event.
    pub(super) number: u64,
    pub(super) counts: Counts,
    pub(super) phase: Phase,
}

/// An event in flight.
pub(super) struct InFlight {
    entry: Entry,
    /// True if the store has it.
    is_stored: bool,
}

impl InFlight {
    pub(super) fn is_stored(&self) -> bool {
        self.is_stored
    }

    pub(super) fn rpc(&self) -> &'static str {
        self.entry.rpc()
    }

    pub(super) fn size(&self) -> usize {
        self.entry.size()
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The key whose order it holds.
    pub(super) fn order(&self) -> Option<&Key> {
        self.entry.key().filter(|_| !self.entry.progress.parked)
    }
}

/// The phases from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Ordinary running: every event has its time.
    Running,
    /// Stopping soon: short pauses, and no event is given up for its attempts or its age.
    Hurrying,
    /// Stopping soon: nothing more begins, as the store keeps what is left.
    Leaving,
    /// Everything has been given up, or left in the store.
    Closed,
}

/// The fate of an event on its arrival.
pub(super) enum Taken {
    /// Begun: it is in flight, and the verdict comes here.
    Started(Attended),
    /// Waiting for others.
    Waits(Saved),
    /// Lost: there was no room for it.
    Dropped,
}

/// The fate of an event that has no verdict in time.
pub(super) enum Stored {
    /// Kept in the store.
    Kept(Saved),
    /// The store has no room for it: it is lost if its attempt fails.
    NotKept,
}

impl Scheduler {
    pub(super) fn new<T: Transport>(
        policy: Policy<T>,
        settings: config::After,
        decisions: Decisions,
        disk: Option<SqliteStore>,
        number: u64,
    ) -> Self {
        let store: Box<dyn EventStore> = match &disk {
            Some(disk) => Box::new(disk.clone()),
            None => Box::new(MemoryStore::default()),
        };
        let state = State {
            limiters: BTreeMap::new(),
            keys: Keys::default(),
            in_flight: HashMap::new(),
            events: 0,
            bytes: 0,
            number,
            counts: Counts::default(),
            phase: Phase::Running,
        };
        let (runtime, state) = (Handle::current(), Mutex::new(state));
        let (pulse, idle) = (Pulse::default(), Notify::new());
        let policy = Arc::new(policy);
        let asked = policy.clone();
        let is_policy_ready = Box::new(move || asked.is_ready());
        Self { make: by_asking(policy), is_policy_ready, settings, decisions, store, disk, runtime, pulse, state, idle }
    }

    /// Takes an event in. Its first attempt begins at once, unless it stands behind others or the rpc has no room.
    pub(super) fn take(self: &Arc<Self>, event: Event, now: Instant) -> Taken {
        let mut entry = Entry::new(event, now);
        let rpc = entry.rpc();
        let state = &mut *self.lock();
        if let Err(reason) = self.room_for(state, &entry) {
            return self.refuse(state, &entry, reason);
        }
        entry.set_number(state.number);
        let is_behind = entry.key().is_some_and(|key| state.keys.is_busy(key));
        let (is_open, concurrency) = (state.phase != Phase::Leaving, self.settings.concurrency);
        let is_weak = self.is_weak(state, &entry);
        let limiter = state.limiter(rpc);
        let has_room = limiter.is_free(now, concurrency) && (!is_weak || limiter.has_weak_room(concurrency));
        if is_open && !is_behind && limiter.loaded.is_empty() && has_room {
            state.count(&entry);
            entry.key().inspect(|key| state.keys.goes(key));
            return Taken::Started(state.begin(entry, now, is_weak, false).attend(self));
        }
        let place = match is_behind {
            true => Place::Behind,
            false if is_open && limiter.loaded.has_room_for_live() => Place::Held,
            false => Place::Fresh,
        };
        let Ok(saved) = self.store.append(entry.clone(), place) else {
            return self.refuse(state, &entry, Reason::Disk);
        };
        state.count(&entry);
        let limiter = state.limiters.entry(rpc).or_default();
        limiter.waiting += 1;
        match (entry.key(), place) {
            (Some(key), Place::Behind) => state.keys.waits(key),
            (Some(key), _) => state.keys.goes(key),
            (None, _) => {}
        }
        match place {
            Place::Held => limiter.loaded.push_live(entry),
            Place::Fresh => limiter.loaded.more_at(Kind::Fresh, now),
            Place::Behind => {}
        }
        self.go_on(state, rpc);
        Taken::Waits(saved)
    }

    /// Returns an error if there is no room for an event that arrives, after making some if the settings say so.
    fn room_for(&self, state: &State, entry: &Entry) -> Result<(), Reason> {
        if state.phase == Phase::Closed {
            return Err(Reason::Shutdown);
        }
        if state.events >= self.settings.events {
            return Err(Reason::Full);
        }
        // Dead letters have a bound of their own; here they count where they make room.
        let disk = self.disk.as_ref().filter(|_| self.settings.when_full == WhenFull::DropDead);
        let spare = disk.map_or(0, SqliteStore::spare);
        let lacking = (state.bytes + entry.size() + spare).saturating_sub(self.settings.bytes);
        if lacking > spare {
            return Err(Reason::Full);
        }
        if lacking > 0 {
            disk.inspect(|disk| disk.make_room(lacking));
        }
        Ok(())
    }

    fn refuse(&self, state: &mut State, entry: &Entry, reason: Reason) -> Taken {
        state.counts.lose(reason, 1);
        entry.log_dropped(reason, None);
        Taken::Dropped
    }

    /// Stores an event that is in flight, as its webhook waits no longer.
    pub(super) fn store_in_flight(&self, number: u64) -> Stored {
        self.store_held(&mut self.lock(), number)
    }

    /// Stores an event that is in flight, under the lock. One that is not in flight any more has ended, or was stored.
    pub(super) fn store_held(&self, state: &mut State, number: u64) -> Stored {
        let Some(in_flight) = state.in_flight.get_mut(&number) else { return Stored::Kept(None) };
        if in_flight.is_stored {
            return Stored::Kept(None);
        }
        match self.store.append(in_flight.entry.clone(), Place::Held) {
            Ok(saved) => {
                in_flight.is_stored = true;
                Stored::Kept(saved)
            }
            Err(NoRoom) => Stored::NotKept,
        }
    }

    /// Returns true if an event is known to fail: it is parked, or its key has used up its hold.
    pub(super) fn is_weak(&self, state: &State, entry: &Entry) -> bool {
        entry.progress.parked || entry.key().is_some_and(|key| state.keys.is_spent(key, self.settings.hold))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it was asked to log or to spawn; the state itself is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn limiter(&mut self, rpc: &'static str) -> &mut Limiter {
        self.limiters.entry(rpc).or_default()
    }

    /// Begins an attempt.
    pub(super) fn begin(&mut self, mut entry: Entry, began: Instant, is_weak: bool, is_stored: bool) -> Attempt {
        entry.progress.attempts = entry.progress.attempts.saturating_add(1);
        if entry.progress.attempts > 1 {
            self.counts.retried += 1;
        }
        let limiter = self.limiter(entry.rpc());
        let slot = limiter.begin(began, is_weak);
        if is_stored {
            limiter.left(&entry);
        }
        self.in_flight.insert(entry.number(), InFlight { entry: entry.clone(), is_stored });
        Attempt { entry, slot }
    }

    /// Counts an event that is kept from now on.
    fn count(&mut self, entry: &Entry) {
        self.number += 1;
        self.events += 1;
        self.bytes += entry.size();
    }

    /// Lets go of everything, in flight or not; returns the number of events.
    pub(super) fn close(&mut self) -> usize {
        self.phase = Phase::Closed;
        for limiter in self.limiters.values_mut() {
            (limiter.waiting, limiter.parked) = (0, 0);
            drop(limiter.loaded.drain());
        }
        self.keys.clear();
        self.in_flight.clear();
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }

    /// Counts events that are kept no longer.
    pub(super) fn forget(&mut self, events: usize, bytes: usize) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
