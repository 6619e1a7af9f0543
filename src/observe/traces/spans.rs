//! The spans and their attributes: IDs, names and outcomes, never content.

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry_sdk::trace::Span;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;
use tonic::Code;

use super::{Context, Traces};
use crate::contract::{Callback, Metadata, metadata};
use crate::observe::counters::Outcome;

const OPERATION_ID: &str = "openim.operation_id";
const COMMAND: &str = "openim.command";
const EVENT_ID: &str = "hookgate.event_id";

/// The span of a webhook, from its head to its reply. It ends when dropped.
#[derive(Debug, Default)]
pub(crate) struct WebhookSpan(Option<Box<Span>>);

/// The span of an attempt, and the deadline of the call. It ends when dropped.
#[derive(Debug, Default)]
pub(crate) struct AttemptSpan(Option<(Box<Span>, Instant)>);

impl Traces {
    /// Starts a webhook's span, as a child of the caller's if there is one. `context` is the caller's, and becomes that of the
    /// span.
    pub(crate) fn webhook(
        &self,
        callback: &Callback,
        command: &str,
        operation_id: &str,
        context: &mut Context,
    ) -> WebhookSpan {
        let Some(on) = &self.0 else { return WebhookSpan::default() };
        let caller = context.read();
        if on.obeys_caller && caller.has_active_span() && !caller.span().span_context().is_sampled() {
            // Not traced here, so the caller's context is propagated.
            return WebhookSpan::default();
        }
        let attributes = [(COMMAND, command), (OPERATION_ID, operation_id)];
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value.to_owned()));
        let builder = on.tracer.span_builder(callback.service_and_method()).with_kind(SpanKind::Server);
        let span = builder.with_attributes(attributes).start_with_context(&on.tracer, &caller);
        *context = Context::of_span(span.span_context());
        WebhookSpan(span.is_recording().then(|| Box::new(span)))
    }

    /// Starts the span of an attempt, whose number begins at 1, as a child of its webhook's, and adds its context to the call.
    /// `policy` is the policy's name, if it has one, and `metadata` the webhook's.
    pub(crate) fn attempt(
        &self,
        callback: &'static Callback,
        policy: Option<&str>,
        metadata: &Metadata,
        number: u32,
        deadline: Instant,
        headers: &mut HeaderMap,
    ) -> AttemptSpan {
        let Some(on) = &self.0 else { return AttemptSpan(None) };
        let webhook = Context::within(metadata).read();
        // Without a parent it would be a trace of one span.
        if !webhook.span().span_context().is_sampled() {
            return AttemptSpan(None);
        }
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let text = |name| decoded(metadata.get(name));
        let rpc = callback.rpc.trim_start_matches('/');
        let attributes = [
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", rpc.split_once('/').map_or(rpc, |(service, _)| service)),
            KeyValue::new("rpc.method", callback.method()),
            KeyValue::new("hookgate.attempt", i64::from(number)),
            KeyValue::new(COMMAND, decoded(metadata.shown_command())),
            KeyValue::new(OPERATION_ID, text(&metadata::OPERATION_ID)),
            KeyValue::new(EVENT_ID, text(&metadata::EVENT_ID)),
        ];
        let builder = on.tracer.span_builder(rpc).with_kind(SpanKind::Client).with_attributes(attributes);
        let mut span = builder.start_with_context(&on.tracer, &webhook);
        if let Some(policy) = policy {
            span.set_attribute(KeyValue::new("hookgate.policy", policy.to_owned()));
        }
        Context::of_span(span.span_context()).replace_in(headers);
        AttemptSpan(span.is_recording().then(|| (Box::new(span), deadline)))
    }
}

impl WebhookSpan {
    /// Adds the event's ID.
    pub(crate) fn event_id(&mut self, metadata: &Metadata) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(EVENT_ID, metadata.get(&metadata::EVENT_ID).to_owned()));
        }
    }

    /// Ends the span with the webhook's outcome. A denial is not an error.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        let Some(mut span) = self.0.take() else { return };
        span.set_attribute(KeyValue::new("hookgate.outcome", outcome.as_str()));
        if let Outcome::Failed(_, class) = outcome {
            span.set_status(Status::error(class.sentence()));
        }
        span.end();
    }
}

impl AttemptSpan {
    /// Ends the span with the status of the call. `PERMISSION_DENIED` is a verdict, not an error.
    pub(crate) fn end(&mut self, status: Code) {
        let Some((mut span, _)) = self.0.take() else { return };
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(status as i32)));
        if !matches!(status, Code::Ok | Code::PermissionDenied) {
            // Not the status's own message, which is the policy's and may quote content.
            span.set_status(Status::error(status.description()));
        }
        span.end();
    }
}

impl Drop for AttemptSpan {
    /// Ends the span of an attempt that was cancelled, or that ran into its deadline.
    fn drop(&mut self) {
        if let Some((_, deadline)) = &self.0 {
            let is_late = Instant::now() >= *deadline;
            self.end(if is_late { Code::DeadlineExceeded } else { Code::Cancelled });
        }
    }
}
