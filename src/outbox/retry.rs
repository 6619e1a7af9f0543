//! The end of an attempt: the event ends, waits for the next one, or is parked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::Reason;
use super::entry::Entry;
use super::limiter::Slot;
use super::scheduler::{Phase, Scheduler, State, Stored};
use super::store::{Death, Kind};
use crate::backoff::{exponential, jittered};
use crate::config;
use crate::failure::{Class, Failure};

impl Scheduler {
    /// Ends an event: the policy gave its verdict.
    pub(super) fn delivered(self: &Arc<Self>, entry: &Entry, slot: Slot) {
        let state = &mut *self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        state.counts.delivered += 1;
        state.limiter(entry.rpc()).implemented();
        entry.key().inspect(|key| state.keys.succeeded(key));
        if state.landed(entry) {
            self.store.ack(entry);
        }
        self.ended(state, entry);
        self.answered(state, entry.rpc(), slot);
    }

    /// Lets an event wait for its next attempt, or ends it: its attempt failed.
    pub(super) fn failed(self: &Arc<Self>, entry: Entry, slot: Slot, failure: Failure) -> Stored {
        let (now, rpc) = (Instant::now(), entry.rpc());
        let state = &mut *self.lock();
        if state.phase == Phase::Closed {
            return Stored::NotKept;
        }
        state.limiter(rpc).noted.note(&failure);
        let stored = self.store_held(state, entry.number());
        state.landed(&entry);
        if let Some(reason) = final_reason(&failure) {
            self.bury(state, &entry, reason, Some(&failure));
            // It is an answer all the same: the policy is there.
            self.answered(state, rpc, slot);
            return stored;
        }
        let is_hurrying = state.phase == Phase::Hurrying;
        let is_there = is_of_the_event(&failure) || (failure.asked && (self.is_policy_ready)());
        let pause = |nth| now + self.pause(nth, self.settings.pause_max, is_hurrying);
        if state.limiter(rpc).failed(&entry, slot, now, is_there, pause) {
            warn!(rpc, class = failure.class.as_str(), cause = failure.cause, "policy unavailable, pausing rpc");
        }
        if let Stored::NotKept = stored {
            self.lose(state, &entry, Reason::Disk, Some(&failure));
            self.ended(state, &entry);
        } else {
            let due = now
                + match is_hurrying {
                    true => self.pause(1, self.settings.retry_max, true),
                    false => pause_of_event(&self.settings, entry.counted_attempts()),
                };
            match reason_to_end(&self.settings, &entry, due).filter(|_| !is_hurrying) {
                Some(reason) => self.bury(state, &entry, reason, Some(&failure)),
                None => self.park_or_retry(state, entry, slot, due, is_there, &failure),
            }
        }
        state.limiter(rpc).last_failure = Some(failure);
        self.go_on(state, rpc);
        stored
    }

    /// Lets an event wait. While the policy answers others, its key's hold bounds the time that those behind it wait too.
    fn park_or_retry(
        self: &Arc<Self>,
        state: &mut State,
        mut entry: Entry,
        slot: Slot,
        due: Instant,
        is_there: bool,
        failure: &Failure,
    ) {
        let (now, rpc, hold) = (Instant::now(), entry.rpc(), self.settings.hold);
        let limiter = state.limiters.entry(rpc).or_default();
        entry.log_attempt(failure, &limiter.failure_log);
        let was_parked = entry.progress.parked;
        let mut due = due;
        let used = match entry.key() {
            // It is the hold of those behind it, and none is behind a parked one.
            Some(_) if was_parked => Duration::ZERO,
            Some(key) => state.keys.failed(key, limiter.clock(slot.began), limiter.clock(now)),
            None => now.saturating_duration_since(entry.progress.since),
        };
        if !was_parked && limiter.answers_others(is_there) {
            if used >= hold {
                entry.progress.parked = true;
                let (event_id, attempts) = (entry.event_id(), entry.progress.attempts);
                if let Some(key) = entry.key() {
                    state.keys.set_used(key, used);
                    info!(rpc, event_id, attempts, hold_ms = hold.as_millis(), "event parked, others of its key go on");
                }
            } else if entry.key().is_some() {
                due = due.min(now + (hold - used));
            }
        }
        limiter.waiting += 1;
        limiter.parked += usize::from(entry.progress.parked);
        limiter.loaded.more_at(if entry.progress.parked { Kind::Parked } else { Kind::Due }, due);
        self.store.retry_at(entry.clone(), due);
        if entry.progress.parked && !was_parked {
            self.release(state, &entry);
        }
    }

    /// Ends an event undelivered.
    pub(super) fn bury(self: &Arc<Self>, state: &mut State, entry: &Entry, reason: Reason, failure: Option<&Failure>) {
        self.lose(state, entry, reason, failure);
        let class = failure.map(|failure| failure.class.as_str());
        self.store.dead_letter(entry, Death { reason: reason.as_str(), class });
        self.ended(state, entry);
    }

    /// Counts and logs an event that ends undelivered.
    fn lose(&self, state: &mut State, entry: &Entry, reason: Reason, failure: Option<&Failure>) {
        state.counts.lose(reason, 1);
        match failure {
            Some(failure) if reason == Reason::Unimplemented => {
                state.limiter(entry.rpc()).log_unimplemented(entry, failure);
            }
            // No store has it.
            _ if reason == Reason::Disk => entry.log_dropped(reason, failure),
            _ => entry.log_end(reason, failure),
        }
        self.decisions.write(entry.undelivered(reason, failure));
    }

    /// Lets go of an event that has ended.
    pub(super) fn ended(self: &Arc<Self>, state: &mut State, entry: &Entry) {
        state.forget(1, entry.size());
        state.limiter(entry.rpc()).forget(entry);
        if !entry.progress.parked {
            self.release(state, entry);
        }
    }

    /// Goes on with the next event of a key.
    fn release(self: &Arc<Self>, state: &mut State, entry: &Entry) {
        let Some(key) = entry.key() else { return };
        let clock = state.limiter(entry.rpc()).clock(Instant::now());
        if state.keys.released(key, clock) {
            self.ask_for_next(state, entry.rpc(), key, entry.number());
        }
    }

    /// Notes that an attempt ended with an answer.
    fn answered(self: &Arc<Self>, state: &mut State, rpc: &'static str, slot: Slot) {
        let limiter = state.limiter(rpc);
        if limiter.answered(slot, Instant::now(), self.settings.concurrency) {
            info!(rpc, waiting = limiter.waiting, "policy available, resuming rpc");
            self.hurry_rpc(state, rpc);
        }
        self.go_on(state, rpc);
    }

    /// The pause after a failure, the first, the second, …: twice as long each time.
    fn pause(&self, nth: u32, longest: Duration, is_hurrying: bool) -> Duration {
        exponential(self.settings.retry_min, longest, if is_hurrying { 1 } else { nth })
    }
}

impl State {
    /// Notes that an attempt of an event has ended. Returns true if the store has the event.
    fn landed(&mut self, entry: &Entry) -> bool {
        self.in_flight.remove(&entry.number()).is_some_and(|in_flight| in_flight.is_stored())
    }
}

/// Returns the pause after an event's first attempt, its second, …
pub(super) fn pause_of_event(settings: &config::After, nth: u32) -> Duration {
    let place = usize::try_from(nth.saturating_sub(1)).unwrap_or(usize::MAX);
    match settings.schedule.get(place).or(settings.schedule.last()) {
        Some(pause) => jittered(*pause),
        None => exponential(settings.retry_min, settings.retry_max, nth),
    }
}

/// Returns the reason if an event whose next attempt would be due then is not tried again.
pub(super) fn reason_to_end(settings: &config::After, entry: &Entry, due: Instant) -> Option<Reason> {
    if entry.counted_attempts() >= settings.attempts {
        return Some(Reason::Attempts);
    }
    (due.saturating_duration_since(entry.progress.since) >= settings.age).then_some(Reason::Age)
}

/// Returns the reason if an event that failed so is not tried again.
pub(super) fn final_reason(failure: &Failure) -> Option<Reason> {
    match failure.class {
        Class::Unimplemented => Some(Reason::Unimplemented),
        Class::InvalidReply => Some(Reason::InvalidReply),
        _ if failure.refuses_size() => Some(Reason::RefusedSize),
        _ => None,
    }
}

/// Returns true if a failure is an answer of the policy to this event, which says nothing of others.
pub(super) fn is_of_the_event(failure: &Failure) -> bool {
    failure.class == Class::Error && !failure.not_grpc
}
