//! Histograms of the phases of webhooks: two atomic additions each, no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use strum::{EnumCount, IntoStaticStr, VariantArray};

/// A phase of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Phase {
    /// From the head's arrival to the request message: most of it is waiting for the body.
    Decode,
    /// From there to the policy's answer or failure.
    Policy,
    /// From there to the reply.
    Reply,
}

/// The upper bounds of the buckets in microseconds, the last past OpenIM's longest timeout.
const BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 15_000_000, 20_000_000,
];

/// The observations of one phase of one callback.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Observations.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
    /// Upper bounds in seconds, the last one infinite, and the observations above the bound before and up to this one.
    pub buckets: Vec<(f64, u64)>,
}

/// The histograms of one callback, by phase.
#[derive(Debug, Default)]
pub struct Durations([Cells; Phase::COUNT]);

#[derive(Debug, Default)]
struct Cells {
    /// The last one is above all bounds.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    /// Nanoseconds: five centuries fit.
    sum: AtomicU64,
}

impl Durations {
    /// Observes the duration of a phase.
    pub fn observe(&self, phase: Phase, took: Duration) {
        let cells = &self.0[phase as usize];
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Most are in the first buckets.
        let bucket = BOUNDS_US.iter().position(|bound| nanos <= bound * 1_000).unwrap_or(BOUNDS_US.len());
        cells.buckets[bucket].fetch_add(1, Relaxed);
        cells.sum.fetch_add(nanos, Relaxed);
    }

    /// Returns the observations so far.
    pub fn of(&self, phase: Phase) -> Histogram {
        let cells = &self.0[phase as usize];
        let bounds = BOUNDS_US.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64()).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(cells.buckets.iter().map(|bucket| bucket.load(Relaxed))).collect();
        let sum = Duration::from_nanos(cells.sum.load(Relaxed)).as_secs_f64();
        // The sum of the buckets, not a counter beside them: a scrape in between must still add up.
        Histogram { count: buckets.iter().map(|(_, count)| count).sum(), sum, buckets }
    }
}
