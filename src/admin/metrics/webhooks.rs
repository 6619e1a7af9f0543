//! Webhooks: their outcomes and durations, what is in flight, and names that this build does not know.

use std::fmt;

use super::{Writer, counter, gauge};
use crate::admin::Sources;
use crate::config::Config;
use crate::contract::{Callback, Timing};
use crate::failure::Class;
use crate::observe::counters::Outcome;
use crate::observe::durations::Phase;

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let status = &sources.status;
    let config = sources.config.now();
    let all = || Callback::all().iter().chain([Callback::fallback()]);
    let seen = |callback: &&Callback| status.last_seen(callback) > 0;
    let outcomes = all().flat_map(|callback| {
        let outcomes = if seen(&callback) { Outcome::all().collect() } else { first_failures(callback, &config) };
        outcomes.into_iter().map(move |outcome| {
            let labels = [("rpc", callback.service_and_method()), ("outcome", outcome.as_str())];
            (labels, counter(status.counted(callback, outcome)))
        })
    });
    let help = "Webhooks by what became of them, as the hookgate-outcome header says it";
    out.family("callbacks", help, outcomes)?;
    let durations = all().filter(seen).flat_map(|callback| {
        Phase::ALL.map(|phase| {
            let labels = [("rpc", callback.service_and_method()), ("phase", phase.as_str())];
            (labels, status.durations.of(callback, phase))
        })
    });
    let help = "How long the phases of webhooks took: decode, policy, reply";
    out.family("callback_duration_seconds", help, durations)?;
    out.single("callbacks_in_flight", "Webhooks being answered", gauge(status.in_flight() as f64))?;
    let held = gauge((status.memory.held() + status.heads.held()) as f64);
    out.single("callbacks_held_bytes", "Bytes of webhooks held, of limits.memory", held)?;
    let connections = gauge(status.connections() as f64);
    out.single("connections", "Open connections of webhook clients", connections)?;
    let refused = status.not_webhooks().map(|(reason, count)| ([("reason", reason)], counter(count)));
    out.family("requests_refused", "Requests that are no webhook, by why they are none", refused)?;
    write_drift(sources, out)
}

/// Returns the outcomes that a callback which never came can have by its failure rules. They are written as 0: a counter
/// that begins at 1 is no increase for an alert, which would miss the first failure.
fn first_failures(callback: &Callback, config: &Config) -> Vec<Outcome> {
    let enabled = config.openim.enables.as_ref();
    let comes = callback.timing == Timing::Before && enabled.is_none_or(|names| names.contains(callback.command));
    // An unknown callback may have either timing, and be enabled or not.
    if !comes && callback.index != Callback::fallback().index {
        return Vec::new();
    }
    let rules = config.handling(callback).on_failure;
    Class::ALL.into_iter().map(|class| Outcome::Failed(rules.rule(class), class)).collect()
}

fn write_drift(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let (unknowns, names) = (&sources.status.unknowns, &sources.status.names);
    let commands = unknowns.commands();
    let commands = commands.iter().map(|command| ([("command", &*command.name)], counter(command.count)));
    out.family("unknown_commands", "Webhooks whose command this build does not know", commands)?;
    let fields = unknowns.fields();
    let fields =
        fields.iter().map(|field| ([("rpc", &*field.rpc), ("field", &*field.name.name)], counter(field.name.count)));
    out.family("unknown_fields", "Fields of webhooks that this build does not know", fields)?;
    let bodies = names.unrecognized();
    let bodies = bodies.iter().map(|rpc| ([("rpc", &*rpc.name)], counter(rpc.count)));
    let help = "Webhooks with none of the fields that this build knows, the command apart";
    out.family("unrecognized_bodies", help, bodies)
}
