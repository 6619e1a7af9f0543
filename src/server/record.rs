//! The record of a call: filled on its way, read once when it has its reply.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::request::Parts;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::access;
use super::decision::{Decider, Decision, Why};
use super::layers::{self, Call, Next};
use super::webhook::{Webhook, operation_id};
use super::{Connection, Refusal, Response};
use crate::config::{Config, Rule};
use crate::contract::{BodyDrift, Metadata, Reply, metadata};
use crate::cut::cut;
use crate::failure::{Class, hint};
use crate::observe::counters::millis_now;
use crate::observe::decisions::{Decided, PolicyPart};
use crate::observe::durations::Phase;
use crate::observe::traces::{self, Traces, WebhookSpan};

/// Maximum bytes of a method or a path's segment that are logged.
const LONGEST_SHOWN: usize = 64;

/// The record of a call.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) connection: Arc<Connection>,
    /// The configuration that was in force when the call arrived.
    pub(super) config: Arc<Config>,
    pub(super) arrived: Instant,
    webhook: OnceLock<Webhook>,
    decision: OnceLock<Decision>,
    notes: Mutex<Notes>,
}

/// The notes of the layers and the handler.
#[derive(Debug, Default)]
struct Notes {
    span: WebhookSpan,
    /// The trace that the policy call belongs to: the caller's, or that of the span.
    trace: traces::Context,
    drift: BodyDrift,
    /// The encoded request message and its metadata, for the decision log.
    sent: Option<(Bytes, Metadata)>,
    /// The time when the body was decoded; `None` if it was not.
    decoded: Option<Instant>,
    /// The time when the policy call ended or, for an After event, the outbox returned; `None` if neither began.
    answered: Option<Instant>,
    /// The head of a request that was refused before its callback was found: unauthorized, not found, not a POST, too large.
    refused: Option<Box<Parts>>,
}

/// Counts, times, logs and traces a call, and writes it to the decision log, once it has its reply.
pub(super) fn record<T, S: Next<T>>(call: Call<T>, mut next: S) -> impl layers::ResponseFuture {
    let published = PublishedOnDrop(call.record.clone());
    next.call(call).inspect(move |_| drop(published))
}

/// Publishes the record when the call's future ends or is dropped. A call dropped before its decision is not counted.
struct PublishedOnDrop(Arc<Record>);

impl Drop for PublishedOnDrop {
    fn drop(&mut self) {
        self.0.publish();
    }
}

impl Record {
    /// Begins the record of a call that has just arrived.
    pub(super) fn begin(connection: Arc<Connection>) -> Self {
        Self {
            config: connection.shared.config.now(),
            connection,
            arrived: Instant::now(),
            webhook: OnceLock::new(),
            decision: OnceLock::new(),
            notes: Mutex::default(),
        }
    }

    /// Notes the webhook that the call is, and begins its span.
    pub(super) fn begin_webhook(&self, webhook: Webhook, headers: &HeaderMap, traces: &Traces) -> &Webhook {
        let notes = &mut *self.notes.lock();
        let (callback, command) = (webhook.callback, webhook.shown_command(&notes.drift));
        notes.trace = traces::Context::of(headers);
        notes.span = traces.webhook(callback, command, &webhook.operation_id, &mut notes.trace);
        self.webhook.get_or_init(|| webhook)
    }

    /// Records the decoded body and the time, and puts the trace context into the metadata.
    pub(super) fn decoded(&self, drift: BodyDrift, message: &Bytes, metadata: &mut Metadata) {
        let notes = &mut *self.notes.lock();
        notes.span.event_id(metadata);
        notes.trace.put_into(metadata);
        notes.sent = self.connection.shared.decisions.is_on().then(|| (message.clone(), metadata.clone()));
        notes.drift = drift;
        notes.decoded = Some(Instant::now());
    }

    /// Records the end of the policy phase: of the policy call or, for an After event, of `Events::deliver`.
    pub(super) fn answered(&self) {
        self.notes.lock().answered = Some(Instant::now());
    }

    /// Notes the decision, and returns the reply.
    pub(super) fn reply(&self, decision: Decision) -> Response {
        self.decision.get_or_init(|| decision).response(&self.config)
    }

    /// Notes the refusal of a request that names no callback, or whose caller may not call; returns the reply.
    pub(super) fn refuse(&self, head: Parts, refusal: Refusal) -> Response {
        self.notes.lock().refused = Some(Box::new(head));
        self.reply(Decision::refused(refusal))
    }

    /// Returns the reply to a call that panicked: an allow if the callback fails open and no denial was decided, else a denial.
    pub(super) fn panicked(&self) -> Response {
        let webhook = self.webhook.get();
        let fails_open = webhook
            .is_some_and(|webhook| Decider::new(webhook.callback, &self.config).fails_open_by_contract(Class::Error));
        let open = fails_open && self.decision.get().is_none_or(Decision::is_allow);
        let decision = Decision::panicked(open);
        match webhook {
            Some(webhook) if self.decision.get().is_none() => self.reply(decision.noting_damage(webhook.callback, &[])),
            _ => {
                error!(
                    command = webhook.map(|webhook| webhook.shown_command(&BodyDrift::default())),
                    allowed = open,
                    "panic before routing or after the decision"
                );
                decision.response(&self.config)
            }
        }
    }

    /// Publishes the record: counters, durations, the log line, the decision log, the end of the span. Only the first call has an
    /// effect.
    pub(super) fn publish(&self) {
        let replied = Instant::now();
        let notes = std::mem::take(&mut *self.notes.lock());
        match (self.decision.get(), self.webhook.get(), &notes.refused) {
            (Some(decision), Some(webhook), _) => self.publish_webhook(notes, webhook, decision, replied),
            (Some(Decision { why: Why::Refused(refusal), .. }), None, Some(head)) => {
                self.publish_refusal(refusal, head)
            }
            // Nothing to publish: a refusal that was published already, a call that was dropped before its decision, or a
            // panic outside one, which is logged.
            _ => {}
        }
    }

    fn publish_webhook(&self, mut notes: Notes, webhook: &Webhook, decision: &Decision, replied: Instant) {
        let (shared, now) = (&self.connection.shared, millis_now());
        let counters = shared.status.of(webhook.callback);
        counters.count(decision.outcome(), now);
        if let Why::Failed(_, failure) = &decision.why {
            counters.failures.note(failure);
        }
        for part in &decision.parts {
            shared.policies[part.policy].count(part.outcome, part.took);
        }
        webhook.count_names(&notes.drift, &shared.status, now);
        if let Some(decoded) = notes.decoded {
            counters.durations.observe(Phase::Decode, decoded - self.arrived);
            if let Some(answered) = notes.answered {
                counters.durations.observe(Phase::Policy, answered - decoded);
                counters.durations.observe(Phase::Reply, replied - answered);
            }
        }
        self.log(&notes.drift, webhook, decision, replied - self.arrived);
        if shared.decisions.is_on() {
            shared.decisions.write(self.decided(&notes, webhook, decision, replied));
        }
        notes.span.end(decision.outcome());
    }

    /// Writes the log line of a webhook, with nothing of its content. A plain allow is the ordinary case, at debug level.
    fn log(&self, drift: &BodyDrift, webhook: &Webhook, decision: &Decision, took: Duration) {
        let (command, operation_id) = (webhook.shown_command(drift), &*webhook.operation_id);
        // A field that is empty is left out of the line.
        let unknown_fields = (drift.unknown.count > 0).then_some(drift.unknown.count);
        let other_command = drift.other_command.then_some(true);
        let (breaks, policy) = (decision.denial_damage, decision.policy.map(|policy| self.policy_name(policy)));
        let policy = policy.filter(|policy| !policy.is_empty());
        macro_rules! line {
            ($level:ident, $event:literal $(, $($more:tt)*)?) => {
                $level!(command, operation_id, ?took, policy, unknown_fields, other_command $(, $($more)*)?, $event)
            };
        }
        match (&decision.why, &decision.reply) {
            (Why::Verdict, Reply::Allow { changes, .. }) if changes.is_empty() => line!(debug, "webhook allowed"),
            (Why::Verdict, Reply::Allow { changes, .. }) => {
                line!(info, "webhook changed", ?changes, caution = decision.caution)
            }
            (Why::Verdict, Reply::Deny(denial)) => {
                let (code, replaced_code) = (denial.code(self.config.denial.code), denial.replaced_code());
                match breaks {
                    Some(breaks) => line!(warn, "webhook denied", code, replaced_code, breaks),
                    None => line!(info, "webhook denied", code, replaced_code),
                }
            }
            (Why::Accepted, _) => line!(debug, "event accepted"),
            (Why::Skipped(route), _) => line!(debug, "webhook skipped", route = &**route),
            (Why::Failed(rule, failure), _) => {
                let (class, cause, hint) = (failure.class.as_str(), &failure.cause, failure.status.and_then(hint));
                match rule {
                    Rule::Allow => line!(warn, "webhook failed open", class, cause, hint),
                    Rule::Deny => line!(warn, "webhook failed closed", class, cause, hint, breaks),
                }
            }
            (Why::Refused(refusal), _) => line!(warn, "webhook refused", reason = %refusal, breaks),
        }
    }

    /// Returns the name of a named policy.
    fn policy_name(&self, policy: usize) -> &str {
        self.config.policies.get(policy).map_or("", |named| &named.name)
    }

    /// The row of the decision log.
    fn decided<'a>(
        &'a self,
        notes: &'a Notes,
        webhook: &'a Webhook,
        decision: &'a Decision,
        replied: Instant,
    ) -> Decided<'a> {
        let (rule, cause) = match &decision.why {
            Why::Failed(rule, failure) => (format!("{}={}", failure.class, rule), failure.cause_in_our_words()),
            Why::Refused(refusal) => (String::new(), refusal.to_string().into()),
            Why::Verdict | Why::Accepted | Why::Skipped(_) => Default::default(),
        };
        let code = match &decision.reply {
            Reply::Deny(denial) => Some(denial.code(self.config.denial.code)),
            Reply::Allow { .. } => None,
        };
        let mut took = Vec::with_capacity(4);
        if let Some(decoded) = notes.decoded {
            took.push(("decode_us", decoded - self.arrived));
            if let Some(answered) = notes.answered {
                took.extend([("policy_us", answered - decoded), ("reply_us", replied - answered)]);
            }
        }
        took.push(("took_us", replied - self.arrived));
        let name = |policy: usize| self.policy_name(policy);
        let parts = decision.parts.iter().map(|part| PolicyPart {
            policy: name(part.policy),
            outcome: part.outcome.as_str(),
            took_us: u64::try_from(part.took.as_micros()).unwrap_or(u64::MAX),
        });
        Decided {
            callback: webhook.callback,
            command: webhook.shown_command(&notes.drift).into(),
            operation_id: webhook.operation_id.as_str().into(),
            event_id: notes.sent.as_ref().map_or("", |(_, metadata)| metadata.get(&metadata::EVENT_ID)),
            outcome: decision.outcome().as_str(),
            late: false,
            reason: "",
            code,
            changes: decision.changes(),
            rule,
            cause,
            policy: decision.policy.map_or("", name),
            policies: parts.collect(),
            shadow: None,
            route: if let Why::Skipped(route) = &decision.why { route } else { "" },
            attempt: decision.was_asked().into(),
            took,
            request: notes.sent.as_ref().map(|(message, _)| &**message),
        }
    }

    /// Counts and logs a request that names no callback, or whose caller may not call.
    fn publish_refusal(&self, refusal: &Refusal, head: &Parts) {
        let Connection { caller, shared, .. } = &*self.connection;
        if let Refusal::Caller(reason) = refusal {
            let source = caller.address.and_then(|peer| access::source(&self.config.access, peer, &head.headers));
            let forwarded_for = source.filter(|source| caller.address != Some(*source));
            return shared.status.callers_refused.caller(*reason, caller.address, forwarded_for);
        }
        shared.status.count_not_webhook(refusal.not_webhook());
        // The rest of the path may be the operator's secret; with secret paths any of it.
        let segment = head.uri.path().rsplit('/').next().filter(|_| self.config.access.secret_paths.is_none());
        let segment = segment.map(|segment| cut(segment, LONGEST_SHOWN));
        let (method, operation_id) = (cut(head.method.as_str(), LONGEST_SHOWN), operation_id(&head.headers));
        warn!(method = &*method, segment = segment.as_deref(), operation_id, reason = %refusal, "request refused");
    }
}
