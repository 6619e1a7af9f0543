//! Conformance checks of a policy service: calls every rpc, with odd input too, and judges the answers by hookgate's rules
//! and by how each OpenIM release reads the reply.
//!
//! - `checks`: the table of checks, a row each.
//! - `requests`: the webhooks that the checks send. They pass through hookgate's own front.
//! - `run`: the order of the checks, and the conditions that end a run early.
//! - `service`: connection, health and reflection.
//! - `judge`: from an answer to a finding.
//! - `report`, `print`, `junit`: the results as JSON, as text, as XML.

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
pub(crate) use junit::junit;
pub(crate) use print::print;
pub(crate) use report::{Outcome, Report};
pub(crate) use run::run;

use crate::config::PolicyUrl;
use crate::contract::{Callback, Timing};
use checks::{How, LIFELIKE};

/// A selection of checks.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The policy service.
    pub policy: PolicyUrl,
    /// The callbacks, in the order in which they are called.
    pub callbacks: Vec<&'static Callback>,
    /// The checks. `connection` is always run.
    pub checks: Vec<&'static Check>,
    /// Timeout of a call.
    pub budget: Duration,
}

impl Plan {
    /// Returns true if callbacks are called. Reflection is judged by the callbacks that are implemented.
    fn calls_callbacks(&self) -> bool {
        self.checks.iter().any(|check| !matches!(check.how, How::Connection | How::Health))
    }

    /// Returns the checks of a callback. The lifelike request comes first, asked for or not: it tells whether the rpc is
    /// implemented. Only After events are delivered twice.
    fn checks_of(&self, callback: &Callback) -> impl Iterator<Item = &'static Check> {
        let is_event = callback.timing == Timing::After;
        let is_asked = |check: &&Check| **check == LIFELIKE || self.checks.contains(check);
        Check::OF_CALLBACK.iter().filter(is_asked).filter(move |check| is_event || check.how != How::Twice)
    }
}
