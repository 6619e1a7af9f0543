//! Stops asking a policy that cannot be reached or does not answer, and lets one call a time try whether it does again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;
use tracing::{info, warn};

/// Counts failures in a row, over all callbacks.
#[derive(Debug)]
pub struct Breaker {
    failures: u32,
    open_for: Duration,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    /// Failures in a row: calls that found no connection, and calls that got no answer over one.
    Closed { unreached: u32, unanswered: u32 },
    /// Connections are what is missing: each call may see whether there is one by now, which costs the policy nothing.
    Unreached,
    /// Answers are what is missing: the policy is left alone until then.
    Open { until: Instant },
    /// One call is under way.
    HalfOpen,
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Lets it through.
    Closed,
    /// Fails it at once; where no connection can be made, as soon as that has proved true once more.
    Open,
    /// Fails it at once, as another one is trying; or lets it try.
    HalfOpen,
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
#[error("the breaker is open: the policy could not be reached or did not answer {0} times in a row")]
pub(in crate::policy) struct Refused(u32);

/// A call that was let through. Left without an outcome (its caller has gone) it counts as none.
#[derive(Debug)]
pub(in crate::policy) struct Pass {
    breaker: Arc<Breaker>,
    probes: bool,
}

impl Breaker {
    /// Opens after so many failures in a row, for so long.
    pub fn new(failures: u32, open_for: Duration) -> Self {
        Self { failures: failures.max(1), open_for, phase: Mutex::new(Phase::CLOSED) }
    }

    /// What it does with the next call.
    pub fn state(&self) -> State {
        match *self.phase() {
            Phase::Closed { .. } => State::Closed,
            Phase::Unreached => State::Open,
            Phase::Open { until } if Instant::now() < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen => State::HalfOpen,
        }
    }

    /// Asks to make a call.
    pub(in crate::policy) fn enter(self: &Arc<Self>) -> Result<Pass, Refused> {
        let mut phase = self.phase();
        let probes = match *phase {
            Phase::Closed { .. } | Phase::Unreached => false,
            Phase::Open { until } if Instant::now() >= until => true,
            Phase::Open { .. } | Phase::HalfOpen => return Err(Refused(self.failures)),
        };
        if probes {
            *phase = Phase::HalfOpen;
        }
        Ok(Pass { breaker: self.clone(), probes })
    }

    /// A connection was made. Where connections were what was missing, calls flow again without a probe: none needs to
    /// fail while the policy is up.
    pub(super) fn connected(&self) {
        let mut phase = self.phase();
        match &mut *phase {
            Phase::Closed { unreached, .. } => *unreached = 0,
            Phase::Unreached => {
                info!("the policy is connected: it is asked again");
                *phase = Phase::CLOSED;
            }
            Phase::Open { .. } | Phase::HalfOpen => {}
        }
    }

    fn settle(&self, outcome: Outcome, probe: bool) {
        let mut phase = self.phase();
        match (&mut *phase, outcome) {
            (Phase::Closed { unreached, unanswered }, Outcome::Answered) => (*unreached, *unanswered) = (0, 0),
            (_, Outcome::Answered) => {
                info!("the policy answers: it is asked again");
                *phase = Phase::CLOSED;
            }
            (Phase::Closed { unreached, unanswered }, outcome) => {
                match outcome {
                    Outcome::Unreached => *unreached += 1,
                    _ => *unanswered += 1,
                }
                let reached = *unanswered >= self.failures;
                if *unreached + *unanswered >= self.failures {
                    warn!(
                        failures = self.failures,
                        "the policy could not be reached or did not answer so often in a row"
                    );
                    *phase = self.open(reached);
                }
            }
            (Phase::HalfOpen, outcome) if probe => *phase = self.open(outcome != Outcome::Unreached),
            // There is a connection after all.
            (Phase::Unreached, Outcome::Unanswered) => *phase = Phase::Closed { unreached: 0, unanswered: 1 },
            // Calls from before it opened tell nothing new.
            (Phase::Unreached | Phase::Open { .. } | Phase::HalfOpen, _) => {}
        }
    }

    fn open(&self, reached: bool) -> Phase {
        if reached { Phase::Open { until: Instant::now() + self.open_for } } else { Phase::Unreached }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    const CLOSED: Self = Self::Closed { unreached: 0, unanswered: 0 };
}

impl Pass {
    /// Tells what became of the call.
    pub(in crate::policy) fn settle(mut self, outcome: Outcome) {
        self.breaker.settle(outcome, std::mem::take(&mut self.probes));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probes {
            // The next call is the probe.
            let mut phase = self.breaker.phase();
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

    const OPEN_FOR: Duration = Duration::from_secs(1);

    fn settle(breaker: &Arc<Breaker>, outcomes: &[Outcome]) {
        outcomes.iter().for_each(|outcome| breaker.enter().expect("let through").settle(*outcome));
    }

    fn opened(outcome: Outcome) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
        settle(&breaker, &[outcome; 3]);
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.enter().is_ok(), outcome == Outcome::Unreached);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
        settle(&breaker, &[Outcome::Unanswered, Outcome::Unreached, Outcome::Answered, Outcome::Unanswered]);
        settle(&breaker, &[Outcome::Unanswered]);
        assert_eq!(breaker.state(), State::Closed);
        settle(&breaker, &[Outcome::Unreached]);
        assert_eq!(breaker.state(), State::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_tries_and_decides() {
        let breaker = opened(Outcome::Unanswered);
        advance(OPEN_FOR).await;
        assert_eq!(breaker.state(), State::HalfOpen);
        let probe = breaker.enter().expect("the probe");
        assert!(breaker.enter().is_err(), "one at a time");
        probe.settle(Outcome::Unanswered);
        assert_eq!(breaker.state(), State::Open);
        advance(OPEN_FOR).await;
        settle(&breaker, &[Outcome::Answered]);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_has_gone_leaves_the_try_to_the_next_call() {
        let breaker = opened(Outcome::Unanswered);
        advance(OPEN_FOR).await;
        drop(breaker.enter().expect("the probe"));
        settle(&breaker, &[Outcome::Answered]);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_can_close_it_and_do_not_keep_it_open() {
        let breaker = Arc::new(Breaker::new(3, OPEN_FOR));
        let [bad, good] = [(); 2].map(|()| breaker.enter().expect("let through"));
        settle(&breaker, &[Outcome::Unanswered; 3]);
        advance(OPEN_FOR).await;
        let _probe = breaker.enter().expect("the probe");
        bad.settle(Outcome::Unanswered);
        assert_eq!(breaker.state(), State::HalfOpen);
        good.settle(Outcome::Answered);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_reached_and_does_not_answer_opens_it_whatever_was_missing_before() {
        let breaker = opened(Outcome::Unreached);
        settle(&breaker, &[Outcome::Unanswered; 3]);
        assert_eq!(breaker.state(), State::Open);
        assert!(breaker.enter().is_err());
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
