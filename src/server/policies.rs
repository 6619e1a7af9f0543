//! The policies that are asked about a Before webhook: one, those of a route at once, or one after another.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::time::Instant;

use super::decision::{Decider, Decision};
use super::handler::{Decoded, counted, late_reply};
use super::record::Record;
use super::verdicts::{Part, Verdict};
use super::work::Calls;
use super::{ServerState, work};
use crate::config::Ask;
use crate::contract::Reply;
use crate::failure::{Class, Failure};
use crate::observe::counters::PolicyCounters;
use crate::outbox::Events;
use crate::policy::{Answer, Policy, PolicyCall, Transport};

/// A policy, with its calls and events in flight.
#[derive(Debug)]
pub struct PolicyState<T> {
    pub(super) policy: Policy<T>,
    pub(super) events: Events,
    pub(super) counters: Arc<PolicyCounters>,
    pub(super) calls: Calls,
}

impl<T> PolicyState<T> {
    /// A policy, the After events on their way to it, and the counters of its verdicts.
    pub fn new(policy: Policy<T>, events: Events, counters: Arc<PolicyCounters>) -> Self {
        Self { policy, events, counters, calls: Calls::default() }
    }
}

impl<T: Transport> ServerState<T> {
    /// Asks one policy, and decides by its answer. Takes the message: its first clone would cost an allocation.
    pub(super) async fn ask_one(
        &self,
        record: &Record,
        decider: &Decider,
        decoded: &mut Decoded,
        policy: usize,
    ) -> Decision {
        let (began, message) = (Instant::now(), std::mem::take(&mut decoded.message));
        let answer = self.ask(record, decider, decoded, message, policy).await;
        record.answered();
        let is_long = work::is_long(decoded.body.len());
        let decision = match is_long.then(|| decider.denial(&answer)).flatten() {
            Some(denial) => Decision::verdict(denial).noting_damage(decider.callback, &[]),
            None => {
                let decide = move |decider: &Decider, body: &[u8]| decider.by_answer(answer, body, policy);
                let decision = self.by_body(decider, &decoded.body, decoded.deadline, decide).await;
                decision.unwrap_or_else(|| decider.unread(late_reply(), Some(policy)))
            }
        };
        let decision = self.noting_cautions(decision, decider, decoded);
        if record.config.policies.is_empty() { decision } else { decision.of_one(policy, began.elapsed()) }
    }

    /// Asks several policies, and joins their verdicts.
    pub(super) async fn ask_several(
        &self,
        record: &Record,
        decider: &Decider,
        decoded: &Decoded,
        policies: &[usize],
        ask: Ask,
    ) -> Decision {
        let parts = match ask {
            Ask::All => self.ask_all(record, decider, decoded, policies).await,
            Ask::Chain => self.ask_chain(record, decider, decoded, policies).await,
        };
        record.answered();
        let outcomes = parts.iter().map(|part| decider.outcome_of(part)).collect();
        let decision = if parts.iter().any(|part| decider.denies(part)) {
            // A denial needs no more time: what it damages is looked for in a short body.
            let body = if work::is_long(decoded.body.len()) { &[][..] } else { &decoded.body };
            decider.join(parts, body)
        } else {
            let policy = parts.last().map(|part| part.policy);
            let join = |decider: &Decider, body: &[u8]| decider.join(parts, body);
            let joined = self.by_body(decider, &decoded.body, decoded.deadline, join).await;
            joined.unwrap_or_else(|| decider.unread(late_reply(), policy))
        };
        self.noting_cautions(Decision { parts: outcomes, ..decision }, decider, decoded)
    }

    fn noting_cautions(&self, decision: Decision, decider: &Decider, decoded: &Decoded) -> Decision {
        let limit = &self.shared.status.of(decider.callback).cautions;
        decision.noting_cautions(decider.callback, &decoded.body, limit)
    }

    /// Asks all of them at once. A denial ends it as soon as those before it in the list have answered; the others' answers are
    /// not waited for.
    async fn ask_all(&self, record: &Record, decider: &Decider, decoded: &Decoded, policies: &[usize]) -> Vec<Part> {
        let ask = |policy: &usize| self.part(record, decider, decoded, decoded.message.clone(), *policy);
        let mut asked: FuturesOrdered<_> = policies.iter().map(ask).collect();
        let mut parts = Vec::with_capacity(policies.len());
        while let Some(part) = asked.next().await {
            let is_denial = matches!(part.verdict, Verdict::Denied(_));
            parts.push(part);
            if is_denial {
                break;
            }
        }
        parts
    }

    /// Asks one after another. Each sees the changes of those before it. A denial ends the chain, and a failure that denies.
    async fn ask_chain(&self, record: &Record, decider: &Decider, decoded: &Decoded, policies: &[usize]) -> Vec<Part> {
        let mut message = decoded.message.clone();
        let mut parts: Vec<Part> = Vec::with_capacity(policies.len());
        for policy in policies {
            if let Some(Part { verdict: Verdict::Allowed(Reply::Allow { changes, .. }, response), .. }) = parts.last()
                && !changes.is_empty()
            {
                message = self.with_changes(decider, decoded, message, response.clone()).await;
            }
            let part = self.part(record, decider, decoded, message.clone(), *policy).await;
            let ends = decider.denies(&part);
            parts.push(part);
            if ends {
                break;
            }
        }
        parts
    }

    /// Returns the request with the changes of a response. If that is not made in time, there is none to ask the next policy.
    async fn with_changes(&self, decider: &Decider, decoded: &Decoded, message: Bytes, response: Bytes) -> Bytes {
        let unchanged = message.clone();
        let changed = move |decider: &Decider, _: &[u8]| decider.callback.with_changes(&message, &response);
        let changed = self.by_body(decider, &decoded.body, decoded.deadline, changed).await;
        changed.unwrap_or(unchanged)
    }

    /// Asks one policy of several, and judges its answer.
    async fn part(&self, record: &Record, decider: &Decider, decoded: &Decoded, message: Bytes, policy: usize) -> Part {
        let began = Instant::now();
        let answer = if began < decoded.deadline {
            self.ask(record, decider, decoded, message, policy).await
        } else {
            Err(Failure::because(Class::Deadline, "the budget ended before its turn").unasked())
        };
        let verdict = match decider.denial(&answer) {
            Some(denial) => Verdict::Denied(denial),
            None => {
                let judge = move |decider: &Decider, body: &[u8]| decider.judge(answer, body, policy);
                let verdict = self.by_body(decider, &decoded.body, decoded.deadline, judge).await;
                verdict.unwrap_or_else(|| Verdict::Failed(late_reply()))
            }
        };
        Part { policy, verdict, took: began.elapsed() }
    }

    /// Asks a policy about a Before webhook, within its share of the budget.
    async fn ask(
        &self,
        record: &Record,
        decider: &Decider,
        decoded: &Decoded,
        message: Bytes,
        policy: usize,
    ) -> Result<Answer, Failure> {
        let (config, asked) = (&record.config, &self.policies[policy]);
        let (calls, share) = match config.policies.get(policy) {
            Some(named) => (named.calls, named.share),
            None => (config.limits.calls, 1.0),
        };
        let calling = asked.calls.begin();
        if record.connection.over_limit || calling.number > calls {
            return Err(Failure::because(Class::Overloaded, "limits.calls or limits.connections is exceeded").unasked());
        }
        let mut deadline = decoded.deadline;
        if share < 1.0 {
            deadline = deadline.min(Instant::now() + decider.handling.budget.mul_f64(share));
        }
        let (callback, metadata) = (decider.callback, decoded.metadata.clone());
        let message = counted(message, &decoded.share);
        let call = PolicyCall { callback, message, metadata, attempt: 1, sequence: None, late: false, deadline };
        let answer = self.shared.deadline.cut_off(pin!(asked.policy.ask(call))).await;
        answer.unwrap_or_else(|| Err(Failure::because(Class::Deadline, "the drain time is over")))
    }
}
