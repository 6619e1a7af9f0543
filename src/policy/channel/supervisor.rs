//! The background tasks of a [`Target`](super::target::Target): one resolves the name, and one for each endpoint keeps it
//! connected.
//!
//! A new address is connected and gets its share of the calls. An address to which the name no longer resolves is
//! *drained* as soon as another one is connected and in no worse health: it gets no new calls, those in flight end, then the
//! connection is closed. A look-up that fails or finds nothing leaves the endpoints as they are; its error is kept for
//! `/status` and for calls that fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::breaker::Breaker;
use super::call::CallSender;
use super::connection::{CloseReason, Connection};
use super::dial::connect;
use super::endpoint::State;
use super::keepalive::Pings;
use super::pool::Pool;
use super::resolver::{self, Resolve};
use super::subchannel::Subchannel;
use super::tls::Tls;
use crate::backoff::doubling;
use crate::config::{self, Address};
use crate::cut::cut;
use crate::failure::LONGEST_CAUSE;

/// Keeps the endpoints of a target connected.
#[derive(Clone)]
pub(super) struct Supervisor {
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) tls: Option<Tls>,
    pub(super) resolve: Resolve,
    pub(super) settings: config::Channel,
}

/// The pause after a first failed attempt to connect. It doubles up to `channel.reconnect_max`, or up to
/// [`STANDBY_PAUSE_MAX`] while another endpoint is ready.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Maximum pause while another endpoint carries the calls.
const STANDBY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Minimum time between the beginnings of two attempts that calls have requested.
const REQUESTED_PAUSE: Duration = Duration::from_millis(5);

impl Supervisor {
    /// Resolves the name, again and again, and starts a task for each new address.
    pub(super) async fn run(self) {
        let mut endpoints = JoinSet::new();
        let mut last_failure = None;
        loop {
            let requested = self.pool.balancer.lock().look_ups_requested;
            let found = resolver::look_up(&self.resolve, self.settings.connect_timeout).await;
            let failure = found.as_ref().err().cloned();
            if let Some(why) = &failure
                && last_failure != failure
            {
                warn!(why, "policy name not resolved");
            }
            last_failure = failure;
            for address in self.pool.change(|balancer| balancer.resolved(requested, found)) {
                debug!(%address, "policy address found");
                endpoints.spawn(self.clone().keep_connected(address));
            }
            // Frees the tasks of addresses to which the name no longer resolves.
            while endpoints.try_join_next().is_some() {}
            resolver::next_look_up(&self.pool, &self.settings).await;
        }
    }

    /// Keeps one endpoint connected, while the name resolves to it.
    async fn keep_connected(self, address: Address) {
        let (mut next_pause, mut pings, outlier) = (PAUSE_MIN, Pings::new(&self.settings), Arc::default());
        let (mut last_was_useless, mut last_failure) = (false, None);
        while self.pool.change(|balancer| balancer.keep_if_resolved(&address)) {
            let begun = Instant::now();
            let requests = self.pool.balancer.lock().begin_attempt(&address, begun);
            let subchannel = Subchannel::new(address.clone(), Arc::clone(&outlier), self.pool.changes.clone());
            let subchannel = Arc::new(subchannel);
            let connected = connect(&subchannel, self.tls.as_ref(), pings, self.settings.connect_timeout);
            let (why, fast) = match connected.await {
                Ok(connection) => {
                    last_failure = None;
                    let useless = self.serve(&subchannel, connection, &mut pings).await;
                    if useless.is_none() {
                        next_pause = PAUSE_MIN;
                    }
                    let was_useless = std::mem::replace(&mut last_was_useless, useless.is_some());
                    match useless {
                        // The second useless connection in a row counts as a failed attempt.
                        Some(why) if was_useless => (why, false),
                        _ => {
                            self.pool.change(|balancer| balancer.lost(&subchannel));
                            continue;
                        }
                    }
                }
                Err(error) => {
                    let why = cut(&error.to_string(), LONGEST_CAUSE).into_owned();
                    (why, error.is_fast(begun.elapsed()))
                }
            };
            if last_failure.replace(why.clone()).as_ref() != Some(&why) {
                warn!(%address, why, "policy connection failed");
            }
            let failed = State::TransientFailure { attempt: begun, why, fast };
            self.pool.change(|balancer| balancer.set_state(&address, failed));
            self.pause(&address, begun, &requests, &mut next_pause).await;
        }
    }

    /// Has a connection carry calls, for as long as it takes new ones. Returns the reason why it ended, if it was useless: no
    /// response arrived on it, and it did not last for `channel.reconnect_max`.
    async fn serve(
        &self,
        subchannel: &Arc<Subchannel>,
        mut connection: Connection,
        pings: &mut Pings,
    ) -> Option<String> {
        let (address, connected) = (&subchannel.address, Instant::now());
        let sender = CallSender::new(connection.sender.clone());
        self.pool.change(|balancer| balancer.connected(subchannel, sender));
        self.breaker.connected();
        info!(%address, "policy connected");
        let reason = tokio::select! {
            reason = connection.closed() => reason,
            () = self.pool.until(|balancer| balancer.is_draining(subchannel)) => {
                info!(%address, "policy address left the name, draining connection");
                let drained = tokio::spawn(connection.drain());
                let why = tokio::select! {
                    _ = drained => "the name no longer resolves to it",
                    () = self.pool.until(|balancer| balancer.is_resolved(address)) => "the name resolves to it again",
                };
                info!(%address, why, "policy disconnected");
                return None;
            }
        };
        let why = reason.to_string();
        info!(%address, why, "policy disconnected");
        if reason.is_too_many_pings() {
            *pings = pings.doubled();
            let keep_alive = pings.keep_alive;
            warn!(%address, ?keep_alive, "policy says too_many_pings, pinging half as often");
        }
        match reason {
            CloseReason::Draining(_) => drop(tokio::spawn(connection.drain())),
            CloseReason::Broken(_) if subchannel.in_flight.load(Ordering::Relaxed) > 0 => subchannel.outlier.fail(),
            CloseReason::Broken(_) => {}
        }
        let is_useful = subchannel.responses() > 0 || connected.elapsed() >= self.settings.reconnect_max;
        (!is_useful).then_some(why)
    }

    /// Waits after a failed attempt that began at `attempt`: with exponential backoff, or shortly if a call requests
    /// another attempt. Ends early if the name no longer resolves to the address.
    ///
    /// The pause is at most `channel.reconnect_max` while no endpoint is ready, else at most [`STANDBY_PAUSE_MAX`]; `next`
    /// becomes twice that. So an outage of all endpoints leaves it at twice `channel.reconnect_max`, and the others retry soon
    /// after the first one is back.
    async fn pause(&self, address: &Address, attempt: Instant, requests: &Notify, next: &mut Duration) {
        let paused = Instant::now();
        let [reconnect, standby] =
            [self.settings.reconnect_max, STANDBY_PAUSE_MAX].map(|longest| doubling(*next, longest));
        let backoff = async {
            let mut changes = self.pool.changes.subscribe();
            while self.pool.balancer.lock().is_resolved(address) {
                let (pause, doubled) = if self.pool.balancer.lock().any_ready() { standby } else { reconnect };
                if timeout_at(paused + pause, changes.changed()).await.is_err() {
                    *next = doubled;
                    return;
                }
            }
        };
        tokio::select! {
            () = backoff => {}
            () = requests.notified() => sleep_until(attempt + REQUESTED_PAUSE).await,
        }
    }
}
