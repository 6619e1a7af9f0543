//! The parts that were set up by a configuration, and are set up anew by the next.

use tokio::task::spawn_blocking;
use tracing::error;

use crate::config::{InForce, PolicyService};
use crate::decisions::Decisions;
use crate::policy::{Channel, Policy};
use crate::telemetry::Log;

/// What follows the configuration. Whatever else asks it is asked anew for each webhook and each connection.
#[derive(Debug)]
pub struct Parts {
    /// What carries the calls.
    pub channel: Channel,
    /// What asks over it.
    pub policy: Policy<Channel>,
    /// The decision log.
    pub decisions: Decisions,
    /// The program's own log.
    pub log: Log,
}

impl Parts {
    /// Follows every change.
    pub async fn follow(self, mut config: InForce) {
        let mut before = config.now();
        loop {
            let now = config.changed().await;
            self.policy.set_reply_limit(now.limits.reply);
            if let Err(error) = self.log.set_levels(now.log.clone()) {
                error!(%error, "the levels of the log stay as they are");
            }
            let (decisions, settings) = (self.decisions.clone(), now.clone());
            // A disk may be slow to open a file.
            if let Ok(Err(error)) = spawn_blocking(move || decisions.change(&settings.decisions)).await {
                error!(%error, "the decision log stays as it is");
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
