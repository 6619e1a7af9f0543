//! hookgate's account of its decision, by the headers of a reply.

use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::Value;
use tonic::Code;

use super::Webhook;
use crate::contract::Timing;
use crate::failure::{self, Class, code_name};
use crate::openim::{Caution, CautionKind};
use crate::server::{CAUSE, OUTCOME, POLICIES, REPLACED_CODE, RULE};

/// The note on a reply that no hookgate wrote.
const NO_HOOKGATE: &str = "no header hookgate-outcome: another HTTP server answered, or a proxy before hookgate. Webhooks \
                           go to hookgate's listen address (port 10006), not to admin_listen or the policy";

/// The note on an empty value.
const EMPTIED: &str = "a change to an empty value overwrites. Leave the field out of the response to keep the value";

/// A decision of hookgate.
#[derive(Debug, Serialize)]
pub(super) struct Account<'a> {
    /// The outcome, as in `failed-closed:error`.
    pub outcome: &'a str,
    /// The class of the failure, if there was no verdict.
    class: Option<&'a str>,
    /// The failure rule that decided instead: `deny` or `allow`.
    rule: Option<&'static str>,
    /// The setting that holds the rule, or `contract`. `None` if hookgate decided without one.
    rule_setting: Option<&'a str>,
    /// The policy's answer, if that was no verdict: a status, or what is wrong with it.
    cause: Option<&'a str>,
    /// The outcomes of the named policies' parts, in the order in which they are asked: `words=allow, friends=deny`.
    policies: Option<&'a str>,
    /// The code of the policy's denial, if hookgate replaced it.
    replaced_code: Option<i32>,
}

impl<'a> Account<'a> {
    /// Reads the headers of a reply; `None` if no hookgate wrote them.
    pub(super) fn read(headers: &'a HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let outcome = text(OUTCOME)?;
        let by_rule = |word, rule| Some((outcome.strip_prefix(word)?, rule));
        let failed = by_rule("failed-closed:", "deny").or_else(|| by_rule("failed-open:", "allow"));
        let (class, rule) = failed.unzip();
        let replaced_code = text(REPLACED_CODE).and_then(|code| code.parse().ok());
        let (rule_setting, cause, policies) = (text(RULE), text(CAUSE), text(POLICIES));
        Some(Self { outcome, class, rule, rule_setting, cause, policies, replaced_code })
    }

    /// Returns a failure's notes: the class, the policy's answer, the rule, the place of the cause.
    fn failure(&self, class: &str, webhook: &Webhook) -> Vec<String> {
        let (outcome, is_open) = (self.outcome, self.rule == Some("allow"));
        let known = Class::ALL.into_iter().find(|known| known.as_str() == class);
        let decided = if is_open { "allowed" } else { "denied" };
        let rule = match (self.rule_setting, webhook.callback().timing) {
            (Some("contract"), _) => {
                let key = webhook.callback().config_key;
                format!("the contract allowed instead; callbacks.{key}.on_failure can set another rule")
            }
            (Some(setting), _) => format!("the failure rule of {setting} {decided} instead"),
            (None, Timing::After) => "an event is always allowed: failure rules are for Before callbacks".to_owned(),
            (None, Timing::Before) => format!("hookgate {decided} instead, by no failure rule of the configuration"),
        };
        let phrase = if is_open { "webhook failed open" } else { "webhook failed closed" };
        let class = format!(
            "{outcome} is no verdict of the policy: {}",
            known.map_or("a class of a newer hookgate", |known| hint(known, self.cause.is_some()))
        );
        let answer = self.cause.map(|cause| {
            let code = (0..=16).map(Code::from_i32).find(|code| code_name(*code) == cause);
            let hint = code.and_then(failure::hint).map(|hint| format!(": {hint}"));
            format!("the policy's answer: {cause}{}", hint.unwrap_or_default())
        });
        let place = format!(
            "the cause is in hookgate's log: \"{phrase}\" with operation_id={}; GET /status on admin_listen has the \
                 policy's state",
            webhook.operation_id
        );
        [Some(class), answer, Some(rule), Some(place)].into_iter().flatten().collect()
    }
}

/// Explains hookgate's part in a reply, a sentence for each fact. A plain verdict needs none.
pub(super) fn notes(
    webhook: &Webhook,
    headers: &HeaderMap,
    reply: &[u8],
    is_emptied: bool,
    cautions: &[Caution],
) -> Vec<String> {
    let Some(account) = Account::read(headers) else { return vec![NO_HOOKGATE.to_owned()] };
    let mut notes = Vec::new();
    match (account.class, account.outcome) {
        (Some(class), _) => notes.extend(account.failure(class, webhook)),
        (None, "refused") => notes.push("refused: the policy was not asked; errMsg says why".to_owned()),
        (None, "skipped") => notes.push(
            "skipped: the policy was not asked, as a route says; the decision log and the log at debug level name it".to_owned(),
        ),
        (None, "accepted") => notes.push(
            "accepted: the event is delivered after this reply; if that fails, the log and GET /status on admin_listen \
             have the cause"
                .to_owned(),
        ),
        _ => {}
    }
    if let Some(policies) = account.policies.filter(|policies| policies.contains(',')) {
        notes.push(format!("each policy's part: {policies}"));
    }
    if let Some(code) = account.replaced_code {
        let sent = serde_json::from_slice::<Value>(reply).ok().and_then(|reply| reply.get("errCode").cloned());
        let sent = sent.unwrap_or_default();
        notes.push(format!(
            "the policy's code {code} became {sent}: OpenIM 3.8.4 makes its own error of codes below 100"
        ));
    }
    if is_emptied {
        notes.push(EMPTIED.to_owned());
    }
    // The line of OpenIM names what is emptied.
    let others = cautions.iter().filter(|caution| caution.kind != CautionKind::Emptied);
    notes.extend(others.map(|caution| format!("{}: {}", caution.kind, caution.what)));
    notes
}

/// Returns the causes of a class, for the author of a policy that has answered or not.
fn hint(class: Class, is_answered: bool) -> &'static str {
    match class {
        Class::Unavailable if is_answered => "it, or a proxy before it, says that it cannot answer now",
        Class::Unavailable => {
            "hookgate has no connection to it, or it broke off. Is it up, and is the setting policy its gRPC address and port?"
        }
        Class::Deadline => "it did not answer within the budget",
        Class::Overloaded if is_answered => "it says that a limit of its own is reached",
        Class::Overloaded => "a limit of hookgate's is reached",
        Class::Unimplemented => "it does not serve this rpc",
        Class::Error => {
            "it answered with a status that neither allows nor denies (an uncaught exception does, INVALID_ARGUMENT too), \
             or not in gRPC. To deny, answer with a denial or PERMISSION_DENIED"
        }
        Class::InvalidReply => {
            "its response is not the message of the rpc, or a change in it breaks a rule of the contract"
        }
    }
}
