//! The results of a run as text.

use std::io::{self, Write};

use anstyle::Style;
use indexmap::IndexMap;

use super::report::{self, CheckResult, FaultResult};
use super::{Outcome, Report};
use crate::text::{BAD, DIM, GOOD, NOTABLE, count, wrapped};

/// Maximum webhooks of the user's that are listed of a fault.
const MOST_REQUESTS: usize = 5;

/// Prints the report in lines of `width` columns, with colour: `out` strips it where it is not wanted.
pub(crate) fn print(report: &Report, width: usize, out: &mut impl Write) -> io::Result<()> {
    let was_run = |checks: &[CheckResult]| checks.iter().any(|check| check.outcome != Outcome::NotRun);
    let (run, not_run): (Vec<_>, Vec<_>) = report.suites().partition(|(.., checks)| was_run(checks));
    let longest = run.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
    for (name, _, checks) in run {
        print_row(name, longest, checks, out)?;
    }
    let mut printer = Printer { out: &mut *out, width };
    for fault in &report.faults {
        printer.fault(fault)?;
    }
    if !report.faults.is_empty() {
        writeln!(printer.out)?;
    }
    for (note, callbacks) in notes(report) {
        let callbacks = if callbacks == ["service"] { String::new() } else { format!(" ({})", listed(&callbacks)) };
        printer.wrapped((Style::new(), "note:"), &format!(" {note}{callbacks}"), 2)?;
    }
    let unimplemented = report.callbacks.iter().filter(|callback| callback.implemented == Some(false));
    printer.names("not implemented", unimplemented.map(|callback| callback.callback))?;
    if let Some(why) = &report.stopped {
        printer.wrapped((BAD, "ended early"), &format!(": {why}"), 2)?;
        printer.names("not run", not_run.into_iter().map(|(name, ..)| name))?;
    }
    let totals = &report.totals;
    let (checks, warnings) = (count(totals.checks, "check"), count(totals.warnings, "warning"));
    let not_run = if totals.not_run > 0 { format!("{} not run, ", totals.not_run) } else { String::new() };
    let callbacks = count(totals.not_implemented, "callback");
    let line = format!("{checks}, {} failed, {warnings}, {not_run}{callbacks} not implemented", totals.failed);
    printer.wrapped((Style::new(), "verify: "), &line, 2)
}

/// Prints a line for the checks of a callback.
fn print_row(name: &str, width: usize, checks: &[CheckResult], out: &mut impl Write) -> io::Result<()> {
    let [failed, warnings, not_run] =
        [Outcome::Failed, Outcome::Warning, Outcome::NotRun].map(|outcome| report::count(checks, outcome));
    let (style, word) = match warnings {
        _ if failed + not_run > 0 => (BAD, "FAILED"),
        0 => (GOOD, "ok"),
        _ => (NOTABLE, "warning"),
    };
    write!(out, "{name:width$}  {style}{word}{style:#}  {}", count(checks.len(), "check"))?;
    let parts = [
        (failed, format!("{failed} failed")),
        (warnings, count(warnings, "warning")),
        (not_run, format!("{not_run} not run")),
    ];
    for (_, part) in parts.iter().filter(|(count, _)| *count > 0) {
        write!(out, ", {part}")?;
    }
    writeln!(out)
}

/// Returns the notes of checks that passed, with the callbacks that have them.
fn notes(report: &Report) -> IndexMap<String, Vec<&'static str>> {
    let mut notes = IndexMap::new();
    for (name, _, checks) in report.suites() {
        for check in checks.iter().filter(|check| check.outcome == Outcome::Passed) {
            if let Some(note) = &check.message {
                let callbacks: &mut Vec<_> = notes.entry(format!("{}: {note}", check.name)).or_default();
                callbacks.push(name);
            }
        }
    }
    notes
}

/// Names some callbacks, and their number if there are several.
fn listed(callbacks: &[&str]) -> String {
    match callbacks {
        [callback] => (*callback).to_owned(),
        several => format!("{}: {}", count(several.len(), "callback"), several.join(", ")),
    }
}

struct Printer<'o, W> {
    out: &'o mut W,
    width: usize,
}

impl<W: Write> Printer<'_, W> {
    fn fault(&mut self, fault: &FaultResult) -> io::Result<()> {
        let (style, word) = match fault.outcome {
            Outcome::Failed => (BAD, "FAILED"),
            Outcome::Warning => (NOTABLE, "warning"),
            Outcome::NotRun | Outcome::Passed => (DIM, "not run"),
        };
        writeln!(self.out)?;
        let title = format!("  {} ({})", fault.fault, listed(&fault.callbacks));
        self.wrapped((style, word), &title, 2)?;
        self.detail("checks", &fault.checks.join(", "))?;
        if fault.outcome == Outcome::NotRun {
            return Ok(());
        }
        let more = fault.requests.len().saturating_sub(MOST_REQUESTS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        match &fault.requests[..fault.requests.len().min(MOST_REQUESTS)] {
            [] => self.detail("sent", fault.sent)?,
            requests => self.detail("sent", &format!("{}{more}", requests.join(", ")))?,
        }
        for message in &fault.messages {
            self.detail("came", &message.to_string())?;
        }
        fault.hint.map_or(Ok(()), |hint| self.detail("change", hint))
    }

    fn detail(&mut self, label: &str, text: &str) -> io::Result<()> {
        self.wrapped((Style::new(), &format!("  {label:6}")), &format!("  {text}"), 10)
    }

    /// Prints words in a style and a text after them, wrapped.
    fn wrapped(&mut self, (style, words): (Style, &str), text: &str, indent: usize) -> io::Result<()> {
        writeln!(self.out, "{}", wrapped(&format!("{style}{words}{style:#}{text}"), indent, self.width))
    }

    /// Prints the names of some callbacks under a title.
    fn names<'n>(&mut self, title: &str, names: impl Iterator<Item = &'n str>) -> io::Result<()> {
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "{title} ({}):", names.len())?;
        self.wrapped((Style::new(), "  "), &names.join(", "), 2)
    }
}
