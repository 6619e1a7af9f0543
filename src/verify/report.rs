//! The results of a run, as programs read them.

use std::borrow::Cow;
use std::fmt::{self, Display};

use indexmap::IndexMap;
use serde::{Serialize, Serializer};

use super::Check;
use super::finding::{Fault, Judged};

/// Maximum different answers that are repeated of a fault.
const MOST_MESSAGES: usize = 3;

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
    /// Faults and warnings, each once.
    pub faults: Vec<FaultResult>,
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

/// A fault, with all that show it.
#[derive(Debug, Serialize)]
pub(crate) struct FaultResult {
    /// The fault in a few words.
    pub fault: String,
    /// The worst outcome of the checks that show it.
    pub outcome: Outcome,
    /// Description of the first request that shows it.
    pub sent: &'static str,
    /// The first different answers to such requests.
    pub messages: Vec<Message>,
    /// Advice to the author of the policy.
    pub hint: Option<&'static str>,
    /// Names of the checks that show it.
    pub checks: Vec<&'static str>,
    /// Names of the rpcs that show it; `service` for the service as a whole.
    pub callbacks: Vec<&'static str>,
    /// The webhooks of the user's that show it, by file and line.
    pub requests: Vec<String>,
}

/// Result of a check.
#[derive(Debug, Serialize)]
pub(crate) struct CheckResult {
    /// Name of the check.
    pub name: &'static str,
    /// File and line of the webhook, if it is the user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Outcome.
    pub outcome: Outcome,
    /// The fault in a few words.
    pub fault: Option<String>,
    /// Description of the request.
    pub sent: &'static str,
    /// The answer, or the reason why the check was not run; a note if it passed.
    pub message: Option<String>,
    /// Advice to the author of the policy.
    pub hint: Option<String>,
    #[serde(skip)]
    pub(super) faults: Vec<Fault>,
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
        let faults = Vec::new();
        let mut report =
            Self { version: env!("CARGO_PKG_VERSION"), policy, service, callbacks, faults, stopped, totals };
        report.faults = report.group_faults();
        report
    }

    /// Returns each fault once. The reason why the run ended early is none.
    fn group_faults(&self) -> Vec<FaultResult> {
        let mut all: IndexMap<_, FaultResult> = IndexMap::new();
        for (callback, _, checks) in self.suites() {
            for (check, fault) in checks.iter().flat_map(|check| check.faults.iter().map(move |fault| (check, fault))) {
                if self.stopped.as_ref().is_some_and(|why| fault.name == *why) {
                    continue;
                }
                let first = || FaultResult::new(check, fault);
                all.entry((&*fault.name, fault.hint)).or_insert_with(first).add(callback, check, fault);
            }
        }
        all.into_values().collect()
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

impl FaultResult {
    fn new(check: &CheckResult, fault: &Fault) -> Self {
        Self {
            fault: fault.name.to_string(),
            outcome: check.outcome,
            sent: check.sent,
            messages: Vec::new(),
            hint: fault.hint,
            checks: Vec::new(),
            callbacks: Vec::new(),
            requests: Vec::new(),
        }
    }

    fn add(&mut self, callback: &'static str, check: &CheckResult, fault: &Fault) {
        add_new(&mut self.callbacks, callback);
        add_new(&mut self.checks, check.name);
        if check.outcome == Outcome::Failed {
            self.outcome = Outcome::Failed;
        }
        if let Some(message) = self.messages.iter_mut().find(|message| message.answer == fault.answer) {
            message.add(fault.part.as_deref());
        } else if self.messages.len() < MOST_MESSAGES {
            let parts = fault.part.clone().map(|part| vec![part]);
            self.messages.push(Message { parts, answer: fault.answer.clone() });
        }
        self.requests.extend(check.source.clone());
    }
}

/// An answer that shows a fault.
#[derive(Debug)]
pub(crate) struct Message {
    /// The parts of checks that had it; `None` if it came without any of them.
    parts: Option<Vec<String>>,
    answer: String,
}

impl Message {
    /// Adds a part; none means all.
    fn add(&mut self, part: Option<&str>) {
        match (&mut self.parts, part) {
            (Some(parts), Some(part)) => add_new(parts, part.to_owned()),
            (parts, _) => *parts = None,
        }
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parts {
            Some(parts) => write!(f, "{}: {}", parts.join(", "), self.answer),
            None => f.write_str(&self.answer),
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn add_new<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

impl CheckResult {
    pub(super) fn new(check: &Check, judged: Judged) -> Self {
        let (outcome, note, faults) = match judged {
            Ok(note) => (Outcome::Passed, note, Vec::new()),
            Err(finding) => (finding.outcome, None, finding.faults),
        };
        let joined = |text: fn(&Fault) -> Option<Cow<'_, str>>| {
            let mut texts = Vec::new();
            faults.iter().filter_map(text).for_each(|text| add_new(&mut texts, text));
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        let fault = joined(|fault| Some(fault.name.clone()));
        let message = note.or_else(|| joined(|fault| Some(fault.message().into())));
        let hint = joined(|fault| fault.hint.map(Cow::from));
        Self { name: check.name, source: None, outcome, fault, sent: check.sent, message, hint, faults }
    }
}
