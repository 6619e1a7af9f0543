//! The results of a run, as programs read them.

use serde::Serialize;

use super::Check;
use super::judge::Judged;

/// Results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Version of hookgate.
    pub version: &'static str,
    /// URL of the policy service.
    pub policy: String,
    /// Results of the checks of the service as a whole.
    pub service: Vec<CheckResult>,
    /// Results by callback, implemented or not.
    pub callbacks: Vec<CallbackResult>,
    /// Reason why the run ended early.
    pub stopped: Option<String>,
    /// Counts.
    pub totals: Totals,
}

/// Results of a callback's checks.
#[derive(Debug, Serialize)]
pub(crate) struct CallbackResult {
    /// Name of the rpc, as in `AfterRemoveBlack`.
    pub callback: &'static str,
    /// Path of the rpc.
    pub rpc: &'static str,
    /// True if the policy implements it; absent if it was not called.
    pub implemented: Option<bool>,
    /// Results; none if it is not implemented.
    pub checks: Vec<CheckResult>,
}

/// Result of a check.
#[derive(Debug, Serialize)]
pub(crate) struct CheckResult {
    /// Name of the check.
    pub name: &'static str,
    /// Outcome.
    pub outcome: Outcome,
    /// Description of the request.
    pub sent: &'static str,
    /// The answer, or the reason why the check was not run; a note if it passed.
    pub message: Option<String>,
    /// Advice to the author of the policy.
    pub hint: Option<&'static str>,
}

/// Outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// The answer is fine.
    Passed,
    /// hookgate has no verdict, or OpenIM does not read it as meant.
    Failed,
    /// hookgate gets on with the answer, but not as the policy means it.
    Warning,
    /// The check was not run.
    NotRun,
}

/// Counts of checks and callbacks.
#[derive(Debug, Serialize)]
pub(crate) struct Totals {
    /// All checks, those that were not run too.
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
    /// Makes the report and computes the totals.
    pub(super) fn new(
        policy: String,
        service: Vec<CheckResult>,
        callbacks: Vec<CallbackResult>,
        stopped: Option<String>,
    ) -> Self {
        let checks = || service.iter().chain(callbacks.iter().flat_map(|callback| &callback.checks));
        let implemented = |is| callbacks.iter().filter(|callback| callback.implemented == Some(is)).count();
        let totals = Totals {
            checks: checks().count(),
            passed: count(checks(), Outcome::Passed),
            failed: count(checks(), Outcome::Failed),
            warnings: count(checks(), Outcome::Warning),
            not_run: count(checks(), Outcome::NotRun),
            implemented: implemented(true),
            not_implemented: implemented(false),
        };
        Self { version: env!("CARGO_PKG_VERSION"), policy, service, callbacks, stopped, totals }
    }

    /// Returns name, class and results of the service and of each callback that was called, or was to be.
    pub(super) fn suites(&self) -> impl Iterator<Item = (&'static str, &'static str, &[CheckResult])> {
        let callbacks = self.callbacks.iter().filter(|callback| !callback.checks.is_empty());
        let callbacks = callbacks.map(|callback| (callback.callback, callback.rpc, &*callback.checks));
        [("service", "service", &*self.service)].into_iter().chain(callbacks)
    }

    /// Returns true if nothing failed and everything was run.
    pub(crate) fn is_success(&self) -> bool {
        self.totals.failed == 0 && self.totals.not_run == 0 && self.stopped.is_none()
    }
}

/// Counts the results with an outcome.
pub(super) fn count<'a>(results: impl IntoIterator<Item = &'a CheckResult>, outcome: Outcome) -> usize {
    results.into_iter().filter(|result| result.outcome == outcome).count()
}

impl CheckResult {
    pub(super) fn new(check: &Check, judged: Judged) -> Self {
        let (outcome, message, hint) = match judged {
            Ok(note) => (Outcome::Passed, note, None),
            Err(finding) => (finding.outcome, Some(finding.message), finding.hint),
        };
        Self { name: check.name, outcome, sent: check.sent, message, hint }
    }
}
