//! The decision on a call: the policy's, or the one that a rule or a refusal makes in its place.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::verdicts::{PartOutcome, Verdict};
use super::{Refusal, work};
use crate::config::{Config, Handling, Rule};
use crate::contract::{Callback, Denial, Reply};
use crate::failure::{Class, Failure};
use crate::observe::counters::Outcome;
use crate::observe::log_limit::LogLimit;
use crate::openim::cautions;
use crate::policy::Answer;

/// A decision, and its reason.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) reply: Reply,
    pub(super) why: Why,
    /// The HTTP status of the reply. OpenIM reads only the body; the status is for operators and proxies.
    pub(super) status: StatusCode,
    /// True if the reply closes the connection.
    pub(super) closes: bool,
    /// Changes that are hardly meant, by kind and field.
    pub(super) caution: Option<String>,
    /// The damage in OpenIM of a denial.
    pub(super) denial_damage: Option<&'static str>,
    /// The setting whose failure rule decided, or `contract`.
    pub(super) rule_setting: Option<Cow<'static, str>>,
    /// The named policy that denied or failed, by its index.
    pub(super) policy: Option<usize>,
    /// The parts of the named policies that were asked, in the order of the route.
    pub(super) parts: Vec<PartOutcome>,
}

#[derive(Debug)]
pub(super) enum Why {
    Verdict,
    /// An After event is delivered behind the reply.
    Accepted,
    /// The policy is not asked: the route of this name says so.
    Skipped(Arc<str>),
    Failed(Rule, Failure),
    Refused(Refusal),
}

impl Decision {
    pub(super) fn new(reply: Reply, why: Why) -> Self {
        Self {
            reply,
            why,
            status: StatusCode::OK,
            closes: false,
            caution: None,
            denial_damage: None,
            rule_setting: None,
            policy: None,
            parts: Vec::new(),
        }
    }

    /// Notes that one named policy decided, which was asked alone.
    pub(super) fn of_one(mut self, policy: usize, took: Duration) -> Self {
        let is_plain = matches!(self.why, Why::Verdict) && self.is_allow();
        self.policy = (!is_plain).then_some(policy);
        self.parts = vec![PartOutcome { policy, outcome: self.outcome(), took }];
        self
    }

    /// The policy decided.
    pub(super) fn verdict(reply: Reply) -> Self {
        Self::new(reply, Why::Verdict)
    }

    /// An After event is delivered behind the reply.
    pub(super) fn accepted() -> Self {
        Self::new(Reply::allow(), Why::Accepted)
    }

    /// An allow in spite of a failure, whatever the failure rules: for After events, which report what has happened, and for
    /// callbacks that fail open by contract.
    pub(super) fn allowed(failure: Failure) -> Self {
        Self::new(Reply::allow(), Why::Failed(Rule::Allow, failure))
    }

    /// A denial of a request that names no callback, or that OpenIM would not send.
    pub(super) fn refused(refusal: Refusal) -> Self {
        let (status, closes) = (refusal.status(), refusal.closes());
        let reply = Reply::Deny(Denial::because(&refusal.to_string()));
        Self { status, closes, ..Self::new(reply, Why::Refused(refusal)) }
    }

    /// hookgate has panicked: an allow of a callback that fails open, else a denial. The panic's text is not repeated, as it
    /// can quote content; the panic hook logs its place.
    pub(super) fn panicked(open: bool) -> Self {
        let failure = Failure::because(Class::Error, "hookgate panicked").unasked();
        if open {
            return Self::allowed(failure);
        }
        let reply = Reply::Deny(Denial::because("hookgate failed"));
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, ..Self::new(reply, Why::Failed(Rule::Deny, failure)) }
    }

    /// Notes the damage of a denial of a webhook with this body, which is empty if it was not read.
    pub(super) fn noting_damage(mut self, callback: &Callback, body: &[u8]) -> Self {
        if !self.is_allow() {
            self.denial_damage = callback.denial_damage(body);
        }
        self
    }

    /// Compares changes with the body of their webhook, and notes those that are hardly meant: at most once a second, and none
    /// of long bodies, since it reads both again.
    pub(super) fn noting_cautions(mut self, callback: &Callback, body: &[u8], limit: &LogLimit) -> Self {
        if let (Why::Verdict, Reply::Allow { changes, body: reply }) = (&self.why, &self.reply)
            && !changes.is_empty()
            && !work::is_long(body.len().max(reply.len()))
        {
            limit.log(1, |_| {
                let cautions = cautions(callback, body, reply).into_iter();
                let cautions: Vec<_> = cautions.map(|caution| format!("{}: {}", caution.kind, caution.field)).collect();
                self.caution = (!cautions.is_empty()).then(|| cautions.join(", "));
            });
        }
        self
    }

    /// Returns true if OpenIM goes on.
    pub(super) fn is_allow(&self) -> bool {
        matches!(self.reply, Reply::Allow { .. })
    }

    /// The JSON names of the fields that are changed.
    pub(super) fn changes(&self) -> &[&'static str] {
        match &self.reply {
            Reply::Allow { changes, .. } => changes,
            Reply::Deny(_) => &[],
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.why {
            Why::Verdict if !self.is_allow() => Outcome::Deny,
            Why::Verdict if self.changes().is_empty() => Outcome::Allow,
            Why::Verdict => Outcome::Changed,
            Why::Accepted => Outcome::Accepted,
            Why::Skipped(_) => Outcome::Skipped,
            Why::Failed(rule, failure) => Outcome::Failed(*rule, failure.class),
            Why::Refused(_) => Outcome::Refused,
        }
    }

    /// Returns true if a policy gave no verdict, for another reason than a limit of hookgate's own.
    pub(super) fn is_of_a_failing_policy(&self) -> bool {
        let own_limit = |failure: &Failure| failure.class == Class::Overloaded && !failure.asked;
        // Behind a denial of another one too.
        let hidden =
            |part: &PartOutcome| matches!(part.outcome, Outcome::Failed(_, class) if class != Class::Overloaded);
        matches!(&self.why, Why::Failed(_, failure) if !own_limit(failure)) || self.parts.iter().any(hidden)
    }

    /// Returns true if the policy is known to have been asked before the reply. An accepted event may wait behind others; its
    /// verdict has a line of its own in the decision log.
    pub(super) fn was_asked(&self) -> bool {
        match &self.why {
            Why::Verdict => true,
            Why::Failed(_, failure) => failure.asked,
            Why::Accepted | Why::Skipped(_) | Why::Refused(_) => false,
        }
    }
}

/// Decides on the webhooks of one callback by its failure rules.
#[derive(Debug, Clone)]
pub(super) struct Decider {
    pub(super) callback: &'static Callback,
    pub(super) handling: Handling,
    pub(super) config: Arc<Config>,
}

impl Decider {
    pub(super) fn new(callback: &'static Callback, config: &Arc<Config>) -> Self {
        Self { callback, handling: config.handling(callback), config: config.clone() }
    }

    /// Returns true if the callback is allowed, its body unread, on a failure of this class: the contract has it fail open, and
    /// the operator has no other rule for it.
    pub(super) fn fails_open_by_contract(&self, class: Class) -> bool {
        self.callback.fails_open && self.handling.on_failure.rule(class) == Rule::Allow
    }

    /// Decides by a policy's answer to a Before callback, or by the rule for its failure.
    pub(super) fn by_answer(&self, answer: Result<Answer, Failure>, body: &[u8], policy: usize) -> Decision {
        match self.judge(answer, body, policy) {
            Verdict::Allowed(reply, _) | Verdict::Denied(reply) => {
                Decision::verdict(reply).noting_damage(self.callback, body)
            }
            Verdict::Failed(failure) => self.by_setting(failure, body, Some(policy)),
        }
    }

    /// Decides on a Before webhook that no route takes.
    pub(super) fn unrouted(&self, failure: Failure, body: &[u8]) -> Decision {
        self.by_setting(failure, body, None)
    }

    /// Allows a webhook that the policy is not asked about, by the route of this name.
    pub(super) fn skipped(&self, route: Arc<str>, body: &[u8]) -> Decision {
        Decision::new(self.callback.unchanged(body), Why::Skipped(route))
    }

    /// Decides on a Before webhook whose body was not read. An allow that would have to repeat some of it becomes a denial.
    /// `policy` is the one that was asked, if that was known yet.
    pub(super) fn unread(&self, failure: Failure, policy: Option<usize>) -> Decision {
        if self.callback.echoes() {
            self.by_rule(Rule::Deny, failure, &[])
        } else {
            self.by_setting(failure, &[], policy)
        }
    }

    /// Decides on a webhook that OpenIM would not send, or that did not come whole: a denial, but for callbacks that fail open.
    pub(super) fn refused(&self, refusal: Refusal) -> Decision {
        match refusal.class().filter(|class| self.fails_open_by_contract(*class)) {
            Some(class) => {
                let closes = refusal.closes();
                let failure = Failure::because(class, refusal.to_string()).unasked();
                Decision { closes, ..self.by_setting(failure, &[], None) }
            }
            None => Decision::refused(refusal).noting_damage(self.callback, &[]),
        }
    }

    /// Returns the failure rule for a policy; the general one if it is not known which policy is asked.
    pub(super) fn rule(&self, class: Class, policy: Option<usize>) -> Rule {
        self.config.rules_for(self.callback, policy).rule(class)
    }

    /// Decides by the configured failure rule.
    pub(super) fn by_setting(&self, failure: Failure, body: &[u8], policy: Option<usize>) -> Decision {
        let rule_setting = Some(self.config.failure_setting(self.callback, policy, failure.class));
        let rule = self.rule(failure.class, policy);
        Decision { rule_setting, policy, ..self.by_rule(rule, failure, body) }
    }

    fn by_rule(&self, rule: Rule, failure: Failure, body: &[u8]) -> Decision {
        let reply = match rule {
            Rule::Allow => self.callback.unchanged(body),
            Rule::Deny => {
                let sentence = self.config.denial.messages.get(&failure.class).map(String::as_str);
                Reply::Deny(Denial::because(sentence.unwrap_or(failure.class.sentence())))
            }
        };
        Decision::new(reply, Why::Failed(rule, failure)).noting_damage(self.callback, body)
    }
}
