//! What came of a run, as people read it.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Checked, Outcome, Report};

/// Where lists of names are broken.
const WIDTH: usize = 100;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Prints the report. `out` takes the colours off where they are not wanted.
pub fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let shown = || report.callbacks.iter().filter(|callback| tried(&callback.checks));
    let width = shown().map(|callback| callback.callback.len()).max().unwrap_or_default().max("service".len());
    block("service", width, &report.service, out)?;
    for callback in shown() {
        block(callback.callback, width, &callback.checks, out)?;
    }
    for check in report.service.iter().filter(|check| check.outcome == Outcome::Passed) {
        if let Some(note) = &check.message {
            writeln!(out, "note: {}: {note}", check.name)?;
        }
    }
    let names = |matches: fn(&super::OfCallback) -> bool| {
        report.callbacks.iter().filter(|callback| matches(callback)).map(|callback| callback.callback).collect()
    };
    list("not implemented", names(|callback| callback.implemented == Some(false)), out)?;
    if let Some(why) = &report.stopped {
        writeln!(out, "{RED}ended early{RED:#}: {why}")?;
        list("not run", names(|callback| !callback.checks.is_empty() && !tried(&callback.checks)), out)?;
    }
    writeln!(out, "{}", total(report))
}

/// Whether any of it was run.
fn tried(checks: &[Checked]) -> bool {
    checks.iter().any(|check| check.outcome != Outcome::NotRun)
}

/// A line, and what was not well below it.
fn block(name: &str, width: usize, checks: &[Checked], out: &mut impl Write) -> io::Result<()> {
    let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    let counts = [(count(Outcome::Failed), "failed"), (count(Outcome::NotRun), "not run")];
    let counts: String =
        counts.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!(", {many} {what}")).collect();
    let (style, word) = match (count(Outcome::Failed) + count(Outcome::NotRun), count(Outcome::Warning)) {
        (0, 0) => (GREEN, "ok"),
        (0, _) => (YELLOW, "warning"),
        _ => (RED, "FAILED"),
    };
    writeln!(out, "{name:width$}  {style}{word}{style:#}  {}{counts}", many(checks.len(), "check"))?;
    for check in checks {
        let style = match check.outcome {
            Outcome::Passed => continue,
            Outcome::Failed => RED,
            Outcome::Warning => YELLOW,
            Outcome::NotRun => DIM,
        };
        let message = check.message.as_deref().unwrap_or_default();
        if check.outcome == Outcome::NotRun {
            writeln!(out, "  {style}{}{style:#}: not run: {message}", check.name)?;
            continue;
        }
        let word = if check.outcome == Outcome::Warning { " (warning)" } else { "" };
        writeln!(out, "  {style}{}{style:#}{word}", check.name)?;
        writeln!(out, "    sent    {}", check.sent)?;
        writeln!(out, "    came    {message}")?;
        if let Some(hint) = &check.hint {
            writeln!(out, "    change  {hint}")?;
        }
    }
    Ok(())
}

/// Names under a title, as many on a line as there is room.
fn list(title: &str, names: Vec<&str>, out: &mut impl Write) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title} ({}):", names.len())?;
    let mut line = String::new();
    for (at, name) in names.iter().enumerate() {
        let comma = if at + 1 < names.len() { "," } else { "" };
        if !line.is_empty() && line.len() + name.len() + 4 > WIDTH {
            writeln!(out, " {line}")?;
            line.clear();
        }
        line.extend([" ", name, comma]);
    }
    writeln!(out, " {line}")
}

fn total(report: &Report) -> String {
    let totals = &report.totals;
    let mut line = format!("verify: {}, {} failed", many(totals.checks, "check"), totals.failed);
    line += &format!(", {}", many(totals.warnings, "warning"));
    if totals.not_run > 0 {
        line += &format!(", {} not run", totals.not_run);
    }
    line + &format!(", {} not implemented", many(totals.not_implemented, "callback"))
}

fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
