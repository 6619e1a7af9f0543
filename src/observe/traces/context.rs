//! The headers that carry a trace, as W3C's Trace Context has them: <https://www.w3.org/TR/trace-context/>.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::contract::Metadata;

/// The trace and the span that something belongs to.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the systems that it came through say of it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `traceparent` that is taken. Today's has 55 bytes, tomorrow's may have more.
const LONGEST_PARENT: usize = 128;

/// The longest `tracestate` that is taken, all its lines together: what everybody must pass on at least.
const LONGEST_STATE: usize = 512;

/// A place in a trace, as headers say it. Empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    parent: Option<HeaderValue>,
    state: Option<HeaderValue>,
}

impl Context {
    /// The caller's.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(parent) = headers.get(TRACEPARENT).filter(|parent| parent.len() <= LONGEST_PARENT) else {
            return Self::default();
        };
        let mut states = headers.get_all(TRACESTATE).iter();
        let state = match (states.next(), states.next()) {
            (state, None) => state.cloned(),
            _ => {
                let lines: Vec<_> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
                HeaderValue::from_bytes(&lines.join(&b","[..])).ok()
            }
        };
        Self { parent: Some(parent.clone()), state: state.filter(|state| state.len() <= LONGEST_STATE) }
    }

    /// The one that a message's metadata carries.
    pub(super) fn within(metadata: &Metadata) -> Self {
        Self { parent: metadata.value(&TRACEPARENT).cloned(), state: metadata.value(&TRACESTATE).cloned() }
    }

    /// That of a span.
    pub(super) fn of_span(span: &SpanContext) -> Self {
        let parent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags());
        let state = Some(span.trace_state().header()).filter(|state| !state.is_empty());
        Self {
            parent: HeaderValue::try_from(parent).ok(),
            state: state.and_then(|state| HeaderValue::try_from(state).ok()),
        }
    }

    /// As OpenTelemetry reads it; without a span where it is not valid.
    pub(super) fn read(&self) -> opentelemetry::Context {
        let none = opentelemetry::Context::new();
        if self.parent.is_none() { none } else { TraceContextPropagator::new().extract_with_context(&none, self) }
    }

    /// Whether it is one that is not to be traced.
    pub(super) fn declines(context: &opentelemetry::Context) -> bool {
        let span = context.span();
        span.span_context().is_valid() && !span.span_context().is_sampled()
    }

    /// Has a message's metadata carry it.
    pub(crate) fn put_into(&self, metadata: &mut Metadata) {
        let parent = self.parent.iter().map(|parent| (TRACEPARENT, parent));
        for (name, value) in parent.chain(self.state.iter().map(|state| (TRACESTATE, state))) {
            metadata.insert_value(name, value.clone());
        }
    }

    /// Has a call carry it, in place of another.
    pub(super) fn replace_in(self, headers: &mut HeaderMap) {
        for (name, value) in [(TRACEPARENT, self.parent), (TRACESTATE, self.state)] {
            match value {
                Some(mut value) => {
                    // New with each call: HTTP/2 need not remember it.
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                None => {
                    headers.remove(name);
                }
            }
        }
    }
}

impl Extractor for Context {
    fn get(&self, key: &str) -> Option<&str> {
        let value = if key == TRACEPARENT { &self.parent } else { &self.state };
        value.as_ref().and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}
