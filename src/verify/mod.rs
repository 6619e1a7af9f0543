//! Conformance checks of a policy service: calls every rpc, with odd input too, and judges the answers by hookgate's rules
//! and by how each OpenIM release reads the reply.
//!
//! - `checks`: the table of checks, a row each.
//! - `requests`: the webhooks that the checks send. They pass through hookgate's own front. `own`: those of the user's.
//! - `run`: the order of the checks, and the conditions that end a run early.
//! - `service`: connection, health and reflection.
//! - `judge`: from an answer to a `finding`; `advice`: what to change after a status.
//! - `report`, `print`, `junit`: the results as JSON, as text, as XML.

mod advice;
mod checks;
mod finding;
mod judge;
mod junit;
mod own;
mod print;
mod report;
mod requests;
mod run;
mod service;

use std::time::Duration;

pub use checks::Check;
pub(crate) use junit::junit;
pub(crate) use own::{OwnRequest, read as read_requests};
pub(crate) use print::print;
pub(crate) use report::{Outcome, Report};
pub(crate) use run::run;

use crate::config::{Config, PolicyUrl};
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
    /// The webhooks of the user's.
    pub requests: Vec<OwnRequest>,
    /// The configuration of calls: TLS, limits, budgets.
    pub config: Config,
    /// Timeout of every call, in place of the budgets.
    pub timeout: Option<Duration>,
}

impl Plan {
    /// Returns true if callbacks are called. Reflection is judged by the callbacks that are implemented.
    fn calls_callbacks(&self) -> bool {
        self.checks.iter().any(|check| !matches!(check.how, How::Connection | How::Health))
    }

    /// Returns the checks of a callback, each with the webhook of the user's that it sends. The first request tells whether the
    /// rpc is implemented: the lifelike one, asked for or not, unless only the user's are asked for.
    fn checks_of(&self, callback: &'static Callback) -> Vec<(&'static Check, Option<&OwnRequest>)> {
        let only_own = Check::are_own(&self.checks);
        let is_asked = |check: &&Check| self.checks.contains(check) || **check == LIFELIKE && !only_own;
        let own = || self.requests.iter().filter(|request| std::ptr::eq(request.callback, callback)).map(Some);
        let sent = |check: &'static Check| match check.how {
            How::Own => own().map(|request| (check, request)).collect(),
            // Only After events are delivered twice.
            How::Twice if callback.timing == Timing::Before => Vec::new(),
            How::Each(bodies) if bodies(callback).is_empty() => Vec::new(),
            _ => vec![(check, None)],
        };
        Check::OF_CALLBACK.iter().filter(is_asked).flat_map(sent).collect()
    }

    /// Returns the timeout of a call.
    fn budget(&self, callback: &Callback) -> Duration {
        self.timeout.unwrap_or_else(|| self.config.handling(callback).budget)
    }
}
