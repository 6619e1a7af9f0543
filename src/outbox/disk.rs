//! What the queue does where the events are kept: without a disk little, with one it sees to it that the disk has what
//! memory has, and that memory has what is next.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::Entry;
use super::outbox::Shelf;
use super::queue::{Phase, Queue, State};
use super::store::{Ended, News, Next, Op, Place, Store, Written};
use super::{Event, Reason};
use crate::config::WhenFull;
use crate::failure::Failure;

impl Queue {
    /// Takes an event in, if there is room; else says why not.
    pub(super) fn keep(
        &self,
        state: &mut State,
        event: Event,
        now: Instant,
    ) -> Result<Box<Entry>, (Reason, Box<Entry>)> {
        let closed = state.phase == Phase::Closed;
        let Some(store) = &self.store else {
            let reason = if closed { Reason::Shutdown } else { Reason::Full };
            return state.outbox.keep(event, now, 0).map_err(|(entry, _)| (reason, entry));
        };
        if closed || store.is_choked() {
            let reason = if closed { Reason::Shutdown } else { Reason::Disk };
            return Err((reason, Entry::new(event, 0, now)));
        }
        // What is dead has a bound of its own; here it counts where it makes room.
        let dead = if self.settings.when_full == WhenFull::DropDead { store.spare() } else { 0 };
        match state.outbox.keep(event, now, dead) {
            Err((entry, lacks)) if dead > 0 && lacks <= dead => {
                store.send(Op::MakeRoom(lacks));
                state.outbox.count(&entry);
                Ok(entry)
            }
            kept => kept.map_err(|(entry, _)| (Reason::Full, entry)),
        }
    }

    /// Has an event written that arrives; gives it back if it is in memory too and has none before it.
    pub(super) fn save(
        &self,
        state: &mut State,
        store: &Store,
        entry: Box<Entry>,
        told: oneshot::Sender<Written>,
    ) -> Option<Box<Entry>> {
        let (rpc, in_memory) = (entry.callback.rpc, state.outbox.has_room_for(&entry));
        let busy = state.outbox.of(rpc).waiting.is_busy(&entry);
        let place = match (busy, in_memory, &entry.key) {
            (true, ..) => Place::Behind,
            (false, false, Some(_)) => Place::Ask,
            (false, true, _) | (false, _, None) => Place::First,
        };
        store.send(Op::Insert { entry: entry.clone(), place, told });
        if in_memory || (place == Place::First && state.outbox.has_room_for_live(&entry)) {
            state.outbox.load(&entry);
            return state.outbox.of(rpc).waiting.arrive(entry);
        }
        if place == Place::First {
            state.outbox.of(rpc).tail.is_due(Instant::now());
        }
        None
    }

    /// Lets go of an event that was taken, in memory and on disk.
    pub(super) fn end(&self, state: &mut State, entry: &Entry, op: impl FnOnce(Ended) -> Op) {
        let rpc = entry.callback.rpc;
        state.outbox.done(entry);
        let Shelf { waiting, tail } = state.outbox.of(rpc);
        let follows = waiting.release(entry);
        let next = entry.key.as_ref().filter(|_| follows || tail.len() > 0);
        let next = next.map(|key| Next { rpc, key: key.clone() });
        self.tell_end(state, entry, next, op);
    }

    /// The same of one that is behind another: nothing of what it belongs to may go for that.
    pub(super) fn end_behind(&self, state: &mut State, entry: &Entry) {
        state.outbox.done(entry);
        self.tell_end(state, entry, None, Op::Done);
    }

    fn tell_end(&self, state: &mut State, entry: &Entry, next: Option<Next>, op: impl FnOnce(Ended) -> Op) {
        let Some(store) = &self.store else { return };
        let (number, bytes) = (entry.number, entry.size());
        let end = state.outbox.ends.note(number, store.heard());
        if !store.send(op(Ended { number, bytes, end, next })) {
            state.outbox.ends.forget_last();
        }
    }

    /// An event ends undelivered.
    pub(super) fn bury(&self, state: &mut State, entry: &Entry, reason: Reason, failure: Option<&Failure>) {
        let (attempts, class) = (entry.attempts, failure.map(|failure| failure.class.as_str()));
        self.end(state, entry, |ended| Op::Bury { ended, attempts, reason, class });
    }

    /// Lets an event wait that has failed, until it is `due`: in memory, as long as there is room.
    pub(super) fn put_back(&self, state: &mut State, entry: Box<Entry>, due: Instant) {
        let rpc = entry.callback.rpc;
        if let Some(store) = &self.store {
            store.send(Op::Retry { number: entry.number, attempts: entry.attempts, due });
        }
        if state.outbox.has_room_for_failed(&entry) {
            return state.outbox.of(rpc).waiting.put_back(entry, due);
        }
        for behind in state.outbox.of(rpc).waiting.forget(&entry) {
            state.outbox.unload(&behind);
        }
        state.outbox.unload(&entry);
        state.outbox.of(rpc).tail.is_due(due);
    }

    /// Reads what is next of an rpc, if memory has room for it.
    pub(super) fn read_on(&self, state: &mut State, rpc: &'static str, now: Instant) {
        let Some(store) = &self.store else { return };
        if let Some(loaded) = state.outbox.reads(rpc, now) {
            store.send(Op::Load { rpc, loaded });
        }
    }

    /// Hears what the disk has to tell.
    pub(super) fn hear(self: &Arc<Self>, news: News) {
        let (now, state) = (Instant::now(), &mut *self.lock());
        if state.phase == Phase::Closed {
            return;
        }
        match news {
            News::Loaded { rpc, entries, next } => {
                state.outbox.was_read(rpc, next);
                for entry in entries {
                    self.load(state, Box::new(entry), false);
                }
                self.go_on(state, rpc);
            }
            News::First(entry) if state.outbox.ends.has(entry.number) => {}
            News::First(entry) => {
                let rpc = entry.callback.rpc;
                if state.outbox.has_room_for_live(&entry) && !state.outbox.of(rpc).waiting.is_busy(&entry) {
                    self.load(state, entry, true);
                } else {
                    state.outbox.of(rpc).tail.is_due(now);
                }
                self.go_on(state, rpc);
            }
            News::Added { rpc, events, bytes } => {
                if events > 0 {
                    state.outbox.found(rpc, events, bytes, None);
                }
                state.outbox.of(rpc).tail.is_due(now);
                self.go_on(state, rpc);
            }
            News::Replayed { rpc, events, bytes, behind } => {
                state.outbox.found(rpc, events, bytes, None);
                // What was before one of them may have ended since, when nothing was known to be behind it. Whatever ends
                // from here on sees to what is behind it.
                if let (Some(store), false) = (&self.store, behind.is_empty()) {
                    store.send(Op::Promote(behind.into_iter().map(|key| Next { rpc, key }).collect()));
                }
                self.go_on(state, rpc);
            }
            News::Gone { rpc, number, .. }
                if state.outbox.of(rpc).tail.has(number) || state.outbox.ends.has(number) => {}
            News::Gone { rpc, bytes, .. } => {
                state.outbox.gone(rpc, 1, bytes);
                self.go_on(state, rpc);
            }
            News::CaughtUp => {
                for rpc in state.outbox.rpcs() {
                    state.outbox.of(rpc).tail.is_due(now);
                    self.go_on(state, rpc);
                }
            }
        }
    }

    /// An event of the disk is in memory from here on, if it is not already.
    fn load(&self, state: &mut State, entry: Box<Entry>, live: bool) {
        let rpc = entry.callback.rpc;
        if state.outbox.of(rpc).tail.has(entry.number) || state.outbox.ends.has(entry.number) {
            return;
        }
        state.outbox.load(&entry);
        let waiting = &mut state.outbox.of(rpc).waiting;
        match waiting.arrive(entry) {
            Some(entry) if live => waiting.push(entry),
            Some(entry) => waiting.push_backlog(entry),
            None => {}
        }
    }
}
