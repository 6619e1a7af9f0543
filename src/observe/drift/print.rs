//! A drift report as text.

use std::io::{self, Write};

use super::{Key, LooksLike, Name, Report};
use crate::openim::Release;
use crate::text::{count, page_width, wrapped};

/// Prints a report: a list for each difference, or a line that there is none, and the likely release.
pub fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if !report.is_drift() {
        writeln!(out, "no drift: this build knows all that came")?;
    }
    let names = report.lists().map(|(names, title, _)| (title, name_lines(names)));
    let never_came: String = report.never_came.iter().flatten().map(key_lines).collect();
    let lists = names.into_iter().chain([("enabled in webhooks.yml, and never came", never_came)]);
    for (title, lines) in lists.filter(|(_, lines)| !lines.is_empty()) {
        line(&format!("{title}:"), out)?;
        writeln!(out, "{}", lines.trim_end())?;
    }
    if report.never_came.is_none() {
        line("callbacks that never came are not known: openim.webhooks names no webhooks.yml", out)?;
    }
    line(&release(report), out)?;
    if !report.since.is_empty() {
        line(&format!("counted since {} (UTC), when this hookgate started", report.since), out)?;
    }
    Ok(())
}

fn line(text: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", wrapped(text, 2, page_width()))
}

/// Returns a report in a line.
pub(crate) fn summary(report: &Report) -> String {
    let never_came = report.never_came.as_deref().unwrap_or_default();
    let counts = report.lists().map(|(names, _, what)| (names.len(), what)).into_iter();
    let counts = counts.chain([(never_came.len(), "enabled callbacks that never came")]);
    let counts = counts.filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what}: {count}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    format!("{}; {}", if counts.is_empty() { "none" } else { &counts }, release(report))
}

/// Returns a line for each name; those of one rpc stand below it.
fn name_lines(names: &[Name]) -> String {
    let (mut lines, mut heading) = (String::new(), None);
    for name in names {
        if heading != name.rpc.as_ref() {
            heading = name.rpc.as_ref();
            lines.extend(heading.map(|rpc| format!("  {rpc}\n")));
        }
        // Any caller can choose the name.
        let mut label = format!("{}{}", if heading.is_some() { "    " } else { "  " }, name.name);
        label = label.replace(char::is_control, "?");
        if label.chars().count() > 38 {
            lines += &format!("{label}\n");
            label.clear();
        }
        let times = if name.count == 1 { "time" } else { "times" };
        lines += &format!("{label:<38}{:>8} {times}, first {}\n", name.count, name.first_seen);
    }
    lines
}

fn key_lines(key: &Key) -> String {
    let releases = match &key.releases[..] {
        [] => "sent by no known release of OpenIM".to_owned(),
        releases => format!("sent by {}", releases.join(", ")),
    };
    let caveat = key.caveat.as_deref().map(|caveat| wrapped(&format!("    {caveat}"), 4, page_width()) + "\n");
    format!("  {:<28} {releases}\n{}", key.config_key, caveat.unwrap_or_default())
}

/// Returns a sentence about the release.
fn release(report: &Report) -> String {
    let LooksLike { releases, commands } = &report.looks_like;
    let newer = !report.unknown_commands.is_empty() || !report.unknown_fields.is_empty();
    let newest = Release::ALL.last().map_or("", |release| release.as_str());
    let perhaps_newer = if newer && releases.last().is_some_and(|last| last == newest) { ", or is newer" } else { "" };
    let by = format!("by {}", count(*commands, "command"));
    let what = match &releases[..] {
        _ if *commands == 0 => "release unknown: no callback has come".to_owned(),
        [] => "release unknown: no single release sends all that came; more than one posts here".to_owned(),
        [only] => format!("looks like {only}{perhaps_newer}, {by}"),
        all if all.len() == Release::ALL.len() => {
            format!("release unknown: every release from 3.5 on sends what came{perhaps_newer}, {by}")
        }
        [first, .., last] => format!("looks like {first} to {last}{perhaps_newer}, {by}"),
    };
    format!("OpenIM {what}")
}
