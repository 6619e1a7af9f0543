//! The parts that were set up by a configuration, and are set up anew by the next.

use tracing::error;

use crate::config::{InForce, PolicyService};
use crate::policy::{Channel, Policy};
use crate::telemetry::Levels;

/// What follows the configuration. Whatever else asks it is asked anew for each webhook and each connection.
#[derive(Debug)]
pub struct Parts {
    /// What carries the calls.
    pub channel: Channel,
    /// What asks over it.
    pub policy: Policy<Channel>,
    /// What is logged.
    pub levels: Levels,
}

impl Parts {
    /// Follows every change.
    pub async fn follow(self, mut config: InForce) {
        let mut before = config.now();
        loop {
            let now = config.changed().await;
            self.policy.set_reply_limit(now.limits.reply);
            if let Err(error) = self.levels.set(now.log.clone()) {
                error!(%error, "the levels of the log stay as they are");
            }
            if before.policy != now.policy || before.channel != now.channel || before.policy_tls != now.policy_tls {
                let url = match &now.policy {
                    PolicyService::Url(url) => url.clone(),
                    PolicyService::BuiltIn(_) => self.channel.url(),
                };
                self.channel.replace(url, &now.channel, &now.policy_tls).await;
            }
            before = now;
        }
    }
}
