//! The place where an event goes from a copy's hand: to the later ones, or to the dead letters. It is in its next place before
//! the message in hand is acked.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::JetStream;
use super::ack::Unacked;
use super::api::ApiError;
use super::record::{End, Record};
use crate::failure::Failure;
use crate::outbox::Reason;

/// Pause after a publish that was refused.
const PAUSE: Duration = Duration::from_millis(200);

/// Pause before an event is taken again that could be put nowhere.
pub(super) const LONG_PAUSE: Duration = Duration::from_secs(5);

/// Maximum number of publishes that are refused, and not for a lack of room.
const REFUSALS: usize = 25;

impl JetStream {
    /// Parks an event, so that those behind it go on.
    pub(super) async fn park(self: &Arc<Self>, mut record: Record, due: Instant, unacked: Unacked) {
        record.entry.progress.parked = true;
        let (rpc, event_id, attempts) = (record.entry.rpc(), record.entry.event_id(), record.entry.progress.attempts);
        info!(
            rpc,
            event_id,
            attempts,
            hold_ms = self.pace.settings.hold.as_millis(),
            "event parked, others of its key go on"
        );
        self.put_later(record, due, unacked).await;
    }

    /// Publishes an event for its next attempt, and ends the message in hand. If there is no room for it, one that holds up
    /// others becomes a dead letter; another one waits as the message that it is.
    pub(super) async fn put_later(self: &Arc<Self>, mut record: Record, due: Instant, unacked: Unacked) {
        let holds_up = record.due.is_none() && record.run.is_none();
        record.due = Some(due);
        self.make_later(record.entry.rpc()).await;
        match self.publish_in_hand(&record, &unacked).await {
            Some(Ok(_)) => unacked.ack().await,
            Some(Err(error)) if holds_up && error.is_full() => self.end(&record, Reason::Full, None, unacked).await,
            Some(Err(error)) if error.is_too_large() => {
                // As one that is too large when it arrives.
                (self.local)(super::arrive::unordered(&record.entry));
                unacked.ack().await;
            }
            Some(Err(_)) if holds_up => unacked.give_back(LONG_PAUSE).await,
            Some(Err(_)) => unacked.give_back(due.saturating_duration_since(Instant::now()).max(LONG_PAUSE)).await,
            None => self.give_up(&record.entry),
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
            None => self.give_up(&record.entry),
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
        self.decisions.write(record.entry.undelivered(reason, failure));
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
    pub(super) async fn bury_unread(&self, message: &Message, header: &str, sequence: u64, unacked: Unacked) {
        let subject = message.subject.as_str();
        error!(
            subject,
            sequence, "message in the stream is no event that this hookgate can read, it becomes a dead letter"
        );
        let headers = super::record::headers(&format!("unreadable/{subject}/{sequence}"), header);
        let to = self.publisher.names.dead("unreadable", "unknown", "0", &sequence.to_string());
        match self.publisher.api.publish(to, headers, message.payload.clone(), super::api::QUESTION).await {
            Ok(_) => unacked.ack().await,
            Err(_) => unacked.give_back(LONG_PAUSE).await,
        }
    }
}
