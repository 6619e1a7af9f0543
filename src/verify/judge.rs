//! From an answer to a finding: by hookgate's own rules, then by how each OpenIM release reads the reply.

use std::time::Duration;

use bytes::Bytes;
use prost::DecodeError;
use tonic::Code;

use super::Check;
use super::report::Outcome;
use super::requests::Request;
use crate::config::Config;
use crate::contract::{Callback, Denial, LONGEST_SENTENCE, LOWEST_CODE, Reply, proto};
use crate::cut::cut;
use crate::failure::{Class, Failure};
use crate::openim::{self, Reading, Release};
use crate::policy::Answer;

/// Maximum bytes of a policy's text that are repeated.
const LONGEST_TEXT: usize = 200;

const UNIMPLEMENTED: &str = "it answers other requests of this rpc: answer OK, with a denial to deny";
const LATE: &str = "answer within the budget; what takes longer is done behind the answer";
const DISCONNECTED: &str = "the policy closed or reset the connection, or its process ended: look at its log";
const CONTRACT: &str = "the comments of the response's fields in the contract say what each may hold";

/// The reason why a check did not pass.
#[derive(Debug)]
pub(super) struct Finding {
    /// The outcome of the check.
    pub outcome: Outcome,
    /// The answer in words, or the reason why the check was not run.
    pub message: String,
    /// Advice to the author of the policy.
    pub hint: Option<&'static str>,
    /// The failure of the call, if there was no usable answer.
    pub failure: Option<Failure>,
}

/// The result of a check: a note, perhaps, if it passed.
pub(super) type Judged = Result<Option<String>, Finding>;

impl Finding {
    /// Makes a finding that fails the check.
    pub(super) fn failed(message: impl Into<String>, hint: &'static str) -> Self {
        Self { outcome: Outcome::Failed, message: message.into(), hint: Some(hint), failure: None }
    }

    /// Makes a finding that hookgate can live with.
    pub(super) fn warning(message: impl Into<String>, hint: &'static str) -> Self {
        Self { outcome: Outcome::Warning, ..Self::failed(message, hint) }
    }

    /// Makes the finding of a check that was not run.
    pub(super) fn not_run(reason: &str) -> Self {
        Self { outcome: Outcome::NotRun, message: reason.to_owned(), hint: None, failure: None }
    }

    /// Puts words in front of the message.
    pub(super) fn prefixed(self, words: &str) -> Self {
        Self { message: format!("{words}: {}", self.message), ..self }
    }
}

/// Judges the answer to a request. `budget` is the time that the policy had.
pub(super) fn judge(check: &Check, request: &Request, answer: Result<Answer, Failure>, budget: Duration) -> Judged {
    let failed = |failure| judge_failure(check, failure, budget);
    let (denial, reply) = match answer.map_err(failed)? {
        Answer::Response(response) => {
            let reply = request.callback.reply(&response, &request.body).map_err(|error| failed(error.into()))?;
            (denial_of(&response), reply)
        }
        Answer::PermissionDenied(message) => {
            let reply = Reply::Deny(Denial::because(&message));
            (Some(Ok(proto::Denial { code: LOWEST_CODE, message, ..Default::default() })), reply)
        }
    };
    judge_reply(request.callback, &request.body, &reply)?;
    denial.map_or(Ok(None), judge_denial)
}

fn judge_failure(check: &Check, failure: Failure, budget: Duration) -> Finding {
    let mut message = describe(&failure, budget);
    let (outcome, hint) = match (failure.class, failure.status) {
        (Class::InvalidReply, _) => (Outcome::Failed, CONTRACT),
        (class, Some(code)) => {
            message += &format!(", a failure of class {class}");
            let row = check.statuses.iter().find(|(of, ..)| *of == code);
            let hint = if code == Code::Unimplemented { UNIMPLEMENTED } else { check.hint };
            row.map_or((Outcome::Failed, hint), |(_, outcome, hint)| (*outcome, *hint))
        }
        (Class::Deadline, None) => (Outcome::Failed, LATE),
        (_, None) if is_disconnect(&failure) => (Outcome::Failed, DISCONNECTED),
        (_, None) => (Outcome::Failed, "something that is no gRPC service answers in its place"),
    };
    Finding { outcome, message, hint: Some(hint), failure: Some(failure) }
}

/// Describes a failure to the author of the policy.
pub(super) fn describe(failure: &Failure, budget: Duration) -> String {
    let cause = &failure.cause;
    match (failure.class, failure.status) {
        (Class::InvalidReply, _) => format!("an invalid reply, which hookgate refuses: {}", shown(cause)),
        (_, Some(code)) => {
            let text = cause.strip_prefix(&format!("{code:?}: ")).unwrap_or(cause);
            format!("status {} \"{}\"", code_name(code), shown(text))
        }
        (Class::Deadline, None) => format!("does not answer within {budget:?}"),
        (_, None) => shown(cause),
    }
}

/// Returns true if there was no connection, or it broke.
pub(super) fn is_disconnect(failure: &Failure) -> bool {
    failure.class == Class::Unavailable && failure.status.is_none() && !failure.not_grpc
}

/// Checks that every release that sends the callback reads the reply as it was meant.
fn judge_reply(callback: &Callback, body: &Bytes, reply: &Reply) -> Result<(), Finding> {
    let bytes = reply.body(Config::default().denial.code);
    for release in Release::ALL.into_iter().filter(|release| callback.releases.contains(&release.as_str())) {
        let problem = match (reply, openim::read(callback, body, &bytes, release)) {
            (Reply::Allow { .. }, Reading::Allowed(_)) => continue,
            (Reply::Deny(_), Reading::Denied(error)) if error.code != 0 => continue,
            (_, Reading::Harmful { field, why }) => format!("{field}: {why}"),
            (_, Reading::Unreadable { why, .. }) => format!("it cannot read the reply: {why}"),
            (_, Reading::Allowed(_)) => "it takes the denial for an allow".to_owned(),
            (_, Reading::Denied(_)) => "it takes the reply for another denial".to_owned(),
        };
        return Err(Finding::failed(format!("OpenIM {}: {problem}", release.as_str()), CONTRACT));
    }
    Ok(())
}

/// Checks what hookgate has to replace in a denial.
fn judge_denial(denial: Result<proto::Denial, DecodeError>) -> Judged {
    let Ok(denial) = denial else {
        let message = "a denial in a response that cannot be read";
        return Err(Finding::warning(message, "send the response of this rpc"));
    };
    let default = Config::default().denial.code;
    let longest = denial.message.len().max(denial.detail.len());
    let mut problems = Vec::new();
    if denial.code < LOWEST_CODE {
        problems.push(format!("a denial with code {}: hookgate sends {default} instead", denial.code));
    }
    if denial.message.is_empty() {
        problems.push("a denial without a message: hookgate sends its own".to_owned());
    }
    if longest > LONGEST_SENTENCE {
        problems.push(format!("a denial with a text of {longest} bytes: hookgate cuts it after {LONGEST_SENTENCE}"));
    }
    if problems.is_empty() {
        return Ok(None);
    }
    let hint =
        "give each denial a code of 100 or more (5000 to 9999 is OpenIM's advice) and a sentence that a person reads";
    Err(Finding::warning(problems.join("; "), hint))
}

/// Decodes the denial of any response of the contract: each has it in field 1.
fn denial_of(response: &[u8]) -> Option<Result<proto::Denial, DecodeError>> {
    #[derive(prost::Message)]
    struct Any {
        #[prost(message, optional, tag = "1")]
        denial: Option<proto::Denial>,
    }
    prost::Message::decode(response).map(|any: Any| any.denial).transpose()
}

/// Returns a code as gRPC writes it: `INVALID_ARGUMENT`.
fn code_name(code: Code) -> String {
    let part = |letter: char| match letter.is_ascii_uppercase() {
        true => format!("_{letter}"),
        false => letter.to_ascii_uppercase().to_string(),
    };
    format!("{code:?}").chars().map(part).collect::<String>().trim_start_matches('_').to_owned()
}

/// Makes a policy's text fit for a terminal and for XML: cut, and without control characters.
pub(super) fn shown(text: &str) -> String {
    cut(&text.replace(char::is_control, "\u{fffd}"), LONGEST_TEXT).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// None of these leaves hookgate today; the finding would show it if one ever did.
    #[test]
    fn a_reply_that_openim_does_not_read_as_meant_is_found() {
        let callback = &Callback::all()[0];
        for (body, words) in [("", "cannot read the reply"), (r#"{"nextCode":1}"#, "another denial")] {
            let reply = Reply::Allow { changes: Vec::new(), body: body.into() };
            let found = judge_reply(callback, &"{}".into(), &reply).expect_err("it is not read as meant").message;
            assert!(found.starts_with("OpenIM 3.") && found.contains(words), "{found}");
        }
        assert!(judge_reply(callback, &"{}".into(), &Reply::Deny(Denial::because("no"))).is_ok());
    }
}
