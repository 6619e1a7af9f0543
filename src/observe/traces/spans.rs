//! What a span says: IDs, names and outcomes, never content.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry_sdk::trace::Span;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::{Context, Traces};
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::contract::metadata;
use crate::observe::counters::Outcome;

const OPERATION_ID: &str = "openim.operation_id";
const COMMAND: &str = "openim.command";
const EVENT_ID: &str = "hookgate.event_id";
const OUTCOME: &str = "hookgate.outcome";
const ATTEMPT: &str = "hookgate.attempt";
const GRPC_STATUS: &str = "rpc.grpc.status_code";

/// A webhook, from its head to its reply. It ends when it is dropped, too.
#[derive(Debug, Default)]
pub(crate) struct WebhookSpan(Option<Box<Span>>);

/// An attempt at the policy: the callback, the webhook's metadata, the number from 1 on, the deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptOf<'a> {
    pub(crate) callback: &'static Callback,
    pub(crate) metadata: &'a Metadata,
    pub(crate) number: u32,
    pub(crate) deadline: Instant,
}

/// The span of an attempt at the policy. It ends when it is dropped, too.
#[derive(Debug, Default)]
pub(crate) struct AttemptSpan(Option<Attempt>);

#[derive(Debug)]
struct Attempt {
    span: Box<Span>,
    deadline: Instant,
}

impl Traces {
    /// Begins a webhook's span, under the caller's if there is one. `context` is the caller's, and becomes that of the
    /// span: it is what the policy is told.
    pub(crate) fn webhook(
        &self,
        callback: &Callback,
        command: &str,
        operation_id: &str,
        context: &mut Context,
    ) -> WebhookSpan {
        let Some(on) = &self.0 else { return WebhookSpan::default() };
        let caller = context.read();
        if Context::declines(&caller) {
            // What is not traced here is passed on as it came.
            return WebhookSpan::default();
        }
        let span = on
            .tracer
            .span_builder(callback.service_and_method())
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new(COMMAND, command.to_owned()),
                KeyValue::new(OPERATION_ID, operation_id.to_owned()),
            ])
            .start_with_context(&on.tracer, &caller);
        *context = Context::of_span(span.span_context());
        WebhookSpan(span.is_recording().then(|| Box::new(span)))
    }

    /// Begins the span of an attempt, under that of its webhook, and has the call carry it.
    pub(crate) fn attempt(&self, attempt: AttemptOf<'_>, call: &mut MetadataMap) -> AttemptSpan {
        let Some(on) = &self.0 else { return AttemptSpan(None) };
        let AttemptOf { callback, metadata, number, deadline } = attempt;
        let webhook = Context::within(metadata).read();
        // Without a parent it would be a trace of its own, which says nothing.
        if !webhook.span().span_context().is_sampled() {
            return AttemptSpan(None);
        }
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let text = |name| decoded(metadata.get(name));
        let rpc = callback.rpc.trim_start_matches('/');
        let span = on
            .tracer
            .span_builder(rpc)
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", rpc.split_once('/').map_or(rpc, |(service, _)| service)),
                KeyValue::new("rpc.method", callback.method()),
                KeyValue::new(ATTEMPT, i64::from(number)),
                KeyValue::new(COMMAND, decoded(metadata.shown_command())),
                KeyValue::new(OPERATION_ID, text(&metadata::OPERATION_ID)),
                KeyValue::new(EVENT_ID, text(&metadata::EVENT_ID)),
            ])
            .start_with_context(&on.tracer, &webhook);
        let mut headers = std::mem::take(call).into_headers();
        Context::of_span(span.span_context()).replace_in(&mut headers);
        *call = MetadataMap::from_headers(headers);
        AttemptSpan(span.is_recording().then(|| Attempt { span: Box::new(span), deadline }))
    }
}

impl WebhookSpan {
    /// Notes the event's ID.
    pub(crate) fn event_id(&mut self, id: &str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(EVENT_ID, id.to_owned()));
        }
    }

    /// Ends it with what became of the webhook. A denial is no error.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        let Some(mut span) = self.0.take() else { return };
        span.set_attribute(KeyValue::new(OUTCOME, outcome.as_str()));
        if let Outcome::Failed(_, class) = outcome {
            span.set_status(Status::error(class.sentence()));
        }
        span.end();
    }
}

impl AttemptSpan {
    /// Ends it with the policy's status, or with what stands for one where it gave none. `PERMISSION_DENIED` is a verdict.
    pub(crate) fn end(mut self, status: Code) {
        if let Some(attempt) = self.0.take() {
            attempt.end(status);
        }
    }
}

impl Drop for AttemptSpan {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        if let Some(attempt) = self.0.take() {
            let late = Instant::now() >= attempt.deadline;
            attempt.end(if late { Code::DeadlineExceeded } else { Code::Cancelled });
        }
    }
}

impl Attempt {
    fn end(mut self, status: Code) {
        self.span.set_attribute(KeyValue::new(GRPC_STATUS, i64::from(status as i32)));
        if !matches!(status, Code::Ok | Code::PermissionDenied) {
            // The status's own message is the policy's, and may be content.
            self.span.set_status(Status::error(status.description()));
        }
        self.span.end();
    }
}
