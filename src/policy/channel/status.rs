//! The status of a channel, as `/status` and metrics show it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::breaker::BreakerState;
use crate::config::Address;

/// The status of a channel.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Every address that is called, or tried.
    pub addresses: Vec<AddressStatus>,
    /// The error of the last look-up of the name.
    pub name: Option<String>,
    /// The worst state of any rpc's breaker.
    pub breaker: BreakerState,
    /// The rpcs whose breaker is not closed.
    pub breakers: BTreeMap<&'static str, BreakerState>,
}

/// The status of one address of the policy service.
#[derive(Debug, Clone, Serialize)]
pub struct AddressStatus {
    /// The address.
    pub address: Address,
    /// `ready`, `connecting`, `draining`, or why it is not connected or gets no calls.
    pub state: String,
    /// Calls whose response has not ended.
    pub in_flight: usize,
    /// True while it is connected and not draining.
    #[serde(skip)]
    pub is_ready: bool,
    /// One of [`KINDS`](Self::KINDS).
    #[serde(skip)]
    pub kind: &'static str,
}

impl AddressStatus {
    /// The names of the states in metrics.
    pub const KINDS: [&str; 7] = ["ready", "not_serving", "ejected", "unanswered", "connecting", "failed", "draining"];
}
