//! The policy service, as the client sees it.

use std::fmt;

use strum::VariantArray;

use super::{Writer, counter, flag, gauge};
use crate::admin::Sources;
use crate::policy::channel::{AddressStatus, BreakerState};

pub(super) fn write(sources: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let channel = sources.channel.status();
    let connected = channel.addresses.iter().filter(|address| address.is_ready).count();
    out.single("policy_connections", "Addresses of the policy service that are connected", gauge(connected as f64))?;
    let in_state = |state| channel.addresses.iter().filter(|address| address.kind == state).count() as f64;
    out.family(
        "policy_addresses",
        "Addresses of the policy service, by state",
        AddressStatus::KINDS.map(|state| ([("state", state)], gauge(in_state(state)))),
    )?;
    out.single(
        "policy_retries",
        "Calls that were made a second time, as the policy service cannot have seen the first",
        counter(sources.policy.retries()),
    )?;
    out.family(
        "policy_breaker",
        "Breaker of the rpc that fares worst: 1 at the state that holds",
        BreakerState::VARIANTS.iter().map(|state| ([("state", state.into())], flag(channel.breaker == *state))),
    )?;
    out.single(
        "policy_ready",
        "Whether the policy service is ready: 1 if it is",
        flag(sources.health.borrow().is_ready()),
    )
}
