//! How it stops.

use std::time::Duration;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{TIME, TIME_OR_NONE};

/// How it stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// How long connections are still accepted after the signal, so that whoever routes to us has noticed.
    pub delay: Duration,
    /// How long what is in flight, and After events, may take from then on.
    pub time: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(2), time: Duration::from_secs(10) }
    }
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "drain.delay",
            TIME_OR_NONE,
            |d| &mut d.config.drain.delay,
            "How long connections are still accepted after the signal to stop, until whoever routes here has noticed",
        ),
        row(
            "drain.time",
            TIME,
            |d| &mut d.config.drain.time,
            "How long what is in flight, and After events, may take from then on",
        ),
    ]
}
