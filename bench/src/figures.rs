//! From samples to figures: medians and spreads; whatever compares does so within a round.

use crate::load::Latencies;
use crate::samples::{Round, Sample};

/// The middle of the values, and their ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of nothing there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

/// A figure of one candidate over the rounds.
pub fn spread(rounds: &[&Round], candidate: &str, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
    Spread::of(rounds.iter().filter_map(|round| round.of(candidate)).map(figure))
}

/// How many times as much as `base` a candidate has: within each round, as neighbours slow both down, then the median.
pub fn ratio(rounds: &[&Round], candidate: &str, base: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
    let pairs = rounds.iter().filter_map(|round| round.of(candidate).zip(round.of(base)));
    Spread::of(pairs.map(|(this, base)| figure(this) / figure(base))).map(|spread| spread.median)
}

/// How much longer than the policy call alone it takes, in microseconds.
pub fn added(rounds: &[&Round], candidate: &str, quantile: impl Fn(&Latencies) -> f64) -> Option<f64> {
    let measured = rounds.iter().filter_map(|round| Some((round.of(candidate)?, &round.direct)));
    let added = measured.map(|(sample, direct)| quantile(&sample.latencies) - quantile(direct));
    Spread::of(added).map(|spread| spread.median)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn round(number: u16, cpu: &[(&str, f64)]) -> Round {
        let latencies = Latencies { p50: 150.0, p99: 300.0, p999: 900.0 };
        let sample = |(candidate, cpu_us): &(&str, f64)| Sample {
            candidate: (*candidate).to_owned(),
            cpu_us: *cpu_us,
            calls_per_second: 1e6 / cpu_us,
            busy: 0.99,
            cpu_us_at_rate: cpu_us * 2.0,
            latencies,
            idle_mib: 5.0,
            peak_mib: 6.0,
            start_ms: 12.0,
            accepted: 0.0,
            errors: 0,
            stolen: 0.0,
        };
        let direct = Latencies { p50: 100.0, p99: 200.0, p999: 1000.0 };
        let samples = cpu.iter().map(sample).collect();
        Round { round: number, body: "small", bytes: 110, connections: 16, direct, samples }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was half as fast in the last round; the medians' ratio would be 1.
        let rounds =
            [round(1, &[("a", 10.0), ("b", 20.0)]), round(2, &[("a", 20.0), ("b", 40.0)]), round(3, &[("a", 40.0)])];
        let rounds: Vec<&Round> = rounds.iter().collect();
        assert_eq!(ratio(&rounds, "b", "a", |sample| sample.cpu_us), Some(2.0));
        assert_eq!(spread(&rounds, "a", |sample| sample.cpu_us).unwrap().median, 20.0);
        assert_eq!(ratio(&rounds, "c", "a", |sample| sample.cpu_us), None);
    }

    #[test]
    fn added_latency_is_without_the_call_itself() {
        let rounds = [round(1, &[("a", 10.0)])];
        let rounds: Vec<&Round> = rounds.iter().collect();
        assert_eq!(added(&rounds, "a", |latencies| latencies.p50), Some(50.0));
        assert_eq!(added(&rounds, "a", |latencies| latencies.p999), Some(-100.0));
    }
}
