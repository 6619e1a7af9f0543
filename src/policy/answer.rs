//! The policy's answer to a call, or the failure in its place.

use std::error::Error as _;

use bytes::Bytes;
use tonic::{Code, Status};

use super::channel::{self, Outcome};
use super::status_tap::{NotGrpc, StatusTap, cause, not_grpc};
use crate::cut::cut;
use crate::failure::{Class, Failure};

/// Maximum bytes of a status's message that go to the log.
const LONGEST_MESSAGE: usize = 256;

/// An answer of the policy.
#[derive(Debug)]
pub enum Answer {
    /// `OK`, with the encoded response message.
    Response(Bytes),
    /// `PERMISSION_DENIED`, with the status message.
    PermissionDenied(String),
}

/// A call that ended without a response message.
pub(super) struct CallError {
    pub(super) seen: StatusTap,
    pub(super) status: Status,
}

impl CallError {
    /// Returns true if the policy cannot have seen the call.
    pub(super) fn is_not_processed(&self) -> bool {
        matches!(cause(&self.status), Some(channel::Error::NotProcessed(_)))
    }

    /// Returns the HTTP answer, if it is not gRPC.
    pub(super) fn not_grpc(&self) -> Option<NotGrpc> {
        not_grpc(&self.status, &self.seen)
    }

    /// Returns the outcome for the circuit breaker, for which any HTTP answer counts as answered. `None` for a broken
    /// connection: it fails all of its calls at once and tells nothing of the next one.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match cause::<channel::Error>(&self.status) {
            _ if self.seen.response() || self.not_grpc().is_some() => Some(Outcome::Answered),
            Some(channel::Error::NotConnected(_)) => Some(Outcome::Unreached),
            Some(channel::Error::DeadlineExceeded) => Some(Outcome::Unanswered),
            Some(_) if cause::<h2::Error>(&self.status).is_none_or(|error| !error.is_reset()) => None,
            _ => Some(Outcome::Unanswered),
        }
    }

    /// Returns true if the policy itself gave the status `CANCELLED`.
    pub(super) fn is_cancelled(&self) -> bool {
        self.seen.status() == Some(Code::Cancelled)
    }

    /// Converts a status that the policy gave into an answer or a failure; a status that tonic made is a failure of the
    /// call.
    pub(super) fn into_result(self) -> Result<Answer, Failure> {
        match self.seen.failure() {
            Some(Code::PermissionDenied) => Ok(Answer::PermissionDenied(self.seen.message())),
            Some(code) => {
                let cause = format!("{code:?}: {}", cut(&self.seen.message(), LONGEST_MESSAGE));
                Err(Failure::because(class_of(code), cause).with_status(Some(code)))
            }
            None => Err(self.without_status()),
        }
    }

    /// Returns the failure of a call that got no status from the policy, or an OK without a message.
    fn without_status(&self) -> Failure {
        let Self { seen, status } = self;
        if let Some(answer) = self.not_grpc() {
            return Failure::not_grpc(answer.class(), &answer);
        }
        let class = match cause::<channel::Error>(status) {
            _ if cause::<tonic::TimeoutExpired>(status).is_some() => Class::Deadline,
            Some(channel::Error::DeadlineExceeded) => Class::Deadline,
            // Without a source: tonic could not decode the message, or it was too large.
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

/// Returns the failure class of a status that is neither OK nor `PERMISSION_DENIED`.
fn class_of(code: Code) -> Class {
    match code {
        Code::Unavailable => Class::Unavailable,
        Code::DeadlineExceeded => Class::Deadline,
        Code::ResourceExhausted => Class::Overloaded,
        Code::Unimplemented => Class::Unimplemented,
        _ => Class::Error,
    }
}
