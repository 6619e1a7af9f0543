//! Shutdown.

use std::time::Duration;

use super::settings;
use crate::config::value::{time, time_or_zero};

settings! {
    /// Shutdown.
    pub struct Drain("drain"), |builder| builder.config.drain;

    /// Time after the stop signal during which connections are still accepted, so that load balancers notice.
    delay: Duration = Duration::from_secs(2), time_or_zero();

    /// Time that requests in flight and After events may take from then on.
    time: Duration = Duration::from_secs(10), time();
}
