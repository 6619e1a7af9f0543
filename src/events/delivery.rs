//! One attempt to deliver an event.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tracing::{debug, info};

use super::entry::Entry;
use super::queue::Queue;
use crate::error::{Class, Failure};
use crate::policy::{Answer, Policy, Question};
use crate::server::Transport;
use crate::verdict::Reply;

/// Asks the policy, whatever carries the call.
pub(super) type Ask = dyn Fn(Question) -> Asked + Send + Sync;
type Asked = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

pub(super) fn ask_of<T: Transport>(policy: Policy<T>) -> Box<Ask> {
    let policy = Arc::new(policy);
    Box::new(move |question| {
        let policy = policy.clone();
        Box::pin(async move { policy.ask(question).await })
    })
}

/// An attempt.
pub(super) struct Attempt {
    pub(super) entry: Box<Entry>,
    /// Whether it is to show if the policy still fails.
    pub(super) probe: bool,
}

impl Attempt {
    /// Asks, and leaves the event to the queue again; gives the verdict.
    async fn make(self, queue: Arc<Queue>) -> Option<Verdict> {
        let Self { entry, probe } = self;
        let asked = async {
            // No response to an After callback has changes or echoes, so none needs the webhook's body.
            (queue.ask)(entry.question()).await?.into_reply(entry.callback, b"{}")
        };
        match unless_it_panics(asked).await {
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
        queue.runtime.spawn(alone(self.make(queue.clone()), queue.clone()));
    }

    /// As a part of the webhook's task, for as long as that waits for it.
    pub(super) fn attend(self, queue: &Arc<Queue>) -> Attended {
        Attended { attempt: Some(Box::pin(self.make(queue.clone()))), queue: queue.clone() }
    }
}

/// What the policy says of an event.
struct Verdict {
    entry: Box<Entry>,
    reply: Reply,
}

async fn alone(attempt: impl Future<Output = Option<Verdict>>, queue: Arc<Queue>) {
    if let Some(Verdict { entry, reply }) = attempt.await {
        log_late(&entry, &reply);
        queue.decisions.write(&entry.answered_late(&reply));
    }
}

/// An attempt that a webhook waits for. Where that ends first, the attempt goes on behind it.
pub(super) struct Attended {
    attempt: Option<Pin<Box<dyn Future<Output = Option<Verdict>> + Send>>>,
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

/// A panic is a failure like any other: it must not take the event with it.
async fn unless_it_panics<T>(attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut attempt = pin!(attempt);
    let panicked = || Failure::because(Class::Error, "the delivery panicked");
    poll_fn(|cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(cx)));
        poll.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}

/// The line about a verdict that came after its webhook's reply.
fn log_late(entry: &Entry, reply: &Reply) {
    let (command, operation_id, event_id) = (entry.command(), entry.operation_id(), entry.event_id());
    let attempts = entry.attempts;
    match reply {
        Reply::Deny(_) => info!(command, operation_id, event_id, attempts, "deny, after the reply"),
        Reply::Allow { .. } => {
            debug!(command, operation_id, event_id, attempts, "allow, after the reply");
        }
    }
}
