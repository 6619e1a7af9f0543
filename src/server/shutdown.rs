//! Graceful shutdown: clients are turned away, connections closed, and calls in flight finished, in this order.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::coop::has_budget_remaining;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::Shared;
use super::connections::Acceptor;
use super::layers::Next;
use super::listener::Listener;
use crate::policy::Transport;

/// The time in which the last connections must begin their request: it may be on its way when hookgate stops to accept.
const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// The end of the drain time that is left for the replies of calls without a verdict by then; a tenth of a short drain time.
const LAST_REPLIES: Duration = Duration::from_millis(100);

/// The way to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are accepted until the drain delay is over, so that load balancers can notice first.
    Drain,
    /// There is no drain delay: only connections that are already on their way are accepted.
    Now,
}

/// The stages of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// Connections that are not idle are closed with their next reply.
    CloseBusy,
    /// All are closed.
    CloseAll,
    /// Calls without a verdict end too: the failure rules decide.
    DeadlinePassed,
}

/// Follows a shutdown on behalf of a connection, which holds one guard until it is idle for good, and one until it has ended.
#[derive(Clone)]
pub(super) struct ShutdownGuard {
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) busy: mpsc::Sender<Infallible>,
    pub(super) open: mpsc::Sender<Infallible>,
}

/// The server's side of a shutdown.
pub(super) struct Shutdown {
    stages: watch::Sender<Stage>,
    /// Ends when no connection is busy.
    none_busy: mpsc::Receiver<Infallible>,
    /// Ends when no connection is open.
    none_open: mpsc::Receiver<Infallible>,
}

impl Shutdown {
    /// Returns a shutdown to come, and the guard whose clones connections hold.
    pub(super) fn new() -> (Self, ShutdownGuard) {
        let ((busy, none_busy), (open, none_open)) = (mpsc::channel(1), mpsc::channel(1));
        let (stages, stage) = watch::channel(Stage::Running);
        (Self { stages, none_busy, none_open }, ShutdownGuard { stage, busy, open })
    }

    /// Stops accepting connections, and waits until every call has its reply or the drain time is over. Returns the end of
    /// the drain time.
    pub(super) async fn drain<T: Transport, S: Next<T>>(
        self,
        mut listener: Listener,
        mut acceptor: Acceptor<T, S>,
        stop: Stop,
    ) -> Instant {
        let shared = acceptor.webhooks.shared.clone();
        shared.draining.store(true, Relaxed);
        shared.stopping.cancel();
        let delay = shared.config.now().drain.delay;
        if stop == Stop::Drain && !delay.is_zero() {
            info!(?delay, "drain delay: still accepting, closing each connection with its next reply");
            acceptor.accept_until(&listener, sleep(delay)).await;
        }
        let drain = shared.config.now().drain.time;
        let give_up = Instant::now() + drain;
        if listener.is_inherited() {
            // New connections wait in the socket's queue for the next process.
            info!("leaving new connections to the next process");
            drop(listener);
        } else {
            listener.turn_away();
            acceptor.accept_until(&listener, sleep(FIRST_REQUEST)).await;
            match listener.close() {
                Ok(left) => {
                    for accepted in left {
                        acceptor.spawn(accepted);
                        yield_now().await;
                    }
                }
                Err(error) => debug!(%error, "cannot accept the last connections"),
            }
        }
        // Its guards would be waited for.
        drop(acceptor);
        let Self { stages, mut none_busy, mut none_open } = self;
        let mut ended = pin!(async {
            let _ = timeout(FIRST_REQUEST, none_open.recv()).await;
            // A request on its way over an idle connection finds it open for as long as possible.
            stages.send_replace(Stage::CloseBusy);
            none_busy.recv().await;
            stages.send_replace(Stage::CloseAll);
            none_open.recv().await;
        });
        if timeout_at(give_up - LAST_REPLIES.min(drain / 10), &mut ended).await.is_err() {
            // The new stage wakes the calls that have no verdict.
            shared.deadline.pass();
            stages.send_replace(Stage::DeadlinePassed);
            if timeout_at(give_up, ended).await.is_err() {
                warn!("drain time over, calls cut off");
            }
        }
        give_up
    }
}

/// Polls a future that only a shutdown completes: at the first poll, which registers the task, and then only while draining. A
/// connection is polled several times in each call, and each poll of a watch channel takes its lock.
pub(super) fn polled_while_draining<F: Future>(
    shared: &Shared,
    mut future: Pin<&mut F>,
) -> impl Future<Output = F::Output> {
    let mut is_registered = false;
    poll_fn(move |cx| {
        if is_registered && !shared.draining.load(Relaxed) {
            return Poll::Pending;
        }
        // Without budget the poll would not reach the channel.
        is_registered = has_budget_remaining();
        future.as_mut().poll(cx)
    })
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
