//! The policy service, as the client sees it.

use std::fmt;

use strum::VariantArray as _;

use super::{Writer, gauge};
use crate::admin::Sources;
use crate::policy::channel::{AddressStatus, BreakerState};

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let channel = sources.channel.status();
    let connected = channel.addresses.iter().filter(|address| address.is_ready).count();
    out.gauge("policy_connections", "Addresses of the policy service that are connected", connected as f64)?;
    let in_state = |state| channel.addresses.iter().filter(|address| address.kind == state).count() as f64;
    let addresses = AddressStatus::KINDS.map(|state| ([("state", state)], gauge(in_state(state))));
    out.family("policy_addresses", "Addresses of the policy service, by state", addresses)?;
    let help = "Calls that were made a second time, as the policy service cannot have seen the first";
    out.counter("policy_retries", help, sources.policy.retries())?;
    let breaker =
        BreakerState::VARIANTS.iter().map(|state| ([("state", state.into())], gauge(channel.breaker == *state)));
    out.family("policy_breaker", "Breaker of the rpc that fares worst: 1 at the state that holds", breaker)?;
    let is_ready = sources.health.borrow().is_ready();
    out.gauge("policy_ready", "Whether the policy service is ready: 1 if it is", is_ready)
}
