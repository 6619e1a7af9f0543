//! The arrival of an event: from the webhook to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::JetStream;
use super::pace::Next;
use super::publish::Stored;
use super::record::{self, Record};
use crate::failure::Failure;
use crate::outbox::attempt::Asking;
use crate::outbox::entry::Entry;
use crate::outbox::limiter::Slot;
use crate::outbox::{Delivery, Event, Reason};

/// Maximum number of attempts to take an event out of a stream that has ended elsewhere.
const CLEANUPS: usize = 4;

/// Time after an attempt's deadline at which another copy may make the next one, if this one has not said how it ended.
const GRACE: Duration = Duration::from_secs(2);

/// The fate of an event on its arrival: what its reply is to be, or the event where JetStream cannot take it.
pub(in crate::outbox) type Arrived = Result<Delivery, Event>;

impl JetStream {
    /// Takes an event in. It does not depend on whoever waits for this.
    pub(in crate::outbox) async fn deliver(self: &Arc<Self>, event: Event) -> Arrived {
        let mut entry = Entry::new(event, Instant::now());
        if entry.key().is_none() {
            // Its first attempt begins before it is stored.
            if !self.publisher.fits(&Record::new(entry.clone())) {
                return Err(unordered(&entry));
            }
            // The limiter tells events apart by their numbers; those with an order get theirs from the stream.
            entry.set_number(record::unordered(entry.event_id()));
        }
        let (tell, told) = oneshot::channel();
        let (this, kept) = (self.clone(), entry.clone());
        let arriving = async move {
            if entry.key().is_some() {
                let record = Record::new(entry);
                let stored = this.publisher.store(&record, this.pace.settings.store_within).await;
                let arrived = this.arrived(&record, stored).await;
                let _ = tell.send(arrived);
            } else {
                this.deliver_unordered(entry, tell).await;
            }
        };
        self.arriving.spawn_on(arriving, &self.runtime);
        // A task that panics has taken the event with it.
        told.await.unwrap_or_else(|_| Err(unordered(&kept)))
    }

    /// Returns the reply to an event that was stored. It waits for the file of the spill.
    async fn arrived(self: &Arc<Self>, record: &Record, stored: Stored) -> Arrived {
        match stored {
            Stored::Stream(_) => Ok(Delivery::Accepted),
            Stored::Spill(_, None) => Ok(Delivery::Unwritten),
            Stored::Spill(number, Some(written)) => {
                let this = self.clone();
                let writing = self.arriving.spawn_on(
                    async move {
                        let is_written = written.await.unwrap_or(false);
                        if is_written {
                            this.publisher.spill.mark_written(number);
                        }
                        is_written
                    },
                    &self.runtime,
                );
                // What comes late is as good for the event, not for its reply.
                let is_written = matches!(timeout(record.entry.event.budget, writing).await, Ok(Ok(true)));
                Ok(if is_written { Delivery::Accepted } else { Delivery::Unwritten })
            }
            Stored::TooLarge => Err(unordered(&record.entry)),
            Stored::Full => {
                self.pace.lock().counts.lose(Reason::Full, 1);
                record.entry.log_dropped(Reason::Full, None);
                Ok(Delivery::Dropped)
            }
        }
    }

    /// Attempts an event without an order at once, and stores it only if that fails, or takes longer than `answer_within`.
    async fn deliver_unordered(self: Arc<Self>, mut entry: Entry, tell: oneshot::Sender<Arrived>) {
        let now = Instant::now();
        let Some(slot) = self.pace.try_begin(&entry) else {
            let record = Record { due: Some(now), ..Record::new(entry) };
            let _ = tell.send(self.store_later(&record).await.1);
            return;
        };
        entry.progress.attempts = 1;
        let mut asked = (self.ask)(entry.clone(), slot.began);
        match timeout_at(now + self.pace.settings.answer_within, &mut asked).await {
            Ok(Ok(reply)) => {
                self.pace.answered(&entry, slot);
                let _ = tell.send(Ok(Delivery::Answered(reply)));
            }
            Ok(Err(failure)) => {
                let arrived = self.failed_unordered(entry, slot, &failure).await;
                let _ = tell.send(arrived);
            }
            Err(_) => {
                let due = now + entry.event.budget + GRACE;
                let record = Record { due: Some(due), ..Record::new(entry) };
                let (place, arrived) = self.store_later(&record).await;
                let _ = tell.send(arrived);
                self.go_on_unordered(record, slot, asked, place).await;
            }
        }
    }

    /// Stores an event whose first attempt has failed, or ends it. Returns what its reply is to be.
    async fn failed_unordered(self: &Arc<Self>, entry: Entry, slot: Slot, failure: &Failure) -> Arrived {
        let record = Record::new(entry);
        match self.pace.failed(&record.entry, slot, failure, (self.is_policy_ready)()) {
            Next::Again(due) | Next::Park(due) => {
                let record = Record { due: Some(due), ..record };
                self.store_later(&record).await.1
            }
            Next::End(reason) => {
                let dead = self.ended(&record, reason, Some(failure));
                self.lose_for(&record, reason, Some(failure));
                let stored = self.publisher.store(&dead, self.pace.settings.store_within).await;
                self.arrived(&dead, stored).await.or(Ok(Delivery::Accepted))
            }
        }
    }

    /// Stores an event among the later ones. Returns its place in the stream or in the spill, and what its reply is to be.
    async fn store_later(self: &Arc<Self>, record: &Record) -> (Option<Place>, Arrived) {
        self.ensure_later(record.entry.rpc());
        let stored = self.publisher.store(record, self.pace.settings.store_within).await;
        let place = match &stored {
            Stored::Stream(sequence) => Some(Place::Stream(*sequence)),
            Stored::Spill(number, _) => Some(Place::Spill(*number)),
            Stored::TooLarge | Stored::Full => None,
        };
        (place, self.arrived(record, stored).await)
    }

    /// Waits for an attempt that goes on behind its webhook's reply, and takes the event out of its place if it succeeds. If
    /// it fails, the event comes from there when it is due.
    async fn go_on_unordered(self: &Arc<Self>, record: Record, slot: Slot, asked: Asking, place: Option<Place>) {
        let answer = tokio::select! {
            answer = asked => answer,
            () = self.given_up.cancelled() => return self.pace.abandoned(&record.entry, slot),
        };
        match answer {
            Ok(reply) => {
                self.pace.answered(&record.entry, slot);
                crate::outbox::attempt::log_late(&record.entry, &reply);
                self.decisions.write(record.entry.answered_late(&reply));
            }
            Err(failure) => match self.pace.failed(&record.entry, slot, &failure, (self.is_policy_ready)()) {
                Next::Again(_) | Next::Park(_) => return,
                Next::End(reason) => {
                    let dead = self.ended(&record, reason, Some(&failure));
                    self.lose_for(&record, reason, Some(&failure));
                    if self.publisher.publish(&dead).await.is_err() {
                        return;
                    }
                }
            },
        }
        self.take_out(&record, place).await;
    }

    /// Takes an event that has ended out of the place where it was put for its next attempt.
    async fn take_out(&self, record: &Record, place: Option<Place>) {
        let names = &self.publisher.names;
        let mut sequence = match place {
            None => return,
            Some(Place::Spill(number)) if self.publisher.spill.remove(number) => return,
            // It has been published meanwhile.
            Some(Place::Spill(_)) => None,
            Some(Place::Stream(sequence)) => Some(sequence),
        };
        for _ in 0..CLEANUPS {
            if sequence.is_none() {
                match self.publisher.api.last(&names.later, &self.publisher.subject(record)).await {
                    Ok(None) => return,
                    found => sequence = found.ok().flatten().map(|found| found.sequence),
                }
            }
            if let Some(sequence) = sequence
                && self.publisher.api.delete(&names.later, sequence).await.is_ok()
            {
                return;
            }
            sleep(GRACE / 4).await;
        }
        // It is delivered once more.
        self.publisher.counters.given_up.fetch_add(1, Relaxed);
    }
}

/// The place of an event that was stored for its next attempt.
#[derive(Debug, Clone, Copy)]
enum Place {
    Stream(u64),
    Spill(u64),
}

/// Returns an event as it came, without its order: JetStream alone knows that.
pub(super) fn unordered(entry: &Entry) -> Event {
    let event = &entry.event;
    Event {
        callback: event.callback,
        message: event.message.clone(),
        metadata: event.metadata.clone(),
        budget: event.budget,
        ordered: false,
    }
}
