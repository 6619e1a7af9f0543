//! The pace of one rpc: how many deliveries at a time, and when none.
//!
//! One failure says little: it may be that event's own. So the lane narrows to one delivery at a time, and goes on at
//! once with another event; a success opens it again. Only when another event fails too does the lane pause, longer each
//! time. A policy that fails now and then, or on one event always, thus holds up nobody, and one that is down is asked
//! once a pause.
//!
//! A policy that has just come back has to find its feet: after a pause the deliveries at a time double, from one on,
//! each time that all of them have succeeded.

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Reason;
use super::entry::Entry;
use super::waiting::Prefer;
use crate::failure::Failure;
use crate::observe::failures::Failures;
use crate::observe::log_limit::LogLimit;

/// Seconds between two lines about one rpc's failures.
pub(super) const LOG_INTERVAL: u64 = 60;

/// An rpc's deliveries.
#[derive(Debug, Default)]
pub(super) struct Lane {
    in_flight: usize,
    /// Failures in a row, those that began before the first of them not counted.
    failures: u32,
    last_failed: Option<u64>,
    paused_until: Option<Instant>,
    /// How many deliveries at a time there may be since the last pause; none is as many as the settings say.
    ramp: Option<usize>,
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

/// What looks after the lane when nothing else will.
#[derive(Debug)]
struct Timer {
    at: Instant,
    task: AbortHandle,
}

impl Lane {
    /// Whether a delivery may begin.
    pub(super) fn is_free(&self, now: Instant, concurrency: usize) -> bool {
        self.has_room(concurrency) && self.paused_until.is_none_or(|until| until <= now)
    }

    fn has_room(&self, concurrency: usize) -> bool {
        self.in_flight
            < if self.failures == 0 { self.ramp.map_or(concurrency, |ramp| ramp.min(concurrency)).max(1) } else { 1 }
    }

    /// Which event is to be tried next.
    pub(super) fn prefers(&self) -> Prefer {
        if self.failures == 0 { Prefer::Failed } else { Prefer::Fresh }
    }

    /// Begins a delivery. Says whether it is a probe: whether it is to show if the policy still fails.
    pub(super) fn begin(&mut self) -> bool {
        self.in_flight += 1;
        self.failures > 0
    }

    /// A delivery has ended with an answer. Says whether the lane had paused.
    pub(super) fn answered(&mut self, concurrency: usize) -> bool {
        self.in_flight -= 1;
        // One more for each that succeeds is twice as many for all of them.
        self.ramp = self.ramp.map(|ramp| ramp + 1).filter(|ramp| *ramp < concurrency);
        self.last_failed = None;
        self.last_failure = None;
        let paused = self.failures > 1;
        self.failures = 0;
        self.paused_until = None;
        paused
    }

    /// The delivery of an event has failed. `pause` is the length of the lane's first, second, … pause. Says whether
    /// this is its first.
    pub(super) fn failed(&mut self, number: u64, probe: bool, pause: impl FnOnce(u32) -> Instant) -> bool {
        self.in_flight -= 1;
        // The same event again says nothing new of the policy.
        let another = self.last_failed.replace(number) != Some(number);
        if self.failures == 0 {
            self.failures = 1;
            return false;
        }
        if !probe {
            return false;
        }
        if another {
            self.failures = self.failures.saturating_add(1);
        }
        if self.failures > 1 {
            self.paused_until = Some(pause(self.failures - 1));
            self.ramp = Some(1);
        }
        another && self.failures == 2
    }

    /// Logs that the policy does not implement the rpc of an event: once until one is delivered, and at most once in
    /// [`LOG_INTERVAL`].
    pub(super) fn log_unimplemented(&mut self, entry: &Entry, failure: &Failure) {
        let (rpc, command, event_id, cause) = (entry.callback.rpc, entry.command(), entry.event_id(), &failure.cause);
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

    /// When to look again, where no delivery's end will make it: when the pause is over and an event is due.
    pub(super) fn wakes(&self, next_due: Option<Instant>, concurrency: usize) -> Option<Instant> {
        next_due.filter(|_| self.has_room(concurrency)).map(|due| self.paused_until.map_or(due, |until| until.max(due)))
    }

    /// Whether the timer is late for this.
    pub(super) fn needs_timer(&self, at: Instant) -> bool {
        // One that is early sets the next.
        self.timer.as_ref().is_none_or(|timer| timer.at > at)
    }

    pub(super) fn set_timer(&mut self, at: Instant, task: AbortHandle) {
        self.stop_timer();
        self.timer = Some(Timer { at, task });
    }

    /// The timer that was set for then has gone off. Meanwhile there may be another.
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

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }
}
