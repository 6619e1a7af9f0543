//! Webhooks: their outcomes and durations, what is in flight, and names that this build does not know.

use std::collections::BTreeSet;
use std::fmt;

use strum::VariantArray;

use super::{Writer, counter};
use crate::admin::Sources;
use crate::config::Config;
use crate::contract::{Callback, Timing};
use crate::failure::Class;
use crate::observe::counters::Outcome;
use crate::observe::durations::Phase;

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let status = &sources.status;
    let config = sources.config.now();
    let outcomes = status.callbacks().flat_map(|(callback, counters)| {
        let came = counters.last_seen() > 0;
        let outcomes = if came { Outcome::all().collect() } else { first_failures(callback, &config) };
        outcomes.into_iter().map(move |outcome| {
            let labels = [("rpc", callback.service_and_method()), ("outcome", outcome.as_str())];
            (labels, counter(counters.counted(outcome)))
        })
    });
    let help = "Webhooks by what became of them, as the hookgate-outcome header says it";
    out.family("callbacks", help, outcomes)?;
    let durations = status.callbacks().filter(|(_, counters)| counters.last_seen() > 0);
    let durations = durations.flat_map(|(callback, counters)| {
        Phase::VARIANTS.iter().map(move |phase| {
            let labels = [("rpc", callback.service_and_method()), ("phase", phase.into())];
            (labels, counters.durations.of(*phase))
        })
    });
    let help = "How long the phases of webhooks took: decode, policy, reply";
    out.family("callback_duration_seconds", help, durations)?;
    out.gauge("callbacks_in_flight", "Webhooks being answered", status.in_flight.held() as f64)?;
    let held = status.memory.held() + status.heads.held();
    out.gauge("callbacks_held_bytes", "Bytes of webhooks held, of limits.memory", held as f64)?;
    out.gauge("connections", "Open connections of webhook clients", status.connections.held() as f64)?;
    let refused = status.not_webhooks().map(|(reason, count)| ([("reason", reason)], counter(count)));
    out.family("requests_refused", "Requests that are no webhook, by why they are none", refused)?;
    let drift = status.names.report(None);
    let commands = drift.unknown_commands.iter().map(|name| ([("command", &*name.name)], counter(name.count)));
    out.family("unknown_commands", "Webhooks whose command this build does not know", commands)?;
    let fields = drift.unknown_fields.iter().map(|field| {
        let rpc = field.rpc.as_deref().unwrap_or_default();
        ([("rpc", rpc), ("field", &*field.name)], counter(field.count))
    });
    out.family("unknown_fields", "Fields of webhooks that this build does not know", fields)?;
    let bodies = drift.unrecognized_bodies.iter().map(|rpc| ([("rpc", &*rpc.name)], counter(rpc.count)));
    let help = "Webhooks with none of the fields that this build knows, the command apart";
    out.family("unrecognized_bodies", help, bodies)
}

/// Returns the outcomes that a callback which never came can have by its failure rules. They are written as 0: a counter
/// that begins at 1 is no increase for an alert, which would miss the first failure.
fn first_failures(callback: &Callback, config: &Config) -> Vec<Outcome> {
    let enabled = config.openim.enables.as_ref();
    let comes =
        callback.timing == Timing::Before && enabled.is_none_or(|enabled| enabled.commands.contains(callback.command));
    // An unknown callback may have either timing, and be enabled or not.
    if !comes && callback.index != Callback::fallback().index {
        return Vec::new();
    }
    let rules = (0..config.policies().len()).map(|policy| config.rules_for(callback, Some(policy)));
    let failed = rules.flat_map(|rules| Class::ALL.map(|class| Outcome::Failed(rules.rule(class), class)));
    failed.collect::<BTreeSet<_>>().into_iter().collect()
}
