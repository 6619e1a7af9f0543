//! The client of the policy service, its channel and health checks, and the built-in policy.

mod answer;
mod builtin;
pub(crate) mod channel;
mod client;
mod codec;
mod evidence;
pub mod health;
pub(crate) mod status_tap;
mod transport;

pub use answer::Answer;
pub use builtin::BuiltIn;
pub use channel::Channel;
pub use client::{Policy, PolicyCall};
pub use transport::Transport;
