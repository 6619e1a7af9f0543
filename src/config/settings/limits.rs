//! How much is taken at once.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{COUNT, SIZE};

/// How much is taken at once. Whatever is over a limit is refused at once and not queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The largest body of a webhook, in bytes.
    pub body: usize,
    /// The largest head of a webhook, in bytes.
    pub head: usize,
    /// The largest response of a policy, in bytes.
    pub reply: usize,
    /// Bytes of webhooks held at once: bodies, messages on their way to the policy, unfinished heads, unread replies.
    pub memory: usize,
    /// Calls to the policy in flight.
    pub calls: usize,
    /// Connections of webhook clients.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // The largest body is what OpenIM's API takes (share.yml, rpcMaxBodySize).
        Self { body: 8 << 20, head: 32 << 10, reply: 8 << 20, memory: 192 << 20, calls: 1_000, connections: 10_000 }
    }
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row("limits.body", SIZE, |d| &mut d.config.limits.body, "The largest body of a webhook"),
        row(
            "limits.head",
            SIZE,
            |d| &mut d.config.limits.head,
            "The largest head of a webhook: path and header fields",
        ),
        row("limits.reply", SIZE, |d| &mut d.config.limits.reply, "The largest response of a policy"),
        row(
            "limits.memory",
            SIZE,
            |d| &mut d.config.limits.memory,
            "Bytes of webhooks held at once. A body counts once while it arrives, three times when it is whole. Unfinished heads, and \
             bodies of callers that are refused, have a quarter of it besides. Webhooks over it are answered by the rule for overloaded",
        ),
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
