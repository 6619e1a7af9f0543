//! One attempt to deliver an event.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::{debug, info};

use super::entry::Entry;
use super::limiter::Slot;
use super::scheduler::{Scheduler, Stored};
use crate::contract::{Denial, Reply};
use crate::failure::{Class, Failure};
use crate::policy::{Answer, Policy, Transport};

/// Makes attempts, whatever carries their calls.
pub(super) type Make = dyn Fn(Attempt, Arc<Scheduler>) -> Making + Send + Sync;
type Making = Pin<Box<dyn Future<Output = Result<Verdict, Stored>> + Send>>;

pub(super) fn by_asking<T: Transport>(policy: Arc<Policy<T>>) -> Box<Make> {
    Box::new(move |attempt, scheduler| Box::pin(attempt.make(policy.clone(), scheduler)))
}

/// An attempt.
pub(super) struct Attempt {
    pub(super) entry: Entry,
    pub(super) slot: Slot,
}

/// Asks the policy about an event, whatever carries the call.
pub(super) type Ask = dyn Fn(Entry, Instant) -> Asking + Send + Sync;
pub(super) type Asking = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

pub(super) fn asking<T: Transport>(policy: Arc<Policy<T>>) -> Box<Ask> {
    Box::new(move |entry, began| {
        let policy = policy.clone();
        Box::pin(async move { ask(&policy, &entry, began).await })
    })
}

/// Asks the policy about an event. A panic is a failure like any other: it must not take the event with it.
async fn ask<T: Transport>(policy: &Policy<T>, entry: &Entry, began: Instant) -> Result<Reply, Failure> {
    let asked = async {
        match policy.ask(entry.call(began)).await? {
            Answer::Response(response) => Ok(entry.event.callback.reply(&response, &[])?),
            Answer::PermissionDenied(message) => Ok(Reply::Deny(Denial::because(&message))),
        }
    };
    let answer = AssertUnwindSafe(asked).catch_unwind().await;
    answer.unwrap_or_else(|_| Err(Failure::because(Class::Error, "the delivery panicked")))
}

impl Attempt {
    /// Asks, and leaves the event to the scheduler again. Returns the verdict; without one, what became of the event.
    async fn make<T: Transport>(self, policy: Arc<Policy<T>>, scheduler: Arc<Scheduler>) -> Result<Verdict, Stored> {
        let Self { entry, slot } = self;
        match ask(&policy, &entry, slot.began).await {
            Ok(reply) => {
                scheduler.delivered(&entry, slot);
                Ok(Verdict { entry, reply })
            }
            Err(failure) => Err(scheduler.failed(entry, slot, failure)),
        }
    }

    /// Spawns the attempt on a task of its own: no webhook waits for it.
    pub(super) fn spawn(self, scheduler: &Arc<Scheduler>) {
        scheduler.runtime.spawn(alone((scheduler.make)(self, scheduler.clone()), scheduler.clone()));
    }

    /// Makes the attempt a part of the webhook's task, for as long as that waits for it.
    pub(super) fn attend(self, scheduler: &Arc<Scheduler>) -> Attended {
        let number = self.entry.number();
        Attended { number, attempt: Some((scheduler.make)(self, scheduler.clone())), scheduler: scheduler.clone() }
    }
}

/// The policy's verdict on an event.
pub(super) struct Verdict {
    entry: Entry,
    reply: Reply,
}

async fn alone(attempt: Making, scheduler: Arc<Scheduler>) {
    if let Ok(Verdict { entry, reply }) = attempt.await {
        log_late(&entry, &reply);
        scheduler.decisions.write(entry.answered_late(&reply));
    }
}

/// An attempt that a webhook waits for. Where that ends first, the attempt goes on behind it.
pub(super) struct Attended {
    /// The number of the event.
    pub(super) number: u64,
    attempt: Option<Making>,
    scheduler: Arc<Scheduler>,
}

impl Future for Attended {
    type Output = Result<Reply, Stored>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reply, Stored>> {
        let Some(attempt) = &mut self.attempt else { return Poll::Ready(Err(Stored::NotKept)) };
        let verdict = ready!(attempt.as_mut().poll(cx));
        self.attempt = None;
        Poll::Ready(verdict.map(|verdict| verdict.reply))
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.scheduler.runtime.spawn(alone(attempt, self.scheduler.clone()));
        }
    }
}

/// The line about a verdict that came after its webhook's reply.
pub(super) fn log_late(entry: &Entry, reply: &Reply) {
    let (command, operation_id, event_id) = (entry.command(), entry.operation_id(), entry.event_id());
    let attempts = entry.progress.attempts;
    match reply {
        Reply::Deny(_) => info!(command, operation_id, event_id, attempts, "late deny"),
        Reply::Allow { .. } => {
            debug!(command, operation_id, event_id, attempts, "late allow");
        }
    }
}
