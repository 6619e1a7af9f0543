//! The policy service, as seen from here.

use std::fmt;

use super::writer::{Family, Writer, plain};
use crate::admin::Sources;
use crate::policy::channel::{AddressStatus, BreakerState};

const CONNECTIONS: Family = plain("policy_connections", "Addresses of the policy service that are connected");
const RETRIES: Family =
    plain("policy_retries", "Calls that were made a second time, as the policy service cannot have seen the first");
const BREAKER: Family = plain("policy_breaker", "Breaker of the rpc that fares worst: 1 at the state that holds");
const ADDRESSES: Family = plain("policy_addresses", "Addresses of the policy service, by state");
const READY: Family = plain("policy_ready", "Whether the policy service is ready: 1 if it is");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let channel = admin.channel.status();
    let connected = channel.addresses.iter().filter(|address| address.is_ready).count();
    out.gauge(&CONNECTIONS, connected as f64)?;
    let counted = |kind| channel.addresses.iter().filter(|address| address.kind == kind).count() as f64;
    out.gauges(&ADDRESSES, AddressStatus::KINDS.map(|kind| ([("state", kind)], counted(kind))))?;
    out.counter(&RETRIES, admin.policy.retries())?;
    let held = |state| f64::from(u8::from(channel.breaker == state));
    out.gauges(&BREAKER, BreakerState::ALL.map(|state| ([("state", state.as_str())], held(state))))?;
    out.gauge(&READY, f64::from(u8::from(admin.health.borrow().is_ready())))
}
