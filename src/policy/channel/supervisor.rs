//! Keeps the pool connected: one task for the name, one for each endpoint that it leads to.
//!
//! The name is looked up at the start, every `channel.resolve_interval`, when somebody asks (SIGHUP), when a connection is
//! lost, and from time to time while an endpoint is in `TransientFailure`. A new address is connected and gets its share. One
//! that the name has left is *drained* as soon as another one is connected and in no worse health: it gets no new calls, those
//! in flight end, then the connection is closed. A lookup that fails or finds nothing changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::Resolve;
use super::breaker::Breaker;
use super::dial::{CloseReason, Connection, Dialer, Established};
use super::endpoints::Failed;
use super::keepalive::Pings;
use super::pool::Pool;
use super::subchannel::Subchannel;
use crate::config;

/// What the tasks work with.
#[derive(Clone)]
pub(super) struct Supervisor {
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) resolve: Resolve,
    pub(super) settings: config::Channel,
}

/// The pause after a first failed attempt.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The time between the beginnings of two attempts for whose ends calls wait.
const REQUESTED_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause before an address is tried or the name looked up again, while another address carries the calls.
const STANDBY_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Looks the name up: at first, every `channel.resolve_interval`, on SIGHUP, when a connection is lost, and from time to time
    /// while something is not connected. Begins a task for each new address.
    pub(super) async fn run(self) {
        let mut members = JoinSet::new();
        let mut last_failure = None;
        loop {
            let (asked, ..) = self.pool.name();
            match self.look_up().await {
                Ok(addresses) => {
                    last_failure = None;
                    for address in self.pool.resolved(asked, &addresses) {
                        debug!(%address, "the policy has an address");
                        members.spawn(self.clone().member(address));
                    }
                }
                Err(why) => {
                    if last_failure.as_ref() != Some(&why) {
                        warn!(why, "the policy's name leads nowhere");
                        last_failure = Some(why.clone());
                    }
                    self.pool.unresolved(asked, why);
                }
            }
            // Those whose address has gone.
            while members.try_join_next().is_some() {}
            self.until_to_be_looked_up().await;
        }
    }

    async fn look_up(&self) -> Result<Vec<config::Address>, String> {
        let limit = self.settings.connect_timeout;
        match timeout(limit, (self.resolve)()).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err("the name has no address".to_owned()),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(format!("the name cannot be looked up: {error}")),
            Err(_) => Err(format!("the name cannot be looked up within {limit:?}")),
        }
    }

    async fn until_to_be_looked_up(&self) {
        let looked_up = Instant::now();
        let interval = self.settings.resolve_interval;
        let mut changes = self.pool.changes();
        loop {
            let (_, at_once, sometime) = self.pool.name();
            if at_once {
                return;
            }
            let pause = if self.pool.any_ready() { STANDBY_PAUSE_MAX } else { self.settings.reconnect_max };
            tokio::select! {
                () = tokio::time::sleep_until(looked_up + pause), if sometime => return,
                () = tokio::time::sleep_until(looked_up + interval), if !interval.is_zero() => return,
                _ = changes.changed() => {}
            }
        }
    }

    /// Keeps one endpoint connected, until the name no longer leads there.
    async fn member(self, address: config::Address) {
        let mut pause = PAUSE_MIN;
        let mut useless = false;
        let mut last_failure = None;
        let mut pings = Pings::new(&self.settings);
        loop {
            let (begun, attempt) = (Instant::now(), self.pool.begin(&address));
            let failed = match self.dialer.connect(&address).await {
                Ok(established) => {
                    last_failure = None;
                    let ended = self.serve(&address, established, &mut pings).await;
                    // One that ends before it was of use is as good as none, the second time in a row.
                    let useful = ended.useful;
                    if useful {
                        pause = PAUSE_MIN;
                    }
                    if useful || !useless {
                        useless = !useful;
                        self.pool.lost(&ended.subchannel);
                        if self.pool.keeps(&address) {
                            continue;
                        }
                        return;
                    }
                    Failed { attempt, why: ended.why, fast: false }
                }
                Err(error) => Failed { attempt, why: error.to_string(), fast: error.is_fast(begun.elapsed()) },
            };
            if last_failure.as_ref() != Some(&failed.why) {
                warn!(%address, why = failed.why, "cannot connect to the policy");
                last_failure = Some(failed.why.clone());
            }
            self.pool.failed(&address, failed);
            if !self.pool.keeps(&address) {
                return;
            }
            tokio::select! {
                () = self.pause(&address, begun, &mut pause) => {}
                () = self.pool.until_named(&address, false) => {}
            }
            if !self.pool.keeps(&address) {
                return;
            }
        }
    }

    /// Has a connection take calls for as long as it does.
    async fn serve(&self, address: &config::Address, established: Established, pings: &mut Pings) -> Ended {
        let subchannel = self.pool.ready(address, established.sender.clone(), established.activity.clone());
        self.breaker.connected();
        info!(%address, "connected to the policy");
        let since = Instant::now();
        let mut connection = established.watched(subchannel.clone(), *pings);
        let end = tokio::select! {
            end = connection.ended() => Some(end),
            () = self.pool.until_draining(&subchannel) => None,
        };
        let Some(end) = end else {
            info!(%address, "draining a connection to the policy: its name no longer leads there");
            tokio::select! {
                () = connection.drain() => {}
                () = self.pool.until_named(address, true) => drain(connection),
            }
            info!(%address, "disconnected from the policy");
            return Ended { subchannel, why: "drained".to_owned(), useful: true };
        };
        let why = end.to_string();
        info!(%address, why, "disconnected from the policy");
        match end {
            CloseReason::Goaway(goaway) if goaway.is_too_many_pings() => {
                *pings = pings.doubled();
                let keep_alive = pings.keep_alive;
                warn!(%address, ?keep_alive, "the policy says too_many_pings: its connections are pinged half as often");
            }
            CloseReason::Broken(_) if subchannel.in_flight.load(Ordering::Relaxed) > 0 => subchannel.outlier.fail(),
            CloseReason::Goaway(_) | CloseReason::Broken(_) => {}
        }
        drain(connection);
        let useful = subchannel.answered.load(Ordering::Relaxed) || since.elapsed() >= self.settings.reconnect_max;
        Ended { subchannel, why, useful }
    }

    /// Waits a while after an attempt that began then, and longer the next time. While another address carries the calls
    /// there is no hurry; while calls wait there is.
    async fn pause(&self, address: &config::Address, attempt: Instant, next: &mut Duration) {
        let begun = Instant::now();
        // Between half and all of it, so that many clients do not come back at once.
        let jitter = 0.5 + fastrand::f64() / 2.0;
        let mut changes = self.pool.changes();
        loop {
            let longest = if self.pool.any_ready() { STANDBY_PAUSE_MAX } else { self.settings.reconnect_max };
            let pause = (*next).min(longest);
            let reconnect_requested = self.pool.is_reconnect_requested(address);
            let end = if reconnect_requested { attempt + REQUESTED_PAUSE } else { begun + pause.mul_f64(jitter) };
            tokio::select! {
                () = tokio::time::sleep_until(end) => {
                    if !reconnect_requested {
                        *next = pause * 2;
                    }
                    return;
                }
                _ = changes.changed() => {}
            }
        }
    }
}

/// A connection that takes no more calls.
struct Ended {
    subchannel: Arc<Subchannel>,
    why: String,
    /// It has carried a call, or has stood for some time.
    useful: bool,
}

/// Lets the calls in flight of a connection end.
fn drain(mut connection: Connection) {
    tokio::spawn(async move { connection.drain().await });
}
