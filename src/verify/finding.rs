//! The result of a check that did not pass.

use std::borrow::Cow;

use super::report::Outcome;
use crate::cut::cut;
use crate::failure::Failure;

/// Maximum bytes of a policy's text that are repeated.
const LONGEST_TEXT: usize = 200;

/// The reason why a check did not pass.
#[derive(Debug)]
pub(super) struct Finding {
    /// The outcome of the check.
    pub outcome: Outcome,
    /// The faults, one at least.
    pub faults: Vec<Fault>,
    /// The failure of the call, if there was no usable answer.
    pub failure: Option<Failure>,
}

/// A fault of a policy. The same fault of several callbacks is reported once.
#[derive(Debug)]
pub(super) struct Fault {
    /// The fault in a few words, the same wherever it occurs.
    pub name: Cow<'static, str>,
    /// The part of a check that shows it, if the check makes several calls.
    pub part: Option<String>,
    /// The answer in words, or the reason why the check was not run.
    pub answer: String,
    /// Advice to the author of the policy.
    pub hint: Option<&'static str>,
}

/// The result of a check: a note, perhaps, if it passed.
pub(super) type Judged = Result<Option<String>, Finding>;

impl Fault {
    /// Makes a fault.
    pub(super) fn new(name: impl Into<Cow<'static, str>>, answer: impl Into<String>, hint: &'static str) -> Self {
        Self { name: name.into(), part: None, answer: answer.into(), hint: Some(hint) }
    }

    /// Returns the answer, and the part of the check in front of it.
    pub(super) fn message(&self) -> String {
        self.part.as_ref().map_or_else(|| self.answer.clone(), |part| format!("{part}: {}", self.answer))
    }

    /// Returns the finding that fails the check.
    pub(super) fn failed(self) -> Finding {
        Finding { outcome: Outcome::Failed, faults: vec![self], failure: None }
    }

    /// Returns the finding that hookgate can live with.
    pub(super) fn warning(self) -> Finding {
        Finding { outcome: Outcome::Warning, ..self.failed() }
    }
}

impl Finding {
    /// Makes the finding of a check that was not run.
    pub(super) fn not_run(reason: &str) -> Self {
        let fault = Fault { name: reason.to_owned().into(), part: None, answer: reason.to_owned(), hint: None };
        Self { outcome: Outcome::NotRun, faults: vec![fault], failure: None }
    }

    /// Returns true if there was no answer.
    pub(super) fn is_silent(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.answer().is_none())
    }

    /// Adds the faults of another finding with this outcome.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.faults.extend(other.faults);
        self
    }

    /// Names the part of the check that shows the faults.
    pub(super) fn of_part(mut self, part: &str) -> Self {
        self.faults.iter_mut().for_each(|fault| fault.part = Some(part.to_owned()));
        self
    }
}

/// Makes a policy's text fit for a terminal and for XML: cut, and without control characters.
pub(super) fn shown(text: &str) -> String {
    cut(&text.replace(char::is_control, "\u{fffd}"), LONGEST_TEXT).into_owned()
}
