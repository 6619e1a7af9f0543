//! The headers of W3C Trace Context: <https://www.w3.org/TR/trace-context/>.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::contract::Metadata;

/// The IDs of the trace and of the parent span.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Vendor-specific data of the systems that the trace has passed.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Maximum length of an accepted `traceparent`. Version 00 has 55 bytes, later ones may have more.
const LONGEST_PARENT: usize = 128;

/// Maximum length of an accepted `tracestate`, all header lines together: the standard's minimum to propagate.
const LONGEST_STATE: usize = 512;

/// A trace context as headers; empty if there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    parent: Option<HeaderValue>,
    state: Option<HeaderValue>,
}

impl Context {
    /// Returns the context of a request's headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(parent) = headers.get(TRACEPARENT).filter(|parent| parent.len() <= LONGEST_PARENT) else {
            return Self::default();
        };
        let states: Vec<_> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
        let state = Some(states.join(&b","[..])).filter(|state| (1..=LONGEST_STATE).contains(&state.len()));
        Self { parent: Some(parent.clone()), state: state.and_then(|state| HeaderValue::try_from(state).ok()) }
    }

    /// Returns the context in a call's metadata.
    pub(super) fn within(metadata: &Metadata) -> Self {
        Self { parent: metadata.value(&TRACEPARENT).cloned(), state: metadata.value(&TRACESTATE).cloned() }
    }

    /// Returns the context of a span, for its children.
    pub(super) fn of_span(span: &SpanContext) -> Self {
        let parent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags());
        let state = Some(span.trace_state().header()).filter(|state| !state.is_empty());
        Self {
            parent: HeaderValue::try_from(parent).ok(),
            state: state.and_then(|state| HeaderValue::try_from(state).ok()),
        }
    }

    /// Parses the headers. The result has no span if they are invalid.
    pub(super) fn read(&self) -> opentelemetry::Context {
        let none = opentelemetry::Context::new();
        if self.parent.is_none() { none } else { TraceContextPropagator::new().extract_with_context(&none, self) }
    }

    /// Adds the headers to a call's metadata.
    pub(crate) fn put_into(&self, metadata: &mut Metadata) {
        self.clone().headers().for_each(|(name, value)| metadata.insert_value(name, value));
    }

    fn headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let parent = self.parent.map(|parent| (TRACEPARENT, parent));
        parent.into_iter().chain(self.state.map(|state| (TRACESTATE, state)))
    }

    /// Sets the headers of a call in place of those that it has.
    pub(super) fn replace_in(self, headers: &mut HeaderMap) {
        headers.remove(TRACESTATE);
        for (name, mut value) in self.headers() {
            // Different with each call, so not worth a place in HPACK's table.
            value.set_sensitive(true);
            headers.insert(name, value);
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
