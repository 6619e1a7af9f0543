//! The parts that are set up from the configuration: two tasks apply its changes to them. Everything else reads the
//! configuration again for each webhook and each connection.

use std::sync::Arc;

use tracing::error;

use crate::config::{self, Config, ConfigHandle};
use crate::observe::logging::Log;
use crate::policy::{Channel, Policy};

/// Applies each new configuration to the parts that were set up from the present one. Must be called within a Tokio
/// runtime.
pub(crate) fn subscribe(config: &ConfigHandle, channel: Channel, policy: Policy<Channel>, log: Log) {
    tokio::spawn(apply_each(config.clone(), policy, log));
    tokio::spawn(replace_channel(channel, config.now(), config.clone()));
}

/// Applies each new configuration to the parts that take it at once.
async fn apply_each(mut config: ConfigHandle, policy: Policy<Channel>, log: Log) {
    loop {
        let now = config.changed().await;
        policy.set_response_limit(now.limits.reply);
        if let Err(error) = log.set_levels(&now.log) {
            error!(%error, "log levels not changed");
        }
    }
}

/// Connects to another policy service, or with other settings, for each configuration that has such. `applied` is the one
/// that the channel was made from.
async fn replace_channel(channel: Channel, mut applied: Arc<Config>, mut config: ConfigHandle) {
    let mut wanted = applied.clone();
    loop {
        // The built-in policy keeps its address.
        let url = wanted.policy.clone().unwrap_or_else(|| channel.url());
        // Without an end while the new service cannot be reached: a newer one takes its place.
        tokio::select! {
            () = channel.replace(url, &wanted.channel, &wanted.policy_tls), if is_other_channel(&applied, &wanted) => {
                applied = wanted.clone();
            }
            newer = other_channel(&mut config, &wanted) => wanted = newer,
        }
    }
}

/// Waits for a configuration with another channel than this one's.
async fn other_channel(config: &mut ConfigHandle, present: &Config) -> Arc<Config> {
    loop {
        let newer = config.changed().await;
        if is_other_channel(present, &newer) {
            return newer;
        }
    }
}

/// Returns true if calls go to another service, or over other connections, by the new configuration.
fn is_other_channel(before: &Config, now: &Config) -> bool {
    // Health checks read their interval again each time.
    let health_interval = now.channel.health_interval;
    let channel = config::Channel { health_interval, ..before.channel.clone() };
    before.policy != now.policy || channel != now.channel || before.policy_tls != now.policy_tls
}
