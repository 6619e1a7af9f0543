//! Stopping in good order: first nobody new is sent here, then nothing is left in flight.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

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
pub struct Stopping(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    /// True once the drain time is over but for what the last replies need.
    over: AtomicBool,
}

impl Stopping {
    /// Whether it is.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Relaxed)
    }

    pub(super) fn begin(&self) {
        self.0.stopping.store(true, Relaxed);
    }

    /// Ends the futures of [`Self::unless_over`] at their next poll, so that their webhooks still get a reply.
    pub(super) fn end(&self) {
        self.0.over.store(true, Relaxed);
    }

    /// The output of a future of a connection; `None` once the drain time is over.
    pub(super) fn unless_over<F: Future>(&self, mut future: Pin<&mut F>) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| match self.0.over.load(Relaxed) {
            true => Poll::Ready(None),
            false => future.as_mut().poll(cx).map(Some),
        })
    }
}

/// Asks the client to close the connection with this reply: one that it closes itself is never closed under a request.
pub(super) fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
