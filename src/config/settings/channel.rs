//! How the policy service is reached.

use std::time::Duration;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{TIME, TIME_OR_NONE, TIMES};

/// How the policy service is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// How long a connection may take to be made: name, TCP, TLS and HTTP/2.
    pub connect_timeout: Duration,
    /// How long a connection may be silent before it is pinged.
    pub keep_alive: Duration,
    /// How long a ping may stay unanswered before the connection counts as dead.
    pub keep_alive_timeout: Duration,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
    /// The time between two lookups of the policy's name; zero for none but those that a lost connection or SIGHUP causes.
    pub resolve_interval: Duration,
    /// Calls of one rpc in a row without an answer that open its breaker.
    pub breaker_failures: u32,
    /// The time for which the rpc is not called then, before one call of it probes.
    pub breaker_open: Duration,
    /// The interval at which each address is asked for its health.
    pub health_interval: Duration,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            reconnect_max: Duration::from_millis(150),
            resolve_interval: Duration::from_secs(5),
            breaker_failures: 20,
            breaker_open: Duration::from_secs(1),
            health_interval: Duration::from_secs(1),
        }
    }
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "channel.connect_timeout",
            TIME,
            |d| &mut d.config.channel.connect_timeout,
            "How long a connection to the policy may take to be made: name, TCP, TLS and HTTP/2",
        ),
        row(
            "channel.keep_alive",
            TIME,
            |d| &mut d.config.channel.keep_alive,
            "How long a connection may be silent before it is pinged",
        ),
        row(
            "channel.keep_alive_timeout",
            TIME,
            |d| &mut d.config.channel.keep_alive_timeout,
            "How long a ping may stay unanswered before the connection counts as dead",
        ),
        row(
            "channel.reconnect_max",
            TIME,
            |d| &mut d.config.channel.reconnect_max,
            "The longest pause between two attempts to connect",
        ),
        row(
            "channel.resolve_interval",
            TIME_OR_NONE,
            |d| &mut d.config.channel.resolve_interval,
            "The time between two lookups of the policy's name. New addresses get their share of the calls, addresses that have left it are drained. 0: looked up only when a connection is lost or cannot be made, and on SIGHUP",
        ),
        row(
            "channel.breaker_failures",
            TIMES,
            |d| &mut d.config.channel.breaker_failures,
            "Calls of one rpc in a row without an answer that open its breaker: the rpc is not called for a while. The others are. A policy that cannot be reached is asked again as soon as a connection can be made",
        ),
        row(
            "channel.breaker_open",
            TIME,
            |d| &mut d.config.channel.breaker_open,
            "How long the rpc is not called then, before one call of it probes",
        ),
        row(
            "channel.health_interval",
            TIME,
            |d| &mut d.config.channel.health_interval,
            "How often each address of the policy is asked for its health",
        ),
    ]
}
