//! The handler of a webhook: decode, ask, decide, reply.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::warn;

use super::body::{self, BodyError, Bounds, Whole};
use super::decision::{Decider, Decision};
use super::layers::Call;
use super::plan::Plan;
use super::record::Record;
use super::shadow::Shadowed;
use super::webhook::Webhook;
use super::work;
use super::{Refusal, Response, ServerState, refused};
use crate::config::{Handling, Order, Shadow};
use crate::contract::{BodyDrift, Metadata, Timing};
use crate::failure::{Class, Failure};
use crate::memory::Share;
use crate::outbox::{self, Delivery, Event};
use crate::policy::Transport;

/// A webhook's body, and the message and metadata that policies are sent of it.
pub(super) struct Decoded {
    pub(super) body: Bytes,
    pub(super) message: Bytes,
    pub(super) metadata: Metadata,
    /// The part of `limits.memory` that a large body holds; released with its last clone.
    pub(super) share: Option<Arc<Share>>,
    /// The time when the budget ends.
    pub(super) deadline: Instant,
}

impl Decoded {
    /// Returns the event that an After callback tells of, with this message.
    fn event(&self, decider: &Decider, message: Bytes) -> Event {
        let Handling { budget, order, .. } = decider.handling;
        let metadata = self.metadata.clone();
        Event { callback: decider.callback, message, metadata, budget, ordered: order == Order::Key }
    }
}

/// Answers a call that has passed the layers.
pub(super) async fn answer<T: Transport>(call: Call<T>) -> Result<Response, Infallible> {
    let Call { webhooks, record, request } = call;
    let (head, body) = request.into_parts();
    let webhook = match Webhook::route(&head, record.config.access.secret_paths.is_some()) {
        Ok(webhook) => record.begin_webhook(webhook, &head.headers, webhooks.traces()),
        Err(refusal) => return Ok(refused::refuse(&record, head, body, refusal).await),
    };
    let _answering = webhooks.shared.status.in_flight.hold();
    let decider = Decider::new(webhook.callback, &record.config);
    Ok(record.reply(webhooks.decide(&record, webhook, &decider, body).await))
}

impl<T: Transport> ServerState<T> {
    async fn decide(
        self: &Arc<Self>,
        record: &Record,
        webhook: &Webhook,
        decider: &Decider,
        body: Incoming,
    ) -> Decision {
        let mut decoded = match self.decode(record, webhook, decider, body).await {
            Ok(decoded) => decoded,
            Err(unread) => return self.unread(webhook, decider, unread),
        };
        let callback = webhook.callback;
        let route = match self.route(record, callback, &decoded).await {
            Ok(route) => route,
            Err(unread) => return self.unread(webhook, decider, unread),
        };
        let taken = route.and_then(|route| record.config.routes.all().get(route));
        let guarded = taken.filter(|route| route.guard.is_some()).map(|route| (route, Instant::now()));
        let shadow = taken.and_then(|route| route.shadow);
        let is_after = webhook.timing() == Timing::After;
        let shadowed = shadow.filter(|_| !is_after).map(|shadow| Shadowed::new(shadow.policy, &decoded));
        if let Some(Shadow { policy, events: true }) = shadow.filter(|_| is_after) {
            self.deliver_to_shadow(&record.config, policy, &decoded.event(decider, decoded.message.clone()));
        }
        let decision = match Plan::of(&record.config, callback, taken) {
            Plan::Ask(policies, _) if is_after => {
                let message = std::mem::take(&mut decoded.message);
                self.deliver(record, decoded.event(decider, message), policies).await
            }
            Plan::Ask([policy], _) => self.ask_one(record, decider, &mut decoded, *policy).await,
            // Boxed, as are the next ones, so that the task of an ordinary webhook has no room for it.
            Plan::Ask(policies, ask) => Box::pin(self.ask_several(record, decider, &decoded, policies, ask)).await,
            Plan::Skip(route) => Box::pin(self.skip(webhook, decider, decoded, route.clone())).await,
            Plan::Unrouted => Box::pin(self.unrouted(webhook, decider, &decoded)).await,
        };
        if let Some(shadowed) = shadowed {
            self.ask_shadow(decider, shadowed, &decision, route);
        }
        if let Some((route, began)) = guarded.filter(|_| !is_after)
            // What the end of the drain cuts off is no failure of the route.
            && !self.shared.draining.load(Relaxed)
        {
            self.shared.guards.note_call(route, decision.is_of_a_failing_policy(), began.elapsed());
        }
        decision
    }

    /// Decides on a webhook that no route takes: a Before webhook by the rule of a callback that is not implemented; an After
    /// event is lost.
    async fn unrouted(&self, webhook: &Webhook, decider: &Decider, decoded: &Decoded) -> Decision {
        let failure = Failure::because(Class::Unimplemented, "no route takes this webhook").unasked();
        if webhook.timing() == Timing::After {
            self.lose(webhook, outbox::Reason::Unimplemented);
            return Decision::allowed(failure);
        }
        let decide = |decider: &Decider, body: &[u8]| decider.unrouted(failure, body);
        let decision = self.by_body(decider, &decoded.body, decoded.deadline, decide).await;
        decision.unwrap_or_else(|| decider.unread(late_reply().unasked(), None))
    }

    /// Allows a webhook that the policy is not asked about.
    async fn skip(&self, webhook: &Webhook, decider: &Decider, decoded: Decoded, route: Arc<str>) -> Decision {
        if !decider.callback.echoes() {
            return decider.skipped(route, &[]);
        }
        let Decoded { body, deadline, .. } = decoded;
        let decision = self.by_body(decider, &body, deadline, |decider, body| decider.skipped(route, body)).await;
        decision.unwrap_or_else(|| self.unread(webhook, decider, BodyError::Failed(late_reply().unasked())))
    }

    /// Runs what reads the body again: on the blocking pool, if the body is long. Returns `None` if it does not end in time.
    pub(super) async fn by_body<R: Send + 'static>(
        &self,
        decider: &Decider,
        body: &Bytes,
        deadline: Instant,
        decide: impl FnOnce(&Decider, &[u8]) -> R + Send + 'static,
    ) -> Option<R> {
        if !work::is_long(body.len()) {
            return Some(decide(decider, body));
        }
        let (decider, body) = (decider.clone(), body.clone());
        self.run_blocking(deadline + work::REPLY_GRACE, move || decide(&decider, &body)).await
    }

    /// Reads the body and makes the request message of it.
    async fn decode(
        &self,
        record: &Record,
        webhook: &Webhook,
        decider: &Decider,
        body: Incoming,
    ) -> Result<Decoded, BodyError> {
        let deadline = record.arrived + decider.handling.budget;
        let limits = &record.config.limits;
        let bounds = Bounds { body: limits.body, memory: &self.shared.status.memory, all: limits.memory };
        let read = self.shared.deadline.cut_off(pin!(body::read(body, bounds, deadline))).await;
        let Whole { bytes, share } = read.unwrap_or(Err(Refusal::Late.into()))?;
        let share = share.map(Arc::new);
        let body = counted(bytes, &share);
        let (message, drift) = if work::is_long(body.len()) {
            let spent = || {
                Failure::because(Class::Deadline, "the budget or the drain time ended before the body was decoded")
                    .unasked()
            };
            let transcoded = self.run_blocking(deadline, webhook.transcoding(&body)).await;
            transcoded.ok_or_else(|| BodyError::Failed(spent()))??
        } else {
            webhook.transcode(&body)?
        };
        let mut metadata = webhook.metadata(&drift);
        record.decoded(drift, &message, &mut metadata);
        Ok(Decoded { body, message, metadata, share, deadline })
    }

    /// Hands an After event to the outbox of each policy. Their verdict is the reply only if all of them come within
    /// `after.answer_within`; else the reply is an allow.
    async fn deliver(&self, record: &Record, event: Event, policies: &[usize]) -> Decision {
        let delivery = match *policies {
            [policy] => self.policies[policy].events.deliver(event).await,
            _ => {
                let deliver = |policy: &usize| self.policies[*policy].events.deliver(event.clone());
                join_all(policies.iter().map(deliver)).await.into_iter().fold(Delivery::allowed(), Delivery::and)
            }
        };
        record.answered();
        let overloaded = |cause| Decision::allowed(Failure::because(Class::Overloaded, cause).unasked());
        match delivery {
            Delivery::Answered(reply) => Decision::verdict(reply),
            Delivery::Accepted => Decision::accepted(),
            Delivery::Dropped => {
                overloaded("the outbox did not take the event: it is full, shut down, or its disk has fallen behind")
            }
            Delivery::Unwritten => {
                overloaded("the event was not committed to disk in time; until it is, it is only in memory")
            }
        }
    }

    /// Decides on a webhook without its body: refused, late, out of memory, or work on a long body that did not end in time.
    /// Counts and logs an After event as lost, unless the body was malformed.
    pub(super) fn unread(&self, webhook: &Webhook, decider: &Decider, unread: BodyError) -> Decision {
        let is_after = webhook.timing() == Timing::After;
        let lost = match &unread {
            BodyError::Failed(_) => Some(outbox::Reason::Overloaded),
            BodyError::Refused(Refusal::TooLarge(_) | Refusal::HeadTooLarge(_)) => Some(outbox::Reason::TooLarge),
            BodyError::Refused(Refusal::Late | Refusal::CutShort) => Some(outbox::Reason::Unread),
            BodyError::Refused(_) => None,
        };
        if let Some(reason) = lost.filter(|_| is_after) {
            self.lose(webhook, reason);
        }
        match unread {
            BodyError::Refused(refusal) => decider.refused(refusal),
            BodyError::Failed(failure) if is_after => Decision::allowed(failure),
            BodyError::Failed(failure) => decider.unread(failure, None),
        }
    }

    /// Counts and logs an After event that is lost before its route is known: the first policy counts it.
    fn lose(&self, webhook: &Webhook, reason: outbox::Reason) {
        self.policies[0].events.lose_unread(reason);
        // With secret paths an unknown command may be a part of the secret: it is shown only if the body names it too.
        let command = webhook.shown_command(&BodyDrift::default());
        let (rpc, operation_id) = (webhook.callback.rpc, &*webhook.operation_id);
        warn!(command, rpc, operation_id, reason = reason.as_str(), "event lost");
    }

    /// Runs the work on a long body on the blocking pool. Returns `None` if the deadline or the drain time ends first.
    pub(super) async fn run_blocking<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        self.shared.deadline.cut_off(pin!(self.work.run_blocking(deadline, work))).await.flatten()
    }
}

pub(super) fn late_reply() -> Failure {
    Failure::because(Class::Deadline, "the budget or the drain time ended before the reply was made")
}

/// Returns bytes that hold their share of `limits.memory` until the last clone is dropped: an overdue policy call may keep them
/// longer than the webhook.
pub(super) fn counted(bytes: Bytes, share: &Option<Arc<Share>>) -> Bytes {
    struct Counted(Bytes, #[allow(dead_code, reason = "held for its drop")] Arc<Share>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    match share {
        Some(share) => Bytes::from_owner(Counted(bytes, share.clone())),
        None => bytes,
    }
}
