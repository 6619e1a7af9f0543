//! Graceful shutdown: first clients are turned away, then calls in flight are finished.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

/// The way to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are accepted until the drain delay is over, so that load balancers can notice first.
    Drain,
    /// No connection is accepted from now on.
    Now,
}

/// The end of the drain time, less what the last replies need. A flag that is polled, as each connection is woken by the
/// shutdown itself: a `CancellationToken` would lock its list of waiters for each call.
#[derive(Debug, Default)]
pub(super) struct DrainDeadline(AtomicBool);

impl DrainDeadline {
    /// Has the futures of [`Self::cut_off`] end at their next poll.
    pub(super) fn pass(&self) {
        self.0.store(true, Relaxed);
    }

    /// Polls a future of a connection; `None` once the deadline has passed, so that its webhook still gets a reply.
    pub(super) fn cut_off<F: Future>(&self, mut future: Pin<&mut F>) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| match self.0.load(Relaxed) {
            true => Poll::Ready(None),
            false => future.as_mut().poll(cx).map(Some),
        })
    }
}
