//! The pace of the deliveries of this copy, and what a failure leads to.
//!
//! It is the limiter of each rpc and the hold of each key, as for the other stores. What differs: an event that fails holds
//! up its partition, in which other keys and other rpcs are. So there is a hold of an rpc too: where one rpc fails for
//! everybody while the policy answers others, its events are parked once that has taken as long as the hold. While the policy
//! answers nothing, nothing is parked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::backoff::{exponential, jittered};
use crate::config;
use crate::failure::Failure;
use crate::outbox::entry::Entry;
use crate::outbox::key_order::Keys;
use crate::outbox::limiter::{Limiter, Slot};
use crate::outbox::retry::{final_reason, is_of_the_event, pause_of_event, reason_to_end};
use crate::outbox::{Counts, Reason};

/// An answer to another rpc within this time shows that the policy is there.
const RECENT: Duration = Duration::from_secs(15);

/// Maximum time between two looks of an event that waits for its turn.
const LOOK: Duration = Duration::from_millis(500);

/// The pace of a copy.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) settings: config::After,
    state: Mutex<State>,
    /// Notifies when a delivery has ended.
    ended: Notify,
    /// Notifies when what waits for its next attempt may be tried at once.
    resumed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) limiters: BTreeMap<&'static str, Limiter>,
    pub(super) keys: Keys,
    alone: HashMap<&'static str, Alone>,
    answered: HashMap<&'static str, Instant>,
    pub(super) counts: Counts,
    /// The IDs of events in hand.
    pub(super) hands: HashMap<String, usize>,
}

/// The time for which an rpc has failed for everybody while the policy answered others.
#[derive(Debug, Default)]
struct Alone {
    used: Duration,
    last: Option<Instant>,
}

/// The consequence of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt, then.
    Again(Instant),
    /// Parking, and another attempt then.
    Park(Instant),
    /// The end, undelivered.
    End(Reason),
}

/// The reason for which an event leaves this copy's hand without an answer or a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Another copy may have it.
    Lost,
    /// This copy is stopping.
    Stopping,
    /// No connection of the policy can serve: another copy's may.
    Away,
    /// Its rpc fails for everybody, and it holds up others.
    ParkFirst,
    /// The age at which an event ends.
    TooOld,
}

impl Pace {
    pub(super) fn new(settings: config::After) -> Self {
        Self { settings, state: Mutex::default(), ended: Notify::new(), resumed: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a delivery of an event as soon as it may begin. Returns the reason if it leaves this copy's hand instead.
    /// `may_serve` says if a connection of the policy can serve.
    pub(super) async fn turn(&self, entry: &Entry, may_serve: impl Fn() -> bool) -> Result<Slot, Why> {
        loop {
            let ended = self.ended.notified();
            let now = Instant::now();
            let wakes = {
                let state = &mut *self.lock();
                if now.saturating_duration_since(entry.progress.since) >= self.settings.age {
                    return Err(Why::TooOld);
                }
                if let Some(slot) = self.begin(state, entry, now) {
                    return Ok(slot);
                }
                if entry.key().is_some() && !entry.progress.parked && self.is_alone_spent(state, entry.rpc(), now) {
                    return Err(Why::ParkFirst);
                }
                if !may_serve() {
                    return Err(Why::Away);
                }
                wakes(state.limiters.get(entry.rpc()), now)
            };
            let _ = timeout(wakes.saturating_duration_since(now), ended).await;
        }
    }

    /// Begins a delivery if there is room for it now.
    pub(super) fn try_begin(&self, entry: &Entry) -> Option<Slot> {
        self.begin(&mut self.lock(), entry, Instant::now())
    }

    fn begin(&self, state: &mut State, entry: &Entry, now: Instant) -> Option<Slot> {
        let concurrency = self.settings.concurrency;
        let is_spent = entry.key().is_some_and(|key| state.keys.is_spent(key, self.settings.hold));
        let is_weak = entry.progress.parked || is_spent;
        let limiter = state.limiters.entry(entry.rpc()).or_default();
        if !limiter.is_free(now, concurrency) || (is_weak && !limiter.has_weak_room(concurrency)) {
            return None;
        }
        if entry.progress.attempts > 0 {
            state.counts.retried += 1;
        }
        if let Some(key) = entry.key().filter(|_| !entry.progress.parked) {
            state.keys.goes(key);
        }
        Some(limiter.begin(now, is_weak))
    }

    /// Waits until the rpc has room for an event that is not in hand yet.
    pub(super) async fn room(&self, rpc: &'static str) {
        loop {
            let ended = self.ended.notified();
            let now = Instant::now();
            let wakes = {
                let state = &mut *self.lock();
                let limiter = state.limiters.entry(rpc).or_default();
                if limiter.is_free(now, self.settings.concurrency) {
                    return;
                }
                wakes(Some(limiter), now)
            };
            let _ = timeout(wakes.saturating_duration_since(now), ended).await;
        }
    }

    /// Waits until the next attempt of an event is due, or all that waits is tried.
    pub(super) async fn due(&self, at: Instant) {
        let resumed = self.resumed.notified();
        tokio::select! {
            () = sleep_until(at) => {}
            () = resumed => {}
        }
    }

    /// Notes an answer. Returns true if the key of the event had used up its hold, and has it again.
    pub(super) fn answered(&self, entry: &Entry, slot: Slot) -> bool {
        let state = &mut *self.lock();
        let limiter = state.limiters.entry(entry.rpc()).or_default();
        limiter.implemented();
        limiter.forget(entry);
        let mut was_spent = false;
        if let Some(key) = entry.key().filter(|_| !entry.progress.parked) {
            was_spent = state.keys.is_spent(key, self.settings.hold);
            state.keys.succeeded(key);
        }
        state.counts.delivered += 1;
        self.heard(state, entry.rpc(), slot);
        was_spent
    }

    fn heard(&self, state: &mut State, rpc: &'static str, slot: Slot) {
        let now = Instant::now();
        state.alone.remove(rpc);
        state.answered.insert(rpc, now);
        if state.limiters.entry(rpc).or_default().answered(slot, now, self.settings.concurrency) {
            info!(rpc, "policy available, resuming rpc");
            self.resumed.notify_waiters();
        }
        self.ended.notify_waiters();
    }

    /// Notes a failure. `is_ready` is set if the policy is known to be ready, by its health.
    pub(super) fn failed(&self, entry: &Entry, slot: Slot, failure: &Failure, is_ready: bool) -> Next {
        let (now, rpc) = (Instant::now(), entry.rpc());
        let state = &mut *self.lock();
        let limiter = state.limiters.entry(rpc).or_default();
        limiter.noted.note(failure);
        if let Some(reason) = final_reason(failure) {
            if reason == Reason::Unimplemented {
                limiter.log_unimplemented(entry, failure);
            }
            limiter.forget(entry);
            self.heard(state, rpc, slot);
            return Next::End(reason);
        }
        let is_there = is_of_the_event(failure) || (failure.asked && is_ready);
        let pause = |nth| now + exponential(self.settings.retry_min, self.settings.pause_max, nth);
        if limiter.failed(entry, slot, now, is_there, pause) {
            warn!(rpc, class = failure.class.as_str(), cause = failure.cause, "policy unavailable, pausing rpc");
        }
        entry.log_attempt(failure, &limiter.failure_log);
        let answers_others = limiter.answers_others(is_there);
        let (began, clock) = (limiter.clock(slot.began), limiter.clock(now));
        let due = now + pause_of_event(&self.settings, entry.counted_attempts());
        self.ended.notify_waiters();
        if let Some(reason) = reason_to_end(&self.settings, entry, due) {
            return Next::End(reason);
        }
        let hold = self.settings.hold;
        let Some(key) = entry.key().filter(|_| !entry.progress.parked) else {
            let is_old = now.saturating_duration_since(entry.progress.since) >= hold;
            return if answers_others && is_old && !entry.progress.parked { Next::Park(due) } else { Next::Again(due) };
        };
        let used = state.keys.failed(key, began, clock);
        // An event in hand waits in its partition: never for long.
        let mut soon = due.min(now + jittered(self.settings.pause_max));
        if answers_others {
            if used >= hold {
                state.keys.set_used(key, used);
                return Next::Park(due);
            }
            soon = soon.min(now + (hold - used));
        } else {
            let used = Self::note_alone(state, rpc, now);
            if used >= hold && !used.is_zero() {
                return Next::Park(due);
            }
        }
        Next::Again(soon)
    }

    /// Adds to the time for which an rpc got no answer while another did, and returns it.
    /// Time counts if another rpc has been answered since the last such failure: in an outage none does.
    fn note_alone(state: &mut State, rpc: &'static str, now: Instant) -> Duration {
        let other = state.answered.iter().filter(|(other, _)| **other != rpc).map(|(_, at)| *at).max();
        let alone = state.alone.entry(rpc).or_default();
        match (alone.last, other) {
            (Some(last), Some(at)) if at > last => {
                alone.used += now.saturating_duration_since(last).min(RECENT);
                alone.last = Some(now);
            }
            (None, Some(at)) if now.saturating_duration_since(at) < RECENT => alone.last = Some(now),
            (Some(last), _) if now.saturating_duration_since(last) >= RECENT => alone.last = None,
            _ => {}
        }
        alone.used
    }

    fn is_alone_spent(&self, state: &State, rpc: &'static str, now: Instant) -> bool {
        let Some(Alone { used, last: Some(last) }) = state.alone.get(rpc) else { return false };
        now.saturating_duration_since(*last) < RECENT && *used >= self.settings.hold && !used.is_zero()
    }

    /// Lets go of the slot of an attempt that was given up.
    pub(super) fn abandoned(&self, entry: &Entry, slot: Slot) {
        self.lock().limiters.entry(entry.rpc()).or_default().given_up(slot);
        self.ended.notify_waiters();
    }

    /// Lets go of a key, as its event has ended, is parked, or is another copy's.
    pub(super) fn released(&self, entry: &Entry) {
        if let Some(key) = entry.key().filter(|_| !entry.progress.parked) {
            let state = &mut *self.lock();
            let clock = state.limiters.get(entry.rpc()).map_or(Duration::ZERO, |limiter| limiter.clock(Instant::now()));
            state.keys.released(key, clock);
        }
    }

    /// Forgets all pauses, as the policy has come back.
    pub(super) fn resume(&self) {
        self.lock().limiters.values_mut().for_each(Limiter::reset);
        self.ended.notify_waiters();
        self.resumed.notify_waiters();
    }
}

/// Returns the time of the next look of what waits for a limiter.
fn wakes(limiter: Option<&Limiter>, now: Instant) -> Instant {
    let paused = limiter.and_then(Limiter::paused_until).filter(|until| *until > now);
    paused.map_or(now + LOOK, |until| until.min(now + LOOK))
}
