//! A shadow: a policy that is asked about a webhook once it is decided, and whose verdict is compared with the reply. Nothing
//! waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::decision::{Decider, Decision, Why};
use super::handler::Decoded;
use super::verdicts::Verdict;
use super::{ServerState, work};
use crate::config::Config;
use crate::contract::{Metadata, Reply, metadata};
use crate::failure::Class;
use crate::observe::counters::Outcome;
use crate::observe::decisions::{Decided, ShadowLine, Side};
use crate::observe::shadow::{Difference, ShadowCounters};
use crate::outbox::Event;
use crate::policy::{Answer, PolicyCall, Transport};

/// Seconds between two lines in the decision log about one kind of difference.
const LINE_INTERVAL: u64 = 1;

/// A webhook about which a shadow is asked when it is decided.
pub(super) struct Shadowed {
    policy: usize,
    body: Bytes,
    message: Bytes,
    metadata: Metadata,
}

impl Shadowed {
    pub(super) fn new(policy: usize, decoded: &Decoded) -> Self {
        let Decoded { body, message, metadata, .. } = decoded;
        Self { policy, body: body.clone(), message: message.clone(), metadata: marked(metadata) }
    }
}

/// Returns the metadata of a call to a shadow.
fn marked(metadata: &Metadata) -> Metadata {
    let mut marked = metadata.clone();
    marked.insert_value(metadata::SHADOW, HeaderValue::from_static("1"));
    marked
}

/// The reply that was given.
struct Live {
    reply: Reply,
    outcome: Outcome,
}

impl Live {
    fn bytes(&self) -> usize {
        match &self.reply {
            Reply::Allow { body, .. } => body.len(),
            Reply::Deny(_) => 0,
        }
    }
}

impl<T: Transport> ServerState<T> {
    /// Asks a shadow about a webhook, behind its reply; `route` is the index of its route. The shadow is not asked where hookgate
    /// was over a limit, about long bodies, and if it has too many calls in flight.
    pub(super) fn ask_shadow(
        self: &Arc<Self>,
        decider: &Decider,
        shadowed: Shadowed,
        decision: &Decision,
        route: Option<usize>,
    ) {
        let over_limit = matches!(&decision.why, Why::Failed(_, failure) if failure.class == Class::Overloaded);
        let asked = &self.policies[shadowed.policy];
        if over_limit || work::is_long(shadowed.body.len()) || self.shared.draining.load(Relaxed) {
            return asked.counters.shadow.leave_out();
        }
        let live = Live { reply: decision.reply.clone(), outcome: decision.outcome() };
        let bytes = shadowed.body.len() + shadowed.message.len() + live.bytes();
        // Those that decide go first: a shadow call takes no room from them.
        let calls = self.calls_of(&decider.config, shadowed.policy).saturating_sub(asked.calls.in_flight());
        let Some(calling) = ShadowCounters::begin(&asked.counters, bytes, calls) else { return };
        let (webhooks, decider) = (self.clone(), decider.clone());
        tokio::spawn(async move {
            let _calling = calling;
            let difference = webhooks.compare(&decider, shadowed, live).await;
            let route = route.and_then(|route| decider.config.routes.all().get(route));
            if let (Some(route), Some(differs)) = (route, difference.and_then(Difference::differs)) {
                webhooks.shared.guards.note_comparison(route, differs);
            }
        });
    }

    /// Hands an After event to a shadow's outbox, behind its reply. It is left out if too many wait to be taken.
    pub(super) fn deliver_to_shadow(&self, config: &Config, policy: usize, event: &Event) {
        let asked = &self.policies[policy];
        let calls = self.calls_of(config, policy);
        let Some(calling) = ShadowCounters::begin(&asked.counters, event.message.len(), calls) else { return };
        let event = Event { metadata: marked(&event.metadata), ..event.clone() };
        let events = asked.events.clone();
        tokio::spawn(async move {
            let _calling = calling;
            events.deliver(event).await
        });
    }

    /// Returns the number of calls that a policy may have in flight.
    fn calls_of(&self, config: &Config, policy: usize) -> usize {
        config.policies.get(policy).map_or(config.limits.calls, |named| named.calls)
    }

    /// Asks the shadow, compares and counts. Returns `None` if the comparison panicked.
    async fn compare(&self, decider: &Decider, shadowed: Shadowed, live: Live) -> Option<Difference> {
        let Shadowed { policy, body, message, metadata } = shadowed;
        let (callback, config) = (decider.callback, &decider.config);
        let asked = &self.policies[policy];
        let deadline = Instant::now() + decider.handling.budget;
        let (request, of_call) = (message.clone(), metadata.clone());
        let call =
            PolicyCall { callback, message, metadata: of_call, attempt: 1, sequence: None, late: false, deadline };
        let answer = asked.policy.ask(call).await;
        let is_long = matches!(&answer, Ok(Answer::Response(response)) if work::is_long(response.len()));
        let (judging, default) = (decider.clone(), config.denial.code);
        let judge = move || {
            let verdict = judging.judge(answer, &body, policy);
            let (difference, fields) = difference(&live, &verdict, default);
            (live, verdict, difference, fields)
        };
        // Live webhooks have the thread of the runtime, and the pool for long bodies.
        let judged = if is_long { spawn_blocking(judge).await.ok()? } else { judge() };
        let (live, verdict, difference, fields) = judged;
        let operation_id = metadata.get(&metadata::OPERATION_ID);
        asked.counters.shadow.count(callback, difference, &fields, operation_id);
        if difference == Difference::Same || !self.shared.decisions.is_on() {
            return Some(difference);
        }
        asked.counters.shadow.lines[difference as usize].log(LINE_INTERVAL, |_| {
            let default = config.denial.code;
            let of_shadow = match &verdict {
                Verdict::Allowed(reply, _) | Verdict::Denied(reply) => side(reply, None, default),
                Verdict::Failed(failure) => Side { outcome: failure.class.as_str(), code: None, changes: &[] },
            };
            let line = ShadowLine {
                difference: difference.as_str(),
                live: side(&live.reply, Some(live.outcome), default),
                shadow: of_shadow,
                fields: &fields,
            };
            let name = config.policies.get(policy).map_or("", |named| &*named.name);
            let late = Decided::late(callback, &metadata, &request);
            self.shared.decisions.write(Decided { outcome: "shadow", policy: name, shadow: Some(line), ..late });
        });
        Some(difference)
    }
}

/// Returns a side of the line: an outcome, by the reply if it is not known.
fn side(reply: &Reply, outcome: Option<Outcome>, default_code: i32) -> Side<'_> {
    let (of_reply, code, changes): (_, _, &[_]) = match reply {
        Reply::Deny(denial) => (Outcome::Deny, Some(denial.code(default_code)), &[]),
        Reply::Allow { changes, .. } if changes.is_empty() => (Outcome::Allow, None, changes),
        Reply::Allow { changes, .. } => (Outcome::Changed, None, changes),
    };
    Side { outcome: outcome.unwrap_or(of_reply).as_str(), code, changes }
}

/// Returns the difference between a reply and a shadow's verdict, with the JSON names of the fields that are changed otherwise.
fn difference(live: &Live, verdict: &Verdict, default_code: i32) -> (Difference, Vec<String>) {
    let shadow = match verdict {
        Verdict::Allowed(reply, _) | Verdict::Denied(reply) => reply,
        Verdict::Failed(_) => return (Difference::ShadowFailed, Vec::new()),
    };
    if matches!(live.outcome, Outcome::Failed(..) | Outcome::Refused) {
        return (Difference::LiveFailed, Vec::new());
    }
    let difference = match (&live.reply, shadow) {
        (Reply::Allow { body: one, .. }, Reply::Allow { body: other, .. }) if one != other => {
            let fields = differing(one, other);
            let difference = if fields.is_empty() { Difference::Same } else { Difference::OtherChanges };
            return (difference, fields);
        }
        (Reply::Deny(one), Reply::Deny(other)) if one.code(default_code) != other.code(default_code) => {
            Difference::OtherCode
        }
        (Reply::Allow { .. }, Reply::Deny(_)) => Difference::WouldDeny,
        (Reply::Deny(_), Reply::Allow { .. }) => Difference::WouldAllow,
        (Reply::Allow { .. }, Reply::Allow { .. }) | (Reply::Deny(_), Reply::Deny(_)) => Difference::Same,
    };
    (difference, Vec::new())
}

/// Returns the names of the members of two replies that differ.
fn differing(one: &[u8], other: &[u8]) -> Vec<String> {
    let read = |reply| serde_json::from_slice::<Map<String, Value>>(reply).unwrap_or_default();
    let (one, other) = (read(one), read(other));
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
