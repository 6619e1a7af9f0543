//! Observability: counters, the log, the decision log, spans and drift. No call waits here for a reader or a disk.
//!
//! - [`counters`], [`durations`], [`rejected`]: counters for `/status` and `/metrics`.
//! - [`drift`]: differences between what OpenIM sends and what this build expects.
//! - [`failures`]: the last failure of each rpc.
//! - [`log_limit`]: a limit on the rate of log messages.
//! - [`logging`], [`decisions`]: the log and the decision log.
//! - [`notify`]: notifications to the service manager.
//! - [`writer`], [`sink`]: the non-blocking writer of both, and the files it writes to.
//! - [`traces`]: spans, exported by OTLP.

pub(crate) mod counters;
pub(crate) mod decisions;
pub mod drift;
pub(crate) mod durations;
pub(crate) mod failures;
pub(crate) mod log_limit;
pub(crate) mod logging;
pub(crate) mod notify;
pub(crate) mod rejected;
pub(crate) mod shadow;
pub(crate) mod sink;
pub(crate) mod traces;
pub mod writer;
