//! What is thought of an answer: by hookgate's own rules, then as each release of OpenIM reads the reply.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use tonic::Code;

use super::Check;
use super::requests::Posted;
use crate::config::Config;
use crate::contract::Callback;
use crate::contract::proto;
use crate::contract::{Denial, LONGEST_SENTENCE, LOWEST_CODE, Reply};
use crate::failure::{Class, Failure};
use crate::openim::{self, Reading, Release};
use crate::policy::Answer;

/// The longest text of a policy that is repeated, in characters.
const LONGEST_TEXT: usize = 200;

const CONTRACT: &str = "the comments of the response's fields in the contract say what each may hold";
const NOT_A_VERDICT: &str = "answer OK, with a denial to deny; any other status but PERMISSION_DENIED is a failure, \
                             and the operator's rule decides";

/// What is wrong with an answer.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Whether hookgate gets on with it.
    pub warning: bool,
    /// The class of failure that hookgate files it under, if it is one.
    pub class: Option<Class>,
    /// The status that the policy gave, where that is what is wrong.
    pub status: Option<Code>,
    /// True where something answered over HTTP that is not gRPC.
    pub not_grpc: bool,
    /// What came.
    pub message: String,
    /// What to change.
    pub hint: String,
}

impl Fault {
    /// One that fails.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { warning: false, class: None, status: None, not_grpc: false, message, hint }
    }

    fn warning(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(message, hint) }
    }

    /// The same, with a word in front of what came.
    pub fn after(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// Whether the policy said nothing in time.
    pub fn is_silence(&self) -> bool {
        self.class == Some(Class::Deadline)
    }

    /// Whether the connection was not there, or broke.
    pub fn is_cut_off(&self) -> bool {
        self.class == Some(Class::Unavailable) && self.status.is_none() && !self.not_grpc
    }

    /// Returns true if the rpc is not there: `UNIMPLEMENTED`, or HTTP status 404.
    pub fn is_unimplemented(&self) -> bool {
        self.class == Some(Class::Unimplemented)
    }
}

/// Judges the answer to a webhook.
pub fn judge(check: Check, posted: &Posted, answer: Result<Answer, Failure>, budget: Duration) -> Result<(), Fault> {
    let answer = answer.map_err(|failure| of_failure(check, &failure, budget))?;
    let (denied, reply) = match answer {
        Answer::Response(response) => (denial_in(&response), posted.callback.reply(&response, &posted.body)),
        Answer::PermissionDenied(message) => {
            let reply = Reply::Deny(Denial::because(&message));
            (Some(Ok(proto::Denial { code: LOWEST_CODE, message, ..Default::default() })), Ok(reply))
        }
    };
    let reply = reply.map_err(|error| of_failure(check, &error.into(), budget))?;
    as_openim_reads(posted.callback, &posted.body, &reply)?;
    match denied {
        Some(denial) => of_denial(denial),
        None => Ok(()),
    }
}

/// A failure in words.
fn of_failure(check: Check, failure: &Failure, budget: Duration) -> Fault {
    let status = failure.status.filter(|_| failure.class != Class::InvalidReply);
    let (message, hint) = match (failure.class, status) {
        (Class::InvalidReply, _) => {
            (format!("an invalid reply: {}", shown(failure.cause())), format!("hookgate refuses it; {CONTRACT}"))
        }
        (class, Some(code)) => {
            let text = failure.cause().strip_prefix(&format!("{code:?}: ")).unwrap_or(failure.cause());
            let message = format!("status {} \"{}\", a failure of class {class}", code_name(code), shown(text));
            (message, of_status(check, code).to_owned())
        }
        (Class::Deadline, None) => (
            format!("does not answer within {budget:?}"),
            "answer within the budget; what takes longer is done behind the answer".to_owned(),
        ),
        (Class::Unavailable, None) if !failure.not_grpc => (
            shown(failure.cause()),
            "the policy closed or reset the connection, or its process ended: look at its log".to_owned(),
        ),
        (_, None) => (shown(failure.cause()), "something that is no gRPC service answers in its place".to_owned()),
    };
    let lenient = matches!(check, Check::Empty | Check::Huge) && status == Some(Code::InvalidArgument);
    Fault { warning: lenient, class: Some(failure.class), status, not_grpc: failure.not_grpc, message, hint }
}

fn of_status(check: Check, code: Code) -> &'static str {
    match (check, code) {
        // Some libraries call a message over their limit out of range.
        (Check::Huge, Code::ResourceExhausted | Code::OutOfRange) => {
            "raise the receive limit of the gRPC server above 1 MiB (4 MiB is the default of most libraries)"
        }
        (Check::Empty | Check::Huge, Code::InvalidArgument) => {
            "a failure all the same: answer OK with a denial if this is to be denied"
        }
        (_, Code::Unimplemented) => "it answers other requests of this rpc: answer OK, with a denial to deny",
        (Check::Duplicate, _) => "answer a second delivery as the first: hookgate delivers at least once, by design",
        _ => NOT_A_VERDICT,
    }
}

/// Whether every release that sends the callback takes the reply as it was meant.
fn as_openim_reads(callback: &Callback, body: &Bytes, reply: &Reply) -> Result<(), Fault> {
    let bytes = reply.body(Config::default().denial.code);
    for release in Release::ALL.into_iter().filter(|release| callback.releases.contains(&release.as_str())) {
        let reading = openim::read(callback, body, &bytes, release);
        let wrong = match (reply, reading) {
            (Reply::Allow { .. }, Reading::Allowed(_)) => continue,
            (Reply::Deny(_), Reading::Denied(told)) if told.code != 0 => continue,
            (_, Reading::Harmful { field, why }) => format!("{field}: {why}"),
            (_, Reading::Unreadable { why, .. }) => format!("it cannot read the reply: {why}"),
            (_, Reading::Allowed(_)) => "it takes the denial for an allow".to_owned(),
            (_, Reading::Denied(_)) => "it takes the reply for another denial".to_owned(),
        };
        return Err(Fault::new(format!("OpenIM {}: {wrong}", release.as_str()), CONTRACT));
    }
    Ok(())
}

/// What of a denial hookgate has to replace.
fn of_denial(denial: Result<proto::Denial, prost::DecodeError>) -> Result<(), Fault> {
    let Ok(denial) = denial else {
        return Err(Fault::warning("a denial in a response that cannot be read", "send the response of this rpc"));
    };
    let sent = Denial::new(denial.code, &denial.message, &denial.detail);
    let default = Config::default().denial.code;
    let mut wrong = String::new();
    if denial.code < LOWEST_CODE {
        let _ = write!(wrong, "a denial with code {}: hookgate sends {} instead", denial.code, sent.code(default));
    }
    if denial.message.is_empty() {
        let joint = if wrong.is_empty() { "a denial" } else { ", and one" };
        let _ = write!(wrong, "{joint} without a message: hookgate sends its own");
    }
    let longest = denial.message.len().max(denial.detail.len());
    if wrong.is_empty() && longest > LONGEST_SENTENCE {
        return Err(Fault::warning(
            format!("a denial with a text of {longest} bytes: hookgate cuts it after {LONGEST_SENTENCE}"),
            "give each denial a sentence that a person reads",
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Fault::warning(
        wrong,
        "give each denial a code of 100 or more (5000 to 9999 is OpenIM's advice) and a sentence",
    ))
}

/// The denial of any response of the contract.
fn denial_in(response: &[u8]) -> Option<Result<proto::Denial, prost::DecodeError>> {
    #[derive(prost::Message)]
    struct Any {
        #[prost(message, optional, tag = "1")]
        denial: Option<proto::Denial>,
    }
    prost::Message::decode(response).map(|any: Any| any.denial).transpose()
}

/// A code as gRPC writes it: `INVALID_ARGUMENT`.
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// A text of the policy, as far as a terminal and XML bear it.
pub fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST_TEXT)
        .map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter })
        .collect();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(callback: &Callback, body: &'static str, reply: &Reply) -> String {
        let read = as_openim_reads(callback, &Bytes::from(body), reply);
        read.expect_err("OpenIM does not read it as meant").message
    }

    fn allow(body: impl Into<Bytes>) -> Reply {
        Reply::Allow { changes: Vec::new(), body: body.into() }
    }

    /// None of these leaves hookgate today; if one ever does, a policy author is told.
    #[test]
    fn a_reply_that_openim_does_not_read_as_meant_is_a_fault() {
        let callback = &Callback::all()[0];
        assert!(said(callback, "{}", &allow("")).contains("it cannot read the reply"));
        assert!(said(callback, "{}", &allow(r#"{"nextCode":1}"#)).contains("another denial"));
        assert!(as_openim_reads(callback, &Bytes::from("{}"), &allow("{}")).is_ok());
        assert!(as_openim_reads(callback, &Bytes::from("{}"), &Reply::Deny(Denial::because("no"))).is_ok());
    }

    #[test]
    fn a_reply_that_harms_openim_is_a_fault() {
        let fields = Callback::all().iter().flat_map(|callback| {
            callback.response.fields.iter().filter(|field| field.rules.only_if_sent).map(move |field| (callback, field))
        });
        for (callback, field) in fields {
            let reply = allow(format!("{{{:?}:\"x\"}}", field.json));
            let said = said(callback, "{}", &reply);
            assert!(said.starts_with("OpenIM 3.") && said.contains(field.json), "{said}");
        }
    }

    #[test]
    fn a_policys_own_words_are_cut_and_cleaned() {
        assert_eq!(shown("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(shown(&"é".repeat(1000)), "é".repeat(LONGEST_TEXT) + "…");
        assert_eq!(code_name(Code::FailedPrecondition), "FAILED_PRECONDITION");
    }
}
