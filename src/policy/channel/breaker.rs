//! Circuit breakers: an rpc whose calls go unanswered is not called for a while; then one call probes.
//!
//! | state | a call | next state |
//! |---|---|---|
//! | closed | goes through | open, after `channel.breaker_failures` unanswered calls in a row |
//! | open | fails at once | half-open, with the first call after `channel.breaker_open` |
//! | half-open | fails at once, but for the probe | closed if a call is answered; open again if the probe is not |
//!
//! Each rpc has its own breaker, so that a slow rpc does not fail the others. Calls without a connection are counted for
//! the policy as a whole; that count opens the breaker in `/status` and metrics, but refuses no call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::breaker_state::BreakerState;
use crate::contract::Callback;

/// The circuit breakers of a policy service, one an rpc.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures: u32,
    open_for: Duration,
    /// Calls in a row without a connection, of any rpc.
    unreached: AtomicU32,
    /// By the index of the callback.
    rpcs: Vec<Mutex<Phase>>,
}

/// The state of one rpc's breaker.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// With the number of unanswered calls in a row.
    Closed {
        unanswered: u32,
    },
    Open {
        until: Instant,
    },
    /// The probe is under way.
    HalfOpen,
}

/// The outcome of a call, as a breaker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Outcome {
    /// The policy has answered, perhaps with an error.
    Answered,
    /// There was no connection.
    Unreached,
    /// There was a connection, and no answer in time.
    Unanswered,
}

/// The error of a call that an open breaker refuses.
#[derive(Debug, thiserror::Error)]
#[error("the breaker is open: this rpc did not answer {0} times in a row")]
pub(in crate::policy) struct BreakerOpen(u32);

/// A permit for one call. Dropping it without an outcome (the caller has gone) counts as no call.
#[derive(Debug)]
pub(in crate::policy) struct Permit {
    breaker: Arc<Breaker>,
    callback: &'static Callback,
    is_probe: bool,
}

impl Breaker {
    /// Breakers that open after this number of unanswered calls in a row, for this time.
    pub(crate) fn new(failures: u32, open_for: Duration) -> Self {
        let rpcs = (0..=Callback::all().len()).map(|_| Mutex::new(Phase::CLOSED)).collect();
        Self { failures: failures.max(1), open_for, unreached: AtomicU32::new(0), rpcs }
    }

    /// The worst state of any rpc.
    pub(crate) fn state(&self) -> BreakerState {
        if self.unreached.load(Relaxed) >= self.failures {
            return BreakerState::Open;
        }
        self.states().map(|(_, state)| state).max().unwrap_or(BreakerState::Closed)
    }

    /// The rpcs whose breaker is not closed.
    pub(super) fn not_closed(&self) -> BTreeMap<&'static str, BreakerState> {
        self.states().map(|(callback, state)| (callback.method(), state)).collect()
    }

    fn states(&self) -> impl Iterator<Item = (&'static Callback, BreakerState)> {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        callbacks.filter_map(|callback| {
            let state = match *self.phase(callback) {
                Phase::Closed { .. } => return None,
                Phase::Open { until } if Instant::now() < until => BreakerState::Open,
                Phase::Open { .. } | Phase::HalfOpen => BreakerState::HalfOpen,
            };
            Some((callback, state))
        })
    }

    /// Acquires a permit for a call of a callback's rpc. The first one after the pause is the probe.
    pub(in crate::policy) fn acquire(self: &Arc<Self>, callback: &'static Callback) -> Result<Permit, BreakerOpen> {
        let mut phase = self.phase(callback);
        let is_probe = match *phase {
            Phase::Closed { .. } => false,
            Phase::Open { until } if Instant::now() >= until => true,
            Phase::Open { .. } | Phase::HalfOpen => return Err(BreakerOpen(self.failures)),
        };
        if is_probe {
            *phase = Phase::HalfOpen;
        }
        Ok(Permit { breaker: self.clone(), callback, is_probe })
    }

    /// Records that a connection was made.
    pub(super) fn connected(&self) {
        if self.unreached.swap(0, Relaxed) >= self.failures {
            info!("breaker closed: policy connected");
        }
    }

    fn record(&self, callback: &Callback, outcome: Outcome, probe: bool) {
        if outcome == Outcome::Unreached {
            if self.unreached.fetch_add(1, Relaxed) + 1 == self.failures {
                warn!(failures = self.failures, "breaker open: policy not connected");
            }
        } else if self.unreached.load(Relaxed) > 0 {
            self.unreached.store(0, Relaxed);
        }
        let mut phase = self.phase(callback);
        *phase = match (*phase, outcome) {
            (Phase::Closed { .. }, Outcome::Answered) => Phase::CLOSED,
            (_, Outcome::Answered) => {
                info!(rpc = callback.method(), "breaker closed: rpc answered");
                Phase::CLOSED
            }
            (Phase::Closed { unanswered }, Outcome::Unanswered) if unanswered + 1 < self.failures => {
                Phase::Closed { unanswered: unanswered + 1 }
            }
            (Phase::Closed { .. }, Outcome::Unanswered) => {
                warn!(rpc = callback.method(), failures = self.failures, "breaker open: rpc unanswered");
                Phase::Open { until: Instant::now() + self.open_for }
            }
            (Phase::HalfOpen, Outcome::Unanswered) if probe => Phase::Open { until: Instant::now() + self.open_for },
            // No call is refused for lack of connections.
            (Phase::HalfOpen, Outcome::Unreached) if probe => Phase::CLOSED,
            // Lack of connections says nothing of answers, nor does a call that began before the breaker opened.
            (unchanged, _) => unchanged,
        };
    }

    fn phase(&self, callback: &Callback) -> MutexGuard<'_, Phase> {
        self.rpcs[callback.index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    const CLOSED: Self = Self::Closed { unanswered: 0 };
}

impl Permit {
    /// Records the outcome of the call.
    pub(in crate::policy) fn record(mut self, outcome: Outcome) {
        self.breaker.record(self.callback, outcome, std::mem::take(&mut self.is_probe));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe {
            // The next call is the probe.
            let mut phase = self.breaker.phase(self.callback);
            if matches!(*phase, Phase::HalfOpen) {
                *phase = Phase::Open { until: Instant::now() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::advance;

    use super::{Breaker, BreakerState, Outcome};
    use crate::contract::Callback;

    const OPEN_FOR: Duration = Duration::from_secs(1);

    fn rpc() -> &'static Callback {
        &Callback::all()[0]
    }

    fn record(breaker: &Arc<Breaker>, outcomes: &[Outcome]) {
        outcomes.iter().for_each(|outcome| breaker.acquire(rpc()).expect("let through").record(*outcome));
    }

    fn opened(outcome: Outcome) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
        record(&breaker, &[outcome; 3]);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.acquire(rpc()).is_ok(), outcome == Outcome::Unreached);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        for (outcomes, state) in [
            ([Outcome::Unanswered, Outcome::Unanswered, Outcome::Answered, Outcome::Unanswered], BreakerState::Closed),
            ([Outcome::Unreached, Outcome::Unreached, Outcome::Answered, Outcome::Unreached], BreakerState::Closed),
            ([Outcome::Unreached, Outcome::Unreached, Outcome::Unanswered, Outcome::Unreached], BreakerState::Closed),
            ([Outcome::Unanswered, Outcome::Unanswered, Outcome::Unreached, Outcome::Unanswered], BreakerState::Open),
        ] {
            let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
            record(&breaker, &outcomes);
            assert_eq!(breaker.state(), state, "{outcomes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_rpc_opens_its_own_and_probes_with_its_own_call() {
        let breaker = opened(Outcome::Unanswered);
        let other = &Callback::all()[1];
        breaker.acquire(other).expect("let through").record(Outcome::Answered);
        assert!(breaker.acquire(rpc()).is_err());
        assert_eq!(Vec::from_iter(breaker.not_closed()), [(rpc().method(), BreakerState::Open)]);
        advance(OPEN_FOR).await;
        breaker.acquire(other).expect("let through").record(Outcome::Answered);
        let probe = breaker.acquire(rpc()).expect("the probe");
        breaker.acquire(other).expect("let through").record(Outcome::Answered);
        probe.record(Outcome::Unanswered);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.acquire(Callback::fallback()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_tries_and_decides() {
        let breaker = opened(Outcome::Unanswered);
        advance(OPEN_FOR).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.acquire(rpc()).expect("the probe");
        assert!(breaker.acquire(rpc()).is_err(), "one at a time");
        probe.record(Outcome::Unanswered);
        assert_eq!(breaker.state(), BreakerState::Open);
        advance(OPEN_FOR).await;
        record(&breaker, &[Outcome::Answered]);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_has_gone_leaves_the_try_to_the_next_call() {
        let breaker = opened(Outcome::Unanswered);
        advance(OPEN_FOR).await;
        drop(breaker.acquire(rpc()).expect("the probe"));
        record(&breaker, &[Outcome::Answered]);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_can_close_it_and_do_not_keep_it_open() {
        let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
        let [bad, good] = [(); 2].map(|()| breaker.acquire(rpc()).expect("let through"));
        record(&breaker, &[Outcome::Unanswered; 3]);
        advance(OPEN_FOR).await;
        let _probe = breaker.acquire(rpc()).expect("the probe");
        bad.record(Outcome::Unanswered);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        good.record(Outcome::Answered);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn unanswered_calls_open_it_after_unreached_ones() {
        let breaker = opened(Outcome::Unreached);
        record(&breaker, &[Outcome::Unanswered; 3]);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.acquire(rpc()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_closes_it_where_connections_were_missing_and_only_there() {
        let breaker = opened(Outcome::Unreached);
        breaker.connected();
        assert_eq!(breaker.state(), BreakerState::Closed);
        let breaker = opened(Outcome::Unanswered);
        breaker.connected();
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}
