//! What has been sent and is not written yet, in order, without what a later change makes needless: so that it stays small
//! however long the disk takes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::{Ended, Next, Op, Place, Written};

/// The memory that a promotion takes, about.
const PROMOTION: usize = 256;

/// Changes in the order in which they were sent.
#[derive(Default)]
pub(super) struct Pending {
    /// By their place.
    ops: BTreeMap<u64, Op>,
    next: u64,
    /// Where the arrival of an event is, by its number.
    inserts: HashMap<u64, u64>,
    /// Where the latest failure of an event is.
    retries: HashMap<u64, u64>,
    /// The events whose end is among the changes.
    ended: HashSet<u64>,
    /// Where the next of what belongs together is let go, after an event of which the disk knows nothing.
    promotions: HashMap<(&'static str, Arc<str>), u64>,
    hurry: Option<u64>,
    room: Option<u64>,
    /// Bytes of the events that arrive.
    bytes: usize,
}

impl Pending {
    /// Adds a change. Says whether it is there: an event that ends before it was written needs no disk.
    pub(super) fn push(&mut self, mut op: Op) -> bool {
        let place = self.next;
        match &mut op {
            Op::Insert { entry, .. } => {
                self.bytes += entry.size();
                self.inserts.insert(entry.number, place);
            }
            Op::Retry { number, .. } => {
                let earlier = self.retries.insert(*number, place);
                self.remove(earlier);
            }
            Op::Done(Ended { number, next, .. }) => {
                let retry = self.retries.remove(number);
                self.remove(retry);
                if self.cancel(*number) {
                    if let Some(next) = next.take() {
                        self.promote(next);
                    }
                    return false;
                }
                self.ended.insert(*number);
            }
            Op::Bury { ended, .. } => {
                let retry = self.retries.remove(&ended.number);
                self.remove(retry);
                self.ended.insert(ended.number);
            }
            Op::Hurry => {
                let earlier = self.hurry.replace(place);
                self.remove(earlier);
            }
            Op::MakeRoom(bytes) => {
                // What has ended since the earlier one was counted as room for this one.
                let earlier = self.room.replace(place).and_then(|earlier| self.ops.remove(&earlier));
                if let Some(Op::MakeRoom(earlier)) = earlier {
                    *bytes += earlier;
                }
            }
            _ => {}
        }
        self.ops.insert(place, op);
        self.next += 1;
        true
    }

    /// Takes the arrival of an event back, where it is known that nobody has to be asked for its place.
    fn cancel(&mut self, number: u64) -> bool {
        let Some(place) = self.inserts.get(&number) else { return false };
        if matches!(self.ops.get(place), Some(Op::Insert { place: Place::Ask, .. })) {
            return false;
        }
        let Some(Op::Insert { entry, told, .. }) = self.ops.remove(place) else { return false };
        self.inserts.remove(&number);
        self.bytes -= entry.size();
        // Whoever waited may have its verdict by now.
        let _ = told.send(Written::Kept);
        true
    }

    /// Lets the next of what belongs together go. The last time is enough.
    fn promote(&mut self, next: Next) {
        let earlier = self.promotions.insert((next.rpc, next.key.clone()), self.next);
        self.remove(earlier);
        self.ops.insert(self.next, Op::Promote(vec![next]));
        self.next += 1;
    }

    fn remove(&mut self, place: Option<u64>) {
        if let Some(place) = place {
            self.ops.remove(&place);
        }
    }

    /// Takes the first changes out, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Vec<Op> {
        let mut taken = Vec::with_capacity(self.ops.len().min(most));
        while taken.len() < most
            && let Some((place, op)) = self.ops.pop_first()
        {
            match &op {
                Op::Insert { entry, .. } => {
                    self.bytes -= entry.size();
                    self.inserts.remove(&entry.number);
                }
                Op::Retry { number, .. } => {
                    self.retries.remove(number);
                }
                Op::Done(ended) | Op::Bury { ended, .. } => {
                    self.ended.remove(&ended.number);
                }
                Op::Hurry => {
                    self.hurry.take_if(|at| *at == place);
                }
                Op::MakeRoom(_) => {
                    self.room.take_if(|at| *at == place);
                }
                Op::Promote(all) => {
                    for next in all {
                        let key = (next.rpc, next.key.clone());
                        if self.promotions.get(&key) == Some(&place) {
                            self.promotions.remove(&key);
                        }
                    }
                }
                _ => {}
            }
            taken.push(op);
        }
        taken
    }

    /// All of them.
    pub(super) fn into_ops(self) -> Vec<Op> {
        self.ops.into_values().collect()
    }

    /// Where the next change goes.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// Lets go of what somebody asked for, from a place on.
    pub(super) fn forget_acts(&mut self, place: u64) {
        let acts = self.ops.range(place..).filter(|(_, op)| matches!(op, Op::Act(_)));
        let acts: Vec<u64> = acts.map(|(place, _)| *place).collect();
        for act in acts {
            self.ops.remove(&act);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Op> {
        self.ops.values()
    }

    pub(super) fn iter_mut_from(&mut self, place: u64) -> impl Iterator<Item = &mut Op> {
        self.ops.range_mut(place..).map(|(_, op)| op)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    /// Bytes of the events that arrive, and of what is left of those that came and went.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.promotions.len() * PROMOTION
    }

    /// Whether the end of an event is among the changes.
    pub(super) fn has_ended(&self, number: u64) -> bool {
        self.ended.contains(&number)
    }

    /// The attempts of an event that has failed, and when the next one is due.
    pub(super) fn retry(&self, number: u64) -> Option<(u32, Instant)> {
        match self.ops.get(self.retries.get(&number)?)? {
            Op::Retry { attempts, due, .. } => Some((*attempts, *due)),
            _ => None,
        }
    }

    /// How many events arrive that have not ended.
    pub(super) fn events(&self) -> usize {
        self.inserts.keys().filter(|number| !self.has_ended(**number)).count()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use std::time::Duration;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::contract::Callback;
    use crate::contract::Metadata;
    use crate::outbox::entry::Entry;
    use crate::outbox::{Event, Reason};

    fn retry(number: u64, attempts: u32) -> Op {
        Op::Retry { number, attempts, due: Instant::now() + Duration::from_secs(60) }
    }

    fn arrival(number: u64) -> Op {
        let callback = &Callback::all()[0];
        let (metadata, budget) = (Metadata::new(), Duration::from_secs(1));
        let event = Event { callback, message: Bytes::new(), metadata, budget };
        let entry = Entry::new(event, number, Instant::now());
        Op::Insert { entry, place: Place::First, told: oneshot::channel().0 }
    }

    fn ended(number: u64) -> Ended {
        Ended { number, bytes: 0, end: number, next: None }
    }

    #[tokio::test]
    async fn however_often_an_event_fails_and_the_policy_comes_back_one_change_is_kept_of_each() {
        let mut pending = Pending::default();
        for attempts in 1..=1_000 {
            assert!(pending.push(retry(7, attempts)));
            assert!(pending.push(Op::Hurry));
        }
        assert_eq!(pending.len(), 2);
        assert_eq!(pending.retry(7).map(|(attempts, _)| attempts), Some(1_000));
        assert!(pending.push(Op::Done(ended(7))), "it is on disk, as far as is known");
        assert!(matches!(pending.take(9)[..], [Op::Hurry, Op::Done(_)]), "what is gone need not be tried again");
    }

    #[tokio::test]
    async fn an_end_takes_the_failure_of_its_event_out_and_no_other() {
        let mut pending = Pending::default();
        pending.push(retry(1, 1));
        pending.push(retry(2, 1));
        pending.push(Op::Bury { ended: ended(1), attempts: 2, reason: Reason::Attempts, class: None });
        assert!(pending.has_ended(1) && pending.retry(1).is_none());
        assert!(matches!(pending.take(9)[..], [Op::Retry { number: 2, .. }, Op::Bury { .. }]));
        assert!(pending.is_empty() && !pending.has_ended(1) && pending.retry(2).is_none());
    }

    #[tokio::test]
    async fn events_that_came_and_went_leave_one_change_for_what_they_belonged_to() {
        let mut pending = Pending::default();
        for number in 1..=1_000 {
            pending.push(arrival(number));
            let next = Some(Next { rpc: "/one", key: Arc::from("g") });
            assert!(!pending.push(Op::Done(Ended { next, ..ended(number) })), "the disk knows nothing of it");
        }
        assert_eq!((pending.len(), pending.bytes()), (1, PROMOTION));
        assert!(matches!(pending.take(9)[..], [Op::Promote(_)]));
        assert!(pending.is_empty() && pending.bytes() == 0);
    }

    #[tokio::test]
    async fn room_is_made_of_what_has_ended_before_it_was_last_asked_for() {
        let mut pending = Pending::default();
        pending.push(Op::MakeRoom(3));
        pending.push(Op::Bury { ended: ended(1), attempts: 2, reason: Reason::Attempts, class: None });
        pending.push(Op::MakeRoom(4));
        assert!(matches!(pending.take(9)[..], [Op::Bury { .. }, Op::MakeRoom(7)]));
    }
}
