//! One attempt to deliver an event.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;
use tracing::{debug, info};

use super::entry::Entry;
use super::queue::Queue;
use crate::contract::{Denial, Reply};
use crate::failure::{Class, Failure};
use crate::panics;
use crate::policy::{Answer, Policy, Transport};

/// Makes attempts, whatever carries their calls.
pub(super) type Make = dyn Fn(Attempt, Arc<Queue>) -> Making + Send + Sync;
type Making = Pin<Box<dyn Future<Output = Option<Verdict>> + Send>>;

pub(super) fn by_asking<T: Transport>(policy: Policy<T>) -> Box<Make> {
    let policy = Arc::new(policy);
    Box::new(move |attempt, queue| Box::pin(attempt.make(policy.clone(), queue)))
}

/// An attempt.
pub(super) struct Attempt {
    pub(super) entry: Box<Entry>,
    /// Whether it is to show if the policy still fails.
    pub(super) probe: bool,
    pub(super) began: Instant,
}

impl Attempt {
    /// Asks, and leaves the event to the queue again; gives the verdict.
    async fn make<T: Transport>(self, policy: Arc<Policy<T>>, queue: Arc<Queue>) -> Option<Verdict> {
        let Self { entry, probe, began } = self;
        let answer = panics::caught(pin!(async {
            match policy.ask(entry.call(began)).await? {
                Answer::Response(response) => Ok(entry.callback.reply(&response, &[])?),
                Answer::PermissionDenied(message) => Ok(Reply::Deny(Denial::because(&message))),
            }
        }))
        .await;
        // A panic is a failure like any other: it must not take the event with it.
        let panicked = |_| Err(Failure::because(Class::Error, "the delivery panicked"));
        match answer.unwrap_or_else(panicked) {
            Ok(reply) => {
                queue.delivered(&entry);
                Some(Verdict { entry, reply })
            }
            Err(failure) => {
                queue.failed(entry, probe, failure);
                None
            }
        }
    }

    /// On a task of its own, as no webhook waits for it.
    pub(super) fn spawn(self, queue: &Arc<Queue>) {
        queue.runtime.spawn(alone((queue.make)(self, queue.clone()), queue.clone()));
    }

    /// As a part of the webhook's task, for as long as that waits for it.
    pub(super) fn attend(self, queue: &Arc<Queue>) -> Attended {
        Attended { attempt: Some((queue.make)(self, queue.clone())), queue: queue.clone() }
    }
}

/// What the policy says of an event.
pub(super) struct Verdict {
    entry: Box<Entry>,
    reply: Reply,
}

async fn alone(attempt: Making, queue: Arc<Queue>) {
    if let Some(Verdict { entry, reply }) = attempt.await {
        log_late(&entry, &reply);
        queue.decisions.write(&entry.answered_late(&reply));
    }
}

/// An attempt that a webhook waits for. Where that ends first, the attempt goes on behind it.
pub(super) struct Attended {
    attempt: Option<Making>,
    queue: Arc<Queue>,
}

impl Future for Attended {
    /// None where the attempt has failed.
    type Output = Option<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        let Some(attempt) = &mut self.attempt else { return Poll::Ready(None) };
        let verdict = ready!(attempt.as_mut().poll(cx));
        self.attempt = None;
        Poll::Ready(verdict.map(|verdict| verdict.reply))
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.queue.runtime.spawn(alone(attempt, self.queue.clone()));
        }
    }
}

/// The line about a verdict that came after its webhook's reply.
fn log_late(entry: &Entry, reply: &Reply) {
    let (command, operation_id, event_id) = (entry.command(), entry.operation_id(), entry.event_id());
    let attempts = entry.attempts;
    match reply {
        Reply::Deny(_) => info!(command, operation_id, event_id, attempts, "late deny"),
        Reply::Allow { .. } => {
            debug!(command, operation_id, event_id, attempts, "late allow");
        }
    }
}
