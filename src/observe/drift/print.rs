//! A drift report as text.

use std::io::{self, Write};

use super::{Key, LooksLike, Name, Report};
use crate::openim::Release;

/// Prints a report: a list for each difference, or a line that there is none, and the likely release.
pub fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if !report.is_drift() {
        writeln!(out, "no drift: this build knows all that came")?;
    }
    let names = |names: &[Name]| names.iter().map(name_line).collect::<Vec<_>>();
    let lists = [
        (
            "rpcs whose webhooks have NONE of the fields that this build knows: their policy sees unknown_fields alone",
            names(&report.unrecognized_bodies),
        ),
        ("commands that this build does not know (FallbackPolicyService takes them)", names(&report.unknown_commands)),
        ("fields that this build does not know (they are in unknown_fields)", names(&report.unknown_fields)),
        ("commands with an older name", names(&report.older_commands)),
        ("fields with another name (older servers, the Enterprise edition)", names(&report.older_fields)),
        ("enabled in webhooks.yml, and never came", report.never_came.iter().flatten().map(key_line).collect()),
    ];
    for (title, lines) in lists.iter().filter(|(_, lines)| !lines.is_empty()) {
        writeln!(out, "{title}:\n{}", lines.join("\n"))?;
    }
    if report.never_came.is_none() {
        writeln!(out, "callbacks that never came are not known: openim.webhooks names no webhooks.yml")?;
    }
    let newer = !report.unknown_commands.is_empty() || !report.unknown_fields.is_empty();
    writeln!(out, "OpenIM {}", looks_like(&report.looks_like, newer))
}

fn name_line(name: &Name) -> String {
    let rpc = name.rpc.iter().map(|rpc| format!("{rpc} ")).collect::<String>();
    // Any caller can choose the name.
    let label = format!("{rpc}{}", name.name).replace(char::is_control, "?");
    let times = if name.count == 1 { "time" } else { "times" };
    format!("  {label:<64} {:>8} {times}, first {}", name.count, name.first_seen)
}

fn key_line(key: &Key) -> String {
    let releases = match &key.releases[..] {
        [] => "sent by no known release of OpenIM".to_owned(),
        releases => format!("sent by {}", releases.join(", ")),
    };
    format!("  {:<28} {releases}", key.config_key)
}

/// Returns the end of a sentence about the release. `newer` is set if names came that this build does not know.
fn looks_like(looks_like: &LooksLike, newer: bool) -> String {
    let LooksLike { releases, commands } = looks_like;
    let newest = Release::ALL.last().map_or("", |release| release.as_str());
    let perhaps_newer = if newer && releases.last().is_some_and(|last| last == newest) { ", or is newer" } else { "" };
    let by = if *commands == 1 { "1 command".to_owned() } else { format!("{commands} commands") };
    match &releases[..] {
        _ if *commands == 0 => "release unknown: no callback has come".to_owned(),
        [] => "release unknown: no single release sends all that came; more than one posts here".to_owned(),
        [only] => format!("looks like {only}{perhaps_newer}, by {by}"),
        all if all.len() == Release::ALL.len() => {
            format!("release unknown: every release from 3.5 on sends what came{perhaps_newer}, {by}")
        }
        [first, .., last] => format!("looks like {first} to {last}{perhaps_newer}, by {by}"),
    }
}
