//! Webhooks: what became of them, how long they took, and what this build does not know of them.

use std::fmt;

use prometheus_client::registry::Unit;

use super::writer::{Family, Label, Writer, in_unit, plain};
use crate::admin::Sources;
use crate::config::Config;
use crate::contract::{Callback, Timing};
use crate::failure::Class;
use crate::observe::counters::Outcome;
use crate::observe::drift::Unknown;
use crate::observe::durations::{Histogram, Phase};

const COUNTED: Family = plain("callbacks", "Webhooks by what became of them, as the hookgate-outcome header says it");
const DURATION: Family =
    in_unit("callback_duration", Unit::Seconds, "How long the phases of webhooks took: decode, policy, reply");
const IN_FLIGHT: Family = plain("callbacks_in_flight", "Webhooks being answered");
const HELD: Family = in_unit("callbacks_held", Unit::Bytes, "Bytes of webhooks held, of limits.memory");
const CONNECTIONS: Family = plain("connections", "Open connections of webhook clients");
const REFUSED: Family = plain("requests_refused", "Requests that are no webhook, by why they are none");
const UNKNOWN_COMMANDS: Family = plain("unknown_commands", "Webhooks whose command this build does not know");
const UNKNOWN_FIELDS: Family = plain("unknown_fields", "Fields of webhooks that this build does not know");

const UNRECOGNIZED: Family =
    plain("unrecognized_bodies", "Webhooks with none of the fields that this build knows, the command apart");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let status = &admin.status;
    let config = admin.config.now();
    let all = || Callback::all().iter().chain([Callback::fallback()]);
    let seen = |callback: &&Callback| status.last_seen(callback) > 0;
    let samples = all().flat_map(|callback| {
        let outcomes = if seen(&callback) { Outcome::all().collect() } else { first_failures(callback, &config) };
        outcomes.into_iter().map(move |outcome| {
            let labels = [("rpc", callback.service_and_method()), ("outcome", outcome.as_str())];
            (labels, status.counted(callback, outcome))
        })
    });
    out.counters(&COUNTED, samples)?;
    let durations = all().filter(seen).flat_map(|callback| Phase::ALL.map(|phase| duration(admin, callback, phase)));
    out.histograms(&DURATION, durations)?;
    out.gauge(&IN_FLIGHT, status.in_flight() as f64)?;
    out.gauge(&HELD, (status.memory().held() + status.heads().held()) as f64)?;
    out.gauge(&CONNECTIONS, status.connections() as f64)?;
    out.counters(&REFUSED, status.not_webhooks().map(|(reason, count)| ([("reason", reason)], count)))?;
    unknown(admin, out)
}

/// What a callback that never came may have become the first time, if not a verdict: each as its rules have it. A count
/// that begins at 1 is no increase, and no alert would see a gate that opens with the first webhook.
fn first_failures(callback: &Callback, config: &Config) -> Vec<Outcome> {
    let enabled = config.openim_enables.as_ref();
    let comes = callback.timing == Timing::Before && enabled.is_none_or(|names| names.contains(callback.command));
    // What this build does not know may be of either timing, and enabled or not.
    if !comes && callback.index != Callback::fallback().index {
        return Vec::new();
    }
    let rules = config.handling(callback).on_failure;
    Class::ALL.into_iter().map(|class| Outcome::Failed(rules.rule(class), class)).collect()
}

fn duration(admin: &Sources, callback: &'static Callback, phase: Phase) -> ([Label<'static>; 2], Histogram) {
    let labels = [("rpc", callback.service_and_method()), ("phase", phase.as_str())];
    (labels, admin.status.durations().of(callback, phase))
}

fn unknown(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let unknowns = admin.status.unknowns();
    let (commands, fields) = (unknowns.commands(), unknowns.fields());
    let commands = commands.iter().map(|Unknown { name, count, .. }| ([("command", name.as_str())], *count));
    out.counters(&UNKNOWN_COMMANDS, commands)?;
    let fields = fields.iter().map(|(callback, Unknown { name, count, .. })| {
        ([("rpc", callback.service_and_method()), ("field", name.as_str())], *count)
    });
    out.counters(&UNKNOWN_FIELDS, fields)?;
    let unrecognized = admin.status.names().unrecognized();
    let unrecognized = unrecognized.iter().map(|Unknown { name, count, .. }| ([("rpc", name.as_str())], *count));
    out.counters(&UNRECOGNIZED, unrecognized)
}
