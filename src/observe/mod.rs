//! Counters, logs, decisions, spans and drift: what operators watch. Nothing here waits for a reader or a disk.

pub mod counters;
pub mod decisions;
pub mod drift;
pub mod durations;
pub mod lines;
pub mod logging;
pub mod rejected;
pub mod traces;
