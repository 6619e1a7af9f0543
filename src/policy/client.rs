//! The client of the policy service: an encoded request in, an answer or a failure out.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use parking_lot::RwLock;
use tokio::time::Instant;
use tonic::Code;

use super::answer::{Answer, CallError};
use super::channel::{self, Channel, Outcome};
use crate::contract::{Callback, Metadata, metadata};
use crate::failure::{Class, Failure};
use crate::observe::traces::Traces;

/// Makes unary calls: a [`Channel`], or its stand-in in a test.
pub trait Transport: Send + Sync + 'static {
    /// Makes a call: a path, metadata and an encoded message. Returns the response's message, of at most `limit` bytes. Ends at
    /// the deadline; a call that cannot be sent by then is not sent.
    fn unary(
        &self,
        call: Request<Bytes>,
        deadline: Instant,
        limit: usize,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send;
}

/// A client of the policy service. `T` carries the calls.
#[derive(Debug, Clone)]
pub struct Policy<T> {
    transport: T,
    shared: Arc<Shared>,
    traces: Traces,
    /// Its name, if the configuration names it.
    name: Option<Arc<str>>,
    /// Present if `transport` is a channel: its circuit breaker is consulted.
    channel: Option<Channel>,
}

/// State shared by the clones of a client.
#[derive(Debug)]
struct Shared {
    /// Maximum size of a response, in bytes.
    response_limit: AtomicUsize,
    retries: AtomicU64,
    /// The metadata of each call besides hookgate's own.
    metadata: RwLock<Arc<[(HeaderName, HeaderValue)]>>,
    /// The paths of the rpcs, by the index of their callback.
    paths: Vec<Uri>,
}

/// A call to the policy.
#[derive(Debug)]
pub struct PolicyCall {
    /// The callback, whose rpc is called.
    pub callback: &'static Callback,
    /// The encoded request message.
    pub message: Bytes,
    /// The gRPC metadata.
    pub metadata: Metadata,
    /// The number of the attempt, from 1: `hookgate-attempt`.
    pub attempt: u32,
    /// The number of an After event in the order of its key, if it has one: `hookgate-sequence`.
    pub sequence: Option<u64>,
    /// True if the attempt is outside the order of its event's key: `hookgate-late`.
    pub late: bool,
    /// The time after which the caller no longer waits.
    pub deadline: Instant,
}

/// tonic's servers answer `CANCELLED` when `grpc-timeout` expires. That is truncated, to milliseconds from 100 ms on, and timed
/// by the server's clock, so that the answer can come this long before our deadline; it then counts as the deadline.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

impl Policy<Channel> {
    /// A client over a channel with its circuit breaker. Responses may have `response_limit` bytes.
    pub fn over(channel: Channel, response_limit: usize) -> Self {
        Self { channel: Some(channel.clone()), ..Self::new(channel, response_limit) }
    }
}

impl<T: Transport> Policy<T> {
    /// A client over any transport. Responses may have `response_limit` bytes.
    pub fn new(transport: T, response_limit: usize) -> Self {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        let paths = callbacks.map(|callback| Uri::from_static(callback.rpc)).collect();
        let (retries, metadata) = (AtomicU64::new(0), RwLock::new([].into()));
        let shared = Shared { response_limit: response_limit.into(), retries, metadata, paths };
        Self { transport, shared: Arc::new(shared), traces: Traces::default(), name: None, channel: None }
    }

    /// Adds a span for each attempt of this client, and of those that are cloned from it.
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Gives this client, and those that are cloned from it, the name of its policy, which spans have.
    pub(crate) fn named(self, name: Arc<str>) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Changes the metadata of each call besides hookgate's own, for clones too.
    pub(crate) fn set_metadata(&self, metadata: Arc<[(HeaderName, HeaderValue)]>) {
        *self.shared.metadata.write() = metadata;
    }

    /// Returns true if a connection of the policy is known to serve; false over any other transport.
    pub(crate) fn is_ready(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::is_ready)
    }

    /// Returns false if no connection of the policy can serve: a call would fail. True over any other transport.
    pub(crate) fn may_serve(&self) -> bool {
        self.channel.as_ref().is_none_or(Channel::may_serve)
    }

    /// The URL of the policy; none over any other transport.
    pub(crate) fn url(&self) -> Option<String> {
        self.channel.as_ref().map(|channel| channel.url().to_string())
    }

    /// The exporter of its spans.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Changes the maximum size of a response, for clones too.
    pub fn set_response_limit(&self, bytes: usize) {
        self.shared.response_limit.store(bytes, Relaxed);
    }

    /// The number of calls that were made a second time, by all clones.
    pub fn retries(&self) -> u64 {
        self.shared.retries.load(Relaxed)
    }

    /// Makes a unary call, and makes it once more if the policy cannot have seen the first one. Ends at the deadline, which
    /// the policy gets as `grpc-timeout`.
    pub async fn ask(&self, call: PolicyCall) -> Result<Answer, Failure> {
        // What a service makes of a shadow's calls, which it may put last, says nothing of those that decide.
        let is_shadow = call.metadata.value(&metadata::SHADOW).is_some();
        let counted = self.channel.as_ref().filter(|_| !is_shadow);
        let permit = counted.map(|channel| channel.breaker().acquire(call.callback)).transpose();
        let permit = permit.map_err(|open| Failure::new(Class::Unavailable, &open).unasked())?;
        let mut result = self.attempt(&call).await;
        if result.as_ref().is_err_and(CallError::is_not_processed) && Instant::now() < call.deadline {
            self.shared.retries.fetch_add(1, Relaxed);
            result = self.attempt(&call).await;
        }
        if let Some(channel) = &self.channel {
            channel.evidence().note(&result);
        }
        if let Err(CallError::Status(Code::Cancelled, _)) = &result
            && Instant::now() + CLOCK_TOLERANCE >= call.deadline
        {
            result = Err(channel::Error::DeadlineExceeded.into());
        }
        let outcome = result.as_ref().map_or_else(CallError::outcome, |_| Some(Outcome::Answered));
        if let Some((permit, outcome)) = permit.zip(outcome) {
            permit.record(outcome);
        }
        result.map(Answer::Response).or_else(CallError::into_result)
    }

    /// Makes one attempt at a call, in a span of its own.
    async fn attempt(&self, call: &PolicyCall) -> Result<Bytes, CallError> {
        let PolicyCall { callback, message, metadata, attempt: number, sequence, late, deadline } = call;
        let mut request = Request::new(message.clone());
        *request.uri_mut() = self.shared.paths[callback.index].clone();
        *request.headers_mut() = metadata.for_attempt(*number, *sequence, *late);
        for (name, value) in &**self.shared.metadata.read() {
            request.headers_mut().insert(name, value.clone());
        }
        let name = self.name.as_deref();
        let mut span = self.traces.attempt(callback, name, metadata, *number, *deadline, request.headers_mut());
        let limit = self.shared.response_limit.load(Relaxed);
        let result = self.transport.unary(request, *deadline, limit).await;
        span.end(result.as_ref().map_or_else(CallError::code, |_| Code::Ok));
        result
    }
}
