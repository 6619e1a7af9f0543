//! OpenIM webhooks in, gRPC policy out.
//!
//! The modules, from the bottom up: each uses only those above it in this list (`tests/it/rooms.rs` checks it).
//!
//! - `cut`, `text`, `memory`, `backoff`: small helpers.
//! - [`contract`]: callbacks as OpenIM sends and reads them: data and pure functions.
//! - [`openim`]: the other end: how each OpenIM release reads a reply.
//! - `failure`: classes of failure of a policy call.
//! - [`config`]: settings: read, validated, printed.
//! - `observe`: counters, logs, decision log, traces, drift.
//! - `policy`: the client of the policy service, its channel and health, and the built-in policy.
//! - `outbox`: After events: accepted soon, delivered until the policy answers.
//! - `server`: the HTTP front that answers webhooks: a stack of tower layers around one handler.
//! - `reload`: changes of settings while it runs.
//! - `admin`: the admin listener: probes, `/status`, `/metrics`, `/outbox`.
//! - [`app`]: all of it put together, as `hookgate serve` runs it.
//! - `client`: the HTTP client of the commands.
//! - `trigger`: sends a webhook as OpenIM would.
//! - `verify`: tests a policy service.
//! - `cli`: the commands.

// Not for all targets: in a program, which tests and the build script are, every `pub` would be one.
#![warn(unreachable_pub)]

mod admin;
pub mod app;
mod backoff;
mod cli;
mod client;
pub mod config;
pub mod contract;
mod cut;
mod failure;
mod memory;
mod observe;
pub mod openim;
mod outbox;
mod policy;
mod reload;
mod server;
mod text;
mod trigger;
mod verify;

pub use cli::Cli;

/// Parts that the tests under `tests/` use from within, and nobody else: no promise is made for them.
#[doc(hidden)]
pub mod internals {
    pub use crate::failure::Failure;
    pub use crate::verify::Check;

    /// Of `observe`.
    pub mod observe {
        pub use crate::observe::counters::{Outcome, Status};
        pub use crate::observe::decisions::Decisions;
        pub use crate::observe::drift;
        pub use crate::observe::rejected::Reason;
        pub use crate::observe::traces::Traces;
        pub use crate::observe::writer;
    }

    /// Of `policy`.
    pub mod policy {
        pub use crate::policy::channel::{AddressStatus, BreakerState, Resolve, Status};
        pub use crate::policy::{Answer, CallError, Channel, Policy, PolicyCall, Transport, builtin, health};
    }

    /// Of `outbox`.
    pub mod outbox {
        pub use crate::outbox::{Backlog, Delivery, Event, Events, Filter, Offline, Reason, State};
    }

    /// Of `server`.
    pub mod server {
        pub use crate::server::listener::Listener;
        pub use crate::server::{Guards, PolicyState, ServerState, run};
    }
}
