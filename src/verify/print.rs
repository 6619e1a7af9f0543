//! The results of a run as text.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::report::{CheckResult, count};
use super::{Outcome, Report};

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Prints the report, with colour: `out` strips it where it is not wanted.
pub(crate) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let was_run = |checks: &[CheckResult]| checks.iter().any(|check| check.outcome != Outcome::NotRun);
    let (run, not_run): (Vec<_>, Vec<_>) = report.suites().partition(|(.., checks)| was_run(checks));
    let width = run.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
    for (name, _, checks) in run {
        print_checks(name, width, checks, out)?;
    }
    for check in report.service.iter().filter(|check| check.outcome == Outcome::Passed) {
        if let Some(note) = &check.message {
            writeln!(out, "note: {}: {note}", check.name)?;
        }
    }
    let unimplemented = report.callbacks.iter().filter(|callback| callback.implemented == Some(false));
    print_names("not implemented", unimplemented.map(|callback| callback.callback), out)?;
    if let Some(why) = &report.stopped {
        writeln!(out, "{RED}ended early{RED:#}: {why}")?;
        print_names("not run", not_run.into_iter().map(|(name, ..)| name), out)?;
    }
    let totals = &report.totals;
    write!(out, "verify: {}, {} failed, ", counted(totals.checks, "check"), totals.failed)?;
    write!(out, "{}, ", counted(totals.warnings, "warning"))?;
    if totals.not_run > 0 {
        write!(out, "{} not run, ", totals.not_run)?;
    }
    writeln!(out, "{} not implemented", counted(totals.not_implemented, "callback"))
}

/// Prints a line for some checks, and below it those that did not pass.
fn print_checks(name: &str, width: usize, checks: &[CheckResult], out: &mut impl Write) -> io::Result<()> {
    let count = |outcome| count(checks, outcome);
    let (failed, not_run) = (count(Outcome::Failed), count(Outcome::NotRun));
    let (style, word) = match count(Outcome::Warning) {
        _ if failed + not_run > 0 => (RED, "FAILED"),
        0 => (GREEN, "ok"),
        _ => (YELLOW, "warning"),
    };
    write!(out, "{name:width$}  {style}{word}{style:#}  {}", counted(checks.len(), "check"))?;
    for (count, what) in [(failed, "failed"), (not_run, "not run")].into_iter().filter(|(count, _)| *count > 0) {
        write!(out, ", {count} {what}")?;
    }
    writeln!(out)?;
    for check in checks {
        let message = check.message.as_deref().unwrap_or_default();
        let (style, suffix) = match check.outcome {
            Outcome::Passed => continue,
            Outcome::Failed => (RED, ""),
            Outcome::Warning => (YELLOW, " (warning)"),
            Outcome::NotRun => {
                writeln!(out, "  {DIM}{}{DIM:#}: not run: {message}", check.name)?;
                continue;
            }
        };
        writeln!(out, "  {style}{}{style:#}{suffix}", check.name)?;
        writeln!(out, "    sent    {}\n    came    {message}", check.sent)?;
        if let Some(hint) = check.hint {
            writeln!(out, "    change  {hint}")?;
        }
    }
    Ok(())
}

/// Prints the names of some callbacks under a title, three on a line.
fn print_names(title: &str, names: impl Iterator<Item = &'static str>, out: &mut impl Write) -> io::Result<()> {
    let names: Vec<&str> = names.collect();
    if !names.is_empty() {
        writeln!(out, "{title} ({}):", names.len())?;
    }
    names.chunks(3).try_for_each(|line| writeln!(out, "  {}", line.join(", ")))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
