//! Remembers the best answer to any rpc: the readiness of a policy whose health answers HTTP 404 depends on it.

use std::sync::atomic::{AtomicU8, Ordering};

use super::answer::Unanswered;
use super::status_tap::NotGrpc;

/// The best answer that an rpc of a channel has had since the connections were made.
#[derive(Debug, Default)]
pub(super) struct Rpcs(AtomicU8);

/// The one who answers rpcs, in the order of what that proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Answered {
    /// Nothing.
    Nothing,
    /// Something that answers HTTP 404 to all of them.
    NotFound,
    /// A gRPC service.
    Grpc,
}

impl Rpcs {
    /// Notes how a call ended; none for an answer.
    pub(super) fn note(&self, unanswered: Option<&Unanswered>) {
        let answered = match unanswered {
            None => Answered::Grpc,
            Some(unanswered) if unanswered.not_grpc() == Some(NotGrpc::NOT_FOUND) => Answered::NotFound,
            Some(unanswered) if unanswered.seen.response() && unanswered.not_grpc().is_none() => Answered::Grpc,
            Some(_) => return,
        };
        // Most calls tell nothing new.
        if self.answered() < answered {
            self.0.fetch_max(answered as u8, Ordering::Relaxed);
        }
    }

    /// The best answer so far.
    pub(super) fn answered(&self) -> Answered {
        [Answered::Nothing, Answered::NotFound, Answered::Grpc][usize::from(self.0.load(Ordering::Relaxed)).min(2)]
    }

    /// Begins anew: another policy may answer from here on.
    pub(super) fn forget(&self) {
        self.0.store(Answered::Nothing as u8, Ordering::Relaxed);
    }
}
