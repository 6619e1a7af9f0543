//! After events: the reply to OpenIM is quick, and the event survives a failing policy.
//!
//! OpenIM tells of what has happened from two workers, repeats nothing and drops what does not fit (OpenIM main,
//! pkg/common/webhook/http_client.go). So an event is delivered at once, on a task of its own; its reply is the policy's
//! verdict where that comes soon, else an allow while the delivery goes on behind it. A failure is no verdict: the event
//! stays and is tried again.
//!
//! An event whose verdict does not come in time, that fails or that stands behind others is stored; one that is delivered
//! at once never is. (On JetStream an event with a key is always stored first.) The events of a key are delivered one after
//! another.
//!
//! - `scheduler`: which event is attempted when; one lock. `claims`: what it asks the store for; `retry`: what an attempt
//!   leads to: the end, the next attempt, parking, the dead letters; `stop`: the end of it all.
//! - `attempt`: one attempt. `entry`: an event that is kept.
//! - `limiter`: the pace of one rpc: how many deliveries at a time, and pauses while the policy is away; `loaded`: its
//!   events that are loaded. `key_order`: whose turn it is of each key; `hold`: how long its failures may hold up the others.
//! - `jetstream`: the events of several hookgates, on a cluster of NATS; what that does not take is this machine's.
//! - `store`: the verbs of a local store. `memory`: events in memory; `overlay`: the same in front of a file; `sqlite`: events
//!   on disk.
//! - `admin`: what people ask and do while hookgate serves, with `recover`, what the scheduler finds in a store; `offline`: while it does not.
//!   `everywhere`: the same of a cluster and this machine at once.
//! - `pulse`: what spares the runtime a wake-up for each event.
//! - `decision_log`: what that has of an event. `status`: what can be read of all this.

mod admin;
mod attempt;
mod claims;
mod decision_log;
mod entry;
mod everywhere;
mod hold;
mod jetstream;
mod key_order;
mod limiter;
mod loaded;
mod memory;
mod offline;
mod overlay;
mod pulse;
mod recover;
mod retry;
mod scheduler;
mod sqlite;
mod status;
mod stop;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config;
use crate::contract::{Callback, Metadata, Reply};
use crate::observe::decisions::Decisions;
use crate::observe::failures::LastFailure;
use crate::policy::{Policy, Transport};
use jetstream::JetStream;
use scheduler::{Scheduler, Stored, Taken};
use store::{Saved, Written};

pub(crate) use admin::{Changed, OperateError};
pub(crate) use everywhere::StartError;
pub(crate) use jetstream::{Cluster, ClusterError, Held};
pub use offline::Offline;
pub(crate) use offline::outboxes;
pub(crate) use sqlite::{COMMIT_BUCKETS, Count, Item, OpenError, Replay, Undelivered};
pub use sqlite::{Filter, State};
pub use status::{Backlog, Reason};
pub(crate) use status::{Counts, Disk, RpcBacklog};
pub(crate) use stop::CLOSING;

/// The receiver of all events, as tables, lists and metrics have it: the policy.
pub(crate) const TARGET: &str = "policy";

/// Something that has happened, and that the policy is to be told.
#[derive(Debug, Clone)]
pub struct Event {
    /// The callback that tells it. A response to an After callback changes nothing, so the webhook's body is not needed
    /// once the message is made of it.
    pub callback: &'static Callback,
    /// The encoded request message.
    pub message: Bytes,
    /// The metadata beside the message, `hookgate-event-id` included.
    pub metadata: Metadata,
    /// The time that each attempt is given.
    pub budget: Duration,
    /// True if the events of its key are delivered in order.
    pub ordered: bool,
}

/// The reply to an event's webhook. Only a verdict can be anything but an allow.
#[derive(Debug)]
pub enum Delivery {
    /// The policy's verdict.
    Answered(Reply),
    /// An allow: there is no verdict yet, or there will be none.
    Accepted,
    /// An allow, although the event is lost: there was no room for it, or the queue has been shut down.
    Dropped,
    /// An allow, although the event is in memory alone: neither the disk nor a cluster takes it in time.
    Unwritten,
}

impl Delivery {
    /// The answer of no policy: an allow, to which those of policies are joined.
    pub(crate) fn allowed() -> Self {
        Self::Answered(Reply::allow())
    }

    /// Returns the fate of an event that goes to two policies: it is answered when both have answered, and lost if one of
    /// them does not get it. The first denial is the reply.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Dropped, _) | (_, Self::Dropped) => Self::Dropped,
            (Self::Unwritten, _) | (_, Self::Unwritten) => Self::Unwritten,
            (Self::Accepted, _) | (_, Self::Accepted) => Self::Accepted,
            (Self::Answered(denial @ Reply::Deny(_)), _) => Self::Answered(denial),
            (Self::Answered(Reply::Allow { .. }), answered) => answered,
        }
    }
}

/// The After events on their way to the policy. Its clones share one scheduler.
#[derive(Clone)]
pub struct Events(Arc<Scheduler>, Option<Arc<JetStream>>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}

impl Events {
    /// Delivers to `policy`, with a decision log of what comes after the reply to an event's webhook. Must be used within a
    /// Tokio runtime.
    pub fn in_memory<T: Transport>(policy: Policy<T>, settings: &config::After, decisions: Decisions) -> Self {
        Self(Arc::new(Scheduler::new(policy, settings.clone(), decisions, None, first_number())), None)
    }

    /// Delivers to `policy`, and keeps what is not delivered yet in this directory, across restarts and crashes. What is
    /// there already goes on. Must be used within a Tokio runtime.
    pub fn on_disk<T: Transport>(
        policy: Policy<T>,
        settings: &config::After,
        decisions: Decisions,
        directory: &Path,
    ) -> Result<Self, OpenError> {
        let opened = sqlite::open(directory)?;
        let number = opened.number();
        let (store, found) = opened.start(settings)?;
        let disk = Some(store.clone());
        let scheduler = Arc::new(Scheduler::new(policy, settings.clone(), decisions, disk, number));
        let listener = Arc::downgrade(&scheduler);
        store.listen(move |news| {
            if let Some(scheduler) = listener.upgrade() {
                scheduler.hear(news);
            }
        });
        scheduler.find(found);
        Ok(Self(scheduler, None))
    }

    /// Takes an event, and says what its reply is to be within `answer_within`. The event does not depend on whoever
    /// waits for that.
    pub async fn deliver(&self, event: Event) -> Delivery {
        match &self.1 {
            None => self.deliver_here(event).await,
            Some(cluster) => match cluster.deliver(event).await {
                Ok(delivery) => delivery,
                // The cluster cannot take it.
                Err(event) => self.deliver_here(event).await,
            },
        }
    }

    async fn deliver_here(&self, event: Event) -> Delivery {
        let (now, budget) = (Instant::now(), event.budget);
        let mut attempt = match self.0.take(event, now) {
            Taken::Started(attempt) => attempt,
            Taken::Waits(saved) => return accepted(saved, budget).await,
            Taken::Dropped => return Delivery::Dropped,
        };
        let within = self.0.settings.answer_within;
        let stored = if within.is_zero() {
            // A timer of no time would take up to a millisecond.
            self.0.store_in_flight(attempt.number)
        } else {
            self.0.pulse.feel(&self.0.runtime, within);
            match timeout_at(now + within, &mut attempt).await {
                // It is delivered: nothing of it need be on any disk.
                Ok(Ok(reply)) => return Delivery::Answered(reply),
                Ok(Err(stored)) => stored,
                Err(_) => self.0.store_in_flight(attempt.number),
            }
        };
        // It goes on by itself.
        drop(attempt);
        match stored {
            Stored::Kept(saved) => accepted(saved, budget).await,
            Stored::NotKept => Delivery::Unwritten,
        }
    }

    /// Counts an event whose webhook was refused before it was one.
    pub(crate) fn lose_unread(&self, reason: Reason) {
        self.0.lose_unread(reason);
    }

    /// Goes on at once with what waits, as the policy has come back: a pause may have been for its absence. Says whether
    /// anything waits.
    pub fn resume(&self) -> bool {
        self.1.iter().for_each(|cluster| cluster.resume());
        self.0.resume() || self.1.is_some()
    }

    /// Delivers what is left, without waiting for its time or counting its attempts, until it is all delivered or `until`
    /// has come. What is left then is given up; says how many that are. With a disk it stays there, and only what is in
    /// flight is waited for; what the disk did not take is given up.
    pub async fn flush(&self, until: Instant) -> usize {
        match &self.1 {
            Some(cluster) => {
                // What is here goes on meanwhile, and may get more.
                self.0.hurry();
                let lost = cluster.stop(until).await;
                lost + self.flush_here(until).await
            }
            None => self.flush_here(until).await,
        }
    }

    async fn flush_here(&self, until: Instant) -> usize {
        self.0.hurry();
        if let Some(disk) = &self.0.disk {
            return self.0.leave(disk, until).await;
        }
        match timeout_at(until, self.0.idle()).await {
            Ok(()) => 0,
            Err(_) => self.0.close(),
        }
    }

    /// Waits until no event is kept, neither waiting nor on its way.
    pub async fn idle(&self) {
        if let Some(cluster) = &self.1 {
            while !cluster.is_idle().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.0.idle().await;
    }

    /// Returns the events that are kept now.
    pub fn backlog(&self) -> Backlog {
        let mut backlog = self.0.backlog();
        self.1.iter().for_each(|cluster| cluster.add_to(&mut backlog));
        backlog
    }

    /// Returns the last failure of each rpc that had one. `quotes` is set if causes may quote the policy.
    pub(crate) fn failures(&self, quotes: bool) -> BTreeMap<&'static str, LastFailure> {
        let mut failures = self.0.failures(quotes);
        self.1.iter().for_each(|cluster| failures.extend(cluster.failures(quotes)));
        failures
    }

    /// Counts the events so far by what has become of them. Every event that was taken is kept, or delivered, or counted by
    /// the reason for which it was not.
    pub fn counts(&self) -> Counts {
        self.1.iter().fold(self.0.counts(), |counts, cluster| counts.and(&cluster.counts()))
    }
}

/// Waits for the disk, `budget` at most: the event is accepted if that has it, else unwritten.
async fn accepted(saved: Saved, budget: Duration) -> Delivery {
    let Some(saved) = saved else { return Delivery::Accepted };
    match timeout(budget, saved).await {
        Ok(Ok(Written::Kept)) => Delivery::Accepted,
        Ok(Ok(Written::Owed) | Err(_)) | Err(_) => Delivery::Unwritten,
    }
}

/// Returns the first number of a store that is made now: microseconds since 1970. So numbers rise over a lost store too.
fn first_number() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
