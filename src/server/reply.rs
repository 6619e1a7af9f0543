//! The map from a decision to the HTTP reply. Each is one that OpenIM can read.

use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::Full;

use super::decision::{Decision, Why};
use super::verdicts::PartOutcome;
use super::{Refusal, Response};
use crate::config::Config;
use crate::contract::Reply;

/// The response header that names the outcome of a webhook.
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static("hookgate-outcome");

/// The response header that names the setting whose failure rule decided, or the contract.
pub(crate) const RULE: HeaderName = HeaderName::from_static("hookgate-rule");

/// The response header that has the code of the policy's denial, if another one replaces it.
pub(crate) const REPLACED_CODE: HeaderName = HeaderName::from_static("hookgate-replaced-code");

/// The response header that has the policy's answer in short, if that was no verdict: a status, or what is wrong with it.
pub(crate) const CAUSE: HeaderName = HeaderName::from_static("hookgate-cause");

/// The response header that has the outcomes of the named policies' parts, in the order in which they are asked.
pub(crate) const POLICIES: HeaderName = HeaderName::from_static("hookgate-policies");

impl Decision {
    /// Returns the reply.
    pub(super) fn response(&self, config: &Config) -> Response {
        let mut response = Response::new(Full::new(self.reply.body(config.denial.code)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(OUTCOME, HeaderValue::from_static(self.outcome().as_str()));
        if let Some(rule) = self.rule_setting.as_deref().and_then(|setting| HeaderValue::from_str(setting).ok()) {
            headers.insert(RULE, rule);
        }
        if !self.parts.is_empty() {
            let name = |policy: usize| config.policies.get(policy).map_or("", |named| &*named.name);
            let part = |part: &PartOutcome| format!("{}={}", name(part.policy), part.outcome.as_str());
            let parts = self.parts.iter().map(part).collect::<Vec<_>>().join(", ");
            headers.extend(HeaderValue::try_from(parts).ok().map(|parts| (POLICIES, parts)));
        }
        if let Reply::Deny(denial) = &self.reply
            && let Some(code) = denial.replaced_code()
        {
            headers.insert(REPLACED_CODE, code.into());
        }
        if let Why::Failed(_, failure) = &self.why
            && let Some(cause) = failure.answer().and_then(|answer| HeaderValue::from_str(&answer).ok())
        {
            headers.insert(CAUSE, cause);
        }
        if let Why::Refused(Refusal::Method) = self.why {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if self.status == StatusCode::UNAUTHORIZED && config.access.users.is_some() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hookgate\""));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
