//! Records the best answer to any rpc, on which the readiness of a policy depends whose health check answers HTTP 404.

use std::sync::atomic::{AtomicU8, Ordering};

use super::answer::CallError;
use super::status_tap::NotGrpc;

/// The best answer to an rpc since the connections of a channel were made.
#[derive(Debug, Default)]
pub(super) struct Evidence(AtomicU8);

/// Kinds of answers, by how much they prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Answered {
    /// No answer yet.
    Nothing,
    /// HTTP 404: nothing there serves the contract, so far.
    NotFound,
    /// A gRPC service answers.
    Grpc,
}

impl Evidence {
    /// Records the result of a call; `None` is a response.
    pub(super) fn note(&self, error: Option<&CallError>) {
        let answered = match error {
            None => Answered::Grpc,
            Some(error) if error.not_grpc() == Some(NotGrpc::NOT_FOUND) => Answered::NotFound,
            Some(error) if error.seen.response() && error.not_grpc().is_none() => Answered::Grpc,
            Some(_) => return,
        };
        // Most calls change nothing; they need not write.
        if self.answered() < answered {
            self.0.fetch_max(answered as u8, Ordering::Relaxed);
        }
    }

    /// The best answer so far.
    pub(super) fn answered(&self) -> Answered {
        [Answered::Nothing, Answered::NotFound, Answered::Grpc][usize::from(self.0.load(Ordering::Relaxed)).min(2)]
    }

    /// Resets it: another policy may answer from now on.
    pub(super) fn forget(&self) {
        self.0.store(Answered::Nothing as u8, Ordering::Relaxed);
    }
}
