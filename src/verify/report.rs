//! What came of a run, as programs read it.

use serde::Serialize;

use super::Check;
use super::judge::Fault;
use super::service::Noted;
use crate::contract::Callback;

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// hookgate's version.
    pub version: &'static str,
    /// The policy service's URL.
    pub policy: String,
    /// The checks of the service as a whole.
    pub service: Vec<Checked>,
    /// The callbacks, implemented or not.
    pub callbacks: Vec<OfCallback>,
    /// Why the run ended early, if it did.
    pub stopped: Option<String>,
    /// How many of what.
    pub totals: Totals,
}

/// What came of a callback's checks.
#[derive(Debug, Serialize)]
pub struct OfCallback {
    /// The rpc's own name: `AfterRemoveBlack`.
    pub callback: &'static str,
    /// The rpc.
    pub rpc: &'static str,
    /// Whether it is answered at all; not known where it was not asked.
    pub implemented: Option<bool>,
    /// The checks. None where it is not implemented.
    pub checks: Vec<Checked>,
}

/// What came of a check.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was sent, in a few words.
    pub sent: &'static str,
    /// What came, or why it was not run; of a check that passed, what is worth knowing.
    pub message: Option<String>,
    /// What to change.
    pub hint: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All is well.
    Passed,
    /// hookgate has no verdict, or OpenIM does not read it as meant.
    Failed,
    /// hookgate gets on with it, but not as the policy means it.
    Warning,
    /// It was not tried.
    NotRun,
}

/// How many of what.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Checks, those that were not run too.
    pub checks: usize,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Checks that ended in a warning.
    pub warnings: usize,
    /// Checks that were not run.
    pub not_run: usize,
    /// Callbacks that are implemented.
    pub implemented: usize,
    /// Callbacks that are not implemented.
    pub not_implemented: usize,
}

impl Report {
    pub(super) fn new(policy: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            policy: policy.to_owned(),
            service: Vec::new(),
            callbacks: Vec::new(),
            stopped: None,
            totals: Totals::default(),
        }
    }

    /// Puts the sum under it.
    pub(super) fn finished(mut self, stopped: Option<String>) -> Self {
        self.stopped = stopped;
        let checks = || self.service.iter().chain(self.callbacks.iter().flat_map(|callback| &callback.checks));
        let with = |outcome| checks().filter(|check| check.outcome == outcome).count();
        let implemented = |is| self.callbacks.iter().filter(|callback| callback.implemented == Some(is)).count();
        self.totals = Totals {
            checks: checks().count(),
            passed: with(Outcome::Passed),
            failed: with(Outcome::Failed),
            warnings: with(Outcome::Warning),
            not_run: with(Outcome::NotRun),
            implemented: implemented(true),
            not_implemented: implemented(false),
        };
        self
    }

    /// Whether nothing failed, and everything was run.
    pub fn is_well(&self) -> bool {
        self.totals.failed == 0 && self.totals.not_run == 0 && self.stopped.is_none()
    }
}

impl OfCallback {
    pub(super) fn new(callback: &Callback) -> Self {
        Self { callback: callback.method(), rpc: callback.rpc, implemented: None, checks: Vec::new() }
    }
}

impl Checked {
    pub(super) fn of(check: Check, result: Result<(), Fault>) -> Self {
        Self::noted(check, result.map(|()| None))
    }

    pub(super) fn noted(check: Check, result: Noted) -> Self {
        let (outcome, message, hint) = match result {
            Ok(note) => (Outcome::Passed, note, None),
            Err(fault) => {
                let Fault { warning, message, hint, .. } = fault;
                (if warning { Outcome::Warning } else { Outcome::Failed }, Some(message), Some(hint))
            }
        };
        Self { name: check.name(), outcome, sent: check.sent(), message, hint }
    }

    pub(super) fn not_run(check: Check, why: &str) -> Self {
        let (name, sent) = (check.name(), check.sent());
        Self { name, outcome: Outcome::NotRun, sent, message: Some(why.to_owned()), hint: None }
    }
}
