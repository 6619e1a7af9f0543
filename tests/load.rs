//! Bad days under load. Each scenario is here twice: small, to show that it holds, and at full size, to give the figures:
//!
//! ```text
//! cargo test --release --test load -- --ignored --nocapture --test-threads 1
//! ```

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

#[path = "load/after.rs"]
mod after;
#[path = "load/client.rs"]
mod client;
#[path = "load/crowd.rs"]
mod crowd;
#[path = "load/policy.rs"]
mod policy;
#[path = "load/restart.rs"]
mod restart;
#[path = "load/silence.rs"]
mod silence;
mod support;

/// Whether figures are what the run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Full,
}

impl Size {
    /// Prints what was found in a full run.
    fn say(self, figures: std::fmt::Arguments<'_>) {
        if self == Self::Full {
            println!("{figures}");
        }
    }
}
