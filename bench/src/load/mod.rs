//! The ways to put work on a candidate.

pub mod closed;
pub mod direct;
pub mod idle;
pub mod open;
mod pace;

use std::time::Duration;

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
    /// Other replies than an allow, and none.
    errors: u64,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latencies: Histogram::new_with_bounds(1, 60_000_000_000, 3)?, errors: 0 })
    }

    fn count(&mut self, due: std::time::Instant, allowed: bool) {
        let nanoseconds = due.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        if allowed {
            self.latencies.saturating_record(nanoseconds);
        } else {
            self.errors += 1;
        }
    }

    fn counted(&self) -> u64 {
        self.latencies.len() + self.errors
    }

    fn quantiles(&self) -> Latencies {
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Latencies { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}
