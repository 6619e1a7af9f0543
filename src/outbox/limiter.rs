//! The pace of one rpc: the number of deliveries at a time, its pauses, and a clock that runs while the policy answers.
//!
//! One failure says little: it may be that event's own, or its key's. So the limiter narrows to one new delivery at a time,
//! and goes on at once with another event; a success opens it again. Only when an event of another key fails too does the limiter
//! pause, longer each time. An event that fails again says nothing of the policy if that has answered others meanwhile. A
//! policy that fails now and then, or on some keys always, thus holds up nobody, and one that is down is asked once a
//! pause. Events that are parked, and keys that have used up their hold, are known to fail: they neither narrow nor pause
//! the limiter. They get half of its deliveries at most, so that the other half is free even if each of them runs into its deadline.
//!
//! A policy that has just come back has to find its feet: after a pause the deliveries at a time double, from one on,
//! each time that all of them have succeeded; events that have not failed come first.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Reason;
use super::entry::{Entry, Key};
use super::hold::Clock;
use super::loaded::Loaded;
use crate::failure::Failure;
use crate::observe::failures::Failures;
use crate::observe::log_limit::LogLimit;

/// Seconds between two lines about one rpc's failures.
pub(super) const LOG_INTERVAL: u64 = 60;

/// Maximum number of failed events that are remembered.
const REMEMBERED: usize = 20_000;

/// The deliveries of an rpc.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// The events that are loaded and not in flight, and when to load more.
    pub(super) loaded: Loaded,
    /// The events that wait, loaded or not, parked ones included.
    pub(super) waiting: usize,
    /// The waiting events that are parked.
    pub(super) parked: usize,
    in_flight: usize,
    /// Deliveries in flight that are known to fail.
    weak_in_flight: usize,
    /// Rounds so far: one begins with the first of failures in a row.
    round: u64,
    /// Deliveries in flight that began in this round, but for those that are known to fail. The others may take their time.
    round_in_flight: usize,
    /// Failures in a row, those that began before the first of them not counted.
    failures: u32,
    last_failed: Option<Identity>,
    /// The answers so far.
    answers: u64,
    /// The answers at the last failed attempt of each event that has failed.
    failed_at: HashMap<u64, u64>,
    paused_until: Option<Instant>,
    /// The number of deliveries that there may be at a time since the last pause; as many as the settings say if none.
    ramp: Option<usize>,
    clock: Clock,
    /// The last failure, for the log of what ends while it waits.
    pub(super) last_failure: Option<Failure>,
    /// The failures since the start, for `/status`.
    pub(super) noted: Failures,
    pub(super) failure_log: LogLimit,
    unimplemented_log: LogLimit,
    /// True if the log says that the policy does not implement the rpc, until an event of it is delivered.
    unimplemented_logged: bool,
    timer: Option<Timer>,
}

/// A timer that looks after the limiter if nothing else will.
#[derive(Debug)]
struct Timer {
    at: Instant,
    task: AbortHandle,
}

/// An attempt, as the limiter counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) began: Instant,
    /// True if it is to show whether the policy still fails.
    is_probe: bool,
    round: u64,
    /// True if it is known to fail.
    pub(super) is_weak: bool,
}

/// The thing that fails: two failures of one say no more of the policy than one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Key(Key),
    Event(u64),
}

impl Identity {
    fn of(entry: &Entry) -> Self {
        entry.key().map_or(Self::Event(entry.number()), |key| Self::Key(key.clone()))
    }
}

impl Limiter {
    /// Returns true if a delivery may begin.
    pub(super) fn is_free(&self, now: Instant, concurrency: usize) -> bool {
        self.has_room(concurrency) && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Returns true if a delivery may begin that is known to fail.
    pub(super) fn has_weak_room(&self, concurrency: usize) -> bool {
        match self.failures {
            0 => self.weak_in_flight < (concurrency / 2).max(1),
            _ => self.weak_in_flight + self.round_in_flight == 0,
        }
    }

    fn has_room(&self, concurrency: usize) -> bool {
        let most = if self.failures == 0 { self.ramp.unwrap_or(concurrency) } else { 1 };
        self.in_flight < concurrency && self.round_in_flight < most.max(1)
    }

    /// Returns true if events that have not failed yet come first: the limiter fails, or has just paused.
    pub(super) fn prefers_fresh(&self) -> bool {
        self.failures > 0 || self.ramp.is_some()
    }

    /// Begins a delivery.
    pub(super) fn begin(&mut self, began: Instant, is_weak: bool) -> Slot {
        self.in_flight += 1;
        self.weak_in_flight += usize::from(is_weak);
        self.round_in_flight += usize::from(!is_weak);
        Slot { began, is_probe: self.failures > 0, round: self.round, is_weak }
    }

    fn end(&mut self, slot: Slot) {
        self.in_flight -= 1;
        self.weak_in_flight -= usize::from(slot.is_weak);
        self.round_in_flight -= usize::from(!slot.is_weak && slot.round == self.round);
    }

    /// Ends a delivery that was given up: it says nothing of the policy.
    pub(super) fn given_up(&mut self, slot: Slot) {
        self.end(slot);
    }

    /// Notes a delivery that ended with an answer. Returns true if the limiter had paused.
    pub(super) fn answered(&mut self, slot: Slot, now: Instant, concurrency: usize) -> bool {
        self.end(slot);
        // One more for each that succeeds is twice as many for all of them.
        self.ramp = self.ramp.map(|ramp| ramp + 1).filter(|ramp| *ramp < concurrency);
        self.clock.run(now);
        self.answers += 1;
        self.last_failed = None;
        self.last_failure = None;
        let paused = self.failures > 1;
        self.failures = 0;
        self.paused_until = None;
        paused
    }

    /// Notes a delivery that failed. `is_there` is set if the policy is known to be there. `pause` is the end of the limiter's
    /// first, second, … pause. Returns true if this is its first.
    pub(super) fn failed(
        &mut self,
        entry: &Entry,
        slot: Slot,
        now: Instant,
        is_there: bool,
        pause: impl FnOnce(u32) -> Instant,
    ) -> bool {
        self.end(slot);
        if self.has_failed_meanwhile(entry) || (slot.is_weak && is_there) {
            return false;
        }
        // The same one again says nothing new of the policy.
        let identity = Identity::of(entry);
        let is_another = self.last_failed.as_ref() != Some(&identity);
        self.last_failed = Some(identity);
        if self.failures == 0 {
            self.failures = 1;
            (self.round, self.round_in_flight) = (self.round + 1, 0);
            if is_there {
                self.clock.run(slot.began);
            }
            return false;
        }
        if !slot.is_probe {
            return false;
        }
        if is_another {
            self.failures = self.failures.saturating_add(1);
        } else if self.failures == 1 {
            // Nothing was answered since it failed before.
            if is_there { self.clock.run(now) } else { self.clock.stop(now) }
        }
        if self.failures > 1 {
            self.clock.stop(now);
            self.paused_until = Some(pause(self.failures - 1));
            self.ramp = Some(1);
        }
        is_another && self.failures == 2
    }

    /// Notes that an event failed. Returns true if it had failed before, and others were answered since then.
    fn has_failed_meanwhile(&mut self, entry: &Entry) -> bool {
        if self.failed_at.len() >= REMEMBERED {
            self.failed_at.clear();
        }
        self.failed_at.insert(entry.number(), self.answers).is_some_and(|answers| answers < self.answers)
    }

    /// Forgets the failures of an event that has ended.
    pub(super) fn forget(&mut self, entry: &Entry) {
        self.failed_at.remove(&entry.number());
    }

    /// Returns true if the policy answers others: that it is there is known, or nothing else has failed since it answered.
    pub(super) fn answers_others(&self, is_there: bool) -> bool {
        self.clock.is_running() && (is_there || self.failures <= 1)
    }

    /// Reads the clock that runs while the policy answers.
    pub(super) fn clock(&self, at: Instant) -> Duration {
        self.clock.read(at)
    }

    /// Logs that the policy does not implement the rpc of an event: once until one is delivered, and at most once in
    /// [`LOG_INTERVAL`].
    pub(super) fn log_unimplemented(&mut self, entry: &Entry, failure: &Failure) {
        let (rpc, command, event_id, cause) = (entry.rpc(), entry.command(), entry.event_id(), &failure.cause);
        debug!(command, rpc, event_id, reason = Reason::Unimplemented.as_str(), "event dead-lettered");
        if !self.unimplemented_logged {
            self.unimplemented_log.log(LOG_INTERVAL, |_| {
                self.unimplemented_logged = true;
                warn!(command, rpc, event_id, cause, "rpc unimplemented, dead-lettering its events");
            });
        }
    }

    /// Notes that the policy implements the rpc.
    pub(super) fn implemented(&mut self) {
        self.unimplemented_logged = false;
    }

    /// Returns the time to look again, if no delivery's end will make it: when the pause is over and an event is due.
    pub(super) fn wakes(&self, next_due: Option<Instant>, concurrency: usize) -> Option<Instant> {
        next_due.filter(|_| self.has_room(concurrency)).map(|due| self.paused_until.map_or(due, |until| until.max(due)))
    }

    /// Returns true if the timer is late for this.
    pub(super) fn needs_timer(&self, at: Instant) -> bool {
        // One that is early sets the next.
        self.timer.as_ref().is_none_or(|timer| timer.at > at)
    }

    pub(super) fn set_timer(&mut self, at: Instant, task: AbortHandle) {
        self.stop_timer();
        self.timer = Some(Timer { at, task });
    }

    /// Notes that the timer that was set for then has gone off. Meanwhile there may be another.
    pub(super) fn woken(&mut self, at: Instant) {
        self.timer.take_if(|timer| timer.at == at);
    }

    /// Forgets the past but for the ramp: as if nothing had failed.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.last_failed = None;
        self.paused_until = None;
        self.stop_timer();
    }

    pub(super) fn stop_timer(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.task.abort();
        }
    }

    /// Counts an event that waits no longer.
    pub(super) fn left(&mut self, entry: &Entry) {
        self.waiting = self.waiting.saturating_sub(1);
        if entry.progress.parked {
            self.parked = self.parked.saturating_sub(1);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }
}
