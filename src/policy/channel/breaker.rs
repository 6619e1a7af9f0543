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
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::contract::Callback;

/// The state of a breaker, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr, strum::VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// One call probes; others fail at once.
    HalfOpen,
    /// Calls fail at once; or, if no connection can be made, after one more attempt.
    Open,
}

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
    Closed(u32),
    /// Until then.
    Open(Instant),
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
    pub(super) fn new(failures: u32, open_for: Duration) -> Self {
        let rpcs = (0..=Callback::all().len()).map(|_| Mutex::new(Phase::Closed(0))).collect();
        Self { failures: failures.max(1), open_for, unreached: AtomicU32::new(0), rpcs }
    }

    /// The worst state of any rpc.
    pub(super) fn state(&self) -> BreakerState {
        if self.unreached.load(Relaxed) >= self.failures {
            return BreakerState::Open;
        }
        self.not_closed().into_values().max().unwrap_or(BreakerState::Closed)
    }

    /// The rpcs whose breaker is not closed.
    pub(super) fn not_closed(&self) -> BTreeMap<&'static str, BreakerState> {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        let not_closed = callbacks.filter_map(|callback| {
            let state = match *self.phase(callback) {
                Phase::Closed(_) => return None,
                Phase::Open(until) if Instant::now() < until => BreakerState::Open,
                Phase::Open(_) | Phase::HalfOpen => BreakerState::HalfOpen,
            };
            Some((callback.method(), state))
        });
        not_closed.collect()
    }

    /// Acquires a permit for a call of a callback's rpc. The first one after the pause is the probe.
    pub(in crate::policy) fn acquire(self: &Arc<Self>, callback: &'static Callback) -> Result<Permit, BreakerOpen> {
        let mut phase = self.phase(callback);
        let is_probe = match *phase {
            Phase::Closed(_) => false,
            Phase::Open(until) if Instant::now() >= until => true,
            Phase::Open(_) | Phase::HalfOpen => return Err(BreakerOpen(self.failures)),
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
                warn!(failures = self.failures, "breaker open: policy unreached");
            }
        } else if self.unreached.load(Relaxed) > 0 {
            self.unreached.store(0, Relaxed);
        }
        let mut phase = self.phase(callback);
        *phase = match (*phase, outcome) {
            (Phase::Closed(_), Outcome::Answered) => Phase::Closed(0),
            (_, Outcome::Answered) => {
                info!(rpc = callback.method(), "breaker closed: rpc answered");
                Phase::Closed(0)
            }
            (Phase::Closed(unanswered), Outcome::Unanswered) if unanswered + 1 < self.failures => {
                Phase::Closed(unanswered + 1)
            }
            (Phase::Closed(_), Outcome::Unanswered) => {
                warn!(rpc = callback.method(), failures = self.failures, "breaker open: rpc unanswered");
                Phase::Open(Instant::now() + self.open_for)
            }
            (Phase::HalfOpen, Outcome::Unanswered) if probe => Phase::Open(Instant::now() + self.open_for),
            // No call is refused for lack of connections.
            (Phase::HalfOpen, Outcome::Unreached) if probe => Phase::Closed(0),
            // Lack of connections says nothing of answers, nor does a call that began before the breaker opened.
            (unchanged, _) => unchanged,
        };
    }

    fn phase(&self, callback: &Callback) -> MutexGuard<'_, Phase> {
        self.rpcs[callback.index].lock()
    }
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
                *phase = Phase::Open(Instant::now());
            }
        }
    }
}
