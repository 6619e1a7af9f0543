//! How much is taken at once.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{COUNT, SIZE};

/// How much is taken at once. Whatever is over a limit is refused at once and not queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The largest body of a webhook, in bytes.
    pub body: usize,
    /// The largest response of a policy, in bytes.
    pub reply: usize,
    /// Calls to the policy in flight.
    pub calls: usize,
    /// Connections of webhook clients.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1 << 20, reply: 4 << 20, calls: 1_000, connections: 20_000 }
    }
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row("limits.body", SIZE, |d| &mut d.config.limits.body, "The largest body of a webhook"),
        row("limits.reply", SIZE, |d| &mut d.config.limits.reply, "The largest response of a policy"),
        row(
            "limits.calls",
            COUNT,
            |d| &mut d.config.limits.calls,
            "Calls to the policy in flight; more are answered by the rule for overloaded",
        ),
        row(
            "limits.connections",
            COUNT,
            |d| &mut d.config.limits.connections,
            "Connections of webhook clients; Before callbacks on more are answered by the rule for overloaded",
        ),
    ]
}
