//! Connections and calls to the policy service.

use std::time::Duration;

use super::settings;
use crate::config::value::{count32, time, time_or_zero};

settings! {
    /// Connections and calls to the policy service.
    pub struct Channel("channel"), |builder| builder.config.channel;

    /// Timeout for making a connection to the policy: name lookup, TCP, TLS and HTTP/2.
    connect_timeout: Duration = Duration::from_secs(2), time();

    /// Idle time of a connection before a ping is sent.
    keep_alive: Duration = Duration::from_secs(10), time();

    /// Time that a ping may stay unanswered before the connection is closed.
    keep_alive_timeout: Duration = Duration::from_secs(5), time();

    /// Longest pause between two attempts to connect while no address is connected; 5s while another one is.
    reconnect_max: Duration = Duration::from_millis(150), time();

    /// Interval of DNS lookups of the policy's name. New addresses get their share of the calls, addresses that have gone
    /// are drained. 0s: looked up only when a connection is lost or cannot be made, and on SIGHUP.
    resolve_interval: Duration = Duration::from_secs(5), time_or_zero();

    /// Number of calls of one rpc in a row without an answer that opens its circuit breaker: the rpc is not called for a
    /// while, other rpcs are. A policy that cannot be reached is called again as soon as it can be.
    breaker_failures: u32 = 20, count32();

    /// Time that a circuit breaker stays open before it lets one call through.
    breaker_open: Duration = Duration::from_secs(1), time();

    /// Interval of the health checks of each address of the policy.
    health_interval: Duration = Duration::from_secs(1), time();
}
