//! Accepts connections, and closes them gracefully in the end.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::connection::serve_connection;
use super::layers::Next;
use super::limits::{BoundedTasks, Descriptors};
use super::listener::{Accepted, Listener, pause};
use super::{Stop, Webhooks, handshake};
use crate::observe::rejected::Reason;
use crate::policy::Transport;

/// The time in which the last connections must begin their request: it may be on its way when hookgate stops to accept.
const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// The end of the drain time that is left for the replies of calls without a verdict by then; a tenth of a short drain time.
const LAST_REPLIES: Duration = Duration::from_millis(100);

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

struct Acceptor<T, S> {
    webhooks: Arc<Webhooks<T>>,
    column: S,
    descriptors: Descriptors,
    /// The connections over the limit.
    over_limit: BoundedTasks,
    shutdown: ShutdownGuard,
}

/// Serves every connection until `until` ends, then until every call has its reply or the drain time is over. Returns the
/// end of the drain time.
pub(super) async fn serve<T: Transport, S: Next<T>>(
    mut listener: Listener,
    webhooks: Arc<Webhooks<T>>,
    column: S,
    until: impl Future<Output = Stop>,
) -> Instant {
    let ((busy, mut none_busy), (open, mut none_open)) = (mpsc::channel(1), mpsc::channel(1));
    let (stages, stage) = watch::channel(Stage::Running);
    let shared = webhooks.shared.clone();
    let descriptors = Descriptors::of_this_process();
    let over_limit = BoundedTasks::new(descriptors.over_limit);
    let shutdown = ShutdownGuard { stage, busy, open };
    let mut acceptor = Acceptor { webhooks, column, descriptors, over_limit, shutdown };
    let stop = tokio::select! {
        stop = until => stop,
        never = acceptor.accept(&listener) => match never {},
    };
    shared.draining.store(true, Relaxed);
    shared.stopping.cancel();
    let delay = shared.config.now().drain.delay;
    if stop == Stop::Drain && !delay.is_zero() {
        info!(?delay, "drain delay: still accepting, closing each connection with its next reply");
        acceptor.accept_for(&listener, delay).await;
    }
    let drain = shared.config.now().drain.time;
    let give_up = Instant::now() + drain;
    listener.turn_away();
    acceptor.accept_for(&listener, FIRST_REQUEST).await;
    match listener.close() {
        Ok(left) => {
            for accepted in left {
                acceptor.spawn(accepted);
                yield_now().await;
            }
        }
        Err(error) => debug!(%error, "cannot accept the last connections"),
    }
    // Its guards would be waited for.
    drop(acceptor);
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

impl<T: Transport, S: Next<T>> Acceptor<T, S> {
    async fn accept(&mut self, listener: &Listener) -> Infallible {
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    if self.spawn(accepted) {
                        // The connection that made room ends first.
                        yield_now().await;
                    }
                }
                Err(error) => {
                    // Out of descriptors: the oldest connection over the limit has had time for its reply.
                    let is_of_caller = matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted);
                    if !is_of_caller && self.over_limit.abort_oldest() {
                        self.count_aborted();
                    }
                    pause(&error).await;
                }
            }
        }
    }

    async fn accept_for(&mut self, listener: &Listener, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            never = self.accept(listener) => match never {},
        }
    }

    /// Serves a connection on a task of its own. Returns true if it is over the limit.
    fn spawn(&mut self, (stream, address): Accepted) -> bool {
        let shared = &self.webhooks.shared;
        let connected = shared.status.connected();
        let config = shared.config.now();
        let max = config.limits.connections.min(self.descriptors.webhooks);
        let over_limit = shared.status.connections() > max;
        let (webhooks, column, mut shutdown) = (self.webhooks.clone(), self.column.clone(), self.shutdown.clone());
        let task = tokio::spawn(async move {
            let _connected = connected;
            let accepted = tokio::select! {
                biased;
                accepted = handshake::accept(stream, address, config.tls.as_ref(), config.every.budget) => accepted,
                // A connection still in its handshake is not waited for.
                _ = shutdown.stage.wait_for(|stage| *stage > Stage::Running) => return,
            };
            match accepted {
                Ok((io, caller)) => {
                    serve_connection(io, caller, over_limit, config, webhooks, column, shutdown).await;
                }
                Err((reason, why)) => webhooks.shared.status.callers_refused.connection(reason, address, &why),
            }
        });
        if over_limit && self.over_limit.push(task.abort_handle()) {
            self.count_aborted();
        }
        over_limit
    }

    fn count_aborted(&self) {
        let why = "a connection over the limit has ended for a newer one";
        self.webhooks.shared.status.callers_refused.connection(Reason::OverLimit, None, why);
    }
}
