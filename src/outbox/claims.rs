//! Questions of the scheduler to the store, and the use of the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Reason;
use super::entry::Key;
use super::scheduler::{Phase, Scheduler, State};
use super::store::{Answer, Claimed, Kind, Next, Unreadable};

/// Pause before the store is asked again for what it could not read.
const AGAIN: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Starts what may be started of an rpc, and sees to it that the rest is looked at in time.
    pub(super) fn go_on(self: &Arc<Self>, state: &mut State, rpc: &'static str) {
        if state.limiter(rpc).waiting > 0 {
            self.go_on_with_what_waits(state, rpc, Instant::now());
        }
        if state.events == 0 || state.phase == Phase::Leaving {
            self.idle.notify_waiters();
        }
    }

    fn go_on_with_what_waits(self: &Arc<Self>, state: &mut State, rpc: &'static str, now: Instant) {
        let concurrency = self.settings.concurrency;
        loop {
            // What has waited longest is in the store.
            let is_more = self.load(state, rpc, now);
            self.start(state, rpc, now);
            if !is_more {
                break;
            }
        }
        if matches!(state.phase, Phase::Leaving | Phase::Closed) {
            return;
        }
        let limiter = state.limiter(rpc);
        let next_due = limiter.loaded.next_due(now, limiter.has_weak_room(concurrency));
        if let Some(at) = limiter.wakes(next_due, concurrency).filter(|at| limiter.needs_timer(*at)) {
            limiter.set_timer(at, self.runtime.spawn(self.clone().go_on_at(rpc, at)).abort_handle());
        }
    }

    /// Loads more, if the rpc has room for it. Returns true if there may be more at once.
    fn load(self: &Arc<Self>, state: &mut State, rpc: &'static str, now: Instant) -> bool {
        let limiter = state.limiter(rpc);
        if !limiter.is_free(now, self.settings.concurrency) {
            return false;
        }
        let Some(ask) = limiter.loaded.ask(rpc, now) else { return false };
        match self.store.claim(ask) {
            Answer::Now(claimed) => {
                self.add(state, rpc, claimed);
                true
            }
            Answer::Later(claimed) => {
                let scheduler = self.clone();
                self.runtime.spawn(async move {
                    let claimed = claimed.await;
                    let state = &mut *scheduler.lock();
                    if state.phase != Phase::Closed {
                        scheduler.add(state, rpc, claimed);
                        scheduler.go_on(state, rpc);
                    }
                });
                false
            }
        }
    }

    /// Begins attempts of what is loaded.
    fn start(self: &Arc<Self>, state: &mut State, rpc: &'static str, now: Instant) {
        let concurrency = self.settings.concurrency;
        while !matches!(state.phase, Phase::Leaving | Phase::Closed) {
            let limiter = state.limiter(rpc);
            let (prefers_fresh, has_weak_room) = (limiter.prefers_fresh(), limiter.has_weak_room(concurrency));
            if !limiter.is_free(now, concurrency) {
                return;
            }
            let Some(entry) = limiter.loaded.take(prefers_fresh, has_weak_room) else { return };
            if state.phase == Phase::Running && now.saturating_duration_since(entry.progress.since) >= self.settings.age
            {
                let failure = state.limiter(rpc).last_failure.take();
                state.limiter(rpc).left(&entry);
                self.bury(state, &entry, Reason::Age, failure.as_ref());
                state.limiter(rpc).last_failure = failure;
                continue;
            }
            let is_weak = self.is_weak(state, &entry);
            if is_weak && !has_weak_room {
                state.limiter(rpc).loaded.push_weak(entry);
                continue;
            }
            state.begin(entry, now, is_weak, true).spawn(self);
        }
    }

    fn add(self: &Arc<Self>, state: &mut State, rpc: &'static str, mut claimed: Claimed) {
        for unreadable in std::mem::take(&mut claimed.unreadable) {
            self.lose_row(state, unreadable);
        }
        state.limiter(rpc).loaded.add(claimed);
    }

    /// Lets go of an event whose row cannot be read.
    fn lose_row(self: &Arc<Self>, state: &mut State, unreadable: Unreadable) {
        let Unreadable { rpc, number, bytes, is_parked, key } = unreadable;
        state.forget(1, bytes);
        let limiter = state.limiter(rpc);
        limiter.waiting = limiter.waiting.saturating_sub(1);
        limiter.parked = limiter.parked.saturating_sub(usize::from(is_parked));
        let clock = limiter.clock(Instant::now());
        if let Some(key) = key.filter(|key| state.keys.released(key, clock)) {
            self.ask_for_next(state, rpc, &key, number);
        }
    }

    /// Asks for the next event of a key, which goes on from then on. Whoever calls this goes on with `rpc` after it.
    pub(super) fn ask_for_next(self: &Arc<Self>, state: &mut State, rpc: &'static str, key: &Key, behind: u64) {
        match self.store.next(key, behind) {
            Answer::Now(next) => {
                let other = self.add_next(state, key.clone(), behind, next).filter(|other| *other != rpc);
                if let Some(other) = other {
                    self.runtime.spawn(self.clone().go_on_at(other, Instant::now()));
                }
            }
            Answer::Later(next) => {
                let (scheduler, key) = (self.clone(), key.clone());
                self.runtime.spawn(async move {
                    let next = next.await;
                    let state = &mut *scheduler.lock();
                    if let Some(rpc) = scheduler.add_next(state, key, behind, next) {
                        scheduler.go_on(state, rpc);
                    }
                });
            }
        }
    }

    /// Adds the next event of a key, if there is one; returns its rpc.
    fn add_next(self: &Arc<Self>, state: &mut State, key: Key, behind: u64, next: Next) -> Option<&'static str> {
        if state.phase == Phase::Closed {
            return None;
        }
        match next {
            Next::Event(entry) => {
                let rpc = entry.rpc();
                state.limiter(rpc).loaded.push_due(entry);
                return Some(rpc);
            }
            Next::Unreadable(unreadable) => self.lose_row(state, unreadable),
            // One that was thought to stand behind is gone. There may be another by now.
            Next::None => {
                if state.keys.released(&key, Duration::ZERO) {
                    self.ask_for_next(state, "", &key, behind);
                }
            }
            Next::Unknown => {
                let scheduler = self.clone();
                self.runtime.spawn(async move {
                    sleep(AGAIN).await;
                    scheduler.ask_for_next(&mut scheduler.lock(), "", &key, behind);
                });
            }
        }
        None
    }

    /// Makes everything due, as the policy has come back. Returns true if anything waits.
    pub(super) fn resume(self: &Arc<Self>) -> bool {
        let state = &mut *self.lock();
        self.forget_pauses(state);
        state.events > 0
    }

    pub(super) fn forget_pauses(self: &Arc<Self>, state: &mut State) {
        let rpcs: Vec<_> = state.limiters.keys().copied().collect();
        for rpc in rpcs {
            self.hurry_rpc(state, rpc);
            state.limiter(rpc).reset();
            self.go_on(state, rpc);
        }
    }

    /// Makes the events of an rpc due that wait for their next attempt and are not parked.
    pub(super) fn hurry_rpc(&self, state: &mut State, rpc: &'static str) {
        let (now, limiter) = (Instant::now(), state.limiter(rpc));
        self.store.hurry(rpc);
        limiter.loaded.more_at(Kind::Due, now);
        if state.phase == Phase::Hurrying {
            self.store.hurry_all(rpc);
            state.limiter(rpc).loaded.more_at(Kind::Parked, now);
        }
    }

    /// Notes that the store may have more of an rpc than it had.
    pub(super) fn look_again(self: &Arc<Self>, state: &mut State, rpc: &'static str) {
        let now = Instant::now();
        Kind::ALL.into_iter().for_each(|kind| state.limiter(rpc).loaded.more_at(kind, now));
        self.go_on(state, rpc);
    }

    async fn go_on_at(self: Arc<Self>, rpc: &'static str, at: Instant) {
        sleep_until(at).await;
        let state = &mut *self.lock();
        state.limiter(rpc).woken(at);
        self.go_on(state, rpc);
    }
}
