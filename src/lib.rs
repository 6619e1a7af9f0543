//! OpenIM webhooks in, gRPC policy out.
//!
//! A webhook's way through the modules:
//!
//! - [`server`]: the HTTP front. Routes by command, reads the body, answers whatever happens.
//! - [`callback`]: a row of the table: a command, an rpc, and what is between.
//! - [`wire`]: a callback's JSON to protobuf and back, by its rows of fields.
//! - [`policy`]: the policy service as seen from here, and the built-in one.
//! - [`verdict`]: from what the policy said to what OpenIM reads.
//! - [`events`]: After events: answered soon, delivered all the same.
//! - [`openim`]: the other end: what OpenIM makes of a reply.
//! - [`trigger`]: the other end too: plays OpenIM, for those who try things out.
//! - [`verify`]: a policy service on trial: asked and judged by all of the above.
//!
//! How it is run, and by whom it is called:
//!
//! - [`cli`]: the commands. [`config`]: the settings, read and judged. [`reload`]: the settings, changed while it runs.
//! - [`listener`]: TCP and Unix sockets. [`callers`]: who was refused. [`client`]: the commands' own HTTP client.
//!
//! How it is watched:
//!
//! - [`admin`]: the listener for all of the following. [`status`]: what is counted. [`metrics`]: the same for Prometheus.
//! - [`telemetry`]: the log. [`decisions`]: a line a verdict. [`lines`]: how both are written without anybody waiting.
//! - [`traces`]: spans. [`drift`]: what OpenIM sends that this build does not know.
//!
//! And under it all: [`proto`], generated from `proto/`, and [`error`].

pub mod admin;
pub mod callback;
pub mod callers;
pub mod cli;
pub mod client;
pub mod config;
mod crowd;
mod cut;
pub mod decisions;
pub mod drift;
pub mod error;
pub mod events;
pub mod lines;
pub mod listener;
pub mod memory;
pub mod metrics;
pub mod openim;
mod panics;
pub mod policy;
pub mod proto;
pub mod reload;
pub mod server;
pub mod status;
pub mod telemetry;
pub mod traces;
pub mod trigger;
pub mod verdict;
pub mod verify;
pub mod wire;
