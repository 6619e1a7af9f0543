//! Limits of what is served at once.

use super::settings;
use crate::config::Builder;
use crate::config::validate::{Check, Mistakes};
use crate::config::value::{count, size};

settings! {
    /// Limits of what is served at once. What exceeds a limit is refused at once, and not queued.
    pub struct Limits("limits"), |builder| builder.config.limits;

    /// Maximum size of a webhook's body. The default is what OpenIM's API takes (share.yml, rpcMaxBodySize).
    body: usize = 8 << 20, size();

    /// Maximum size of a webhook's head: path and header fields.
    head: usize = 32 << 10, size();

    /// Maximum size of a policy's response.
    reply: usize = 8 << 20, size();

    /// Bytes of webhooks held at once. A body counts once while it arrives, three times when it is complete. Incomplete
    /// heads, and bodies of callers that are refused, have a quarter of it besides. Webhooks over it are answered by the
    /// rule for overloaded.
    memory: usize = 192 << 20, size();

    /// Maximum number of calls to the policy in flight; further ones are answered by the rule for overloaded.
    calls: usize = 1_000, count();

    /// Maximum number of connections of webhook clients; Before callbacks on further ones are answered by the rule for
    /// overloaded.
    connections: usize = 10_000, count();
}

pub(super) const CHECKS: &[Check] = &[memory_holds_the_largest_body];

fn memory_holds_the_largest_body(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    let limits = &builder.config.limits;
    if limits.memory / 3 < limits.body {
        let what = "limits.memory is less than three times limits.body: the largest body could not be held";
        mistakes.add_to_first(&["limits.memory", "limits.body"], what);
    }
}
