//! The parts that are set up from the configuration: each subscribes to its changes, and applies them in a task of its own.
//! Everything else reads the configuration again for each webhook and each connection.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::error;

use crate::config::{self, Config, ConfigHandle};
use crate::observe::decisions::Decisions;
use crate::observe::logging::Log;
use crate::policy::{Channel, Policy};

/// Applies each new configuration to the parts that were set up from the present one. Must be called within a Tokio
/// runtime.
pub(crate) fn subscribe(
    config: &ConfigHandle,
    channel: Channel,
    policy: Policy<Channel>,
    decisions: Decisions,
    log: Log,
) {
    on_change(config, move |now| policy.set_response_limit(now.limits.reply));
    on_change(config, move |now| {
        if let Err(error) = log.set_levels(&now.log) {
            error!(%error, "log levels not changed");
        }
    });
    on_change(config, move |now| {
        let decisions = decisions.clone();
        // Not awaited: a disk may be slow to open a file.
        spawn_blocking(move || {
            if let Err(error) = decisions.change(&now.decisions) {
                error!(%error, "decision log not changed");
            }
        });
    });
    tokio::spawn(replace_endpoint(channel, config.now(), config.clone()));
}

fn on_change(config: &ConfigHandle, mut apply: impl FnMut(Arc<Config>) + Send + 'static) {
    let mut config = config.clone();
    tokio::spawn(async move {
        loop {
            apply(config.changed().await);
        }
    });
}

/// Connects to another policy service, or with other settings, for each configuration that has such. `applied` is the one
/// that the channel was made from.
async fn replace_endpoint(channel: Channel, mut applied: Arc<Config>, mut config: ConfigHandle) {
    loop {
        let mut wanted = other_endpoint(&mut config, &applied).await;
        while is_other_endpoint(&applied, &wanted) {
            // The built-in policy keeps its address.
            let url = wanted.policy.clone().unwrap_or_else(|| channel.url());
            // Without an end while the new service cannot be reached: a newer one takes its place.
            tokio::select! {
                () = channel.replace(url, &wanted.channel, &wanted.policy_tls) => applied = wanted.clone(),
                newer = other_endpoint(&mut config, &wanted) => wanted = newer,
            }
        }
    }
}

/// Waits for a configuration with another endpoint than this one's.
async fn other_endpoint(config: &mut ConfigHandle, present: &Config) -> Arc<Config> {
    loop {
        let newer = config.changed().await;
        if is_other_endpoint(present, &newer) {
            return newer;
        }
    }
}

/// Returns true if calls go to another service, or over other connections, by the new configuration.
fn is_other_endpoint(before: &Config, now: &Config) -> bool {
    // Health checks read their interval again each time.
    let health_interval = now.channel.health_interval;
    let channel = config::Channel { health_interval, ..before.channel.clone() };
    before.policy != now.policy || channel != now.channel || before.policy_tls != now.policy_tls
}
