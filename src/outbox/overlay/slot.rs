//! An event in the overlay.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::outbox::entry::{Entry, Kept, Progress};
use crate::outbox::store::{Death, Written};

/// The truth about an event.
#[derive(Debug)]
pub(in crate::outbox) struct Slot {
    pub(super) rpc: &'static str,
    /// The event; none if the file has it.
    pub(super) event: Option<Arc<Kept>>,
    pub(super) progress: Option<Progress>,
    pub(super) state: State,
    /// True if the file has a row of it.
    pub(super) in_file: bool,
    /// True while it is being written: the file may have it as it was then.
    pub(super) is_being_written: bool,
    pub(super) stamp: u64,
    pub(super) told: Option<oneshot::Sender<Written>>,
}

/// The state of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::outbox) enum State {
    /// Waiting for the first attempt.
    Fresh,
    /// Waiting behind others of the key.
    Behind,
    /// Waiting for the next attempt; others may wait behind it.
    Due(Instant),
    /// Waiting for the next attempt; none waits behind it.
    Parked(Instant),
    /// Delivered, or dropped.
    Gone,
    /// Ended undelivered.
    Dead(Death),
}

/// A change that a file is to get.
#[derive(Debug)]
pub(in crate::outbox) struct Change {
    pub(in crate::outbox) number: u64,
    pub(in crate::outbox) event: Option<Arc<Kept>>,
    pub(in crate::outbox) progress: Option<Progress>,
    pub(in crate::outbox) state: State,
    pub(in crate::outbox) in_file: bool,
    pub(super) stamp: u64,
}

impl Slot {
    /// The event with its progress; none if the file has it.
    pub(super) fn entry(&self) -> Option<Entry> {
        Some(Entry { event: self.event.clone()?, progress: self.progress? })
    }

    pub(super) fn size(&self) -> usize {
        self.entry().map_or(0, |entry| entry.size())
    }

    pub(super) fn change(&self, number: u64) -> Change {
        let Self { event, progress, state, in_file, stamp, .. } = self;
        Change { number, event: event.clone(), progress: *progress, state: *state, in_file: *in_file, stamp: *stamp }
    }
}
