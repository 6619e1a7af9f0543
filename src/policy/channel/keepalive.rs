//! Keepalive: pings find out that the peer of a connection is dead.
//!
//! A connection that is silent for `channel.keep_alive` is pinged, and closed if nothing comes from it within
//! `channel.keep_alive_timeout`. A connection on which a call passes its deadline is pinged at once, with the timeout
//! [`UNANSWERED`]. Any bytes count as an answer.
//!
//! gRPC servers allow few pings between two responses, and send GOAWAY with `too_many_pings` to clients that send more.
//! Then the intervals are [doubled](Pings::doubled) for that address (gRPC proposal A8).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep, sleep_until};

use super::subchannel::Subchannel;
use crate::config;

/// Timeout of a ping after a call has passed its deadline.
const UNANSWERED: Duration = Duration::from_secs(1);

/// Minimum time between two pings for calls past their deadline, without a response in between.
const GAP: Duration = Duration::from_secs(1);

/// Maximum interval after doubling.
const LONGEST: Duration = Duration::from_secs(3600);

/// The ping intervals of an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pings {
    /// Silence after which the peer is pinged.
    pub(super) keep_alive: Duration,
    /// Timeout of such a ping.
    timeout: Duration,
    gap: Duration,
}

impl Pings {
    pub(super) fn new(settings: &config::Channel) -> Self {
        Self { keep_alive: settings.keep_alive, timeout: settings.keep_alive_timeout, gap: GAP }
    }

    /// Doubles the intervals, up to the maximum.
    pub(super) fn doubled(self) -> Self {
        let doubled = |pause: Duration| (pause * 2).min(LONGEST).max(pause);
        Self { keep_alive: doubled(self.keep_alive), gap: doubled(self.gap), ..self }
    }
}

/// The keepalive of one connection.
pub(super) struct Keepalive {
    pongs: PingPong,
    pings: Pings,
    subchannel: Arc<Subchannel>,
    /// True while a ping has no acknowledgement: h2 allows one at a time.
    pending: bool,
}

impl Keepalive {
    pub(super) fn new(pongs: PingPong, pings: Pings, subchannel: Arc<Subchannel>) -> Self {
        Self { pongs, pings, subchannel, pending: false }
    }

    /// Pings the peer; ends when it is dead.
    pub(super) async fn run(mut self) {
        let mut next_ping = None;
        loop {
            let reads = self.subchannel.reads();
            let silent = tokio::select! {
                () = self.subchannel.overdue.notified() => false,
                () = sleep_until(next_ping.unwrap_or_else(Instant::now)), if next_ping.is_some() => {
                    next_ping = None;
                    self.subchannel.allow_ping();
                    false
                }
                () = sleep(self.pings.keep_alive) => self.subchannel.reads() == reads,
            };
            let limit = if self.subchannel.is_unanswered() {
                UNANSWERED
            } else if silent {
                self.pings.timeout
            } else {
                // The answer may have come already: calls that wait for it pick again.
                self.subchannel.wake_picks();
                continue;
            };
            if !self.is_answered(limit).await {
                return;
            }
            next_ping = Some(Instant::now() + self.pings.gap);
        }
    }

    /// Pings the peer, and returns true if it sends anything in time.
    async fn is_answered(&mut self, limit: Duration) -> bool {
        let reads = self.subchannel.reads();
        if !self.pending {
            if self.pongs.send_ping(Ping::opaque()).is_err() {
                return false;
            }
            self.pending = true;
        }
        let mut end = Instant::now() + limit;
        loop {
            tokio::select! {
                pong = poll_fn(|cx| self.pongs.poll_pong(cx)) => {
                    if pong.is_err() {
                        return false;
                    }
                    self.pending = false;
                    break;
                }
                // A call has passed its deadline meanwhile: the shorter timeout holds.
                () = self.subchannel.overdue.notified() => end = end.min(Instant::now() + UNANSWERED),
                () = sleep_until(end) => {
                    if self.subchannel.reads() == reads {
                        return false;
                    }
                    break;
                }
            }
        }
        self.subchannel.answer();
        true
    }
}
