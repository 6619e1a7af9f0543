//! What the policy said, or why it said nothing.

use std::error::Error as _;

use bytes::Bytes;
use tonic::{Code, Status};

use super::channel::{self, Outcome};
use super::status_tap::{NotGrpc, StatusTap, cause, not_grpc};
use crate::contract::Callback;
use crate::contract::{Denial, Reply};
use crate::cut::cut;
use crate::failure::{Class, Failure};

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
    pub(super) seen: StatusTap,
    pub(super) status: Status,
}

impl Unanswered {
    /// Whether the policy cannot have seen the call.
    pub(super) fn is_not_taken(&self) -> bool {
        matches!(cause(&self.status), Some(channel::Error::NotTaken(_)))
    }

    /// The answer, if it is none of gRPC's.
    pub(super) fn not_grpc(&self) -> Option<NotGrpc> {
        not_grpc(&self.status, &self.seen)
    }

    /// The outcome for the breaker, to which any HTTP answer is one. A connection that dies takes all of its calls with
    /// it, and says nothing of the next one.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match cause::<channel::Error>(&self.status) {
            _ if self.seen.response() || self.not_grpc().is_some() => Some(Outcome::Answered),
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
        match self.seen.failure() {
            Some(Code::PermissionDenied) => Ok(Answer::PermissionDenied(self.seen.message())),
            Some(code) => {
                let cause = format!("{code:?}: {}", cut(&self.seen.message(), LONGEST_MESSAGE));
                Err(Failure::because(class_of(code), cause).with_status(Some(code)))
            }
            None => Err(self.without_status()),
        }
    }

    /// The failure of a call to which the policy gave no status, or an OK and nothing to go with it.
    fn without_status(&self) -> Failure {
        let Self { seen, status } = self;
        if let Some(answer) = self.not_grpc() {
            return Failure::not_grpc(answer.class(), &answer);
        }
        let class = match cause::<channel::Error>(status) {
            _ if cause::<tonic::TimeoutExpired>(status).is_some() => Class::Deadline,
            Some(channel::Error::Late) => Class::Deadline,
            // No source: tonic did not like the bytes, or their number.
            _ if seen.response() && status.source().is_none() => Class::InvalidReply,
            _ => Class::Unavailable,
        };
        let failure = match status.source() {
            Some(cause) => Failure::new(class, cause),
            None => Failure::because(class, format!("{:?}: {}", status.code(), cut(status.message(), LONGEST_MESSAGE))),
        };
        failure.with_status(seen.status())
    }
}

/// The class of a status that is neither OK nor a denial.
fn class_of(code: Code) -> Class {
    match code {
        Code::Unavailable => Class::Unavailable,
        Code::DeadlineExceeded => Class::Deadline,
        Code::ResourceExhausted => Class::Overloaded,
        Code::Unimplemented => Class::Unimplemented,
        _ => Class::Error,
    }
}
