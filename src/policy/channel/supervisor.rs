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

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::breaker::Breaker;
use super::dial::{CloseReason, Connection, Dialer, Established};
use super::endpoint::Failed;
use super::keepalive::Pings;
use super::pool::Pool;
use super::resolver::{self, Resolve};
use super::subchannel::Subchannel;
use crate::backoff::doubling;
use crate::config::{self, Address};

/// Keeps the endpoints of a target connected.
#[derive(Clone)]
pub(super) struct Supervisor {
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) dialer: Arc<Dialer>,
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

/// A connection that takes no more calls.
struct Ended {
    subchannel: Arc<Subchannel>,
    why: String,
    /// True if a response arrived on it, or it lasted for `channel.reconnect_max`.
    useful: bool,
}

impl Supervisor {
    /// Resolves the name, again and again, and starts a task for each new address.
    pub(super) async fn run(self) {
        let mut endpoints = JoinSet::new();
        let mut last_failure = None;
        loop {
            let requested = self.pool.look_ups_requested();
            match resolver::look_up(&self.resolve, self.settings.connect_timeout).await {
                Ok(addresses) => {
                    last_failure = None;
                    for address in self.pool.resolved(requested, &addresses) {
                        debug!(%address, "policy address found");
                        endpoints.spawn(self.clone().keep_connected(address));
                    }
                }
                Err(why) => {
                    if last_failure.replace(why.clone()).as_ref() != Some(&why) {
                        warn!(why, "policy name not resolved");
                    }
                    self.pool.unresolved(requested, why);
                }
            }
            // Frees the tasks of addresses to which the name no longer resolves.
            while endpoints.try_join_next().is_some() {}
            resolver::next_look_up(&self.pool, &self.settings).await;
        }
    }

    /// Keeps one endpoint connected, while the name resolves to it.
    async fn keep_connected(self, address: Address) {
        let mut next_pause = PAUSE_MIN;
        let mut last_was_useful = true;
        let mut last_failure = None;
        let mut pings = Pings::new(&self.settings);
        while self.pool.keep_if_resolved(&address) {
            let (begun, attempt) = (Instant::now(), self.pool.begin_attempt(&address));
            let failed = match self.dialer.connect(&address).await {
                Ok(established) => {
                    last_failure = None;
                    let Ended { subchannel, why, useful } = self.serve(&address, established, &mut pings).await;
                    if useful {
                        next_pause = PAUSE_MIN;
                    }
                    let reconnects_at_once = useful || last_was_useful;
                    last_was_useful = useful;
                    if reconnects_at_once {
                        self.pool.lost(&subchannel);
                        continue;
                    }
                    // The second useless connection in a row counts as a failed attempt.
                    Failed { attempt, why, fast: false }
                }
                Err(error) => Failed { attempt, why: error.to_string(), fast: error.is_fast(begun.elapsed()) },
            };
            if last_failure.replace(failed.why.clone()).as_ref() != Some(&failed.why) {
                warn!(%address, why = failed.why, "policy connection failed");
            }
            self.pool.failed(&address, failed);
            self.pause(&address, begun, &mut next_pause).await;
        }
    }

    /// Has a connection carry calls, for as long as it takes new ones.
    async fn serve(&self, address: &Address, established: Established, pings: &mut Pings) -> Ended {
        let subchannel = self.pool.connected(address, established.sender.clone(), established.activity.clone());
        self.breaker.connected();
        info!(%address, "policy connected");
        let connected = Instant::now();
        let mut connection = established.with_keepalive(subchannel.clone(), *pings);
        let closed = tokio::select! {
            reason = connection.closed() => Some(reason),
            () = self.pool.until_draining(&subchannel) => None,
        };
        let Some(reason) = closed else {
            info!(%address, "policy address left the name, draining connection");
            tokio::select! {
                () = connection.drain() => {}
                () = self.pool.until_resolved(address) => drain_in_background(connection),
            }
            info!(%address, "policy disconnected");
            return Ended { subchannel, why: "drained".to_owned(), useful: true };
        };
        let why = reason.to_string();
        info!(%address, why, "policy disconnected");
        match reason {
            CloseReason::Goaway(goaway) if goaway.is_too_many_pings() => {
                *pings = pings.doubled();
                let keep_alive = pings.keep_alive;
                warn!(%address, ?keep_alive, "policy says too_many_pings, pinging half as often");
            }
            CloseReason::Broken(_) if subchannel.in_flight.load(Ordering::Relaxed) > 0 => subchannel.outlier.fail(),
            CloseReason::Goaway(_) | CloseReason::Broken(_) => {}
        }
        drain_in_background(connection);
        let useful = subchannel.answered.load(Ordering::Relaxed) || connected.elapsed() >= self.settings.reconnect_max;
        Ended { subchannel, why, useful }
    }

    /// Waits after a failed attempt that began at `attempt`: with exponential backoff, or shortly if a call requests
    /// another attempt. Ends early if the name no longer resolves to the address.
    ///
    /// The pause is at most `channel.reconnect_max` while no endpoint is ready, else at most [`STANDBY_PAUSE_MAX`]; `next`
    /// becomes twice that. So an outage of all endpoints leaves it at twice `channel.reconnect_max`, and the others retry soon
    /// after the first one is back.
    async fn pause(&self, address: &Address, attempt: Instant, next: &mut Duration) {
        let paused = Instant::now();
        let [reconnect, standby] =
            [self.settings.reconnect_max, STANDBY_PAUSE_MAX].map(|longest| doubling(*next, longest));
        let backoff = async {
            let mut changes = self.pool.changes();
            while self.pool.is_resolved(address) {
                let (pause, doubled) = if self.pool.any_ready() { standby } else { reconnect };
                if timeout_at(paused + pause, changes.changed()).await.is_err() {
                    *next = doubled;
                    return;
                }
            }
        };
        let request = self.pool.reconnect_requests(address);
        tokio::select! {
            () = backoff => {}
            () = request.notified() => sleep_until(attempt + REQUESTED_PAUSE).await,
        }
    }
}

/// Lets the calls in flight of a connection end, then closes it.
fn drain_in_background(mut connection: Connection) {
    tokio::spawn(async move { connection.drain().await });
}
