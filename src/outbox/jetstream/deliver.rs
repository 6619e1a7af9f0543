//! The attempts of an event in hand, until its end. `transfer` has the place where it goes after them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::Message;
use tokio::time::Instant;
use tracing::{error, info};

use super::JetStream;
use super::ack::{self, Unacked};
use super::pace::{Next, Why};
use super::record::{HEADER, Record};
use super::transfer::LONG_PAUSE;
use crate::contract::Reply;
use crate::failure::Failure;
use crate::outbox::Reason;
use crate::outbox::attempt::log_late;
use crate::outbox::entry::Entry;
use crate::outbox::limiter::{LOG_INTERVAL, Slot};
use crate::outbox::retry::pause_of_event;

/// Pause before an event is given to a copy again whose policy could not be reached.
const AWAY: Duration = Duration::from_secs(1);

/// Number of deliveries of a message that no copy could read, before it becomes a dead letter.
const UNREADABLE: u32 = 3;

/// The end of an attempt of an event in hand.
enum Attempted {
    Answered(Slot, Reply),
    Failed(Slot, Failure),
    /// No attempt, or one whose end nobody waits for.
    Not(Why),
}

impl JetStream {
    /// Delivers the event of a partition, or finds it another place. Returns once it is not in hand any more.
    pub(super) async fn deliver_head(self: &Arc<Self>, message: Message) {
        let Some((mut record, unacked)) = self.take_in_hand(message).await else { return };
        let _listed = self.list_in_hand(record.entry.event_id());
        self.deliver_in_turn(&mut record, unacked).await;
        self.pace.released(&record.entry);
    }

    /// Makes attempts until the event has ended or goes elsewhere.
    async fn deliver_in_turn(self: &Arc<Self>, record: &mut Record, unacked: Unacked) {
        loop {
            let (slot, failure) = match self.attempt(&mut record.entry, &unacked).await {
                Attempted::Failed(slot, failure) => (slot, failure),
                Attempted::Not(why) => return self.leave(record, why, unacked).await,
                Attempted::Answered(slot, reply) => {
                    let is_whole = self.pace.answered(&record.entry, slot);
                    if let Some(key) = record.entry.key().filter(|_| is_whole) {
                        self.tell_hold(key, false).await;
                    }
                    self.told(&record.entry, &reply);
                    unacked.ack().await;
                    return;
                }
            };
            match self.pace.failed(&record.entry, slot, &failure, (self.is_policy_ready)()) {
                Next::Again(_) if !(self.may_policy_serve)() => return self.leave(record, Why::Away, unacked).await,
                Next::Again(due) => tokio::select! {
                    () = self.pace.due(due) => {}
                    () = unacked.lost() => return self.leave(record, Why::Lost, unacked).await,
                    () = self.stopping.cancelled() => return self.leave(record, Why::Stopping, unacked).await,
                },
                Next::Park(due) => {
                    if let Some(key) = record.entry.key().filter(|key| self.pace.is_spent(key)) {
                        self.tell_hold(key, true).await;
                    }
                    return self.park(record.clone(), due, unacked).await;
                }
                Next::End(reason) => return self.end(record, reason, Some(&failure), unacked).await,
            }
        }
    }

    /// Delivers a later event that is due, or gives it back until it is.
    pub(super) async fn deliver_later(self: &Arc<Self>, message: Message) {
        let Some((mut record, unacked)) = self.take_in_hand(message).await else { return };
        if let Some(early) = record.due.and_then(|due| due.checked_duration_since(Instant::now())) {
            return unacked.give_back(early.max(Duration::from_millis(1))).await;
        }
        let _listed = self.list_in_hand(record.entry.event_id());
        match self.attempt(&mut record.entry, &unacked).await {
            Attempted::Answered(slot, reply) => {
                self.pace.answered(&record.entry, slot);
                self.told(&record.entry, &reply);
                unacked.ack().await;
            }
            Attempted::Failed(slot, failure) => {
                match self.pace.failed(&record.entry, slot, &failure, (self.is_policy_ready)()) {
                    Next::Again(due) => self.put_later(record, due, unacked).await,
                    Next::Park(due) => {
                        record.entry.progress.parked = true;
                        self.put_later(record, due, unacked).await;
                    }
                    Next::End(reason) => self.end(&record, reason, Some(&failure), unacked).await,
                }
            }
            Attempted::Not(why) => self.leave(&record, why, unacked).await,
        }
    }

    /// Lets an event go that has neither an answer nor a failure.
    async fn leave(self: &Arc<Self>, record: &Record, why: Why, unacked: Unacked) {
        match why {
            Why::Lost => self.give_up(&record.entry),
            Why::Stopping => unacked.give_back(Duration::ZERO).await,
            Why::Away => unacked.give_back(AWAY).await,
            Why::ParkFirst => {
                let due = Instant::now() + pause_of_event(&self.pace.settings, 1);
                self.park(record.clone(), due, unacked).await;
            }
            Why::TooOld => self.end(record, Reason::Age, None, unacked).await,
        }
    }

    /// Reads a message and takes it in hand. One that cannot be read becomes a dead letter as it is.
    async fn take_in_hand(&self, message: Message) -> Option<(Record, Unacked)> {
        let Some((sequence, redelivered)) = ack::place(&message) else {
            // Whatever wrote it, nobody can ack it.
            self.unread_log.log(LOG_INTERVAL, |unlogged| {
                let reply = message.reply.as_deref();
                error!(reply, unlogged, "message of NATS has an unknown reply subject, not delivered");
            });
            return None;
        };
        let unacked = Unacked::new(&self.publisher.api.client, message.reply.clone()?);
        let header = message.headers.as_ref().and_then(|headers| headers.get(HEADER)).map(ToString::to_string);
        let header = header.unwrap_or_default();
        let Some(mut record) = Record::read(&header, message.payload.clone(), sequence, &self.publisher.clock) else {
            if redelivered < UNREADABLE {
                // During an update it may be another copy's.
                unacked.give_back(LONG_PAUSE).await;
                return None;
            }
            self.bury_unread(&message, &header, sequence, unacked).await;
            return None;
        };
        if redelivered > 0 && record.due.is_none() {
            self.publisher.counters.redelivered.fetch_add(1, Relaxed);
            // An earlier holder has made an attempt, as far as is known.
            record.entry.progress.attempts = record.entry.progress.attempts.saturating_add(redelivered);
        }
        Some((record, unacked))
    }

    /// Makes an attempt when it is the event's turn.
    async fn attempt(&self, entry: &mut Entry, unacked: &Unacked) -> Attempted {
        let turn = tokio::select! {
            turn = self.pace.turn(entry, &self.may_policy_serve) => turn,
            () = unacked.lost() => return Attempted::Not(Why::Lost),
            () = self.stopping.cancelled() => return Attempted::Not(Why::Stopping),
        };
        let slot = match turn {
            Ok(slot) => slot,
            Err(why) => return Attempted::Not(why),
        };
        entry.progress.attempts = entry.progress.attempts.saturating_add(1);
        let asked = (self.ask)(entry.clone(), slot.began);
        let why = tokio::select! {
            answer = asked => return match answer {
                Ok(reply) => Attempted::Answered(slot, reply),
                Err(failure) => Attempted::Failed(slot, failure),
            },
            () = unacked.lost() => Why::Lost,
            () = self.given_up.cancelled() => Why::Stopping,
        };
        self.pace.abandoned(entry, slot);
        Attempted::Not(why)
    }

    /// Notes an event that another copy may have.
    pub(super) fn give_up(&self, entry: &Entry) {
        self.publisher.counters.given_up.fetch_add(1, Relaxed);
        info!(rpc = entry.rpc(), event_id = entry.event_id(), "event given up, NATS was not heard for too long");
    }

    /// Logs a verdict.
    fn told(&self, entry: &Entry, reply: &Reply) {
        log_late(entry, reply);
        self.decisions.write(entry.answered_late(reply));
    }
}
