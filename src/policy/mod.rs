//! The client of the policy service, its channel and health checks, and the built-in policy.

mod answer;
mod builtin;
pub(crate) mod channel;
mod client;
mod codec;
pub mod health;
mod rpcs;
pub(crate) mod status_tap;
mod transport;

pub use answer::Answer;
pub use builtin::BuiltIn;
pub use channel::Channel;
pub use client::{Policy, Question};
pub use transport::Transport;
