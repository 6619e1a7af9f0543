//! What the policy said, or why it said nothing.

use std::borrow::Cow;
use std::error::Error as _;

use bytes::Bytes;
use tonic::{Code, Status};

use super::channel::{self, Outcome};
use super::observe::{NotGrpc, Seen};
use crate::callback::Callback;
use crate::error::{Class, Failure};
use crate::verdict::{Denial, Reply};

/// How many bytes of a status's message go to the log.
const LONGEST_MESSAGE: usize = 256;

/// What the policy said.
#[derive(Debug)]
pub enum Answer {
    /// `OK`, with the encoded response message.
    Response(Bytes),
    /// `PERMISSION_DENIED`, with the status message.
    PermissionDenied(String),
}

impl Answer {
    /// The reply to the webhook that was asked about, whose body is `body`.
    pub fn into_reply(self, callback: &Callback, body: &[u8]) -> Result<Reply, Failure> {
        match self {
            Self::Response(response) => Ok(callback.reply(&response, body)?),
            Self::PermissionDenied(message) => Ok(Reply::Deny(Denial::because(&message))),
        }
    }
}

/// A call without an answer.
pub(super) struct Unanswered {
    pub(super) seen: Seen,
    pub(super) status: Status,
}

impl Unanswered {
    /// Whether the policy cannot have seen the call.
    pub(super) fn is_not_taken(&self) -> bool {
        matches!(cause(&self.status), Some(channel::Error::NotTaken(_)))
    }

    /// What it means to the breaker. A connection that dies takes all of its calls with it, and says nothing of the next
    /// one.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match cause::<channel::Error>(&self.status) {
            _ if self.seen.response() || cause::<NotGrpc>(&self.status).is_some() => Some(Outcome::Answered),
            Some(channel::Error::NotConnected(_)) => Some(Outcome::Unreached),
            Some(channel::Error::Late) => Some(Outcome::Unanswered),
            Some(_) if cause::<h2::Error>(&self.status).is_none_or(|error| !error.is_reset()) => None,
            _ => Some(Outcome::Unanswered),
        }
    }

    /// Whether the policy itself has cancelled the call.
    pub(super) fn is_cancelled(&self) -> bool {
        self.seen.status() == Some(Code::Cancelled)
    }

    /// Tells a status that the policy gave from one that tonic made of what happened here.
    pub(super) fn into_answer(self) -> Result<Answer, Failure> {
        let Self { seen, status } = self;
        let class = match (seen.status(), status.code()) {
            (Some(Code::Ok), _) => Class::InvalidReply,
            (Some(_), Code::PermissionDenied) => return Ok(Answer::PermissionDenied(status.message().to_owned())),
            (Some(_), Code::Unavailable) => Class::Unavailable,
            (Some(_), Code::DeadlineExceeded) => Class::Deadline,
            (Some(_), Code::ResourceExhausted) => Class::Overloaded,
            (Some(_), Code::Unimplemented) => Class::Unimplemented,
            (Some(_), _) => Class::Error,
            (None, _) if cause::<tonic::TimeoutExpired>(&status).is_some() => Class::Deadline,
            (None, _) if matches!(cause(&status), Some(channel::Error::Late)) => Class::Deadline,
            (None, _) if cause::<NotGrpc>(&status).is_some() => Class::Error,
            // No source: tonic did not like the bytes, or their number.
            (None, _) if seen.response() && status.source().is_none() => Class::InvalidReply,
            (None, _) => Class::Unavailable,
        };
        let failure = match status.source() {
            Some(cause) => Failure::new(class, cause),
            None => Failure::because(class, format!("{:?}: {}", status.code(), cut(status.message()))),
        };
        Err(failure.with_status(seen.status()))
    }
}

/// The beginning of what a status says: it is as long as the policy likes, and may quote what it was asked.
fn cut(message: &str) -> Cow<'_, str> {
    if message.len() <= LONGEST_MESSAGE {
        return message.into();
    }
    let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &message[..end]).into()
}

/// What lies under a status.
pub(super) fn cause<E: std::error::Error + 'static>(status: &Status) -> Option<&E> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn what_a_status_says_is_cut_between_letters() {
        let letters = "ä".repeat(128);
        assert_eq!(cut(&letters), letters);
        assert_eq!(cut(&format!("x{letters}")), format!("x{}…", "ä".repeat(127)));
    }
}
