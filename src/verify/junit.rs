//! What came of a run, as CI systems read it: a suite a callback, a case a check.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::{Checked, Outcome, Report};

/// The report as JUnit's XML.
pub fn junit(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut document = Document::new("hookgate verify");
    document.add_test_suite(suite("service", "service", &report.service));
    let callbacks = report.callbacks.iter().filter(|callback| !callback.checks.is_empty());
    document.add_test_suites(callbacks.map(|callback| suite(callback.callback, callback.rpc, &callback.checks)));
    document.to_string()
}

fn suite(name: &str, class: &str, checks: &[Checked]) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.add_test_cases(checks.iter().map(|check| {
        let mut case = TestCase::new(check.name, status(check));
        case.set_classname(class);
        if matches!(check.outcome, Outcome::Passed | Outcome::Warning) {
            case.set_system_out(words(check));
        }
        case
    }));
    suite
}

fn status(check: &Checked) -> TestCaseStatus {
    let message = check.message.clone().unwrap_or_default();
    match check.outcome {
        // JUnit has no warning.
        Outcome::Passed | Outcome::Warning => TestCaseStatus::success(),
        Outcome::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(message).set_description(words(check));
            status
        }
        Outcome::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message);
            status
        }
    }
}

fn words(check: &Checked) -> String {
    let word = if check.outcome == Outcome::Warning { "warning" } else { "came" };
    let came = check.message.as_ref().map(|message| format!("\n{word}: {message}"));
    let hint = check.hint.as_ref().map(|hint| format!("\nchange: {hint}"));
    format!("sent: {}{}{}", check.sent, came.unwrap_or_default(), hint.unwrap_or_default())
}
