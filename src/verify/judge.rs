//! From an answer to a finding: by hookgate's own rules, by how each OpenIM release reads the reply, and by what a policy has
//! hardly meant.

use std::time::Duration;

use prost::DecodeError;

use super::Check;
use super::advice::on_failure;
use super::finding::{Fault, Finding, Judged, shown};
use super::report::Outcome;
use super::requests::Request;
use crate::contract::{Denial, InvalidReply, LONGEST_SENTENCE, LOWEST_CODE, Reply, proto};
use crate::failure::{Class, Failure, code_name};
use crate::openim::{self, CautionKind, Reading, Release, cautions};
use crate::policy::Answer;

const CONTRACT: &str = "the comments of the response's fields in the contract say what each may hold";
const CONTENT: &str =
    "give content the form of its content_type, or change content_type with it: clients show nothing else";
const EMPTIED: &str = "set only the fields that are to change: one that is set to an empty value overwrites, one that is left \
                       out does not";
const DROPPED: &str = "copy what is to stay: the list or object of a response replaces the whole, and what an entry leaves out \
                       becomes empty";
const DAMAGE: &str = "let it through, and deny earlier, where OpenIM asks about the operation itself; hookgate passes this \
                      denial on and logs a warning";
const DENIAL: &str =
    "give each denial a code of 100 or more (5000 to 9999 is OpenIM's advice) and a sentence that a person reads";

/// A call that has ended.
pub(super) struct Call<'a> {
    /// The request.
    pub request: &'a Request,
    /// Time until it ended.
    pub elapsed: Duration,
    /// Time that the policy had.
    pub budget: Duration,
}

/// Judges the answer to a call. `default` is the code of a denial that has none.
pub(super) fn judge(check: &Check, call: &Call<'_>, answer: Result<Answer, Failure>, default: i32) -> Judged {
    let Request { callback, body, .. } = call.request;
    let (denial, reply) = match answer {
        Ok(Answer::Response(response)) => match callback.reply(&response, body) {
            Ok(reply) => (denial_of(&response), reply),
            Err(error @ InvalidReply::Rule(_)) if check.is_made_up => return Ok(Some(made_up(&error.to_string()))),
            Err(error) => return Err(judge_failure(check, error.into(), call)),
        },
        Ok(Answer::PermissionDenied(message)) => {
            let reply = Reply::Deny(Denial::because(&message));
            (Some(Ok(proto::Denial { code: LOWEST_CODE, message, ..Default::default() })), reply)
        }
        Err(Failure { status: Some(code), .. }) if check.is_made_up => {
            return Ok(Some(made_up(&format!("status {}", code_name(code)))));
        }
        Err(failure) => return Err(judge_failure(check, failure, call)),
    };
    judge_reply(call.request, &reply, default)?;
    let mut faults: Vec<Fault> = denial.and_then(|denial| judge_denial(denial, default)).into_iter().collect();
    match &reply {
        _ if check.is_made_up => {}
        Reply::Allow { body: reply, .. } => faults.extend(cautions(callback, body, reply).into_iter().map(caution)),
        Reply::Deny(_) => {
            let damage = callback.denial_damage(body);
            faults.extend(
                damage.map(|what| Fault::new("a denial that damages OpenIM", format!("a denial: {what}"), DAMAGE)),
            );
        }
    }
    match faults.is_empty() {
        true => Ok(None),
        false => Err(Finding { outcome: Outcome::Warning, faults, failure: None }),
    }
}

/// Returns the note of a check that sends what OpenIM does not.
fn made_up(answer: &str) -> String {
    format!("{answer}, which is no fault: OpenIM never sends such a request")
}

fn caution(caution: openim::Caution) -> Fault {
    let hint = match caution.kind {
        CautionKind::Content => CONTENT,
        CautionKind::Emptied => EMPTIED,
        CautionKind::Dropped => DROPPED,
    };
    Fault::new(caution.kind.to_string(), shown(&caution.what), hint)
}

fn judge_failure(check: &Check, failure: Failure, call: &Call<'_>) -> Finding {
    let mut message = describe(&failure, call.budget);
    let (name, hint) = match failure.class {
        Class::InvalidReply => ("an invalid reply".into(), CONTRACT),
        _ => on_failure(&failure, own_text(&failure), call),
    };
    let is_status = failure.status.is_some() && failure.class != Class::InvalidReply;
    if is_status {
        message += &format!(", a failure of class {}", failure.class);
    }
    let is_warning = failure.status.is_some_and(|code| check.warns_at.contains(&code));
    let outcome = if is_warning { Outcome::Warning } else { Outcome::Failed };
    let hint = check.hint.filter(|_| is_status).unwrap_or(hint);
    Finding { outcome, faults: vec![Fault::new(name, message, hint)], failure: Some(failure) }
}

/// Returns the text of a failure without the code of its status.
fn own_text(failure: &Failure) -> &str {
    let code = failure.status.map(|code| format!("{code:?}: ")).unwrap_or_default();
    failure.cause.strip_prefix(&code).unwrap_or(&failure.cause)
}

/// Describes a failure to the author of the policy.
pub(super) fn describe(failure: &Failure, budget: Duration) -> String {
    match (failure.class, failure.status) {
        (Class::InvalidReply, _) => format!("an invalid reply, which hookgate refuses: {}", shown(&failure.cause)),
        (_, Some(code)) => format!("status {} \"{}\"", code_name(code), shown(own_text(failure))),
        (Class::Deadline, None) => format!("does not answer within {budget:?}"),
        (_, None) => shown(&failure.cause),
    }
}

/// Checks that every release that sends the callback reads the reply as it was meant.
fn judge_reply(request: &Request, reply: &Reply, default: i32) -> Result<(), Finding> {
    let Request { callback, body, .. } = request;
    let bytes = reply.body(default);
    for release in Release::ALL.into_iter().filter(|release| callback.releases.contains(&release.as_str())) {
        let problem = match (reply, openim::read(callback, body, &bytes, release)) {
            (Reply::Allow { .. }, Reading::Allowed(_)) => continue,
            (Reply::Deny(_), Reading::Denied(error)) if error.code != 0 => continue,
            (_, Reading::Harmful { field, why }) => format!("{field}: {why}"),
            (_, Reading::Unreadable { why, .. }) => format!("it cannot read the reply: {why}"),
            (_, Reading::Allowed(_)) => "it takes the denial for an allow".to_owned(),
            (_, Reading::Denied(_)) => "it takes the reply for another denial".to_owned(),
        };
        let message = format!("OpenIM {}: {problem}", release.as_str());
        return Err(Fault::new("a reply that OpenIM misreads", message, CONTRACT).failed());
    }
    Ok(())
}

/// Checks what hookgate has to replace in a denial.
fn judge_denial(denial: Result<proto::Denial, DecodeError>, default: i32) -> Option<Fault> {
    let Ok(denial) = denial else {
        let message = "a denial in a response that cannot be read";
        return Some(Fault::new(message, message, "send the response of this rpc"));
    };
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
    (!problems.is_empty()).then(|| Fault::new("a denial that hookgate mends", problems.join("; "), DENIAL))
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

#[cfg(test)]
mod tests {
    use super::super::checks::LIFELIKE;
    use super::*;
    use crate::contract::Callback;

    /// None of these leaves hookgate today; the finding would show it if one ever did.
    #[test]
    fn a_reply_that_openim_does_not_read_as_meant_is_found() {
        let request = Request::new(&Callback::all()[0], &LIFELIKE).expect("a lifelike request");
        for (body, words) in [("", "cannot read the reply"), (r#"{"nextCode":1}"#, "another denial")] {
            let reply = Reply::Allow { changes: Vec::new(), body: body.into() };
            let finding = judge_reply(&request, &reply, 5000).expect_err("it is not read as meant");
            let found = &finding.faults[0].answer;
            assert!(found.starts_with("OpenIM 3.") && found.contains(words), "{found}");
        }
        assert!(judge_reply(&request, &Reply::Deny(Denial::because("no")), 5000).is_ok());
    }
}
