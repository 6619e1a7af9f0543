//! The parts that were set up by a configuration, and are set up anew by the next.

use std::sync::Arc;

use tokio::task::{AbortHandle, spawn_blocking};
use tracing::error;

use crate::config::{self, Config, InForce, PolicyService};
use crate::observe::decisions::Decisions;
use crate::observe::logging::Log;
use crate::policy::{Channel, Policy};

/// What follows the configuration. Whatever else asks it is asked anew for each webhook and each connection.
#[derive(Debug)]
pub struct Followers {
    /// What carries the calls.
    pub channel: Channel,
    /// What asks over it.
    pub policy: Policy<Channel>,
    /// The decision log.
    pub decisions: Decisions,
    /// The program's own log.
    pub log: Log,
}

impl Followers {
    /// Follows every change, from the configuration that they were set up by.
    pub async fn follow(self, mut before: Arc<Config>, mut config: InForce) {
        let mut replacing: Option<AbortHandle> = None;
        loop {
            let now = config.changed().await;
            self.policy.set_reply_limit(now.limits.reply);
            if let Err(error) = self.log.set_levels(now.log.clone()) {
                error!(%error, "the levels of the log stay as they are");
            }
            if leads_elsewhere(&before, &now) {
                // It may never come to its end: a policy that is not there yet.
                if let Some(earlier) = replacing.take() {
                    earlier.abort();
                }
                let (channel, now) = (self.channel.clone(), now.clone());
                let replaced = async move {
                    let url = match &now.policy {
                        PolicyService::Url(url) => url.clone(),
                        PolicyService::BuiltIn(_) => channel.url(),
                    };
                    channel.replace(url, &now.channel, &now.policy_tls).await;
                };
                replacing = Some(tokio::spawn(replaced).abort_handle());
            }
            let (decisions, settings) = (self.decisions.clone(), now.clone());
            // Not awaited: a disk may be slow to open a file.
            spawn_blocking(move || {
                if let Err(error) = decisions.change(&settings.decisions) {
                    error!(%error, "the decision log stays as it is");
                }
            });
            before = now;
        }
    }
}

/// Whether calls go another way by the new configuration.
fn leads_elsewhere(before: &Config, now: &Config) -> bool {
    // Which is asked for anew each time.
    let health_interval = now.channel.health_interval;
    let channel = config::Channel { health_interval, ..before.channel.clone() };
    before.policy != now.policy || channel != now.channel || before.policy_tls != now.policy_tls
}
