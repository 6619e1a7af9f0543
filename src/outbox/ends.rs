//! The events that have ended and of which the disk has not heard yet.

use std::collections::{HashSet, VecDeque};

/// In the order of their ends: the number of the end, and that of the event.
#[derive(Debug, Default)]
pub(super) struct Ends {
    unheard: VecDeque<(u64, u64)>,
    numbers: HashSet<u64>,
    count: u64,
}

impl Ends {
    /// Notes that an event has ended, until the disk has heard of it: what it tells until then may have this event in it.
    /// Gives the number of the end; the disk has heard of those up to `heard`.
    pub(super) fn note(&mut self, number: u64, heard: u64) -> u64 {
        while let Some((_, number)) = self.unheard.front().copied().filter(|(end, _)| *end <= heard) {
            self.unheard.pop_front();
            self.numbers.remove(&number);
        }
        self.count += 1;
        self.unheard.push_back((self.count, number));
        self.numbers.insert(number);
        self.count
    }

    /// The disk will not hear of the last end, and it knows nothing of that event.
    pub(super) fn forget_last(&mut self) {
        if let Some((_, number)) = self.unheard.pop_back() {
            self.numbers.remove(&number);
        }
    }

    /// Whether an event has ended, as far as the disk may not know it.
    pub(super) fn has(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }
}
