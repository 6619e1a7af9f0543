//! Warnings: the parts of a status that need an operator's attention.

use super::page::{rate, since};
use super::{Events, Policy, Report};
use crate::cli::method;
use crate::contract::Callback;
use crate::outbox::Cluster;
use crate::text::count;

/// Time after its last failure in which an rpc is warned of, in milliseconds.
const RECENT: u64 = 15 * 60 * 1_000;

/// Days before a certificate's end from which on it is warned of.
const SOON: i64 = 14;

/// Reasons for which an event on disk ends as a dead letter. An event that ends for another one is lost.
const DEAD: [&str; 5] = ["unimplemented", "invalid_reply", "refused_size", "attempts", "age"];

/// Returns a sentence for each thing that needs attention: the policy first, then events, then hookgate itself. `now` is in
/// milliseconds since 1970.
pub(super) fn warnings(report: &Report, now: u64) -> Vec<String> {
    let mut found = Vec::new();
    report.policies.iter().for_each(|of| policy(of, report.is_ready(), &mut found));
    for guard in &report.guards {
        let left = guard.left.iter();
        found
            .extend(left.map(|why| format!("the guard of {} has left it: {why}; hookgate shadow resume", guard.route)));
    }
    callbacks(report, now, &mut found);
    for of in &report.policies {
        let mut its = Vec::new();
        events(&of.after_events, now, &mut its);
        found.extend(its.into_iter().map(|warning| of.named(warning)));
    }
    if let Some(last) = &report.configuration.last {
        let ago = since(last.at_ms, now);
        found.extend(last.refused.iter().map(|why| format!("configuration refused {ago} ago: {why}")));
        if !last.needs_restart.is_empty() {
            found.push(format!("restart hookgate to change {}", last.needs_restart.join(", ")));
        }
    }
    let expiring = report.certificates.iter().filter(|(_, certificate)| certificate.days <= SOON);
    found.extend(expiring.map(|(name, certificate)| format!("certificate {name} expires {}", certificate.expires)));
    if report.decisions.left_out > 0 {
        found.push(format!("decision log: {} dropped", count(report.decisions.left_out, "line")));
    }
    // After a start most callbacks have not come yet.
    if report.drift.has_other_names() {
        found.push("OpenIM sends other than this build expects: hookgate drift shows it".to_owned());
    }
    found
}

fn policy(policy: &Policy, is_any_ready: bool, found: &mut Vec<String>) {
    let channel = &policy.channel;
    // If none is ready, the first line says it.
    if is_any_ready && !policy.ready {
        found.push(policy.named(format_args!("not ready: {}", policy.state)));
    }
    let name = channel.name.iter();
    found.extend(name.map(|why| policy.named(format_args!("the policy's name is not resolved: {why}"))));
    let unready = channel.addresses.iter().filter(|address| policy.ready && address.state != "ready");
    let at = |(address, state): (&str, &str)| policy.named(format_args!("policy at {address}: {state}"));
    found.extend(unready.map(|address| at((&address.address, &address.state))));
    let breakers = channel.breakers.iter();
    let breaker = |rpc: &str, state| policy.named(format_args!("circuit breaker of {} is {state}", method(rpc)));
    found.extend(breakers.map(|(rpc, state)| breaker(rpc, state)));
}

fn callbacks(report: &Report, now: u64, found: &mut Vec<String>) {
    for (command, calls) in &report.callbacks {
        let Some(last) = calls.last_failure.as_ref().filter(|last| is_recent(last.at_ms, now)) else { continue };
        let name = Callback::by_command(command).map_or(command.as_str(), |callback| callback.method());
        let (failed, all, ago) = (calls.count("failed-"), calls.count(""), since(last.at_ms, now));
        found.push(format!("{name}: {failed} of {all} calls failed ({}), last {ago} ago, {}", rate(calls), last.class));
    }
}

fn events(events: &Events, now: u64, found: &mut Vec<String>) {
    for (rpc, last) in events.failures.iter().filter(|(_, last)| is_recent(last.at_ms, now)) {
        let paused = events.rpcs.get(rpc).is_some_and(|queue| queue.paused.is_some());
        let paused = if paused { " and are paused" } else { "" };
        found.push(format!(
            "{}: deliveries fail{paused}, last {} ago, {}",
            method(rpc),
            since(last.at_ms, now),
            last.class
        ));
    }
    let on_disk = events.disk.is_some() || events.cluster.is_some();
    let lost = events.undelivered.iter().filter(|(reason, _)| !(on_disk && DEAD.contains(&reason.as_str())));
    let lost: u64 = lost.map(|(_, count)| count).sum();
    if lost > 0 {
        found.push(format!("{} lost", count(lost, "event")));
    }
    let dead = events.disk.as_ref().map_or(0, |disk| disk.dead as u64)
        + events.cluster.as_ref().map_or(0, |cluster| cluster.dead.events);
    if dead > 0 {
        found.push(format!("{}: hookgate outbox lists, replays or drops them", count(dead, "dead letter")));
    }
    if let Some(cluster) = &events.cluster {
        on_cluster(cluster, found);
    }
    let Some(disk) = &events.disk else { return };
    if disk.unimplemented_evicted > 0 {
        let evicted = disk.unimplemented_evicted;
        found.push(format!("{} of unimplemented rpcs evicted", count(evicted, "dead letter")));
    }
    if disk.stopped {
        found.push("the outbox is not written any more: restart hookgate".to_owned());
    }
    if disk.unreadable > 0 {
        found.push(format!("{} on disk not readable", count(disk.unreadable, "event")));
    }
}

fn on_cluster(cluster: &Cluster, found: &mut Vec<String>) {
    match &cluster.problem {
        Some(problem) => found.push(format!("NATS: {problem}")),
        None if !cluster.connected => found.push("NATS: no server is connected".to_owned()),
        None if !cluster.takes_events => found.push("NATS takes no events".to_owned()),
        None => {}
    }
    let spill = &cluster.spill;
    if spill.events > 0 {
        let place = if spill.durable { "on disk" } else { "in memory alone" };
        found.push(format!("{} here, {place}, that NATS has not taken yet", count(spill.events, "event")));
    }
}

fn is_recent(at: u64, now: u64) -> bool {
    now.saturating_sub(at) <= RECENT
}
