//! After events on disk: what survives a crash, in what order it goes on, and what people do with it. What is promised is
//! shown small here; the full runs give the figures:
//!
//! ```text
//! cargo test --release --test it outbox:: -- --ignored --nocapture --test-threads 1
//! ```

mod away;
mod backlog;
mod bad;
mod bench;
mod busy;
mod conformance;
mod damage;
mod earlier;
mod forever;
mod full;
pub(crate) mod gate;
mod hang;
mod holds;
pub(crate) mod inside;
mod kill;
mod moody;
mod numbers;
mod one_machine;
mod operate;
mod order;
mod policies;
mod power;
mod room;
mod serving;
