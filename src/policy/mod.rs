//! The policy service as seen from here: the client, and the built-in one.

mod builtin;
mod client;
mod codec;
mod observe;

pub use builtin::BuiltIn;
pub use client::{Answer, Policy, Question};
