//! After events on disk: what survives a crash, in what order it goes on, and what people do with it. What is promised is
//! shown small here; the full runs give the figures:
//!
//! ```text
//! cargo test --release --test outbox -- --ignored --nocapture --test-threads 1
//! ```

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

#[path = "outbox/backlog.rs"]
mod backlog;
#[path = "outbox/bad.rs"]
mod bad;
#[path = "outbox/bench.rs"]
mod bench;
#[path = "outbox/damage.rs"]
mod damage;
#[path = "outbox/gate.rs"]
mod gate;
#[path = "outbox/hang.rs"]
mod hang;
#[path = "outbox/inside.rs"]
mod inside;
#[path = "outbox/kill.rs"]
mod kill;
#[path = "outbox/numbers.rs"]
mod numbers;
#[path = "outbox/operate.rs"]
mod operate;
#[path = "outbox/order.rs"]
mod order;
#[path = "load/policy.rs"]
#[allow(dead_code, reason = "shared with the load tests")]
mod policy;
#[path = "outbox/power.rs"]
mod power;
#[path = "outbox/room.rs"]
mod room;
#[path = "outbox/serving.rs"]
mod serving;
mod support;
