//! Circuit breakers: an rpc that goes unanswered is not called for a while, then one call of it tries.
//!
//! Each rpc has a breaker of its own, so that a slow one neither opens it for the others nor spends their probe. CallSender that
//! find no connection are counted for the whole policy, and refused by no breaker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::contract::Callback;

/// The breakers of a policy: one an rpc, and a count of calls that found no connection.
#[derive(Debug)]
pub struct Breaker {
    failures: u32,
    open_for: Duration,
    /// CallSender in a row that found no connection, whatever their rpc. They are never refused: each may see whether there is
    /// one by now, which costs the policy nothing.
    unreached: AtomicU32,
    /// By the places of their callbacks.
    rpcs: Vec<Mutex<Phase>>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// CallSender in a row that got no answer over a connection.
    Closed { unanswered: u32 },
    /// The rpc is not called until then.
    Open { until: Instant },
    /// One call is under way.
    HalfOpen,
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Lets it through.
    Closed,
    /// Fails it at once, as another one is trying; or lets it try.
    HalfOpen,
    /// Fails it at once; where no connection can be made, as soon as that has proved true once more.
    Open,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name in `/status` and `/metrics`: `half-open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Outcome {
    /// The policy said something, be it an error.
    Answered,
    /// There was no connection.
    Unreached,
    /// There was one, and no answer in time or at all.
    Unanswered,
}

/// The call was not made: so many before it failed in a row.
#[derive(Debug, thiserror::Error)]
#[error("the breaker is open: this rpc did not answer {0} times in a row")]
pub(in crate::policy) struct BreakerOpen(u32);

/// A call that was let through. Left without an outcome (its caller has gone) it counts as none.
#[derive(Debug)]
pub(in crate::policy) struct Permit {
    breaker: Arc<Breaker>,
    callback: &'static Callback,
    probes: bool,
}

impl Breaker {
    /// Opens after so many failures in a row, for so long.
    pub fn new(failures: u32, open_for: Duration) -> Self {
        let rpcs = (0..=Callback::all().len()).map(|_| Mutex::new(Phase::CLOSED)).collect();
        Self { failures: failures.max(1), open_for, unreached: AtomicU32::new(0), rpcs }
    }

    /// The worst state of any rpc.
    pub fn state(&self) -> State {
        if self.unreached.load(Relaxed) >= self.failures {
            return State::Open;
        }
        self.states().map(|(_, state)| state).max().unwrap_or(State::Closed)
    }

    /// The rpcs whose next call is not just let through.
    pub(super) fn not_closed(&self) -> BTreeMap<&'static str, State> {
        self.states().map(|(callback, state)| (callback.method(), state)).collect()
    }

    fn states(&self) -> impl Iterator<Item = (&'static Callback, State)> {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        callbacks.filter_map(|callback| {
            let state = match *self.phase(callback) {
                Phase::Closed { .. } => return None,
                Phase::Open { until } if Instant::now() < until => State::Open,
                Phase::Open { .. } | Phase::HalfOpen => State::HalfOpen,
            };
            Some((callback, state))
        })
    }

    /// Asks to make a call of a callback's rpc.
    pub(in crate::policy) fn acquire(self: &Arc<Self>, callback: &'static Callback) -> Result<Permit, BreakerOpen> {
        let mut phase = self.phase(callback);
        let probes = match *phase {
            Phase::Closed { .. } => false,
            Phase::Open { until } if Instant::now() >= until => true,
            Phase::Open { .. } | Phase::HalfOpen => return Err(BreakerOpen(self.failures)),
        };
        if probes {
            *phase = Phase::HalfOpen;
        }
        Ok(Permit { breaker: self.clone(), callback, probes })
    }

    /// A connection was made.
    pub(super) fn connected(&self) {
        if self.unreached.swap(0, Relaxed) >= self.failures {
            info!("the policy is connected again");
        }
    }

    fn record(&self, callback: &Callback, outcome: Outcome, probe: bool) {
        if outcome == Outcome::Unreached {
            let before = self.unreached.fetch_update(Relaxed, Relaxed, |count| Some(count.saturating_add(1)));
            if before.is_ok_and(|before| before + 1 == self.failures) {
                warn!(failures = self.failures, "the policy could not be reached so often in a row");
            }
        } else if self.unreached.load(Relaxed) > 0 {
            // There is a connection after all.
            self.unreached.store(0, Relaxed);
        }
        let mut phase = self.phase(callback);
        match (&mut *phase, outcome) {
            (Phase::Closed { unanswered }, Outcome::Answered) => *unanswered = 0,
            (Phase::Open { .. } | Phase::HalfOpen, Outcome::Answered) => {
                info!(rpc = callback.method(), "an rpc is answered: it is called again");
                *phase = Phase::CLOSED;
            }
            (Phase::Closed { unanswered }, Outcome::Unanswered) => {
                *unanswered += 1;
                if *unanswered >= self.failures {
                    let failures = self.failures;
                    warn!(rpc = callback.method(), failures, "an rpc was not answered so often in a row");
                    *phase = Phase::Open { until: Instant::now() + self.open_for };
                }
            }
            (Phase::HalfOpen, Outcome::Unanswered) if probe => {
                *phase = Phase::Open { until: Instant::now() + self.open_for };
            }
            // Connections are what is missing now, and each call finds that out for itself.
            (Phase::HalfOpen, Outcome::Unreached) if probe => *phase = Phase::CLOSED,
            // It says nothing of the answers that are missing, and a call from before it opened nothing new.
            (Phase::Closed { .. }, Outcome::Unreached) | (Phase::Open { .. } | Phase::HalfOpen, _) => {}
        }
    }

    fn phase(&self, callback: &Callback) -> MutexGuard<'_, Phase> {
        self.rpcs[callback.index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    const CLOSED: Self = Self::Closed { unanswered: 0 };
}

impl Permit {
    /// Tells what became of the call.
    pub(in crate::policy) fn record(mut self, outcome: Outcome) {
        self.breaker.record(self.callback, outcome, std::mem::take(&mut self.probes));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probes {
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

    use super::{Breaker, Outcome, State};
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
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.acquire(rpc()).is_ok(), outcome == Outcome::Unreached);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        for (outcomes, state) in [
            ([Outcome::Unanswered, Outcome::Unanswered, Outcome::Answered, Outcome::Unanswered], State::Closed),
            ([Outcome::Unreached, Outcome::Unreached, Outcome::Answered, Outcome::Unreached], State::Closed),
            ([Outcome::Unreached, Outcome::Unreached, Outcome::Unanswered, Outcome::Unreached], State::Closed),
            ([Outcome::Unanswered, Outcome::Unanswered, Outcome::Unreached, Outcome::Unanswered], State::Open),
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
        assert_eq!(Vec::from_iter(breaker.not_closed()), [(rpc().method(), State::Open)]);
        advance(OPEN_FOR).await;
        breaker.acquire(other).expect("let through").record(Outcome::Answered);
        let probe = breaker.acquire(rpc()).expect("the probe");
        breaker.acquire(other).expect("let through").record(Outcome::Answered);
        probe.record(Outcome::Unanswered);
        assert_eq!(breaker.state(), State::Open);
        assert!(breaker.acquire(Callback::fallback()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_tries_and_decides() {
        let breaker = opened(Outcome::Unanswered);
        advance(OPEN_FOR).await;
        assert_eq!(breaker.state(), State::HalfOpen);
        let probe = breaker.acquire(rpc()).expect("the probe");
        assert!(breaker.acquire(rpc()).is_err(), "one at a time");
        probe.record(Outcome::Unanswered);
        assert_eq!(breaker.state(), State::Open);
        advance(OPEN_FOR).await;
        record(&breaker, &[Outcome::Answered]);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_has_gone_leaves_the_try_to_the_next_call() {
        let breaker = opened(Outcome::Unanswered);
        advance(OPEN_FOR).await;
        drop(breaker.acquire(rpc()).expect("the probe"));
        record(&breaker, &[Outcome::Answered]);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_can_close_it_and_do_not_keep_it_open() {
        let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
        let [bad, good] = [(); 2].map(|()| breaker.acquire(rpc()).expect("let through"));
        record(&breaker, &[Outcome::Unanswered; 3]);
        advance(OPEN_FOR).await;
        let _probe = breaker.acquire(rpc()).expect("the probe");
        bad.record(Outcome::Unanswered);
        assert_eq!(breaker.state(), State::HalfOpen);
        good.record(Outcome::Answered);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_reached_and_does_not_answer_opens_it_whatever_was_missing_before() {
        let breaker = opened(Outcome::Unreached);
        record(&breaker, &[Outcome::Unanswered; 3]);
        assert_eq!(breaker.state(), State::Open);
        assert!(breaker.acquire(rpc()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_closes_it_where_connections_were_missing_and_only_there() {
        let breaker = opened(Outcome::Unreached);
        breaker.connected();
        assert_eq!(breaker.state(), State::Closed);
        let breaker = opened(Outcome::Unanswered);
        breaker.connected();
        assert_eq!(breaker.state(), State::Open);
    }
}
