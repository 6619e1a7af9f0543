//! After events on NATS JetStream. The servers are real: `NATS_SERVER` names the binary.
//!
//! ```text
//! NATS_SERVER=nats-server cargo test --test it jetstream:: -- --ignored --skip long_ --test-threads 1
//! NATS_SERVER=nats-server cargo test --release --test it jetstream::faults::long_ -- --ignored --nocapture
//! ```

mod bad;
mod faults;
mod logins;
mod policies;
pub(crate) mod servers;
mod spill;
pub(crate) mod store;
