//! Stopping in good order: first nobody new is sent here, then nothing is left in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderValue, header};

use super::Response;

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are accepted until the drain delay is over: whoever routes webhooks here has to notice first.
    Drain,
    /// No new connections from now on.
    Now,
}

/// Whether hookgate is stopping.
#[derive(Debug, Clone, Default)]
pub struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// Whether it is.
    pub fn is_stopping(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(super) fn begin(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Asks the client to close the connection with this reply: one that it closes itself is never closed under a request.
pub(super) fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
