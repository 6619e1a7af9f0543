//! How it stops.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{TIME, TIME_OR_NONE};

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
