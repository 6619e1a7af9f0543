//! What was measured, as `--json` keeps it.

use serde::Serialize;

use crate::load::Latencies;

/// A candidate, measured once with one body.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub candidate: String,
    /// CPU time of the candidate's process for each call at saturation.
    pub cpu_us: f64,
    pub calls_per_second: f64,
    /// How busy it kept its core then.
    pub busy: f64,
    /// CPU time for each call at the fixed rate.
    pub cpu_us_at_rate: f64,
    pub latencies: Latencies,
    pub idle_mib: f64,
    pub peak_mib: f64,
    pub start_ms: f64,
    /// Events that were answered before the policy had heard of them, per thousand calls: at saturation or at the fixed
    /// rate, whichever are more.
    pub accepted: f64,
    pub errors: u64,
    /// The share of the machine's time that others on the same hardware took.
    pub stolen: f64,
}

/// Every candidate, measured one after another with one body.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    pub round: u16,
    pub body: &'static str,
    pub bytes: usize,
    /// Of the closed loop.
    pub connections: u16,
    /// The policy call alone.
    pub direct: Latencies,
    pub samples: Vec<Sample>,
}

impl Round {
    pub fn of(&self, candidate: &str) -> Option<&Sample> {
        self.samples.iter().find(|sample| sample.candidate == candidate)
    }
}

/// A program's size in MiB, where it has one of its own.
#[derive(Debug, Clone, Serialize)]
pub struct Program {
    pub candidate: String,
    pub mib: Option<f64>,
}
