//! Events of a store on disk that the scheduler finds there: at its start, by a replay, and by those who ask for one by its ID.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::entry::{Entry, Key};
use super::key_order::Keys;
use super::overlay::State as EventState;
use super::scheduler::{InFlight, Phase, Scheduler, State};
use super::sqlite::act::Replayed;
use super::sqlite::{News, Standing, StandingKey, Waiting};
use super::store::{Kind, Place};
use crate::contract::Callback;

impl Scheduler {
    /// Counts what was there at the start, and begins with it.
    pub(super) fn find(self: &Arc<Self>, standing: Standing) {
        let state = &mut *self.lock();
        for StandingKey { key, events, .. } in standing.keys {
            state.keys.found(key, events);
        }
        for of in standing.rpcs {
            let limiter = state.limiter(of.rpc);
            (limiter.waiting, limiter.parked) = (limiter.waiting + of.events, limiter.parked + of.parked);
            (state.events, state.bytes) = (state.events + of.events, state.bytes + of.bytes);
            self.look_again(state, of.rpc);
        }
    }

    /// Hears what the disk has to tell.
    pub(super) fn hear(self: &Arc<Self>, news: News<'_>) {
        let state = &mut *self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        match news {
            News::More(rpc) => self.look_again(state, rpc),
            News::Replaced(count) => {
                // The rows of what the scheduler has may be lost.
                for entry in state.taken() {
                    // Without room it is in memory alone, as before.
                    let _ = self.store.append(entry, Place::Held);
                }
                let Some(standing) = count() else { return };
                for key in state.recount(standing) {
                    self.ask_for_next(state, "", &key, 0);
                }
                let rpcs: Vec<_> = state.limiters.keys().copied().collect();
                rpcs.into_iter().for_each(|rpc| self.look_again(state, rpc));
            }
        }
    }

    /// Counts events that are replayed, or takes them back.
    pub(super) fn count_replayed(&self, replayed: &[Replayed], are_kept: bool) {
        let state = &mut *self.lock();
        for of in replayed {
            let Some(callback) = Callback::by_rpc(&of.rpc) else { continue };
            if are_kept {
                (state.events, state.bytes) = (state.events + of.events, state.bytes + of.bytes);
            } else {
                state.forget(of.events, of.bytes);
            }
            let limiter = state.limiter(callback.rpc);
            let count = |before: usize| if are_kept { before + of.events } else { before.saturating_sub(of.events) };
            (limiter.waiting, limiter.parked) = (count(limiter.waiting), count(limiter.parked));
        }
    }

    /// Begins with events that were replayed, if they were.
    pub(super) fn end_replay(self: &Arc<Self>, replayed: &[Replayed], is_done: bool) {
        if !is_done {
            return self.count_replayed(replayed, false);
        }
        let state = &mut *self.lock();
        replayed.iter().filter_map(|of| Callback::by_rpc(&of.rpc)).for_each(|of| self.look_again(state, of.rpc));
    }

    /// Makes an event go next that is loaded. Returns false if it is not.
    pub(super) fn replay_loaded(self: &Arc<Self>, entry: &Entry) -> bool {
        let (state, rpc) = (&mut *self.lock(), entry.rpc());
        let Some(loaded) = state.limiter(rpc).loaded.take_out(entry.number()) else { return false };
        state.limiter(rpc).loaded.push_due(loaded);
        self.go_on(state, rpc);
        true
    }

    /// Makes an event due that an operator holds.
    pub(super) fn replay_held(self: &Arc<Self>, entry: Entry) {
        let (state, rpc, now) = (&mut *self.lock(), entry.rpc(), Instant::now());
        let kind = if entry.progress.parked { Kind::Parked } else { Kind::Due };
        self.store.retry_at(entry, now);
        state.limiter(rpc).loaded.more_at(kind, now);
        self.go_on(state, rpc);
    }

    /// Drops an event that is loaded. Returns false if it is not.
    pub(super) fn drop_loaded(self: &Arc<Self>, entry: &Entry) -> bool {
        let (state, rpc) = (&mut *self.lock(), entry.rpc());
        let Some(loaded) = state.limiter(rpc).loaded.take_out(entry.number()) else { return false };
        self.store.ack(&loaded);
        state.limiter(rpc).left(&loaded);
        self.ended(state, &loaded);
        self.go_on(state, rpc);
        true
    }

    /// Drops an event that an operator holds.
    pub(super) fn drop_held(self: &Arc<Self>, waiting: &Waiting) {
        let Waiting { entry, state: event } = waiting;
        let (state, rpc) = (&mut *self.lock(), entry.rpc());
        self.store.ack(entry);
        state.limiter(rpc).left(entry);
        if *event == EventState::Behind {
            state.forget(1, entry.size());
            entry.key().inspect(|key| state.keys.leaves(key));
        } else {
            self.ended(state, entry);
        }
        self.go_on(state, rpc);
    }
}

impl State {
    /// The events that are loaded or in flight, and that the store has.
    fn taken(&self) -> Vec<Entry> {
        let in_flight = self.in_flight.values().filter(|in_flight| in_flight.is_stored()).map(InFlight::entry);
        in_flight.chain(self.limiters.values().flat_map(|limiter| limiter.loaded.all())).cloned().collect()
    }

    /// Counts anew what the store has, of which some events were lost. Returns the keys whose first event is to be asked for.
    fn recount(&mut self, standing: Standing) -> Vec<Key> {
        let in_flight = self.in_flight.values().filter_map(InFlight::order);
        let loaded = self.limiters.values().flat_map(|limiter| limiter.loaded.orders());
        let going: HashSet<Key> = in_flight.chain(loaded).cloned().collect();
        let (mut keys, mut headless) = (Keys::default(), Vec::new());
        for StandingKey { key, events, is_first_behind } in standing.keys {
            let is_going = going.contains(&key);
            // The one that goes on may be in no file.
            keys.found(key.clone(), events + usize::from(is_going && is_first_behind));
            if is_first_behind && !is_going {
                headless.push(key);
            }
        }
        for key in &going {
            if !keys.is_busy(key) {
                keys.goes(key);
            }
        }
        self.keys = keys;
        for (rpc, limiter) in &mut self.limiters {
            let of = standing.rpcs.iter().find(|of| of.rpc == *rpc);
            let (events, parked) = of.map_or((0, 0), |of| (of.events, of.parked));
            let stored = |in_flight: &&InFlight| in_flight.is_stored() && in_flight.rpc() == *rpc;
            limiter.waiting = events.saturating_sub(self.in_flight.values().filter(stored).count());
            limiter.parked = parked.min(limiter.waiting);
        }
        let unstored = || self.in_flight.values().filter(|in_flight| !in_flight.is_stored());
        self.events = standing.rpcs.iter().map(|of| of.events).sum::<usize>() + unstored().count();
        self.bytes =
            standing.rpcs.iter().map(|of| of.bytes).sum::<usize>() + unstored().map(InFlight::size).sum::<usize>();
        headless
    }
}
