//! The policy services, as their clients see them.

use std::fmt;

use strum::VariantArray as _;

use super::{Label, Writer, counter, gauge};
use crate::admin::{PolicySources, Sources};
use crate::observe::counters::Outcome;
use crate::observe::durations::Phase;
use crate::policy::channel::{AddressStatus, BreakerState, Status};

/// The name of the metrics' label for the name of a policy.
const POLICY: &str = "policy";

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let is_named = sources.are_named();
    let all: Vec<(Label<'_>, &PolicySources, Status)> =
        sources.policies.iter().map(|of| ((POLICY, &*of.name), of, of.channel.status())).collect();
    let connected = all.iter().map(|(label, _, channel)| {
        (*label, gauge(channel.addresses.iter().filter(|address| address.is_ready).count() as f64))
    });
    out.of_named("policy_connections", "Addresses of the policy service that are connected", is_named, connected)?;
    let addresses = all.iter().flat_map(|(label, _, channel)| {
        AddressStatus::KINDS.map(|state| {
            let in_state = channel.addresses.iter().filter(|address| address.kind == state).count();
            (("state", state), *label, gauge(in_state as f64))
        })
    });
    out.of_named_and("policy_addresses", "Addresses of the policy service, by state", is_named, addresses)?;
    let help = "Calls that were made a second time, as the policy service cannot have seen the first";
    let retries = all.iter().map(|(label, of, _)| (*label, counter(of.policy.retries())));
    out.of_named("policy_retries", help, is_named, retries)?;
    let breakers = all.iter().flat_map(|(label, _, channel)| {
        let sample = |state: &'static BreakerState| (("state", state.into()), *label, gauge(channel.breaker == *state));
        BreakerState::VARIANTS.iter().map(sample)
    });
    let help = "Breaker of the rpc that fares worst: 1 at the state that holds";
    out.of_named_and("policy_breaker", help, is_named, breakers)?;
    let ready = all.iter().map(|(label, of, _)| (*label, gauge(of.health.borrow().is_ready())));
    out.of_named("policy_ready", "Whether the policy service is ready: 1 if it is", is_named, ready)?;
    if is_named {
        write_verdicts(&all, out)?;
    }
    let rows: Vec<_> = all.iter().flat_map(|(_, of, _)| of.counters.shadow.rows(&of.name)).collect();
    let compared = rows.iter().map(|row| {
        ([(POLICY, &*row.policy), ("rpc", &*row.rpc), ("difference", &*row.difference)], counter(row.count))
    });
    let help = "Verdicts of a shadow, by how they differ from the reply";
    out.family("shadow_verdicts", help, compared)?;
    let shadows = all
        .iter()
        .filter(|(_, of, _)| rows.iter().any(|row| row.policy == *of.name) || of.counters.shadow.not_asked() > 0);
    let not_asked = shadows.map(|(label, of, _)| ([*label], counter(of.counters.shadow.not_asked())));
    out.family("shadow_not_asked", "Webhooks about which a shadow was not asked, for its limits", not_asked)?;
    let guards = sources.guards.report(&sources.config.now());
    let left = guards.iter().map(|guard| ([("route", &*guard.route)], gauge(guard.left.is_some())));
    out.family("guard_left", "Whether a guard has left its route: 1 if it has", left)
}

/// Writes the verdicts of named policies.
fn write_verdicts(all: &[(Label<'_>, &PolicySources, Status)], out: &mut Writer<'_>) -> fmt::Result {
    let verdicts = all.iter().flat_map(|(label, of, _)| {
        // Those that never came are 0: a counter that begins at 1 is no increase for an alert.
        let outcomes = Outcome::all().filter(|outcome| outcome.is_of_a_policy());
        outcomes.map(|outcome| ([*label, ("outcome", outcome.as_str())], counter(of.counters.counted(outcome))))
    });
    let help = "Verdicts of a named policy on Before webhooks, and its failures";
    out.family("policy_verdicts", help, verdicts)?;
    let durations = all.iter().map(|(label, of, _)| ([*label], of.counters.durations.of(Phase::Policy)));
    out.family("policy_duration_seconds", "How long a named policy took for a verdict", durations)
}
