//! How the policy service is reached.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{TIME, TIMES};

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
            "channel.breaker_failures",
            TIMES,
            |d| &mut d.config.channel.breaker_failures,
            "How often in a row the policy must fail to be reached or to answer before it is left alone: not asked for a while, or only as soon as a connection can be made again",
        ),
        row(
            "channel.breaker_open",
            TIME,
            |d| &mut d.config.channel.breaker_open,
            "How long it is not asked then, before one call probes it",
        ),
        row(
            "channel.health_interval",
            TIME,
            |d| &mut d.config.channel.health_interval,
            "How often the policy's health is asked for",
        ),
    ]
}
