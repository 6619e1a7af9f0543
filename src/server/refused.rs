//! Webhooks that are not answered by the policy: refused by their head, too large, or without room in memory. Each is
//! counted and has a line in the log.

use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::warn;

use super::Refusal;
use super::caller::{Caller, Peer};
use super::heads::{self, Why};
use super::reply::{self, Decision};
use super::times::Times;
use super::webhook::Webhook;
use super::{Gate, Response, Transport, access, body, connections};
use crate::config::{Config, Handling};
use crate::contract::Timing;
use crate::failure::{Class, Failure};
use crate::memory::NoRoom;
use crate::outbox;

/// A body of more bytes makes its connection take more room than it begins with.
const LONG: u64 = 32 << 10;

impl<T: Transport> Gate<T> {
    /// Refuses a request by its head: counts it, leaves its body unread as far as that can be, and replies.
    pub(super) async fn refuse(
        &self,
        config: &Config,
        (caller, head): (&Caller, &Parts),
        refusal: Refusal,
        body: Incoming,
        arrived: Instant,
    ) -> Response {
        self.count_refused(config, caller, head, &refusal);
        // Callers who may not call share as much room for their bodies as for unfinished heads, and keep none of it.
        let is_long =
            matches!(refusal, Refusal::Caller(_)) && body.size_hint().upper().is_none_or(|bytes| bytes > LONG);
        let mut share = self.status.heads().share();
        let has_room = !is_long || share.grow(connections::BUFFER, config.limits.memory / 4).is_ok();
        let whole = has_room && body::skip(body, config.limits.body, arrived + config.every.budget).await;
        reply::refused_by_head(&refusal, config, whole && !is_long)
    }

    fn count_refused(&self, config: &Config, caller: &Caller, head: &Parts, refusal: &Refusal) {
        if let Refusal::Caller(reason) = refusal {
            let source = caller.address.and_then(|peer| access::source(&config.access, peer, &head.headers));
            let forwarded_for = source.filter(|source| caller.address != Some(*source));
            self.status.callers_refused.caller(*reason, caller.address, forwarded_for);
        } else {
            self.status.count_not_webhook(refusal.not_webhook());
            reply::log_nowhere(refusal, head, config.access.paths.is_some());
        }
    }

    /// Refuses a head that became no request, whose bytes these are as far as they came.
    pub(super) fn refuse_head(&self, peer: &Peer, why: Why, bytes: &[u8]) -> Response {
        let config = &*self.config.now();
        let refusal = match why {
            // The connection has been counted.
            Why::Reason(reason) => return reply::refused_by_head(&Refusal::Caller(reason), config, false),
            Why::TooLarge(limit) => Refusal::HeadTooLarge(limit),
            Why::NoRoom => NoRoom.into(),
        };
        let Some(mut head) = heads::read(bytes) else {
            self.status.count_not_webhook(refusal.not_webhook());
            warn!(reason = %refusal, "refused");
            return reply::refused_by_head(&refusal, config, false);
        };
        let refusal = match access::check(config, &peer.caller, &mut head) {
            Err(refusal) => refusal,
            Ok(()) => match Webhook::route(&head, config.access.paths.is_some()) {
                Ok(webhook) => return self.refuse_webhook(config, webhook, why, refusal),
                Err(_) => refusal,
            },
        };
        self.count_refused(config, &peer.caller, &head, &refusal);
        reply::refused_by_head(&refusal, config, false)
    }

    fn refuse_webhook(&self, config: &Config, mut webhook: Webhook, why: Why, refusal: Refusal) -> Response {
        let (times, handling) = (Times::begin(), config.handling(webhook.callback));
        webhook.begin_span(self.policy.traces());
        let decision = match why {
            Why::NoRoom => self.no_room((config, &handling), &webhook, NoRoom),
            _ => self.refused(&handling, &webhook, refusal),
        };
        self.watched(config, &webhook, &decision, &times);
        webhook.end_span(decision.outcome());
        super::stop::close(decision.into_response(config.denial.code))
    }

    /// It is nothing that OpenIM would send, or it did not come whole; an After event is lost then.
    pub(super) fn refused(&self, handling: &Handling, webhook: &Webhook, refusal: Refusal) -> Decision {
        match refusal {
            Refusal::TooLarge(_) | Refusal::HeadTooLarge(_) => self.lose_event(webhook, outbox::Reason::TooLarge),
            Refusal::Late | Refusal::CutShort => self.lose_event(webhook, outbox::Reason::Unread),
            _ => {}
        }
        Decision::refused(refusal, webhook.callback, handling)
    }

    /// There is no room for a webhook.
    pub(super) fn no_room(&self, (config, handling): (&Config, &Handling), webhook: &Webhook, why: NoRoom) -> Decision {
        self.unread((config, handling), webhook, Failure::because(Class::Overloaded, why.to_string()).unasked())
    }

    /// The decision on a webhook whose body was not read in time, or not at all. An After event is lost.
    pub(super) fn unread(
        &self,
        (config, handling): (&Config, &Handling),
        webhook: &Webhook,
        failure: Failure,
    ) -> Decision {
        if webhook.timing() == Timing::After {
            self.lose_event(webhook, outbox::Reason::Overloaded);
            return Decision::lost(webhook.callback, failure);
        }
        let rule = handling.on_failure.rule(failure.class);
        Decision::unread(rule, failure, webhook.callback, &config.denial)
    }

    fn lose_event(&self, webhook: &Webhook, reason: outbox::Reason) {
        if webhook.timing() == Timing::After {
            self.events.lose_unread(reason);
            let (command, rpc, operation_id) = (webhook.shown_command(), webhook.callback.rpc, &*webhook.operation_id);
            warn!(command, rpc, operation_id, reason = reason.as_str(), "an event ends undelivered");
        }
    }
}
