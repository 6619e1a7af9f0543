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
//! - `outbox`: what is kept, within its bounds, and what of it is in memory.
//! - `waiting`: the events of one rpc that are in memory and wait, in order.
//! - `disk`: what the queue does where the events are kept; `ends`: what of it the disk does not know yet.
//! - `store`: the events on disk.
//! - `operate`: what people ask and do while it runs; `offline`: while it does not.
//! - `entry`: an event that is kept.
//! - `pulse`: what spares the runtime a wake-up for each event.
//! - `decided`: what the decision log has of it.
//! - `stop`: the end of it all.
//! - `status`: what can be read of all this.

mod decided;
mod delivery;
mod disk;
mod ends;
mod entry;
mod lane;
mod offline;
mod operate;
#[allow(clippy::module_inception, reason = "replaced with the rest of this folder")]
mod outbox;
mod pulse;
mod queue;
mod status;
mod stop;
pub(crate) mod store;
mod waiting;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config;
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::contract::Reply;
use crate::observe::decisions::Decisions;
use crate::observe::failures::LastFailure;
use crate::policy::Policy;
use crate::policy::Transport;
use queue::{Queue, Saved, Taken};
use store::Written;

pub use offline::Offline;
pub(crate) use operate::{Changed, OperateError};
pub use status::{Backlog, Reason};
pub(crate) use status::{Counts, Disk};
pub(crate) use stop::CLOSING;
pub(crate) use store::look::{Count, Item, Numbers, Undelivered};
pub use store::meant::{Filter, State};
pub(crate) use store::{COMMIT_BUCKETS, OpenError};

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
    /// An allow, although the event is in memory alone: the disk does not take it, or not in time.
    Unwritten,
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
    /// Delivers to `policy`, with a decision log of what comes after the reply to an event's webhook. Must be used within a
    /// Tokio runtime.
    pub fn in_memory<T: Transport>(policy: Policy<T>, settings: &config::After, decisions: Decisions) -> Self {
        Self(Arc::new(Queue::new(policy, settings.clone(), decisions, None)))
    }

    /// Delivers to `policy`, and keeps what is not delivered yet in this directory, across restarts and crashes. What is
    /// there already goes on. Must be used within a Tokio runtime.
    pub fn on_disk<T: Transport>(
        policy: Policy<T>,
        settings: &config::After,
        decisions: Decisions,
        directory: &Path,
    ) -> Result<Self, OpenError> {
        let mut opened = store::open(directory)?;
        let (standing, number, clock) = (std::mem::take(&mut opened.standing), opened.number, opened.clock);
        // The thread needs the queue, and the queue the thread's ear.
        let queue: Arc<OnceLock<Weak<Queue>>> = Arc::default();
        let told = queue.clone();
        let hear = Box::new(move |news| {
            if let Some(queue) = told.get().and_then(Weak::upgrade) {
                queue.hear(news);
            }
        });
        let unfit = |error: io::Error| OpenError::Unfit { path: directory.to_owned(), what: error.to_string() };
        let store = opened.start(settings, hear).map_err(unfit)?;
        let events = Self(Arc::new(Queue::new(policy, settings.clone(), decisions, Some(store))));
        let _ = queue.set(Arc::downgrade(&events.0));
        events.0.find(standing, number, &clock);
        Ok(events)
    }

    /// Takes an event, and says what its reply is to be within `answer_within`. The event does not depend on whoever
    /// waits for that.
    pub async fn deliver(&self, event: Event) -> Delivery {
        let (now, budget) = (Instant::now(), event.budget);
        let (attempt, saved) = match self.0.take(event, now) {
            Taken::Started(attempt, saved) => (attempt, saved),
            Taken::Waits(saved) => return accepted(saved, budget).await,
            Taken::Dropped => return Delivery::Dropped,
        };
        let within = self.0.settings.answer_within;
        if within.is_zero() {
            // It goes on by itself. A timer of no time would take up to a millisecond.
            drop(attempt);
            return accepted(saved, budget).await;
        }
        self.0.pulse.feel(&self.0.runtime, within);
        match timeout_at(now + within, attempt).await {
            // It is delivered: nothing of it need be on any disk.
            Ok(Some(reply)) => Delivery::Answered(reply),
            Ok(None) | Err(_) => accepted(saved, budget).await,
        }
    }

    /// Counts an event whose webhook was refused before it was one.
    pub(crate) fn lose_unread(&self, reason: Reason) {
        self.0.lose_unread(reason);
    }

    /// Goes on at once with what waits, as the policy has come back: a pause may have been for its absence. Says whether
    /// anything waits.
    pub fn resume(&self) -> bool {
        self.0.resume()
    }

    /// Delivers what is left, without waiting for its time or counting its attempts, until it is all delivered or `until`
    /// has come. What is left then is given up; says how many that are. With a disk it stays there, and only what is on
    /// its way is waited for; what the disk did not take is given up.
    pub async fn flush(&self, until: Instant) -> usize {
        self.0.hurry();
        if let Some(store) = &self.0.store {
            return self.0.leave(store, until).await;
        }
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

    /// Returns the last failure of each rpc that had one. `quotes` is set if causes may quote the policy.
    pub(crate) fn failures(&self, quotes: bool) -> BTreeMap<&'static str, LastFailure> {
        self.0.failures(quotes)
    }

    /// What has become of the events so far. Every event that was taken is kept, or delivered, or counted by the reason
    /// for which it was not.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

/// What is said of an event that is delivered behind the reply: that it is safe, once it is.
async fn accepted(saved: Saved, budget: Duration) -> Delivery {
    let Some(saved) = saved else { return Delivery::Accepted };
    match timeout(budget, saved).await {
        Ok(Ok(Written::Kept)) => Delivery::Accepted,
        Ok(Ok(Written::Owed) | Err(_)) | Err(_) => Delivery::Unwritten,
    }
}
