//! What happens to an event, from its arrival to its end.
//!
//! One lock over all of it, held for moments and never while anything is awaited. A waiting event has no task: an rpc
//! has one timer at most, and a task for each delivery on its way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::delivery::{Ask, Attempt, ask_of};
use super::entry::Entry;
use super::lane::Lane;
use super::outbox::Outbox;
use super::{Counts, Event, Reason};
use crate::config;
use crate::decisions::Decisions;
use crate::error::{Class, Failure};
use crate::policy::Policy;
use crate::server::Transport;
use crate::verdict::Reply;

/// Everything that the events share.
pub(super) struct Queue {
    pub(super) ask: Box<Ask>,
    pub(super) settings: config::After,
    pub(super) decisions: Decisions,
    state: Mutex<State>,
    /// Nothing is kept any more.
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
    /// Everything has been given up.
    Closed,
}

/// What became of an event on its arrival.
pub(super) enum Taken {
    /// It is on its way, and its verdict comes here.
    Started(oneshot::Receiver<Reply>),
    /// It waits behind others.
    Waits,
    /// It is lost.
    Dropped,
}

impl Queue {
    pub(super) fn new<T: Transport>(policy: Policy<T>, settings: config::After, decisions: Decisions) -> Self {
        let outbox = Outbox::new(settings.events, settings.bytes);
        let state = State { outbox, lanes: BTreeMap::new(), counts: Counts::default(), phase: Phase::Running };
        Self { ask: ask_of(policy), settings, decisions, state: Mutex::new(state), idle: Notify::new() }
    }

    /// Takes an event in. It starts at once, unless it has to wait or another one of its rpc does.
    pub(super) fn take(self: &Arc<Self>, event: Event) -> Taken {
        let now = Instant::now();
        let rpc = event.callback.rpc;
        let state = &mut *self.lock();
        let entry = match state.outbox.keep(event, now) {
            Ok(entry) => entry,
            Err(entry) => {
                let reason = if state.phase == Phase::Closed { Reason::Shutdown } else { Reason::Full };
                state.counts.lose(reason, 1);
                entry.log_end(reason, None);
                return Taken::Dropped;
            }
        };
        if state.outbox.waiting(rpc) == 0 && state.lane(rpc).is_free(now, self.settings.concurrency) {
            let (tell, verdict) = oneshot::channel();
            self.start(state, entry, Some(tell));
            return Taken::Started(verdict);
        }
        state.outbox.push(entry);
        self.go_on(state, rpc, now);
        Taken::Waits
    }

    /// Begins a delivery.
    fn start(self: &Arc<Self>, state: &mut State, mut entry: Box<Entry>, tell: Option<oneshot::Sender<Reply>>) {
        entry.attempts = entry.attempts.saturating_add(1);
        if entry.attempts > 1 {
            state.counts.retried += 1;
        }
        let probe = state.lane(entry.callback.rpc).begin();
        tokio::spawn(Attempt { entry, probe, tell }.make(self.clone()));
    }

    /// The policy gave its verdict on an event.
    pub(super) fn delivered(self: &Arc<Self>, entry: &Entry) {
        let state = &mut *self.lock();
        if state.phase != Phase::Closed {
            state.counts.delivered += 1;
            self.ended(state, entry);
        }
    }

    /// An attempt failed: the event waits for the next one, or ends.
    pub(super) fn failed(self: &Arc<Self>, entry: Box<Entry>, probe: bool, failure: Failure) {
        let now = Instant::now();
        let state = &mut *self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        if let Class::Unimplemented | Class::InvalidReply = failure.class {
            let unimplemented = failure.class == Class::Unimplemented;
            let reason = if unimplemented { Reason::Unimplemented } else { Reason::InvalidReply };
            self.lose(state, &entry, reason, Some(&failure));
            // It is an answer all the same: the policy is there.
            return self.ended(state, &entry);
        }
        let (rpc, hurrying) = (entry.callback.rpc, state.phase == Phase::Hurrying);
        let due = now + self.pause(entry.attempts, hurrying);
        if state.lane(rpc).failed(entry.number, probe, |nth| now + self.pause(nth, hurrying)) {
            warn!(rpc, class = failure.class.as_str(), cause = failure.cause(), "the policy fails: events wait");
        }
        let reason = if hurrying {
            None
        } else if entry.attempts >= self.settings.attempts {
            Some(Reason::Attempts)
        } else {
            (due.duration_since(entry.arrived) >= self.settings.age).then_some(Reason::Age)
        };
        if let Some(reason) = reason {
            self.lose(state, &entry, reason, Some(&failure));
            state.outbox.done(&entry);
        } else {
            let (event_id, attempts) = (entry.event_id(), entry.attempts);
            let (class, cause) = (failure.class.as_str(), failure.cause());
            debug!(rpc, event_id, attempts, class, cause, "an attempt failed");
            state.outbox.put_back(entry, due);
        }
        state.lane(rpc).last_failure = Some(failure);
        self.go_on(state, rpc, now);
    }

    /// Counts and logs an event that ends undelivered.
    fn lose(&self, state: &mut State, entry: &Entry, reason: Reason, failure: Option<&Failure>) {
        state.counts.lose(reason, 1);
        entry.log_end(reason, failure);
        self.decisions.write(&entry.undelivered(reason, failure));
    }

    /// The delivery of an event ended with an answer.
    fn ended(self: &Arc<Self>, state: &mut State, entry: &Entry) {
        let rpc = entry.callback.rpc;
        state.outbox.done(entry);
        if state.lane(rpc).answered() {
            info!(rpc, waiting = state.outbox.waiting(rpc), "the policy answers again");
        }
        self.go_on(state, rpc, Instant::now());
    }

    /// Starts what may be started of an rpc, and sees to it that the rest is looked at in time.
    pub(super) fn go_on(self: &Arc<Self>, state: &mut State, rpc: &'static str, now: Instant) {
        while state.phase == Phase::Running
            && let Some(entry) = state.outbox.take_aged(rpc, now, self.settings.age)
        {
            let failure = state.lane(rpc).last_failure.take();
            self.lose(state, &entry, Reason::Age, failure.as_ref());
            state.outbox.done(&entry);
            state.lane(rpc).last_failure = failure;
        }
        while state.lane(rpc).is_free(now, self.settings.concurrency) {
            let prefer = state.lane(rpc).prefers();
            let Some(entry) = state.outbox.take(rpc, now, prefer) else { break };
            self.start(state, entry, None);
        }
        if state.outbox.events() == 0 {
            self.idle.notify_waiters();
        }
        let next_due = state.outbox.next_due(rpc);
        let lane = state.lane(rpc);
        if let Some(at) = lane.wakes(next_due, self.settings.concurrency).filter(|at| lane.needs_timer(*at)) {
            lane.set_timer(at, tokio::spawn(self.clone().go_on_at(rpc, at)).abort_handle());
        }
    }

    /// The policy has come back: what waits is due. Says whether anything does.
    pub(super) fn resume(self: &Arc<Self>) -> bool {
        let state = &mut *self.lock();
        let waits = state.outbox.events() > 0;
        self.forget_pauses(state);
        waits
    }

    pub(super) fn forget_pauses(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        state.outbox.make_due(now);
        let rpcs: Vec<_> = state.lanes.keys().copied().collect();
        for rpc in rpcs {
            state.lane(rpc).reset();
            self.go_on(state, rpc, now);
        }
    }

    async fn go_on_at(self: Arc<Self>, rpc: &'static str, at: Instant) {
        sleep_until(at).await;
        let state = &mut *self.lock();
        state.lane(rpc).woken(at);
        self.go_on(state, rpc, Instant::now());
    }

    /// The pause after a failure, the first, the second, …: twice as long each time, and from half of that to all of
    /// it, so that what failed together does not come again together.
    fn pause(&self, nth: u32, hurrying: bool) -> Duration {
        let doubled = if hurrying { 1 } else { 2_u32.saturating_pow(nth.saturating_sub(1)) };
        let longest = self.settings.retry_min.saturating_mul(doubled).min(self.settings.retry_max);
        // Never none: nothing but time may pass between two attempts.
        longest.mul_f64(0.5 + fastrand::f64() / 2.0).max(Duration::from_millis(1))
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
