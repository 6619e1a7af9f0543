//! The parts of hookgate that the admin listener reports on.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::InForce;
use crate::observe::counters::Status;
use crate::observe::decisions::Decisions;
use crate::observe::traces::Traces;
use crate::outbox::Events;
use crate::policy::{Channel, Policy, health};
use crate::reload::Reloads;

/// What the admin listener tells of.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What has happened so far.
    pub status: Arc<Status>,
    /// The After events on their way.
    pub events: Events,
    /// What asks the policy service.
    pub policy: Policy<Channel>,
    /// The decision log.
    pub decisions: Decisions,
    /// What carries the calls.
    pub channel: Channel,
    /// Whether the policy service is to be asked.
    pub health: watch::Receiver<health::State>,
    /// What has become of changes to the configuration.
    pub reloads: Reloads,
    /// The configuration in force.
    pub config: InForce,
    /// Cancelled when hookgate begins to stop.
    pub stopping: CancellationToken,
    /// Where spans go.
    pub traces: Traces,
}
