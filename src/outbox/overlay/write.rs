//! The changes that a file is to get.

use super::Overlay;
use super::slot::{Change, Slot, State};
use crate::outbox::store::Written;

/// The approximate memory that a slot without an event takes, in bytes.
const SLOT: usize = 200;

impl Overlay {
    /// The memory that all of it takes, in bytes.
    pub(in crate::outbox) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns these bytes, with those of what is known of events that the file has.
    pub(in crate::outbox) fn memory(&self) -> usize {
        self.bytes + self.slots.len() * SLOT
    }

    /// The number of events that are in no file.
    pub(in crate::outbox) fn unwritten(&self) -> usize {
        self.dirty.iter().filter_map(|number| self.slots.get(number)).filter(|slot| !slot.in_file).count()
    }

    pub(in crate::outbox) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes copies of the changes that the file is to get, `most` at most; with `deletes_only`, for a full disk, those of events
    /// that were delivered or dropped, as a dead letter needs room. Until [`written`](Self::written) or
    /// [`not_written`](Self::not_written) says otherwise the file may have them.
    pub(in crate::outbox) fn changes(&mut self, most: usize, deletes_only: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for number in &self.dirty {
            let Some(slot) = self.slots.get_mut(number) else { continue };
            if deletes_only && slot.state != State::Gone {
                continue;
            }
            changes.push(slot.change(*number));
            slot.is_being_written = true;
            if changes.len() >= most {
                break;
            }
        }
        changes
    }

    /// The file has these changes. Slots that say no more than the file are kept if it is being read.
    pub(in crate::outbox) fn written(&mut self, changes: &[Change], is_read: bool) {
        for change in changes {
            let Some(slot) = self.slots.get_mut(&change.number) else { continue };
            slot.told.take().map(|told| told.send(Written::Kept));
            (slot.in_file, slot.is_being_written) = (true, false);
            if slot.stamp != change.stamp {
                continue;
            }
            self.dirty.remove(&change.number);
            if !is_read {
                self.forget(change.number);
            }
        }
    }

    /// The file does not have these changes, and nobody knows when it will.
    pub(in crate::outbox) fn not_written(&mut self, changes: &[Change]) {
        for change in changes {
            let Some(slot) = self.slots.get_mut(&change.number) else { continue };
            slot.is_being_written = false;
            slot.told.take().map(|told| told.send(Written::Owed));
        }
        // Those that ended meanwhile are of no interest to a file that has not heard of them.
        let ended = |slot: &Slot| slot.state == State::Gone && !slot.in_file;
        for change in changes {
            if self.slots.get(&change.number).is_some_and(ended) {
                self.forget(change.number);
            }
        }
    }

    /// Forgets the slots that say no more than the file: nobody who reads it began before they were written.
    pub(in crate::outbox) fn forget_written(&mut self) {
        let is_written = |number: &&u64| !self.dirty.contains(number);
        let numbers: Vec<u64> = self.slots.keys().filter(is_written).copied().collect();
        numbers.into_iter().for_each(|number| self.forget(number));
    }

    /// Returns true if slots are kept for a reader.
    pub(in crate::outbox) fn has_written(&self) -> bool {
        self.slots.len() > self.dirty.len()
    }

    fn forget(&mut self, number: u64) {
        self.dirty.remove(&number);
        self.unindex(number);
        if let Some(slot) = self.slots.remove(&number) {
            self.bytes = self.bytes.saturating_sub(slot.size());
        }
    }
}
