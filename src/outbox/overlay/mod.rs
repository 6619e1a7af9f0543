//! The events that a store has in memory: all of them, or what its file does not have yet.
//!
//! A slot says what is true of an event whatever the file says. In front of a file a slot goes when it has been written,
//! and until then whoever reads the file lets the slot decide. Each event is indexed by what it waits for; one that is held
//! by the scheduler is in no index.

mod index;
mod slot;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::{Entry, Key, Progress};
use super::store::{Ask, Claimed, Kind, Place, Written};
use index::RpcIndex;
use slot::Slot;

pub(super) use slot::{Change, State};

/// The events in memory.
#[derive(Debug, Default)]
pub(in crate::outbox) struct Overlay {
    slots: BTreeMap<u64, Slot>,
    rpcs: HashMap<&'static str, RpcIndex>,
    /// The events that wait behind others, by key.
    behind: HashMap<Key, BTreeSet<u64>>,
    /// The events that the scheduler has.
    held: HashSet<u64>,
    /// The events that the file does not have, or has otherwise. Empty for a store without a file.
    dirty: BTreeSet<u64>,
    bytes: usize,
    stamp: u64,
}

impl Overlay {
    /// Adds an event that arrived.
    pub(in crate::outbox) fn append(&mut self, entry: Entry, place: Place, told: Option<oneshot::Sender<Written>>) {
        let number = entry.number();
        self.bytes += entry.size();
        self.stamp += 1;
        let state = if place == Place::Behind { State::Behind } else { State::Fresh };
        let Entry { event, progress } = entry;
        let (rpc, stamp) = (event.callback.rpc, self.stamp);
        if told.is_some() {
            self.dirty.insert(number);
        }
        let (event, progress) = (Some(event), Some(progress));
        let slot = Slot { rpc, event, progress, state, in_file: false, is_being_written: false, stamp, told };
        // After a salvage it may be there already.
        if let Some(before) = self.slots.insert(number, slot) {
            self.bytes = self.bytes.saturating_sub(before.size());
        }
        if place == Place::Held {
            self.held.insert(number);
        } else {
            self.index(number);
        }
    }

    /// Changes the state of an event that is held, or is taken out of its index. `has_file` is set in front of a file.
    pub(in crate::outbox) fn change(
        &mut self,
        number: u64,
        rpc: &'static str,
        state: State,
        progress: Option<Progress>,
        has_file: bool,
    ) {
        self.unindex(number);
        self.held.remove(&number);
        self.stamp += 1;
        let stamp = self.stamp;
        let ends = matches!(state, State::Gone | State::Dead(_));
        let Some(slot) = self.slots.get_mut(&number) else {
            if has_file {
                let (in_file, is_being_written, event, told) = (true, false, None, None);
                let slot = Slot { rpc, event, progress, state, in_file, is_being_written, stamp, told };
                self.slots.insert(number, slot);
                self.dirty.insert(number);
                self.index(number);
            }
            return;
        };
        let is_unknown = !slot.in_file && !slot.is_being_written;
        let is_needless = is_unknown && (state == State::Gone || (ends && !has_file));
        if is_needless {
            self.dirty.remove(&number);
            if let Some(slot) = self.slots.remove(&number) {
                self.bytes = self.bytes.saturating_sub(slot.size());
                // Whoever waits for it may have its verdict by now.
                slot.told.map(|told| told.send(Written::Kept));
            }
            return;
        }
        let before = slot.size();
        (slot.state, slot.stamp) = (state, stamp);
        slot.progress = progress.or(slot.progress);
        if slot.in_file || state == State::Gone {
            slot.event = None;
        }
        let after = slot.size();
        self.bytes = (self.bytes + after).saturating_sub(before);
        if has_file {
            self.dirty.insert(number);
        }
        self.index(number);
    }

    /// Returns true if a slot decides about an event, or the scheduler has it: its row in the file says nothing.
    pub(in crate::outbox) fn decides(&self, number: u64) -> bool {
        self.slots.contains_key(&number) || self.held.contains(&number)
    }

    /// Finds an event that waits by its ID.
    pub(in crate::outbox) fn find(&self, id: &str) -> Option<(Entry, State)> {
        self.slots.values().find_map(|slot| {
            let entry = slot.entry().filter(|entry| entry.event_id() == id)?;
            (!matches!(slot.state, State::Gone | State::Dead(_))).then_some((entry, slot.state))
        })
    }

    /// Claims an event by its number, unless it is held or has ended.
    pub(in crate::outbox) fn try_hold(&mut self, number: u64) -> bool {
        let state = self.slots.get(&number).map(|slot| slot.state);
        let has_ended = matches!(state, Some(State::Gone | State::Dead(_)));
        if has_ended || self.held.contains(&number) {
            return false;
        }
        self.hold(number);
        true
    }

    /// Returns the progress and state of an event: as a slot has them, else these.
    pub(in crate::outbox) fn latest(&self, number: u64, progress: Progress, state: State) -> (Progress, State) {
        let slot = self.slots.get(&number);
        slot.map_or((progress, state), |slot| (slot.progress.unwrap_or(progress), slot.state))
    }

    /// Claims events that are in memory.
    pub(in crate::outbox) fn claim_in_memory(&mut self, ask: Ask, now: Instant) -> Claimed {
        let mut claimed = Claimed::default();
        for kind in Kind::ALL {
            let most = ask.most[kind as usize];
            if most == 0 {
                continue;
            }
            let has_event = |number: &u64| self.slots.get(number).is_some_and(|slot| slot.event.is_some());
            let numbers: Vec<u64> = self.ready(ask.rpc, kind, now).filter(has_event).take(most).collect();
            claimed.entries[kind as usize] = numbers.into_iter().filter_map(|number| self.hold(number)).collect();
            let more = self.ready(ask.rpc, kind, now).next().map(|_| now);
            claimed.next[kind as usize] = more.or_else(|| self.next_due(ask.rpc, kind, now));
        }
        claimed
    }

    /// The number from which the fresh events of an rpc are read.
    pub(in crate::outbox) fn cursor(&self, rpc: &'static str) -> u64 {
        self.rpcs.get(rpc).map_or(0, |index| index.cursor)
    }

    /// Reads the fresh events of an rpc from the beginning again.
    pub(in crate::outbox) fn rewind(&mut self) {
        self.rpcs.values_mut().for_each(|index| index.cursor = 0);
    }

    /// The events of an rpc that may be claimed, in order.
    pub(in crate::outbox) fn ready(&self, rpc: &'static str, kind: Kind, now: Instant) -> impl Iterator<Item = u64> {
        let index = self.rpcs.get(rpc);
        let fresh = index.filter(|_| kind == Kind::Fresh).into_iter().flat_map(|index| index.fresh.iter().copied());
        let due = index.and_then(|index| index.times(kind)).into_iter().flatten();
        fresh.chain(due.take_while(move |(due, _)| *due <= now).map(|(_, number)| *number))
    }

    /// The time at which the next event of an rpc is due that is not yet.
    pub(in crate::outbox) fn next_due(&self, rpc: &'static str, kind: Kind, now: Instant) -> Option<Instant> {
        let times = self.rpcs.get(rpc)?.times(kind)?;
        times.range((now, u64::MAX)..).next().map(|(due, _)| *due)
    }

    /// The first event of a key behind a number.
    pub(in crate::outbox) fn next(&self, key: &Key, behind: u64) -> Option<u64> {
        self.behind.get(key)?.range(behind + 1..).next().copied()
    }

    /// Claims an event; none if the file has it.
    pub(in crate::outbox) fn hold(&mut self, number: u64) -> Option<Entry> {
        self.unindex(number);
        self.held.insert(number);
        self.slots.get(&number)?.entry()
    }

    /// Claims an event that was read from the file: with its progress as a slot has it.
    pub(in crate::outbox) fn hold_read(&mut self, mut entry: Entry) -> Entry {
        let number = entry.number();
        self.unindex(number);
        self.held.insert(number);
        if let Some(progress) = self.slots.get(&number).and_then(|slot| slot.progress) {
            entry.progress = progress;
        }
        entry
    }

    /// Gives a claimed event back.
    pub(in crate::outbox) fn give_back(&mut self, number: u64) {
        self.held.remove(&number);
        self.index(number);
    }

    /// Notes the highest number that was claimed as fresh.
    pub(in crate::outbox) fn advance(&mut self, rpc: &'static str, number: u64) {
        let index = self.rpcs.entry(rpc).or_default();
        index.cursor = index.cursor.max(number);
    }

    /// Makes the events of an rpc due that wait for their next attempt and hold up others; if `all`, parked ones too.
    pub(in crate::outbox) fn hurry(&mut self, rpc: &'static str, now: Instant, all: bool) {
        let kinds: &[Kind] = if all { &[Kind::Due, Kind::Parked] } else { &[Kind::Due] };
        for kind in kinds {
            let Some(times) = self.rpcs.get_mut(rpc).and_then(|index| index.times_mut(*kind)) else { continue };
            let later: Vec<(Instant, u64)> = times.split_off(&(now, u64::MAX)).into_iter().collect();
            for (_, number) in later {
                times.insert((now, number));
                if let Some(slot) = self.slots.get_mut(&number) {
                    slot.state = if *kind == Kind::Parked { State::Parked(now) } else { State::Due(now) };
                }
            }
        }
    }

    /// The oldest event of an rpc that waits and is in memory.
    pub(in crate::outbox) fn oldest(&self, rpc: &'static str) -> Option<Instant> {
        let number = self.rpcs.get(rpc)?.waiting.first()?;
        self.slots.get(number)?.event.as_ref().map(|event| event.arrived)
    }

    fn index(&mut self, number: u64) {
        let Some(slot) = self.slots.get(&number) else { return };
        let index = self.rpcs.entry(slot.rpc).or_default();
        match slot.state {
            State::Fresh => _ = index.fresh.insert(number),
            State::Due(due) => _ = index.due.insert((due, number)),
            State::Parked(due) => _ = index.parked.insert((due, number)),
            State::Behind => {
                if let Some(key) = slot.event.as_ref().and_then(|event| event.key.clone()) {
                    self.behind.entry(key).or_default().insert(number);
                }
            }
            State::Gone | State::Dead(_) => return,
        }
        if slot.event.is_some() {
            index.waiting.insert(number);
        }
    }

    fn unindex(&mut self, number: u64) {
        let Some(slot) = self.slots.get(&number) else { return };
        let Some(index) = self.rpcs.get_mut(slot.rpc) else { return };
        index.waiting.remove(&number);
        match slot.state {
            State::Fresh => _ = index.fresh.remove(&number),
            State::Due(due) => _ = index.due.remove(&(due, number)),
            State::Parked(due) => _ = index.parked.remove(&(due, number)),
            State::Behind => {
                let Some(key) = slot.event.as_ref().and_then(|event| event.key.as_ref()) else { return };
                if let Some(numbers) = self.behind.get_mut(key) {
                    numbers.remove(&number);
                    if numbers.is_empty() {
                        self.behind.remove(key);
                    }
                }
            }
            State::Gone | State::Dead(_) => {}
        }
    }
}
