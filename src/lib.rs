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
//! And around it: [`admin`], [`callers`], [`cli`], [`client`], [`config`], [`decisions`], [`drift`], [`error`], [`lines`],
//! [`listener`], [`metrics`], [`proto`] (generated from `proto/`), [`reload`], [`status`], [`telemetry`], [`traces`].

pub mod admin;
pub mod callback;
pub mod callers;
pub mod cli;
pub mod client;
pub mod config;
pub mod decisions;
pub mod drift;
pub mod error;
pub mod events;
pub mod lines;
pub mod listener;
pub mod metrics;
pub mod openim;
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
