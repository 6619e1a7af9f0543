//! From an event in hand to its end: attempts, and where it goes after them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::Message;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::JetStream;
use super::ack::{self, Unacked};
use super::api::ApiError;
use super::pace::{Next, Turn};
use super::record::{End, HEADER, Record};
use crate::contract::Reply;
use crate::failure::Failure;
use crate::outbox::Reason;
use crate::outbox::attempt::log_late;
use crate::outbox::entry::Entry;
use crate::outbox::limiter::Slot;

/// Pause after a publish that was refused.
const PAUSE: Duration = Duration::from_millis(200);

/// Maximum number of attempts to take an event out of a stream that has ended elsewhere.
pub(super) const CLEANUPS: usize = 4;

/// Pause before an event is taken again that could be put nowhere.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// Pause before an event is given to a copy again whose policy could not be reached.
const AWAY: Duration = Duration::from_secs(1);

/// Number of deliveries of a message that no copy could read, before it becomes a dead letter.
const UNREADABLE: u32 = 3;

/// Maximum number of publishes that are refused, and not for a lack of room.
const REFUSALS: usize = 25;

/// The end of an attempt of an event in hand.
enum Attempted {
    Answered(Slot, Reply),
    Failed(Slot, Failure),
    /// Another copy may have the event, or this one is stopping.
    GivenUp,
}

impl JetStream {
    /// Delivers the event of a partition, or finds it another place. Returns once it is not in hand any more.
    pub(super) async fn deliver_head(self: &Arc<Self>, message: Message) {
        let Some((record, unacked)) = self.take_in_hand(message).await else { return };
        let mut record = record;
        let _listed = self.list_in_hand(record.entry.event_id());
        loop {
            match self.attempt(&mut record.entry, &unacked).await {
                Ok(Attempted::Answered(slot, reply)) => {
                    let is_whole = self.pace.answered(&record.entry, slot);
                    if let Some(key) = record.entry.key().filter(|_| is_whole) {
                        self.tell_hold(key, false).await;
                    }
                    self.told(&record.entry, &reply);
                    unacked.ack().await;
                    break;
                }
                Ok(Attempted::Failed(slot, failure)) => {
                    let next = self.pace.failed(&record.entry, slot, &failure, (self.is_policy_ready)());
                    match next {
                        Next::Again(_) if !(self.may_policy_serve)() => {
                            unacked.give_back(AWAY).await;
                            break;
                        }
                        Next::Again(due) => {
                            tokio::select! {
                                () = self.pace.due(due) => {}
                                () = unacked.lost() => { self.lose(&record.entry); break; }
                                () = self.stopping.cancelled() => { unacked.give_back(Duration::ZERO).await; break; }
                            }
                        }
                        Next::Park(due) => {
                            let spent = record.entry.key().filter(|key| self.pace.is_spent(key));
                            if let Some(key) = spent {
                                self.tell_hold(key, true).await;
                            }
                            self.park(record.clone(), due, unacked).await;
                            break;
                        }
                        Next::End(reason) => {
                            self.end(&record, reason, Some(&failure), unacked).await;
                            break;
                        }
                    }
                }
                Ok(Attempted::GivenUp) => {
                    if self.stopping.is_cancelled() {
                        unacked.give_back(Duration::ZERO).await;
                    } else {
                        self.lose(&record.entry);
                    }
                    break;
                }
                Err(Turn::Away) => {
                    unacked.give_back(AWAY).await;
                    break;
                }
                Err(Turn::Park) => {
                    let due = Instant::now() + self.pace.pause_of_event(1);
                    self.park(record.clone(), due, unacked).await;
                    break;
                }
                Err(_) => {
                    self.end(&record, Reason::Age, None, unacked).await;
                    break;
                }
            }
        }
        self.pace.released(&record.entry);
    }

    /// Delivers a later event that is due, or gives it back until it is.
    pub(super) async fn deliver_later(self: &Arc<Self>, message: Message) {
        let Some((record, unacked)) = self.take_in_hand(message).await else { return };
        let mut record = record;
        if let Some(early) = record.due.and_then(|due| due.checked_duration_since(Instant::now())) {
            return unacked.give_back(early.max(Duration::from_millis(1))).await;
        }
        let _listed = self.list_in_hand(record.entry.event_id());
        match self.attempt(&mut record.entry, &unacked).await {
            Ok(Attempted::Answered(slot, reply)) => {
                self.pace.answered(&record.entry, slot);
                self.told(&record.entry, &reply);
                unacked.ack().await;
            }
            Ok(Attempted::Failed(slot, failure)) => {
                match self.pace.failed(&record.entry, slot, &failure, (self.is_policy_ready)()) {
                    Next::Again(due) => self.put_later(record, due, unacked).await,
                    Next::Park(due) => {
                        record.entry.progress.parked = true;
                        self.put_later(record, due, unacked).await;
                    }
                    Next::End(reason) => self.end(&record, reason, Some(&failure), unacked).await,
                }
            }
            Ok(Attempted::GivenUp) if self.stopping.is_cancelled() => unacked.give_back(Duration::ZERO).await,
            Ok(Attempted::GivenUp) => self.lose(&record.entry),
            Err(Turn::Away) => unacked.give_back(AWAY).await,
            Err(_) => self.end(&record, Reason::Age, None, unacked).await,
        }
    }

    /// Reads a message and takes it in hand. One that cannot be read becomes a dead letter as it is.
    async fn take_in_hand(&self, message: Message) -> Option<(Record, Unacked)> {
        let (sequence, redelivered) = ack::place(&message)?;
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

    /// Makes an attempt when it is the event's turn. The error is a turn that does not come.
    async fn attempt(&self, entry: &mut Entry, unacked: &Unacked) -> Result<Attempted, Turn> {
        let turn = tokio::select! {
            turn = self.pace.turn(entry, &self.may_policy_serve) => turn,
            () = unacked.lost() => return Ok(Attempted::GivenUp),
            () = self.stopping.cancelled() => return Ok(Attempted::GivenUp),
        };
        let Turn::Begins(slot) = turn else { return Err(turn) };
        entry.progress.attempts = entry.progress.attempts.saturating_add(1);
        let asked = (self.ask)(entry.clone(), slot.began);
        let answer = tokio::select! {
            answer = asked => Some(answer),
            () = unacked.lost() => None,
            () = self.given_up.cancelled() => None,
        };
        Ok(match answer {
            Some(Ok(reply)) => Attempted::Answered(slot, reply),
            Some(Err(failure)) => Attempted::Failed(slot, failure),
            None => {
                self.pace.abandoned(entry, slot);
                Attempted::GivenUp
            }
        })
    }

    /// Notes an event that another copy may have.
    fn lose(&self, entry: &Entry) {
        self.publisher.counters.given_up.fetch_add(1, Relaxed);
        info!(rpc = entry.rpc(), event_id = entry.event_id(), "event given up, NATS was not heard for too long");
    }

    /// Logs a verdict.
    fn told(&self, entry: &Entry, reply: &Reply) {
        log_late(entry, reply);
        self.decisions.write(&entry.answered_late(reply));
    }

    /// Parks an event, so that those behind it go on.
    async fn park(self: &Arc<Self>, mut record: Record, due: Instant, unacked: Unacked) {
        record.entry.progress.parked = true;
        let (rpc, event_id, attempts) = (record.entry.rpc(), record.entry.event_id(), record.entry.progress.attempts);
        info!(
            rpc,
            event_id,
            attempts,
            hold_ms = self.settings.hold.as_millis(),
            "event parked, others of its key go on"
        );
        self.put_later(record.clone(), due, unacked).await;
    }

    /// Publishes an event for its next attempt, and ends the message in hand. If there is no room for it, one that holds up
    /// others becomes a dead letter; another one waits as the message that it is.
    async fn put_later(self: &Arc<Self>, mut record: Record, due: Instant, unacked: Unacked) {
        let holds_up = record.due.is_none() && record.run.is_none();
        record.due = Some(due);
        self.make_later(record.entry.rpc()).await;
        match self.publish_in_hand(&record, &unacked).await {
            Some(Ok(_)) => _ = unacked.ack().await,
            Some(Err(error)) if holds_up && error.is_full() => self.end(&record, Reason::Full, None, unacked).await,
            Some(Err(error)) if error.is_too_large() => {
                // As one that is too large when it arrives.
                (self.local)(super::arrive::unordered(&record.entry));
                unacked.ack().await;
            }
            Some(Err(_)) if holds_up => unacked.give_back(LONG_PAUSE).await,
            Some(Err(_)) => unacked.give_back(due.saturating_duration_since(Instant::now()).max(LONG_PAUSE)).await,
            None => self.lose(&record.entry),
        }
    }

    /// Ends an event undelivered: counts and logs it, and publishes it as a dead letter.
    pub(super) async fn end(&self, record: &Record, reason: Reason, failure: Option<&Failure>, unacked: Unacked) {
        let mut dead = self.ended(record, reason, failure);
        let mut published = self.publish_in_hand(&dead, &unacked).await;
        if matches!(&published, Some(Err(error)) if error.is_too_large()) {
            let event_id = record.entry.event_id();
            error!(event_id, "dead letter is larger than NATS takes, kept without its message");
            dead.entry.forget_message();
            published = self.publish_in_hand(&dead, &unacked).await;
        }
        match published {
            Some(Ok(_)) => {
                self.lose_for(record, reason, failure);
                unacked.ack().await;
            }
            Some(Err(error)) => {
                let (rpc, event_id) = (record.entry.rpc(), record.entry.event_id());
                error!(rpc, event_id, %error, "dead letter not stored, its event is tried again");
                unacked.give_back(LONG_PAUSE).await;
            }
            None => self.lose(&record.entry),
        }
    }

    /// Returns a record as a dead letter.
    pub(super) fn ended(&self, record: &Record, reason: Reason, failure: Option<&Failure>) -> Record {
        let class = failure.map(|failure| failure.class.as_str().to_owned());
        let end = End { reason: reason.as_str().to_owned(), class, died: self.publisher.clock.now() };
        Record { end: Some(end), due: None, ..record.clone() }
    }

    /// Counts and logs an event that ended undelivered.
    pub(super) fn lose_for(&self, record: &Record, reason: Reason, failure: Option<&Failure>) {
        self.pace.lock().counts.lose(reason, 1);
        // The limiter logs these once for each rpc.
        if reason != Reason::Unimplemented {
            record.entry.log_end(reason, failure);
        }
        self.decisions.write(&record.entry.undelivered(reason, failure));
    }

    /// Publishes while an event is in hand: again, until it is taken or refused for good. None if another copy may have it.
    async fn publish_in_hand(&self, record: &Record, unacked: &Unacked) -> Option<Result<u64, ApiError>> {
        let publish = async {
            let mut refusals = 0;
            loop {
                match self.publisher.publish(record).await {
                    Err(ApiError::NoResponders | ApiError::TimedOut | ApiError::Other(_)) => sleep(PAUSE).await,
                    // An election, or more than the server can do.
                    Err(error) if !error.is_full() && !error.is_too_large() && refusals < REFUSALS => {
                        refusals += 1;
                        sleep(PAUSE).await;
                    }
                    published => return published,
                }
            }
        };
        tokio::select! {
            published = publish => Some(published),
            () = unacked.lost() => None,
            () = self.given_up.cancelled() => None,
        }
    }

    /// Makes a dead letter of a message that is no event of hookgate.
    async fn bury_unread(&self, message: &Message, header: &str, sequence: u64, unacked: Unacked) {
        let subject = message.subject.as_str();
        error!(
            subject,
            sequence, "message in the stream is no event that this hookgate can read, it becomes a dead letter"
        );
        let headers = super::record::headers(&format!("unreadable/{subject}/{sequence}"), header);
        let to = self.publisher.names.dead("unreadable", "unknown", "0", &sequence.to_string());
        match self.publisher.api.publish(to, headers, message.payload.clone(), super::api::QUESTION).await {
            Ok(_) => _ = unacked.ack().await,
            Err(_) => unacked.give_back(LONG_PAUSE).await,
        }
    }
}
