//! What happens to an event, from its arrival to its end.
//!
//! One lock over all of it, held for moments and never while anything is awaited. A waiting event has no task: an rpc
//! has one timer at most, and a delivery on its way the task of the webhook that waits for it or one of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::delivery::{Attempt, Attended, Make, by_asking};
use super::entry::Entry;
use super::lane::Lane;
use super::outbox::Outbox;
use super::pulse::Pulse;
use super::store::{Ended, Op, Store, Written};
use super::{Counts, Event, Reason};
use crate::backoff::{exponential, jittered};
use crate::config;
use crate::failure::{Class, Failure};
use crate::observe::decisions::Decisions;
use crate::policy::Policy;
use crate::policy::Transport;

/// Everything that the events share.
pub(super) struct Queue {
    pub(super) make: Box<Make>,
    pub(super) settings: config::After,
    pub(super) decisions: Decisions,
    /// Where the events are on disk, if they are.
    pub(super) store: Option<Store>,
    /// Where deliveries run.
    pub(super) runtime: Handle,
    pub(super) pulse: Pulse,
    state: Mutex<State>,
    /// Nothing is kept, or nothing is on its way, any more.
    pub(super) idle: Notify,
}

/// What is under the lock.
pub(super) struct State {
    pub(super) outbox: Outbox,
    pub(super) lanes: BTreeMap<&'static str, Lane>,
    pub(super) counts: Counts,
    pub(super) phase: Phase,
}

/// How far it is from the start to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Every event has its time.
    Running,
    /// Stopping soon: short pauses, and no event is given up for its attempts or its age.
    Hurrying,
    /// Stopping soon: nothing more begins, as what is left is on disk.
    Leaving,
    /// Everything has been given up, or left on disk.
    Closed,
}

/// What became of an event on its arrival.
pub(super) enum Taken {
    /// It is on its way, and its verdict comes here.
    Started(Attended, Saved),
    /// It waits behind others.
    Waits(Saved),
    /// It is lost.
    Dropped,
}

/// Tells when an event is on disk; nothing where there is none.
pub(super) type Saved = Option<oneshot::Receiver<Written>>;

impl Queue {
    pub(super) fn new<T: Transport>(
        policy: Policy<T>,
        settings: config::After,
        decisions: Decisions,
        store: Option<Store>,
    ) -> Self {
        let outbox = Outbox::new(settings.events, settings.bytes, store.is_some());
        let state = State { outbox, lanes: BTreeMap::new(), counts: Counts::default(), phase: Phase::Running };
        let (runtime, state) = (Handle::current(), Mutex::new(state));
        let (pulse, idle) = (Pulse::default(), Notify::new());
        Self { make: by_asking(policy), settings, decisions, store, runtime, pulse, state, idle }
    }

    /// Takes an event in. It starts at once, unless it has to wait or another one of its rpc does.
    pub(super) fn take(self: &Arc<Self>, event: Event, now: Instant) -> Taken {
        let rpc = event.callback.rpc;
        let state = &mut *self.lock();
        // Without this one, which is on the disk alone for a moment.
        let waited = state.outbox.waiting(rpc) > 0;
        let entry = match self.keep(state, event, now) {
            Ok(entry) => entry,
            Err((reason, entry)) => {
                state.counts.lose(reason, 1);
                entry.log_end(reason, None);
                return Taken::Dropped;
            }
        };
        let (entry, saved) = match &self.store {
            Some(store) => {
                let (told, saved) = oneshot::channel();
                (self.save(state, store, entry, told), Some(saved))
            }
            None => (state.outbox.of(rpc).waiting.arrive(entry), None),
        };
        let Some(entry) = entry else {
            self.go_on(state, rpc);
            return Taken::Waits(saved);
        };
        if !waited && state.phase != Phase::Leaving && state.lane(rpc).is_free(now, self.settings.concurrency) {
            return Taken::Started(self.begin(state, entry, now).attend(self), saved);
        }
        state.outbox.of(rpc).waiting.push(entry);
        self.go_on(state, rpc);
        Taken::Waits(saved)
    }

    /// Begins a delivery.
    fn begin(&self, state: &mut State, mut entry: Box<Entry>, began: Instant) -> Attempt {
        entry.attempts = entry.attempts.saturating_add(1);
        if entry.attempts > 1 {
            state.counts.retried += 1;
        }
        let probe = state.lane(entry.callback.rpc).begin();
        Attempt { entry, probe, began }
    }

    /// The policy gave its verdict on an event.
    pub(super) fn delivered(self: &Arc<Self>, entry: &Entry) {
        let state = &mut *self.lock();
        if state.phase != Phase::Closed {
            state.counts.delivered += 1;
            state.lane(entry.callback.rpc).implemented();
            self.ended(state, entry, Op::Done);
        }
    }

    /// An attempt failed: the event waits for the next one, or ends.
    pub(super) fn failed(self: &Arc<Self>, entry: Box<Entry>, probe: bool, failure: Failure) {
        let now = Instant::now();
        let state = &mut *self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        state.lane(entry.callback.rpc).noted.note(&failure);
        if let Class::Unimplemented | Class::InvalidReply = failure.class {
            let unimplemented = failure.class == Class::Unimplemented;
            let reason = if unimplemented { Reason::Unimplemented } else { Reason::InvalidReply };
            self.lose(state, &entry, reason, Some(&failure));
            // It is an answer all the same: the policy is there.
            let (attempts, class) = (entry.attempts, Some(failure.class.as_str()));
            return self.ended(state, &entry, |ended| Op::Bury { ended, attempts, reason, class });
        }
        let (rpc, hurrying) = (entry.callback.rpc, state.phase == Phase::Hurrying);
        let due = now + self.pause_of_event(entry.counted_attempts(), hurrying);
        if state.lane(rpc).failed(entry.number, probe, |nth| now + self.pause(nth, self.settings.pause_max, hurrying)) {
            warn!(rpc, class = failure.class.as_str(), cause = failure.cause, "policy unavailable, pausing rpc");
        }
        let reason = if hurrying {
            None
        } else if entry.counted_attempts() >= self.settings.attempts {
            Some(Reason::Attempts)
        } else {
            (due.duration_since(entry.since) >= self.settings.age).then_some(Reason::Age)
        };
        if let Some(reason) = reason {
            self.lose(state, &entry, reason, Some(&failure));
            self.bury(state, &entry, reason, Some(&failure));
        } else {
            entry.log_attempt(&failure, &state.lane(rpc).failure_log);
            self.put_back(state, entry, due);
        }
        state.lane(rpc).last_failure = Some(failure);
        self.go_on(state, rpc);
    }

    /// Counts and logs an event that ends undelivered.
    fn lose(&self, state: &mut State, entry: &Entry, reason: Reason, failure: Option<&Failure>) {
        state.counts.lose(reason, 1);
        match failure {
            Some(failure) if reason == Reason::Unimplemented => {
                state.lane(entry.callback.rpc).log_unimplemented(entry, failure);
            }
            _ => entry.log_end(reason, failure),
        }
        self.decisions.write(&entry.undelivered(reason, failure));
    }

    /// The delivery of an event ended with an answer.
    fn ended(self: &Arc<Self>, state: &mut State, entry: &Entry, op: impl FnOnce(Ended) -> Op) {
        let rpc = entry.callback.rpc;
        self.end(state, entry, op);
        if state.lane(rpc).answered(self.settings.concurrency) {
            info!(rpc, waiting = state.outbox.waiting(rpc), "policy available, resuming rpc");
        }
        self.go_on(state, rpc);
    }

    /// Starts what may be started of an rpc, and sees to it that the rest is looked at in time.
    pub(super) fn go_on(self: &Arc<Self>, state: &mut State, rpc: &'static str) {
        if state.outbox.waiting(rpc) > 0 {
            self.go_on_with_what_waits(state, rpc, Instant::now());
        }
        if state.outbox.events() == 0 || state.phase == Phase::Leaving {
            self.idle.notify_waiters();
        }
    }

    fn go_on_with_what_waits(self: &Arc<Self>, state: &mut State, rpc: &'static str, now: Instant) {
        while state.phase == Phase::Running
            && let Some(entry) = state.outbox.of(rpc).waiting.take_aged(now, self.settings.age)
        {
            let failure = state.lane(rpc).last_failure.take();
            self.lose(state, &entry, Reason::Age, failure.as_ref());
            self.bury(state, &entry, Reason::Age, failure.as_ref());
            state.lane(rpc).last_failure = failure;
        }
        while state.phase != Phase::Leaving && state.lane(rpc).is_free(now, self.settings.concurrency) {
            let prefer = state.lane(rpc).prefers();
            let Some(entry) = state.outbox.of(rpc).waiting.take(now, prefer) else { break };
            self.begin(state, entry, now).spawn(self);
        }
        if state.phase == Phase::Leaving || state.phase == Phase::Closed {
            return;
        }
        self.read_on(state, rpc, now);
        let next_due = state.outbox.next_due(rpc, now);
        let lane = state.lane(rpc);
        if let Some(at) = lane.wakes(next_due, self.settings.concurrency).filter(|at| lane.needs_timer(*at)) {
            lane.set_timer(at, self.runtime.spawn(self.clone().go_on_at(rpc, at)).abort_handle());
        }
    }

    /// The policy has come back: what waits is due. Says whether anything does.
    pub(super) fn resume(self: &Arc<Self>) -> bool {
        let state = &mut *self.lock();
        let waits = state.outbox.events() > 0;
        if let (Some(store), true) = (&self.store, waits) {
            store.send(Op::Hurry);
        }
        self.forget_pauses(state);
        waits
    }

    pub(super) fn forget_pauses(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        state.outbox.make_due(now);
        for rpc in state.outbox.rpcs() {
            state.lane(rpc).reset();
            self.go_on(state, rpc);
        }
    }

    async fn go_on_at(self: Arc<Self>, rpc: &'static str, at: Instant) {
        sleep_until(at).await;
        let state = &mut *self.lock();
        state.lane(rpc).woken(at);
        self.go_on(state, rpc);
    }

    /// The pause of an event after its first attempt, its second, …
    fn pause_of_event(&self, nth: u32, hurrying: bool) -> Duration {
        let schedule = &self.settings.schedule;
        let place = usize::try_from(nth.saturating_sub(1)).unwrap_or(usize::MAX);
        match schedule.get(place).or(schedule.last()).filter(|_| !hurrying) {
            Some(pause) => jittered(*pause),
            None => self.pause(nth, self.settings.retry_max, hurrying),
        }
    }

    /// The pause after a failure, the first, the second, …: twice as long each time.
    fn pause(&self, nth: u32, longest: Duration, hurrying: bool) -> Duration {
        exponential(self.settings.retry_min, longest, if hurrying { 1 } else { nth })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it was asked to log or to spawn; the state itself is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn lane(&mut self, rpc: &'static str) -> &mut Lane {
        self.lanes.entry(rpc).or_default()
    }
}
