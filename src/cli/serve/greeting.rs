//! What it says when it is ready.

use std::io::{self, IsTerminal};

use tracing::warn;

use crate::contract::Callback;
use crate::observe::logging::Log;

/// What listens where.
pub(super) struct Addresses {
    pub(super) webhooks: String,
    pub(super) admin: String,
    pub(super) policy: String,
    /// Whether the policy is the built-in one.
    pub(super) builtin: bool,
}

/// Says what listens where: to a person at length, then in one fixed line for whoever waits for it.
/// The policy has `answered` something by now, or has not.
pub(super) fn greet(addresses: &Addresses, answered: bool, log: &Log) {
    let Addresses { webhooks, admin, policy, builtin } = addresses;
    let callbacks = Callback::all().len();
    let mut lines = String::new();
    if io::stderr().is_terminal() {
        let what = if *builtin { "   built in: allows and logs everything" } else { "" };
        lines = format!(
            "hookgate {}: OpenIM webhooks in, gRPC policy out\n\n\
             \x20 webhooks   {webhooks}   the url in OpenIM's webhooks.yml\n\
             \x20 policy     {policy}{what}\n\
             \x20 admin      {admin}   /livez /readyz /status /metrics\n\
             \x20 callbacks  {callbacks}   listed by: hookgate callbacks\n\n",
            env!("CARGO_PKG_VERSION")
        );
    }
    if *builtin {
        warn!("no --policy: the built-in one allows everything");
    }
    if !answered {
        warn!("the policy has not answered yet; until it does, the failure rules decide");
    }
    lines += &format!("hookgate ready: webhooks {webhooks} policy {policy} admin {admin} callbacks {callbacks}\n");
    log.say(&lines);
}
