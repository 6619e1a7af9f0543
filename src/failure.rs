//! Failures of a policy call by class, each with a sentence for the client and a cause for the log.

use std::borrow::Cow;

use tonic::Code;

use crate::contract::InvalidReply;
use crate::cut::cut;

/// The lack of a usable verdict. Its text is the cause, with sources, for the log alone: it may hold addresses.
#[derive(Debug, thiserror::Error)]
#[error("{class}: {cause}")]
pub struct Failure {
    /// Its kind.
    pub class: Class,
    /// The status that the policy itself gave, if it gave one.
    pub status: Option<Code>,
    /// True if the policy was called, or was to be.
    pub asked: bool,
    /// True if something answered over HTTP that is not gRPC.
    pub not_grpc: bool,
    /// The cause.
    pub cause: String,
}

/// Maximum bytes of a cause that are kept for the log.
pub(crate) const LONGEST_CAUSE: usize = 512;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// Not connected, not HTTP/2, reset, `UNAVAILABLE`, or HTTP status 429, 502, 503 or 504 in place of gRPC.
    Unavailable,
    /// The budget is spent, or `DEADLINE_EXCEEDED`.
    Deadline,
    /// `RESOURCE_EXHAUSTED`.
    Overloaded,
    /// `UNIMPLEMENTED`, or HTTP status 404 in place of gRPC: the policy does not answer this callback.
    Unimplemented,
    /// Any other status, two different failures at once, and any other answer that is not gRPC.
    Error,
    /// Not the message of the rpc, too large, or a change that breaks a rule.
    InvalidReply,
}

/// Maximum bytes of an HTTP/2 error's text in a cause.
const LONGEST_QUOTE: usize = 128;

impl Failure {
    /// A failure with its cause and the causes of that.
    pub fn new(class: Class, error: &dyn std::error::Error) -> Self {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let text = error.to_string();
            // HTTP/2's quotes the debug data of a GOAWAY, which is as long as the peer likes.
            let text = if error.is::<h2::Error>() { cut(&text, LONGEST_QUOTE) } else { text.into() };
            // Wrappers repeat the text of what they wrap.
            if !cause.ends_with(&*text) {
                cause.extend([": ", &text]);
            }
            source = error.source();
        }
        // It may hold text of the peer, such as that of a GOAWAY.
        let cause = cut(&cause, LONGEST_CAUSE).into_owned();
        Self { class, status: None, asked: true, not_grpc: false, cause }
    }

    /// A failure without an error value.
    pub fn because(class: Class, cause: impl Into<String>) -> Self {
        Self { class, status: None, asked: true, not_grpc: false, cause: cause.into() }
    }

    /// Marks the failure as hookgate's own: the policy was not called.
    pub fn unasked(self) -> Self {
        Self { asked: false, ..self }
    }

    /// Returns true if the policy refuses the message for its size, as the gRPC libraries of each language say it.
    pub(crate) fn refuses_size(&self) -> bool {
        const SAYINGS: [&str; 3] = ["larger than max", "exceeds maximum size", "message length too large"];
        let may_refuse = matches!(self.status, Some(Code::ResourceExhausted | Code::OutOfRange));
        may_refuse && SAYINGS.iter().any(|saying| self.cause.contains(saying))
    }

    /// The policy's answer, if it gave one: its status, as in `INVALID_ARGUMENT`, or the reason why the answer is no reply.
    /// Without the policy's own words, values and addresses.
    pub(crate) fn answer(&self) -> Option<Cow<'_, str>> {
        match self.status {
            Some(code) => Some(code_name(code).into()),
            None => (self.not_grpc || self.class == Class::InvalidReply).then(|| self.cause.as_str().into()),
        }
    }

    /// The cause without the policy's own words, which may quote content: only the code of a status that it gave.
    pub fn cause_in_our_words(&self) -> Cow<'_, str> {
        match self.status {
            Some(code) if code != Code::Ok => format!("{code:?}").into(),
            _ => self.cause.as_str().into(),
        }
    }
}

impl From<InvalidReply> for Failure {
    fn from(error: InvalidReply) -> Self {
        Self::new(Class::InvalidReply, &error)
    }
}

impl Class {
    /// Every class, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Unavailable, Self::Deadline, Self::Overloaded, Self::Unimplemented, Self::Error, Self::InvalidReply];

    /// Its name in logs: `invalid_reply`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The sentence for the API client.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unavailable => "the policy service is not available",
            Self::Deadline => "the policy service did not answer in time",
            Self::Overloaded => "the policy service is overloaded",
            Self::Unimplemented => "the policy service does not answer this callback",
            Self::Error => "the policy service failed",
            Self::InvalidReply => "the policy service gave an invalid reply",
        }
    }
}

/// Returns true for the statuses by which policies mean to deny, though only `PERMISSION_DENIED` does.
pub(crate) fn is_taken_for_denial(code: Code) -> bool {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, OutOfRange};
    matches!(code, InvalidArgument | NotFound | AlreadyExists | FailedPrecondition | Aborted | OutOfRange)
}

/// Returns an explanation of a status that is easily mistaken, for the author of the policy.
pub(crate) fn hint(code: Code) -> Option<&'static str> {
    match code {
        Code::Unknown => Some("gRPC libraries answer UNKNOWN for an uncaught exception"),
        code if is_taken_for_denial(code) => {
            Some("this status does not deny: a denial in the response or PERMISSION_DENIED does")
        }
        _ => None,
    }
}

/// Returns a code as gRPC writes it: `INVALID_ARGUMENT`.
pub(crate) fn code_name(code: Code) -> String {
    let part = |letter: char| match letter.is_ascii_uppercase() {
        true => format!("_{letter}"),
        false => letter.to_ascii_uppercase().to_string(),
    };
    format!("{code:?}").chars().map(part).collect::<String>().trim_start_matches('_').to_owned()
}
