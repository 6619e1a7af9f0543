//! OpenIM webhooks in, gRPC policy out.
//!
//! The rooms, from the bottom up: each uses only those above it in this list (`tests/it/rooms.rs` checks it).
//!
//! - `cut`, `panics`, `memory`, `backoff`: small helpers.
//! - [`contract`]: callbacks as OpenIM sends and reads them: data and pure functions.
//! - [`openim`]: the other end: how each OpenIM release reads a reply.
//! - [`failure`]: classes of failure of a policy call.
//! - [`config`]: settings: read, validated, printed.
//! - [`observe`]: counters, logs, decision log, traces, drift.
//! - [`policy`]: the client of the policy service, its channel and health, and the built-in policy.
//! - [`outbox`]: After events: accepted soon, delivered until the policy answers.
//! - [`server`]: the HTTP front that answers webhooks: a column of layers around one handler.
//! - [`reload`]: changes of settings while it runs.
//! - [`admin`]: the admin listener: probes, `/status`, `/metrics`, `/outbox`.
//! - [`app`]: all of it put together, as `hookgate serve` runs it.
//! - [`client`]: the HTTP client of the commands.
//! - [`trigger`]: sends a webhook as OpenIM would.
//! - [`verify`]: tests a policy service.
//! - [`cli`]: the commands.

pub mod admin;
pub mod app;
mod backoff;
pub mod cli;
pub mod client;
pub mod config;
pub mod contract;
mod cut;
pub mod failure;
pub mod memory;
pub mod observe;
pub mod openim;
pub mod outbox;
mod panics;
pub mod policy;
pub mod reload;
pub mod server;
pub mod trigger;
pub mod verify;
