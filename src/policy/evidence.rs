//! Records the best answer to any rpc, on which the readiness of a policy depends whose health check answers HTTP 404.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::answer::CallError;
use super::grpc::NotGrpc;

/// The answers to rpcs since the connections of a channel were made.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// True if a gRPC service has answered.
    pub(super) grpc: AtomicBool,
    /// True if an rpc was answered with HTTP 404: unless another one was by gRPC, nothing there serves the contract.
    pub(super) not_found: AtomicBool,
}

impl Evidence {
    /// Records the result of a call.
    pub(super) fn note<T>(&self, result: &Result<T, CallError>) {
        let seen = match result {
            Err(CallError::NotGrpc(NotGrpc::NOT_FOUND)) => &self.not_found,
            Err(CallError::NotGrpc(_) | CallError::Channel(_)) => return,
            Ok(_) | Err(_) => &self.grpc,
        };
        // Most calls change nothing; they need not write.
        if !seen.load(Relaxed) {
            seen.store(true, Relaxed);
        }
    }

    /// Resets it: another policy may answer from now on.
    pub(super) fn forget(&self) {
        self.grpc.store(false, Relaxed);
        self.not_found.store(false, Relaxed);
    }
}
