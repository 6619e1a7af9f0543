//! The client of the policy service, its channel and health checks, and the built-in policy.

mod answer;
pub mod builtin;
pub(crate) mod channel;
mod client;
mod evidence;
mod grpc;
pub mod health;

pub use answer::{Answer, CallError};
pub use channel::Channel;
pub use client::{Policy, PolicyCall, Transport};
