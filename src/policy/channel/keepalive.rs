//! Finds out that the peer of a connection is dead: by gRPC's keepalive, and at once where a call goes unanswered.
//!
//! A connection that is silent for the keepalive time is pinged, and closed when nothing comes from it within the keepalive
//! timeout. One that leaves a call unanswered past its deadline is pinged at once and has [`UNANSWERED`]. Any bytes count as
//! an answer.
//!
//! gRPC's servers allow few pings between two responses and say GOAWAY with `too_many_pings` to those who send more. Then the
//! pauses are [doubled](Pings::doubled) for that address, as gRPC has it (proposal A8).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep, sleep_until};

use super::subchannel::Subchannel;
use crate::config;

/// The time within which the peer of a call that passed its deadline must send something.
const UNANSWERED: Duration = Duration::from_secs(1);

/// The pause between two pings for calls past their deadline, where no response comes between them.
const GAP: Duration = Duration::from_secs(1);

/// Pauses are not doubled beyond this.
const LONGEST: Duration = Duration::from_secs(3600);

/// The intervals at which an address is pinged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pings {
    /// The longest silence.
    pub(super) keep_alive: Duration,
    /// The time that it may take to answer then.
    timeout: Duration,
    gap: Duration,
}

impl Pings {
    pub(super) fn new(settings: &config::Channel) -> Self {
        Self { keep_alive: settings.keep_alive, timeout: settings.keep_alive_timeout, gap: GAP }
    }

    /// Half as many pings, or what is allowed at least.
    pub(super) fn doubled(self) -> Self {
        let doubled = |pause: Duration| (pause * 2).min(LONGEST).max(pause);
        Self { keep_alive: doubled(self.keep_alive), gap: doubled(self.gap), ..self }
    }
}

/// Pings the peer of one connection.
pub(super) struct Keepalive {
    pub(super) pongs: PingPong,
    pub(super) pings: Pings,
    pub(super) subchannel: Arc<Subchannel>,
    /// Set while a ping has no acknowledgement.
    pub(super) pending: bool,
}

impl Keepalive {
    /// Ends when the peer is dead.
    pub(super) async fn run(mut self) {
        let mut next_ping = None;
        loop {
            let reads = self.subchannel.reads();
            let silent = tokio::select! {
                () = self.subchannel.overdue() => false,
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
                // The answer may have come before this: calls wait to hear of it.
                self.subchannel.wake_picks();
                continue;
            };
            if !self.is_answered(limit).await {
                return;
            }
            next_ping = Some(Instant::now() + self.pings.gap);
        }
    }

    /// Pings, and returns true if anything comes back in time.
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
                // It was silent, and now a call waits too.
                () = self.subchannel.overdue() => end = end.min(Instant::now() + UNANSWERED),
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
