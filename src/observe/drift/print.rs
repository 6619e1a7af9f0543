//! A report for people.

use std::io::{self, Write};

use super::{Field, LooksLike, Name, Report};
use crate::openim::Release;

/// Prints a report: a line for what is as expected, a list for each thing that is not.
pub fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if !report.is_drift() {
        writeln!(out, "no drift: this build knows all that came")?;
    }
    names(
        "rpcs whose webhooks have NONE of the fields that this build knows: their policy sees unknown_fields alone",
        &report.unrecognized_bodies,
        out,
    )?;
    names("commands that this build does not know (FallbackPolicyService takes them)", &report.unknown_commands, out)?;
    fields("fields that this build does not know (they are in unknown_fields)", &report.unknown_fields, out)?;
    names("commands with an older name", &report.older_commands, out)?;
    fields("fields with another name (older servers, the Enterprise edition)", &report.older_fields, out)?;
    match &report.never_came {
        None => writeln!(out, "what never came is not known: openim.webhooks names no webhooks.yml")?,
        Some(keys) if keys.is_empty() => {}
        Some(keys) => {
            writeln!(out, "enabled in webhooks.yml, and never came:")?;
            for key in keys {
                let releases = match &key.releases[..] {
                    [] => "no OpenIM that is known sends it".to_owned(),
                    releases => format!("sent by {}", releases.join(", ")),
                };
                writeln!(out, "  {:<28} {releases}", key.config_key)?;
            }
        }
    }
    let newer = !report.unknown_commands.is_empty() || !report.unknown_fields.is_empty();
    writeln!(out, "OpenIM {}", looks_like(&report.looks_like, newer))
}

fn names(title: &str, names: &[Name], out: &mut impl Write) -> io::Result<()> {
    if !names.is_empty() {
        writeln!(out, "{title}:")?;
    }
    names.iter().try_for_each(|name| line(&name.name, name, out))
}

fn fields(title: &str, fields: &[Field], out: &mut impl Write) -> io::Result<()> {
    if !fields.is_empty() {
        writeln!(out, "{title}:")?;
    }
    fields.iter().try_for_each(|field| line(&format!("{} {}", field.rpc, field.name.name), &field.name, out))
}

fn line(what: &str, name: &Name, out: &mut impl Write) -> io::Result<()> {
    // Whoever reaches the port chooses the name.
    let what: String = what.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    let times = if name.count == 1 { "time" } else { "times" };
    writeln!(out, "  {what:<64} {:>8} {times}, first {}", name.count, name.first_seen)
}

/// What is known of the release, as the end of a sentence.
fn looks_like(looks_like: &LooksLike, newer: bool) -> String {
    let LooksLike { releases, commands } = looks_like;
    let newest = Release::ALL.last().map_or("", |release| release.as_str());
    let perhaps_newer = if newer && releases.last().is_some_and(|last| last == newest) { ", or is newer" } else { "" };
    let by = if *commands == 1 { "1 command".to_owned() } else { format!("{commands} commands") };
    match &releases[..] {
        _ if *commands == 0 => "cannot be told: no callback has come".to_owned(),
        [] => "cannot be told: no single release sends all that came; more than one posts here".to_owned(),
        [only] => format!("looks like {only}{perhaps_newer}, by {by}"),
        all if all.len() == Release::ALL.len() => {
            format!("cannot be told: every release from 3.5 on sends what came{perhaps_newer}, {by}")
        }
        [first, .., last] => format!("looks like {first} to {last}{perhaps_newer}, by {by}"),
    }
}
