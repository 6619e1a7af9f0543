//! How After events are delivered.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{COUNT, SIZE, TIME, TIME_OR_NONE, TIMES};

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "after.answer_within",
            TIME_OR_NONE,
            |d| &mut d.config.after.answer_within,
            "How long the reply to an After callback waits for the policy's verdict",
        ),
        row("after.attempts", TIMES, |d| &mut d.config.after.attempts, "How often an After event is tried at most"),
        row("after.age", TIME, |d| &mut d.config.after.age, "How old an After event gets at most"),
        row(
            "after.retry_min",
            TIME,
            |d| &mut d.config.after.retry_min,
            "The pause before the second attempt; it doubles from there on",
        ),
        row("after.retry_max", TIME, |d| &mut d.config.after.retry_max, "The longest pause between two attempts"),
        row("after.events", COUNT, |d| &mut d.config.after.events, "How many After events are kept at most"),
        row("after.bytes", SIZE, |d| &mut d.config.after.bytes, "How many bytes of After events are kept at most"),
        row(
            "after.concurrency",
            COUNT,
            |d| &mut d.config.after.concurrency,
            "How many After events of one rpc are delivered at a time",
        ),
    ]
}
