//! The results of a run as text.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;

use super::report::{CheckResult, FaultResult, count};
use super::{Outcome, Report};

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

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
        printer.wrapped((RED, "ended early"), &format!(": {why}"), 2)?;
        printer.names("not run", not_run.into_iter().map(|(name, ..)| name))?;
    }
    let totals = &report.totals;
    write!(out, "verify: {}, {} failed, ", counted(totals.checks, "check"), totals.failed)?;
    write!(out, "{}, ", counted(totals.warnings, "warning"))?;
    if totals.not_run > 0 {
        write!(out, "{} not run, ", totals.not_run)?;
    }
    writeln!(out, "{} not implemented", counted(totals.not_implemented, "callback"))
}

/// Prints a line for the checks of a callback.
fn print_row(name: &str, width: usize, checks: &[CheckResult], out: &mut impl Write) -> io::Result<()> {
    let count = |outcome| count(checks, outcome);
    let (failed, warnings, not_run) = (count(Outcome::Failed), count(Outcome::Warning), count(Outcome::NotRun));
    let (style, word) = match warnings {
        _ if failed + not_run > 0 => (RED, "FAILED"),
        0 => (GREEN, "ok"),
        _ => (YELLOW, "warning"),
    };
    write!(out, "{name:width$}  {style}{word}{style:#}  {}", counted(checks.len(), "check"))?;
    let warned = if warnings == 1 { "warning" } else { "warnings" };
    for (count, what) in [(failed, "failed"), (warnings, warned), (not_run, "not run")] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
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
        several => format!("{}: {}", counted(several.len(), "callback"), several.join(", ")),
    }
}

struct Printer<'o, W> {
    out: &'o mut W,
    width: usize,
}

impl<W: Write> Printer<'_, W> {
    fn fault(&mut self, fault: &FaultResult) -> io::Result<()> {
        let (style, word) = match fault.outcome {
            Outcome::Failed => (RED, "FAILED"),
            Outcome::Warning => (YELLOW, "warning"),
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

    /// Prints words in a style and a text after them, broken between words, with an indentation after its first line.
    fn wrapped(&mut self, (style, words): (Style, &str), text: &str, indent: usize) -> io::Result<()> {
        write!(self.out, "{style}{words}{style:#}")?;
        let mut column = words.chars().count();
        for (place, word) in text.split(' ').enumerate() {
            let length = word.chars().count();
            if place > 0 && column + 1 + length > self.width && column > indent {
                write!(self.out, "\n{:indent$}{word}", "")?;
                column = indent + length;
            } else {
                let space = if place > 0 { " " } else { "" };
                write!(self.out, "{space}{word}")?;
                column += space.len() + length;
            }
        }
        writeln!(self.out)
    }

    /// Prints the names of some callbacks under a title, three on a line.
    fn names(&mut self, title: &str, names: impl Iterator<Item = &'static str>) -> io::Result<()> {
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            writeln!(self.out, "{title} ({}):", names.len())?;
        }
        names.chunks(3).try_for_each(|line| writeln!(self.out, "  {}", line.join(", ")))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
