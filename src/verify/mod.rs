//! A conformance run: asks a policy service every callback, on odd input too, and judges the answers as hookgate and
//! OpenIM would.
//!
//! The requests go through hookgate's own front and over its own channel; the replies are read by
//! [`openim`](crate::openim). None of it knows a callback.

mod checks;
mod judge;
mod junit;
mod print;
mod report;
mod requests;
mod run;
mod service;

use std::time::Duration;

pub use checks::Check;
pub use junit::junit;
pub use print::print;
pub use report::{Checked, OfCallback, Outcome, Report, Totals};
pub use run::run;

use crate::config::PolicyUrl;
use crate::contract::{Callback, Timing};

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The policy service.
    pub policy: PolicyUrl,
    /// The callbacks, in the order in which they are tried.
    pub callbacks: Vec<&'static Callback>,
    /// The checks. The connection is always one.
    pub checks: Vec<Check>,
    /// The time that a call may take.
    pub budget: Duration,
}

impl Plan {
    fn has(&self, check: Check) -> bool {
        self.checks.contains(&check)
    }

    /// Whether it needs any callback's answer: reflection is judged by the callbacks that are implemented.
    fn asks_callbacks(&self) -> bool {
        self.checks.iter().any(|check| !matches!(check, Check::Connection | Check::Health))
    }

    /// The checks that a callback gets: an event comes twice only where it is one.
    fn checks_of(&self, callback: &Callback) -> Vec<Check> {
        let applies = |check: &Check| *check != Check::Duplicate || callback.timing == Timing::After;
        Check::OF_CALLBACK.into_iter().filter(|check| self.has(*check)).filter(applies).collect()
    }
}
