//! The parts of hookgate that the admin listener reports on.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::ConfigHandle;
use crate::observe::counters::Status;
use crate::observe::decisions::Decisions;
use crate::observe::traces::Traces;
use crate::outbox::Events;
use crate::policy::{Channel, Policy, health};
use crate::reload::Reloads;

/// Handles to those parts.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Counters.
    pub status: Arc<Status>,
    /// The queue of After events.
    pub events: Events,
    /// The client of the policy service.
    pub policy: Policy<Channel>,
    /// The decision log.
    pub decisions: Decisions,
    /// The gRPC channel to the policy service.
    pub channel: Channel,
    /// The health of the policy service.
    pub health: watch::Receiver<health::State>,
    /// Counters of reloads.
    pub reloads: Reloads,
    /// The configuration in force.
    pub config: ConfigHandle,
    /// Cancelled when hookgate begins to stop.
    pub stopping: CancellationToken,
    /// The exporter of spans.
    pub traces: Traces,
}
