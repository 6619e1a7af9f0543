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
            if before.policy != now.policy || before.channel != now.channel {
                let url = match &now.policy {
                    PolicyService::Url(url) => Ok(url.clone()),
                    PolicyService::BuiltIn(_) => self.channel.url().parse(),
                };
                match url {
                    Ok(url) => self.channel.replace(url, &now.channel).await,
                    Err(error) => error!(%error, "the policy is reached as before"),
                }
            }
            before = now;
        }
    }
}
