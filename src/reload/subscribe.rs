//! The parts that are set up from the configuration: tasks apply its changes to them. Everything else reads the
//! configuration again for each webhook and each connection.

use std::sync::Arc;

use tracing::error;

use crate::config::{self, Config, ConfigHandle, NamedPolicy};
use crate::observe::logging::Log;
use crate::policy::{Channel, Policy};

/// Applies each new configuration to the parts that were set up from the present one: the channels and clients of the
/// policies, in the order of the configuration, and the log. Must be called within a Tokio runtime.
pub(crate) fn subscribe(config: &ConfigHandle, policies: Vec<(Channel, Policy<Channel>)>, log: Log) {
    for (index, (channel, _)) in policies.iter().enumerate() {
        tokio::spawn(replace_channel(channel.clone(), index, config.now(), config.clone()));
    }
    tokio::spawn(apply_each(config.clone(), policies, log));
}

/// Applies each new configuration to the parts that take it at once.
async fn apply_each(mut config: ConfigHandle, policies: Vec<(Channel, Policy<Channel>)>, log: Log) {
    loop {
        let now = config.changed().await;
        for (named, (_, policy)) in now.policies().iter().zip(&policies) {
            policy.set_response_limit(named.reply);
            policy.set_metadata(named.metadata.clone());
        }
        if let Err(error) = log.set_levels(&now.log) {
            error!(%error, "log levels not changed");
        }
    }
}

/// Connects to another policy service, or with other settings, for each configuration that has such for the policy with this
/// index. `applied` is the one that the channel was made from.
async fn replace_channel(channel: Channel, index: usize, applied: Arc<Config>, mut config: ConfigHandle) {
    let Some(mut applied) = policy(&applied, index) else { return };
    let mut wanted = applied.clone();
    loop {
        // The built-in policy keeps its address.
        let url = wanted.url.clone().unwrap_or_else(|| channel.url());
        // Without an end while the new service cannot be reached: a newer one takes its place.
        tokio::select! {
            () = channel.replace(url, &wanted.channel, &wanted.tls), if is_other_channel(&applied, &wanted) => {
                applied = wanted.clone();
            }
            newer = other_channel(&mut config, index, &wanted) => wanted = newer,
        }
    }
}

/// Waits for a configuration with another channel to the policy than this one's.
async fn other_channel(config: &mut ConfigHandle, index: usize, present: &NamedPolicy) -> NamedPolicy {
    loop {
        let newer = config.changed().await;
        if let Some(newer) = policy(&newer, index).filter(|newer| is_other_channel(present, newer)) {
            return newer;
        }
    }
}

fn policy(config: &Config, index: usize) -> Option<NamedPolicy> {
    config.policies().get(index).cloned()
}

/// Returns true if calls go to another service, or over other connections, by the new configuration.
fn is_other_channel(before: &NamedPolicy, now: &NamedPolicy) -> bool {
    // Health checks read their interval again each time.
    let health_interval = now.channel.health_interval;
    let channel = config::Channel { health_interval, ..before.channel.clone() };
    before.url != now.url || channel != now.channel || before.tls != now.tls
}
