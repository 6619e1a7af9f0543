//! The results of a run as JUnit's XML, for CI: a suite for each callback, a case for each check.

use quick_junit::{NonSuccessKind, Report as Document, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::report::CheckResult;
use super::{Outcome, Report};

/// Returns the report as JUnit's XML.
pub(crate) fn junit(report: &Report) -> Result<String, SerializeError> {
    let mut document = Document::new("hookgate verify");
    for (name, class, checks) in report.suites() {
        let mut suite = TestSuite::new(name);
        suite.add_test_cases(checks.iter().map(|check| case(class, check)));
        document.add_test_suite(suite);
    }
    document.to_string()
}

fn case(class: &str, check: &CheckResult) -> TestCase {
    // JUnit has no warning.
    let mut status = match check.outcome {
        Outcome::Passed | Outcome::Warning => TestCaseStatus::success(),
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::NotRun => TestCaseStatus::skipped(),
    };
    let fault = check.fault.as_ref().map(|fault| format!("fault: {fault}\n")).unwrap_or_default();
    let word = if check.outcome == Outcome::Warning { "warning" } else { "came" };
    let answer = check.message.as_ref().map(|message| format!("\n{word}: {message}")).unwrap_or_default();
    let hint = check.hint.as_ref().map(|hint| format!("\nchange: {hint}")).unwrap_or_default();
    let text = format!("{fault}sent: {}{answer}{hint}", check.sent);
    // A success keeps neither.
    status.set_message(check.message.as_deref().unwrap_or_default()).set_description(&*text);
    let name = check.source.as_ref().map(|source| format!("{} {source}", check.name));
    let mut case = TestCase::new(name.as_deref().unwrap_or(check.name), status);
    case.set_classname(class);
    if matches!(check.outcome, Outcome::Passed | Outcome::Warning) {
        case.set_system_out(text);
    }
    case
}
