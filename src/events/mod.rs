//! After events: the reply to OpenIM is quick, and the event survives a failing policy.
//!
//! OpenIM tells of what has happened from two workers, repeats nothing and drops what does not fit (OpenIM main,
//! pkg/common/webhook/http_client.go). So an event is delivered at once, on a task of its own; its reply is the policy's
//! verdict where that comes soon, else an allow while the delivery goes on behind it. A failure is no verdict: the event
//! stays and is tried again.
//!
//! - `queue`: what happens to an event, from its arrival to its end; one lock.
//! - `delivery`: one attempt.
//! - `lane`: the pace of one rpc: how many deliveries at a time, and pauses while the policy fails.
//! - `outbox`: what is kept, within its bounds. It is memory; what replaces it to survive a crash goes there.
//! - `entry`: an event that is kept.
//! - `decided`: what the decision log has of it.
//! - `stop`: the end of it all.
//! - `status`: what can be read of all this.

mod decided;
mod delivery;
mod entry;
mod lane;
mod outbox;
mod queue;
mod status;
mod stop;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use crate::callback::Callback;
use crate::config;
use crate::decisions::Decisions;
use crate::policy::{Metadata, Policy};
use crate::server::Transport;
use crate::verdict::Reply;
use queue::{Queue, Taken};

pub use status::{Backlog, Counts, Reason, RpcBacklog};

/// Something that has happened, and that the policy is to be told.
#[derive(Debug)]
pub struct Event {
    /// The callback that tells it. A response to an After callback changes nothing, so the webhook's body is not needed
    /// once the message is made of it.
    pub callback: &'static Callback,
    /// The encoded request message.
    pub message: Bytes,
    /// What is not in the message, `hookgate-event-id` included.
    pub metadata: Metadata,
    /// The time that each attempt is given.
    pub budget: Duration,
}

/// What the reply to an event's webhook is to be. Only a verdict can be anything but an allow.
#[derive(Debug)]
pub enum Delivery {
    /// The policy's verdict.
    Answered(Reply),
    /// An allow: there is no verdict yet, or there will be none.
    Accepted,
    /// An allow, although the event is lost: there was no room for it, or the queue has been shut down.
    Dropped,
}

/// The After events on their way to the policy. Its clones share one queue.
#[derive(Clone)]
pub struct Events(Arc<Queue>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}

impl Events {
    /// Delivers to `policy`. Must be used within a Tokio runtime.
    pub fn new<T: Transport>(policy: Policy<T>, settings: &config::After) -> Self {
        Self::logging(policy, settings, Decisions::off())
    }

    /// The same, with a decision log, which has what comes after the reply to an event's webhook.
    pub fn logging<T: Transport>(policy: Policy<T>, settings: &config::After, decisions: Decisions) -> Self {
        Self(Arc::new(Queue::new(policy, settings.clone(), decisions)))
    }

    /// Takes an event, and says what its reply is to be within `answer_within`. The event does not depend on whoever
    /// waits for that.
    pub async fn deliver(&self, event: Event) -> Delivery {
        let verdict = match self.0.take(event) {
            Taken::Started(verdict) => verdict,
            Taken::Waits => return Delivery::Accepted,
            Taken::Dropped => return Delivery::Dropped,
        };
        match timeout(self.0.settings.answer_within, verdict).await {
            Ok(Ok(reply)) => Delivery::Answered(reply),
            Ok(Err(_)) | Err(_) => Delivery::Accepted,
        }
    }

    /// Goes on at once with what waits, as the policy has come back: a pause may have been for its absence. Says whether
    /// anything waits.
    pub fn resume(&self) -> bool {
        self.0.resume()
    }

    /// Delivers what is left, without waiting for its time or counting its attempts, until it is all delivered or `until`
    /// has come. What is left then is given up; says how many that are.
    pub async fn flush(&self, until: Instant) -> usize {
        self.0.hurry();
        match timeout_at(until, self.idle()).await {
            Ok(()) => 0,
            Err(_) => self.0.close(),
        }
    }

    /// Waits until no event is kept, neither waiting nor on its way.
    pub async fn idle(&self) {
        self.0.idle().await;
    }

    /// What is kept now.
    pub fn backlog(&self) -> Backlog {
        self.0.backlog()
    }

    /// What has become of the events so far. Every event that was taken is kept, or delivered, or counted by the reason
    /// for which it was not.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}
