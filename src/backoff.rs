//! Exponential backoff with jitter: the pauses between attempts to connect, and between attempts to deliver an event.
//!
//! Not a crate's: `backon` adds its jitter beyond the maximum, which here is a setting's promise, and fixes the maximum
//! beforehand, which here changes while a pause lasts.

use std::time::Duration;

/// The pause after the given number of failures in a row, from 1: `first`, then twice as long each time, at most
/// `longest`; jittered.
pub(crate) fn exponential(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    jittered(first.saturating_mul(doubled).min(longest))
}

/// Returns the pause after a failure, jittered, and the pause after the next one: `next`, at most `longest`; then twice as
/// long. For loops whose longest pause changes.
pub(crate) fn doubling(next: Duration, longest: Duration) -> (Duration, Duration) {
    let pause = longest.min(next);
    (jittered(pause), pause * 2)
}

/// A random pause between half of `pause` and all of it, so that clients which failed together do not retry together. At
/// least a millisecond.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let [first, longest] = [10, 150].map(Duration::from_millis);
        for (failures, pause) in [(0, 10), (1, 10), (2, 20), (4, 80), (5, 150), (u32::MAX, 150)] {
            let pause = Duration::from_millis(pause);
            let jittered = exponential(first, longest, failures);
            assert!(pause / 2 <= jittered && jittered <= pause, "{failures}: {jittered:?}");
        }
    }
}
