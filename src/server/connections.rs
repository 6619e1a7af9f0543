//! Accepts connections, within the limits.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::connection::serve_connection;
use super::layers::Next;
use super::limits::{BoundedTasks, Descriptors};
use super::listener::{Accepted, Listener, pause};
use super::shutdown::{Shutdown, ShutdownGuard, Stage, Stop};
use super::{ServerState, handshake};
use crate::observe::rejected::Reason;
use crate::policy::Transport;

/// The state of the loop that accepts connections.
pub(super) struct Acceptor<T, S> {
    pub(super) webhooks: Arc<ServerState<T>>,
    stack: S,
    descriptors: Descriptors,
    /// The connections over the limit.
    over_limit: BoundedTasks,
    shutdown: ShutdownGuard,
}

/// Serves every connection until `until` ends, then until every call has its reply or the drain time is over. Returns the
/// end of the drain time.
pub(super) async fn serve<T: Transport, S: Next<T>>(
    listener: Listener,
    webhooks: Arc<ServerState<T>>,
    stack: S,
    until: impl Future<Output = Stop>,
) -> Instant {
    let (shutdown, guard) = Shutdown::new();
    let descriptors = Descriptors::of_this_process();
    let over_limit = BoundedTasks::new(descriptors.over_limit);
    let mut acceptor = Acceptor { webhooks, stack, descriptors, over_limit, shutdown: guard };
    let stop = acceptor.accept_until(&listener, until).await;
    shutdown.drain(listener, acceptor, stop).await
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

    /// Accepts until a future ends.
    pub(super) async fn accept_until<F: Future>(&mut self, listener: &Listener, until: F) -> F::Output {
        tokio::select! {
            ended = until => ended,
            never = self.accept(listener) => match never {},
        }
    }

    /// Serves a connection on a task of its own. Returns true if it is over the limit.
    pub(super) fn spawn(&mut self, (stream, address): Accepted) -> bool {
        let shared = &self.webhooks.shared;
        let connected = shared.status.connections.hold();
        let config = shared.config.now();
        let max = config.limits.connections.min(self.descriptors.webhooks);
        let over_limit = shared.status.connections.held() > max;
        let (webhooks, stack, mut shutdown) = (self.webhooks.clone(), self.stack.clone(), self.shutdown.clone());
        let task = tokio::spawn(async move {
            let _connected = connected;
            let accepted = tokio::select! {
                biased;
                accepted = handshake::accept(stream, address, config.tls.server.as_ref(), config.budget) => accepted,
                // A connection still in its handshake is not waited for.
                _ = shutdown.stage.wait_for(|stage| *stage > Stage::Running) => return,
            };
            match accepted {
                Ok((io, caller)) => {
                    serve_connection(io, caller, over_limit, config, webhooks, stack, shutdown).await;
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
