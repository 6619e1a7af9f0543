//! The verdicts of policies about one Before webhook, and the decision that they make together.

use std::time::Duration;

use bytes::Bytes;

use super::decision::{Decider, Decision, Why};
use crate::config::Rule;
use crate::contract::{Denial, Reply};
use crate::failure::{Class, Failure};
use crate::observe::counters::Outcome;
use crate::policy::Answer;

/// The part of one policy in a decision.
#[derive(Debug)]
pub(super) struct Part {
    /// Its index in the configuration.
    pub(super) policy: usize,
    pub(super) verdict: Verdict,
    /// The time from the call to its verdict.
    pub(super) took: Duration,
}

/// The verdict of one policy, judged by itself.
#[derive(Debug)]
pub(super) enum Verdict {
    /// An allow: the reply that it would be alone, and the response.
    Allowed(Reply, Bytes),
    /// A denial.
    Denied(Reply),
    /// No verdict.
    Failed(Failure),
}

/// The outcome of a policy's part in a decision: for the header, the log and the counters.
#[derive(Debug)]
pub(super) struct PartOutcome {
    /// Its index in the configuration.
    pub(super) policy: usize,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Decider {
    /// Returns the denial of an answer, if it is one. It needs no body, so that no lack of time makes anything else of it.
    pub(super) fn denial(&self, answer: &Result<Answer, Failure>) -> Option<Reply> {
        match answer {
            Ok(Answer::Response(response)) => self.callback.denial(response).map(Reply::Deny),
            Ok(Answer::PermissionDenied(message)) => Some(Reply::Deny(Denial::because(message))),
            Err(_) => None,
        }
    }

    /// Judges the answer of a policy by itself.
    pub(super) fn judge(&self, answer: Result<Answer, Failure>, body: &[u8], policy: usize) -> Verdict {
        let response = match answer {
            Ok(Answer::Response(response)) => response,
            Ok(Answer::PermissionDenied(message)) => return Verdict::Denied(Reply::Deny(Denial::because(&message))),
            Err(failure) => return Verdict::Failed(failure),
        };
        match self.callback.reply(&response, body) {
            Ok(denial @ Reply::Deny(_)) => Verdict::Denied(denial),
            Ok(Reply::Allow { changes, .. }) if !changes.is_empty() && self.only_observes(policy) => {
                let what = format!("the change of {}: the policy observes, and may change nothing", changes.join(", "));
                Verdict::Failed(Failure::because(Class::InvalidReply, what))
            }
            Ok(reply) => Verdict::Allowed(reply, response),
            Err(error) => Verdict::Failed(error.into()),
        }
    }

    fn only_observes(&self, policy: usize) -> bool {
        self.config.policies.get(policy).is_some_and(|named| named.observe)
    }

    /// Returns true if a part denies the webhook, whatever the others say.
    pub(super) fn denies(&self, part: &Part) -> bool {
        match &part.verdict {
            Verdict::Allowed(..) => false,
            Verdict::Denied(_) => true,
            Verdict::Failed(failure) => self.rule(failure.class, Some(part.policy)) == Rule::Deny,
        }
    }

    /// Joins the verdicts of several policies, in the order of their list: the first denial; else the first failure that
    /// denies; else an allow with all changes, of which the later one of a field wins.
    pub(super) fn join(&self, parts: Vec<Part>, body: &[u8]) -> Decision {
        let (mut responses, mut last_allowed, mut failed_open) = (Vec::new(), None, None);
        let mut failed_closed = None;
        for Part { policy, verdict, .. } in parts {
            match verdict {
                Verdict::Denied(reply) => {
                    let denied = Decision::verdict(reply).noting_damage(self.callback, body);
                    return Decision { policy: Some(policy), ..denied };
                }
                Verdict::Failed(failure) => {
                    let first = match self.rule(failure.class, Some(policy)) {
                        Rule::Deny => &mut failed_closed,
                        Rule::Allow => &mut failed_open,
                    };
                    first.get_or_insert((policy, failure));
                }
                Verdict::Allowed(_, response) => {
                    responses.push(response);
                    last_allowed = Some(policy);
                }
            }
        }
        if let Some((policy, failure)) = failed_closed {
            return self.by_setting(failure, body, Some(policy));
        }
        let reply = match self.callback.joined(responses.iter().map(|response| &**response), body) {
            Ok(reply) => reply,
            // Each is valid by itself, and all together are not: the last one has made them so.
            Err(error) => return self.by_setting(error.into(), body, last_allowed),
        };
        match failed_open {
            Some((policy, failure)) => Decision {
                rule_setting: Some(self.config.failure_setting(self.callback, Some(policy), failure.class)),
                policy: Some(policy),
                ..Decision::new(reply, Why::Failed(Rule::Allow, failure))
            },
            None => Decision::verdict(reply),
        }
    }

    /// Returns the outcome of a part.
    pub(super) fn outcome_of(&self, part: &Part) -> PartOutcome {
        let outcome = match &part.verdict {
            Verdict::Allowed(Reply::Allow { changes, .. }, _) if !changes.is_empty() => Outcome::Changed,
            Verdict::Allowed(..) => Outcome::Allow,
            Verdict::Denied(_) => Outcome::Deny,
            Verdict::Failed(failure) => Outcome::Failed(self.rule(failure.class, Some(part.policy)), failure.class),
        };
        PartOutcome { policy: part.policy, outcome, took: part.took }
    }
}
