//! Bad days under load. Each scenario is here twice: small, to show that it holds, and at full size, to give the figures:
//!
//! ```text
//! cargo test --release --test it load:: -- --ignored --nocapture --test-threads 1
//! ```

mod after;
mod client;
mod crowd;
mod handover;
mod restart;
mod silence;

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
