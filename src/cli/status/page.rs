//! The page of `hookgate status`, 80 columns wide at most.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use bytesize::ByteSize;

use super::warnings::warnings;
use super::{Calls, Events, Policy, Report};
use crate::cli::{age, method};
use crate::contract::Callback;
use crate::observe::drift;
use crate::observe::failures::LastFailure;
use crate::outbox::{Cluster, RpcBacklog};
use crate::text::{BAD, BOLD, GOOD, NOTABLE, count, page_width, wrapped};

/// Width of the labels at its left.
const LABEL: usize = 15;

/// Prints a report; `now` is in milliseconds since 1970.
pub(super) fn print(report: &Report, now: u64, out: &mut impl Write) -> io::Result<()> {
    let (style, state) = match (report.stopping, report.is_ready()) {
        (true, _) => (BAD, "stopping".to_owned()),
        (_, true) => (GOOD, "ready".to_owned()),
        (..) => {
            let states = report.policies.iter().map(|policy| policy.named(&policy.state));
            (BAD, format!("NOT READY: {}", states.collect::<Vec<_>>().join("; ")))
        }
    };
    let up = age(Duration::from_secs(report.uptime_seconds));
    let state = clean(&state);
    let version = clean(&report.version);
    line(out, 2, format!("{BOLD}hookgate {version}, up {up}:{BOLD:#} {style}{state}{style:#}"))?;
    for warning in warnings(report, now) {
        line(out, 2, format!("{NOTABLE}!{NOTABLE:#} {}", clean(&warning)))?;
    }
    writeln!(out)?;
    report.policies.iter().try_for_each(|of| policy(of, out))?;
    webhooks(report, now, out)?;
    report.policies.iter().try_for_each(|of| events(of, now, out))?;
    label(out, "Drift", drift::summary(&report.drift))?;
    label(out, "Configuration", configuration(report, now))?;
    for (name, certificate) in &report.certificates {
        label(out, "Certificate", format!("{name} expires {}, in {} days", certificate.expires, certificate.days))?;
    }
    Ok(())
}

fn policy(policy: &Policy, out: &mut impl Write) -> io::Result<()> {
    label(out, "Policy", policy.named(format_args!("{}: {}", policy.url, policy.state)))?;
    if !policy.verdicts.is_empty() {
        let verdicts = policy.verdicts.iter().map(|(outcome, count)| format!("{} {outcome}", short(*count)));
        detail(out, verdicts.collect::<Vec<_>>().join(", "))?;
    }
    for address in &policy.channel.addresses {
        detail(out, format!("{} {}, {} in flight", address.address, address.state, address.in_flight))?;
    }
    for (rpc, state) in &policy.channel.breakers {
        detail(out, format!("circuit breaker of {}: {state}", method(rpc)))?;
    }
    Ok(())
}

fn webhooks(report: &Report, now: u64, out: &mut impl Write) -> io::Result<()> {
    let held = ByteSize::b(report.held_bytes);
    label(
        out,
        "Webhooks",
        format!("{} in flight, {}, {held} held", report.in_flight, count(report.connections, "connection")),
    )?;
    let refused: Vec<_> = report.callers_refused.iter().filter(|(_, count)| **count > 0).collect();
    if !refused.is_empty() || report.not_webhooks > 0 {
        let requests = (report.not_webhooks > 0).then(|| count(report.not_webhooks, "request") + " for no callback");
        let callers = refused.iter().map(|(reason, count)| format!("{count} {reason}"));
        label(out, "Refused", callers.chain(requests).collect::<Vec<_>>().join(", "))?;
    }
    if report.callbacks.is_empty() {
        return Ok(());
    }
    let head =
        format!("{:<37}{:>8}{:>8}{:>8}{:>8}{:>11}", "CALLBACK", "CALLS", "CHANGED", "DENIED", "FAILED", "LAST SEEN");
    writeln!(out, "{BOLD}{head}{BOLD:#}")?;
    let mut callbacks: Vec<_> =
        report.callbacks.iter().map(|(command, calls)| (Callback::by_command(command), command, calls)).collect();
    callbacks.sort_by_key(|(callback, ..)| callback.map_or(usize::MAX, |callback| callback.index));
    for (callback, command, calls) in callbacks {
        let name = callback.map_or(command.as_str(), |callback| callback.method());
        let [total, changed, denied, failed] =
            ["", "changed", "deny", "failed-"].map(|outcome| short(calls.count(outcome)));
        writeln!(
            out,
            "  {name:<35}{total:>8}{changed:>8}{denied:>8}{failed:>8}{:>11}",
            since(calls.last_seen_ms, now)
        )?;
        failures(calls, now, out)?;
    }
    Ok(())
}

/// Prints the outcomes of a callback that are no verdict, and the last cause.
fn failures(calls: &Calls, now: u64, out: &mut impl Write) -> io::Result<()> {
    let is_odd = |outcome: &str| outcome.starts_with("failed-") || matches!(outcome, "refused" | "skipped");
    let odd = calls.outcomes.iter().filter(|(outcome, _)| is_odd(outcome));
    let odd: Vec<_> = odd.map(|(outcome, count)| format!("{} {outcome}", short(*count))).collect();
    if !odd.is_empty() {
        detail(out, format!("{} ({} failed)", odd.join(", "), rate(calls)))?;
    }
    calls.last_failure.as_ref().map_or(Ok(()), |last| detail(out, cause(last, now)))
}

fn events(of: &Policy, now: u64, out: &mut impl Write) -> io::Result<()> {
    let events = &of.after_events;
    let Events { backlog, delivered, retried, .. } = events;
    let oldest = backlog.oldest.map(|oldest| format!(", oldest {}", age(oldest))).unwrap_or_default();
    let bytes = ByteSize::b(backlog.bytes as u64);
    let kept = format!("{} kept ({bytes}{oldest}), {delivered} delivered, {retried} retried", backlog.events);
    label(out, "After events", of.named(kept))?;
    let rpcs: BTreeSet<_> = events.rpcs.keys().chain(events.failures.keys()).collect();
    for rpc in rpcs {
        if let Some(queue) = events.rpcs.get(rpc) {
            let oldest = queue.oldest.map(|oldest| format!(", oldest {}", age(oldest)));
            let paused = queue.paused.map(|pause| format!(", paused for {}", age(pause)));
            let (oldest, paused) = (oldest.unwrap_or_default(), paused.unwrap_or_default());
            let parked = if queue.parked > 0 { format!(" ({} parked)", queue.parked) } else { String::new() };
            let RpcBacklog { waiting, in_flight, .. } = queue;
            detail(out, format!("{}: {waiting} waiting{parked}, {in_flight} in flight{oldest}{paused}", method(rpc)))?;
        }
        if let Some(last) = events.failures.get(rpc) {
            detail(out, format!("{}: {} failed; {}", method(rpc), count(last.count, "attempt"), cause(last, now)))?;
        }
    }
    if backlog.blocked_keys > 0 {
        let keys = count(backlog.blocked_keys, "key");
        detail(out, format!("{keys} with events behind one that fails (for after.hold at most)"))?;
    }
    let undelivered: Vec<_> = events
        .undelivered
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if !undelivered.is_empty() {
        detail(out, format!("undelivered: {}", undelivered.join(", ")))?;
    }
    match &events.cluster {
        Some(cluster) => on_cluster(cluster, out)?,
        None if events.disk.is_none() => label(out, "Outbox", "in memory; --data DIR keeps events over a crash")?,
        None => {}
    }
    let Some(disk) = &events.disk else { return Ok(()) };
    let dead = ByteSize::b(disk.dead_bytes as u64);
    label(
        out,
        "Outbox",
        format!("{} ({dead}), {} on disk", count(disk.dead, "dead letter"), ByteSize::b(disk.file_bytes)),
    )
}

fn on_cluster(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
    let Cluster { server, replicas, events, later, dead, spill, .. } = cluster;
    let state = if cluster.connected { format!("nats-server {server}") } else { "not connected".to_owned() };
    let dead = count(dead.events, "dead letter");
    let held = format!("{} in order, {} later, {dead}", events.events, later.events);
    label(out, "NATS", format!("{state}, {}: {held}", count(*replicas, "replica")))?;
    if spill.events == 0 {
        return Ok(());
    }
    detail(out, format!("spill: {} ({})", count(spill.events, "event"), ByteSize::b(spill.bytes as u64)))
}

fn configuration(report: &Report, now: u64) -> String {
    let configuration = &report.configuration;
    let Some(last) = &configuration.last else { return "as at the start; not reloaded since".to_owned() };
    let (times, ago) = (configuration.ok + configuration.refused, since(last.at_ms, now));
    let result = if last.ok { "in force" } else { "REFUSED, the one before is in force" };
    format!("read again {}, last {ago} ago: {result}", count(times, "time"))
}

/// Returns a failure in a sentence.
pub(super) fn cause(last: &LastFailure, now: u64) -> String {
    format!("last {} ago, {}: {}", since(last.at_ms, now), last.class, last.cause)
}

/// Returns the share of failed calls among those that were not skipped.
pub(super) fn rate(calls: &Calls) -> String {
    let (failed, all) = (calls.count("failed-"), calls.count("") - calls.count("skipped"));
    match failed as f64 * 100.0 / all.max(1) as f64 {
        share if failed > 0 && share < 0.1 => "<0.1%".to_owned(),
        share => format!("{share:.1}%"),
    }
}

/// Returns the time since a point in time, both in milliseconds since 1970.
pub(super) fn since(then: u64, now: u64) -> String {
    age(Duration::from_millis(now.saturating_sub(then)))
}

/// Returns a number in seven places at most.
fn short(number: u64) -> String {
    if number < 10_000_000 { number.to_string() } else { format!("{}M", number / 1_000_000) }
}

fn label(out: &mut impl Write, label: &str, text: impl AsRef<str>) -> io::Result<()> {
    line(out, LABEL, format!("{label:<LABEL$}{}", clean(text.as_ref())))
}

fn detail(out: &mut impl Write, text: impl AsRef<str>) -> io::Result<()> {
    line(out, 6, format!("    {}", clean(text.as_ref())))
}

/// Prints a text whose further lines begin with `indent` spaces.
fn line(out: &mut impl Write, indent: usize, text: impl AsRef<str>) -> io::Result<()> {
    writeln!(out, "{}", wrapped(text.as_ref(), indent, page_width()))
}

/// Replaces control characters: the text may be the policy's.
fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}
