//! The ways to put work on a candidate.

pub mod closed;
pub mod direct;
pub mod idle;
pub mod open;
mod pace;

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// How long a load waits for the last replies.
const SETTLE: Duration = Duration::from_secs(2);

/// Latencies of an open loop, in microseconds since each call was due.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Latencies {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// What became of the calls of an open loop.
struct Tally {
    latencies: Histogram<u64>,
    answered: u64,
    /// Other replies than an allow, and none.
    errors: u64,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latencies: Histogram::new_with_bounds(1, 60_000_000_000, 3)?, answered: 0, errors: 0 })
    }

    fn count(&mut self, due: Instant, allowed: bool) {
        self.answered += 1;
        if allowed {
            self.record(due);
        } else {
            self.errors += 1;
        }
    }

    /// An error, and as late as it is by now: without it, whoever keeps calls in a queue would look the better for it.
    fn count_unanswered(&mut self, due: Instant) {
        self.errors += 1;
        self.record(due);
    }

    fn record(&mut self, due: Instant) {
        self.latencies.saturating_record(due.elapsed().as_nanos().try_into().unwrap_or(u64::MAX));
    }

    fn quantiles(&self) -> Latencies {
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Latencies { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unanswered_is_an_error_and_late() {
        let mut tally = Tally::new().unwrap();
        let now = Instant::now();
        tally.count(now, true);
        tally.count(now, false);
        tally.count_unanswered(now - Duration::from_secs(3));
        assert_eq!((tally.answered, tally.errors), (2, 2));
        assert!(tally.quantiles().p999 >= 2.9e6, "{:?}", tally.quantiles());
    }
}
