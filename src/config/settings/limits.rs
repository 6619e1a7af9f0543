//! Limits of what is served at once; shutdown.

use std::time::Duration;

use super::settings;
use crate::config::value::{count, size, time, time_or_zero};

settings! {
    /// Limits of what is served at once. What exceeds a limit is refused at once, and not queued.
    pub struct Limits("limits"), |config| config.limits;

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

settings! {
    /// Shutdown.
    pub struct Drain("drain"), |config| config.drain;

    /// Time after the stop signal during which connections are still accepted, so that load balancers notice.
    delay: Duration = Duration::from_secs(2), time_or_zero();

    /// Time that requests in flight and After events may take from then on.
    time: Duration = Duration::from_secs(10), time();
}
