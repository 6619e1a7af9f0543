//! One attempt to deliver an event.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;
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
    /// Who would like to have the verdict.
    pub(super) tell: Option<oneshot::Sender<Reply>>,
}

impl Attempt {
    /// Asks, and leaves the event to the queue again.
    pub(super) async fn make(self, queue: Arc<Queue>) {
        let Self { entry, probe, tell } = self;
        let asked = async {
            // No response to an After callback has changes or echoes, so none needs the webhook's body.
            (queue.ask)(entry.question()).await?.into_reply(entry.callback, b"{}")
        };
        let reply = match unless_it_panics(asked).await {
            Ok(reply) => reply,
            Err(failure) => return queue.failed(entry, probe, failure),
        };
        // First the counters, then the news.
        queue.delivered(&entry);
        let late = match tell {
            Some(tell) => tell.send(reply).err(),
            None => Some(reply),
        };
        if let Some(reply) = late {
            log_late(&entry, &reply);
            queue.decisions.write(&entry.answered_late(&reply));
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
