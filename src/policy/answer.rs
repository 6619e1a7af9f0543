//! The policy's answer to a call, or the failure in its place.

use bytes::Bytes;
use tonic::Code;

use super::channel::{self, Outcome};
use super::grpc::NotGrpc;
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

/// Reasons why a call has no response message.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No response came, or none in time.
    #[error(transparent)]
    Channel(#[from] channel::Error),
    /// The response is not gRPC.
    #[error(transparent)]
    NotGrpc(#[from] NotGrpc),
    /// The policy has sent a status that is not OK, with this message.
    #[error("{0:?}: {message}", message = cut(.1, LONGEST_MESSAGE))]
    Status(Code, String),
    /// A gRPC response broke off.
    #[error(transparent)]
    CutOff(h2::Error),
    /// A gRPC response is not one message within the limit with a status behind it.
    #[error("{0}")]
    Invalid(String),
}

impl CallError {
    /// Returns true if the policy cannot have seen the call.
    pub(super) fn is_not_processed(&self) -> bool {
        matches!(self, Self::Channel(channel::Error::NotProcessed(_)))
    }

    /// Returns the outcome for the circuit breaker, for which any HTTP answer counts as answered. `None` for a broken
    /// connection: it fails all of its calls at once and tells nothing of the next one.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Channel(channel::Error::NotConnected(_)) => Some(Outcome::Unreached),
            Self::Channel(channel::Error::DeadlineExceeded) => Some(Outcome::Unanswered),
            Self::Channel(channel::Error::NotProcessed(error) | channel::Error::Interrupted(error)) => {
                error.is_reset().then_some(Outcome::Unanswered)
            }
            Self::NotGrpc(_) | Self::Status(..) | Self::CutOff(_) | Self::Invalid(_) => Some(Outcome::Answered),
        }
    }

    /// Returns the status of the call for its span: the policy's, or one in its place.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Status(code, _) => *code,
            Self::Channel(channel::Error::DeadlineExceeded) => Code::DeadlineExceeded,
            Self::Channel(_) | Self::CutOff(_) => Code::Unavailable,
            Self::NotGrpc(_) | Self::Invalid(_) => Code::Unknown,
        }
    }

    /// Converts a status that the policy gave into an answer or a failure; everything else is a failure of the call.
    pub(super) fn into_result(self) -> Result<Answer, Failure> {
        let class = match &self {
            Self::Status(Code::PermissionDenied, message) => return Ok(Answer::PermissionDenied(message.clone())),
            Self::Status(code, _) => {
                return Err(Failure { status: Some(*code), ..Failure::because(class_of(*code), self.to_string()) });
            }
            Self::NotGrpc(answer) => return Err(Failure { not_grpc: true, ..Failure::new(answer.class(), answer) }),
            Self::Channel(channel::Error::DeadlineExceeded) => Class::Deadline,
            Self::Channel(_) | Self::CutOff(_) => Class::Unavailable,
            Self::Invalid(_) => Class::InvalidReply,
        };
        Err(Failure::new(class, &self))
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
