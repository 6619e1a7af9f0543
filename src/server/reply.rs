//! From what became of a webhook to the HTTP response: every one is a reply that OpenIM can read.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::Full;
use tracing::{debug, error, info, warn};

use super::Refusal;
use super::webhook::{self, Oddities, Webhook};
use super::{Response, stop};
use crate::config::{self, Config, Handling, Rule};
use crate::contract::Callback;
use crate::contract::{Denial, Reply};
use crate::cut::cut;
use crate::failure::{Class, Failure};
use crate::observe::counters::Outcome;
use crate::observe::decisions::Decided;
use crate::observe::rejected::Reason;
use crate::policy::Answer;

/// The response header that says what became of a webhook.
const OUTCOME: HeaderName = HeaderName::from_static("hookgate-outcome");

/// The most bytes of a method or a path's segment that are logged.
const LONGEST_SHOWN: usize = 64;

/// The code of the one reply that is made without a configuration at hand.
const PANIC_CODE: i32 = 5000;

/// The body of a webhook whose reply needs none of it: no After callback echoes, and none that fails open (`build.rs`
/// sees to it).
const NOTHING_TO_ECHO: &[u8] = b"{}";

/// What became of a webhook, and why.
#[derive(Debug)]
pub(super) struct Decision {
    reply: Reply,
    why: Why,
    /// The HTTP status, except of a refusal, which has its own.
    http: StatusCode,
    /// The body was not read to its end.
    unread: bool,
    /// The damage that a denial does in OpenIM.
    breaks: Option<&'static str>,
}

#[derive(Debug)]
enum Why {
    Verdict,
    Accepted,
    Failed(Rule, Failure),
    Refused(Refusal),
}

/// Returns true if a callback is allowed, its body unread, on a failure of this class: the contract has it fail open, and
/// the operator has no other rule for it.
pub(super) fn is_open(callback: &Callback, handling: &Handling, class: Class) -> bool {
    callback.fails_open && handling.on_failure.rule(class) == Rule::Allow
}

impl Decision {
    /// The policy decided.
    pub(super) fn verdict(reply: Reply) -> Self {
        Self::of(reply, Why::Verdict)
    }

    /// An After event is delivered behind the reply.
    pub(super) fn accepted(callback: &Callback) -> Self {
        Self::of(callback.unchanged(NOTHING_TO_ECHO), Why::Accepted)
    }

    /// An After event is lost. OpenIM is told to go on all the same: what it tells of has happened.
    pub(super) fn dropped(callback: &Callback) -> Self {
        Self::lost(callback, Failure::because(Class::Overloaded, "the queue of After events is full").unasked())
    }

    /// An After event is lost by this failure. OpenIM is told to go on.
    pub(super) fn lost(callback: &Callback, failure: Failure) -> Self {
        Self::of(callback.unchanged(NOTHING_TO_ECHO), Why::Failed(Rule::Allow, failure))
    }

    /// An After event is in memory alone, though it should be on disk. It is delivered all the same, but for a crash.
    pub(super) fn unwritten(callback: &Callback) -> Self {
        let failure =
            Failure::because(Class::Overloaded, "the disk does not take the event; it is in memory alone").unasked();
        Self::of(callback.unchanged(NOTHING_TO_ECHO), Why::Failed(Rule::Allow, failure))
    }

    /// The decision on an answer to a Before callback, or on why there is none.
    pub(super) fn of_answer(
        answer: Result<Answer, Failure>,
        (callback, handling): (&Callback, &Handling),
        body: &[u8],
        told: &config::Denial,
    ) -> Self {
        match answer.and_then(|answer| answer.into_reply(callback, body)) {
            Ok(reply) => Self::verdict(reply),
            Err(failure) => {
                let rule = handling.on_failure.rule(failure.class);
                Self::by_rule(rule, failure, callback, body, told)
            }
        }
        .noting_damage(callback, body)
    }

    /// There is no verdict, so the operator's rule decides.
    pub(super) fn by_rule(
        rule: Rule,
        failure: Failure,
        callback: &Callback,
        body: &[u8],
        told: &config::Denial,
    ) -> Self {
        let reply = match rule {
            Rule::Allow => callback.unchanged(body),
            Rule::Deny => {
                let sentence = told.messages.get(&failure.class).map_or(failure.class.sentence(), String::as_str);
                Reply::Deny(Denial::because(sentence))
            }
        };
        Self::of(reply, Why::Failed(rule, failure))
    }

    /// The same for a webhook whose body was not read. Where an allow would have to echo of it, there is none.
    pub(super) fn unread(rule: Rule, failure: Failure, callback: &Callback, told: &config::Denial) -> Self {
        let rule = if callback.echoes() { Rule::Deny } else { rule };
        Self::by_rule(rule, failure, callback, NOTHING_TO_ECHO, told).noting_damage(callback, NOTHING_TO_ECHO)
    }

    /// It is nothing that OpenIM would send, or its body could not be read: a denial, but for callbacks that fail open.
    pub(super) fn refused(refusal: Refusal, callback: &Callback, handling: &Handling) -> Self {
        match refusal.class().filter(|class| is_open(callback, handling, *class)) {
            Some(class) => {
                let failure = Failure::because(class, refusal.to_string()).unasked();
                Self {
                    unread: true,
                    ..Self::of(callback.unchanged(NOTHING_TO_ECHO), Why::Failed(Rule::Allow, failure))
                }
            }
            None => Self::of(Reply::Deny(Denial::because(&refusal.to_string())), Why::Refused(refusal))
                .noting_damage(callback, NOTHING_TO_ECHO),
        }
    }

    /// Returns true if OpenIM goes on.
    pub(super) fn is_allow(&self) -> bool {
        matches!(self.reply, Reply::Allow { .. })
    }

    /// The handler has panicked: a denial, but for a callback that is `open`. The text of the panic is not repeated, as it
    /// can quote what it failed on; the panic hook says where it was.
    pub(super) fn panicked(open: Option<&Callback>) -> Self {
        let failure = Failure::because(Class::Error, "hookgate panicked").unasked();
        match open {
            Some(callback) => Self::of(callback.unchanged(NOTHING_TO_ECHO), Why::Failed(Rule::Allow, failure)),
            None => {
                let reply = Reply::Deny(Denial::because("hookgate failed"));
                let http = StatusCode::INTERNAL_SERVER_ERROR;
                Self { http, ..Self::of(reply, Why::Failed(Rule::Deny, failure)) }
            }
        }
    }

    fn of(reply: Reply, why: Why) -> Self {
        Self { reply, why, http: StatusCode::OK, unread: false, breaks: None }
    }

    /// The same, with the damage that it does in OpenIM if it denies the webhook with this body.
    pub(super) fn noting_damage(self, callback: &Callback, body: &[u8]) -> Self {
        match self.reply {
            Reply::Deny(_) => Self { breaks: callback.denial_damage(body), ..self },
            Reply::Allow { .. } => self,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match (&self.why, &self.reply) {
            (Why::Verdict, Reply::Allow { changes, .. }) if changes.is_empty() => Outcome::Allow,
            (Why::Verdict, Reply::Allow { .. }) => Outcome::Changed,
            (Why::Verdict, Reply::Deny(_)) => Outcome::Deny,
            (Why::Accepted, _) => Outcome::Accepted,
            (Why::Failed(rule, failure), _) => Outcome::Failed(*rule, failure.class),
            (Why::Refused(_), _) => Outcome::Refused,
        }
    }

    /// One line a webhook, and nothing of its content. A plain allow is the ordinary case and stands at debug.
    pub(super) fn log(&self, webhook: &Webhook, took: Duration, default_code: i32) {
        let (command, operation_id) = (webhook.shown_command(), &*webhook.operation_id);
        let Oddities { unknown, other_command, .. } = &webhook.oddities;
        // A field that is empty is left out of the line.
        let unknown_fields = (unknown.count > 0).then_some(unknown.count);
        let other_command = other_command.then_some(true);
        macro_rules! line {
            ($level:ident, $verdict:literal $(, $($more:tt)*)?) => {
                $level!(command, operation_id, ?took, unknown_fields, other_command $(, $($more)*)?, $verdict)
            };
        }
        match (&self.why, &self.reply) {
            (Why::Verdict, Reply::Allow { changes, .. }) if changes.is_empty() => line!(debug, "allow"),
            (Why::Verdict, Reply::Allow { changes, .. }) => line!(info, "allow, changed", ?changes),
            (Why::Verdict, Reply::Deny(denial)) => {
                let code = denial.code(default_code);
                match self.breaks {
                    Some(breaks) => line!(warn, "deny", code, breaks),
                    None => line!(info, "deny", code),
                }
            }
            (Why::Accepted, _) => line!(debug, "accepted"),
            (Why::Failed(rule, failure), _) => {
                let (class, cause) = (failure.class.as_str(), failure.cause());
                match rule {
                    Rule::Allow => line!(warn, "failed, so allowed by rule", class, cause),
                    Rule::Deny => line!(warn, "failed, so denied", class, cause, breaks = self.breaks),
                }
            }
            (Why::Refused(refusal), _) => line!(warn, "refused", reason = %refusal, breaks = self.breaks),
        }
    }

    /// Whether the policy was asked before the reply, as far as that is known.
    fn was_asked(&self) -> bool {
        match &self.why {
            Why::Verdict => true,
            Why::Failed(_, failure) => failure.asked,
            // An event that is accepted may stand behind others; its verdict has a line of its own.
            Why::Accepted | Why::Refused(_) => false,
        }
    }

    /// What the decision log has of it.
    pub(super) fn decided<'a>(
        &'a self,
        webhook: &'a Webhook,
        took: Vec<(&'static str, Duration)>,
        default_code: i32,
    ) -> Decided<'a> {
        let (rule, cause) = match &self.why {
            Why::Failed(rule, failure) => (Some((failure.class, *rule)), Some(failure.cause_in_our_words())),
            Why::Refused(refusal) => (None, Some(refusal.to_string().into())),
            Why::Verdict | Why::Accepted => (None, None),
        };
        let (code, changes) = match &self.reply {
            Reply::Deny(denial) => (Some(denial.code(default_code)), &[][..]),
            Reply::Allow { changes, .. } => (None, &changes[..]),
        };
        let kept = webhook.kept.as_ref();
        Decided {
            callback: webhook.callback,
            command: webhook.shown_command().into(),
            operation_id: webhook.operation_id.as_str().into(),
            event_id: kept.map_or("", |kept| &kept.event_id),
            request: kept.map(|kept| &*kept.message),
            outcome: self.outcome().as_str(),
            code,
            changes,
            rule,
            cause,
            late: None,
            attempt: self.was_asked().into(),
            took,
        }
    }

    /// The one map from failure to reply. OpenIM looks at the body alone; the status is for people and meshes.
    pub(super) fn into_response(self, default_code: i32) -> Response {
        let outcome = self.outcome();
        let body = self.reply.body(default_code);
        match self.why {
            Why::Refused(refusal) => refuse(&refusal, body),
            // What is left of the body would be taken for the next request.
            _ if self.unread => stop::close(respond(self.http, body, outcome)),
            _ => respond(self.http, body, outcome),
        }
    }
}

/// One line about a request that names no callback.
pub(super) fn log_nowhere(refusal: &Refusal, head: &Parts, secret_paths: bool) {
    // The rest of the path may be the operator's secret; where paths are secrets, any of it.
    let segment = head.uri.path().rsplit('/').next().filter(|_| !secret_paths);
    let segment = segment.map(|segment| cut(segment, LONGEST_SHOWN));
    let operation_id = webhook::operation_id(&head.headers);
    let method = cut(head.method.as_str(), LONGEST_SHOWN);
    let (method, segment) = (&*method, segment.as_deref());
    warn!(method, segment, operation_id, reason = %refusal, "refused");
}

/// The reply to a request that is refused by its head; `whole` where its body was read to the end.
pub(super) fn refused_by_head(refusal: &Refusal, config: &Config, whole: bool) -> Response {
    let mut response = refuse(refusal, Denial::because(&refusal.to_string()).body(config.denial.code));
    if response.status() == StatusCode::UNAUTHORIZED && config.access.passwords.is_some() {
        let asks = HeaderValue::from_static("Basic realm=\"hookgate\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, asks);
    }
    // A certificate is shown when a connection is made: the next one may have another.
    if !whole || matches!(refusal, Refusal::Caller(Reason::Certificate)) {
        response = stop::close(response);
    }
    response
}

/// The reply of a handler that panicked outside the decision, where little is known: an allow of a callback that is
/// `open`, else a denial.
pub(super) fn panicked(open: Option<&Callback>) -> Response {
    error!(command = open.map(|callback| callback.command), allowed = open.is_some(), "panicked outside a decision");
    Decision::panicked(open).into_response(PANIC_CODE)
}

fn refuse(refusal: &Refusal, body: Bytes) -> Response {
    let status = match refusal {
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NoRoom(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::Caller(Reason::HeadTimeout) => StatusCode::REQUEST_TIMEOUT,
        Refusal::Late => StatusCode::REQUEST_TIMEOUT,
        Refusal::CutShort
        | Refusal::Malformed(_)
        | Refusal::Caller(Reason::PlainHttp | Reason::NotHttp | Reason::Http2 | Reason::ProxyProtocol) => {
            StatusCode::BAD_REQUEST
        }
        Refusal::Caller(_) => StatusCode::UNAUTHORIZED,
    };
    let mut response = respond(status, body, Outcome::Refused);
    let headers = response.headers_mut();
    if let Refusal::Method = refusal {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if let Refusal::TooLarge(_) | Refusal::Late | Refusal::CutShort = refusal {
        // What is left of the body would be taken for the next request.
        return stop::close(response);
    }
    response
}

fn respond(status: StatusCode, body: Bytes, outcome: Outcome) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(OUTCOME, HeaderValue::from_static(outcome.as_str()));
    response
}
