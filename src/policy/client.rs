//! The client of the policy service: an encoded request in, an answer or a failure out.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::tokio_stream::once;
use tonic::{Code, Request, Status};

use super::answer::{Answer, CallError};
use super::channel::{self, Channel, DEADLINE, Outcome, set_grpc_timeout};
use super::codec::BytesCodec;
use super::status_tap::tap;
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::failure::{Class, Failure};
use crate::observe::traces::{AttemptSpan, Traces};
use crate::policy::Transport;

/// A client of the policy service. `T` carries the calls.
#[derive(Debug, Clone)]
pub struct Policy<T> {
    transport: T,
    shared: Arc<Shared>,
    /// Present if `transport` is a channel: its circuit breaker is consulted.
    channel: Option<Channel>,
}

/// State shared by the clones of a client.
#[derive(Debug)]
struct Shared {
    /// Maximum size of a response, in bytes.
    response_limit: AtomicUsize,
    retries: AtomicU64,
    traces: Traces,
    /// The paths of the rpcs, by the index of their callback.
    paths: Vec<PathAndQuery>,
}

impl Shared {
    fn new(response_limit: usize, traces: Traces) -> Self {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        let paths = callbacks.map(|callback| PathAndQuery::from_static(callback.rpc)).collect();
        Self { response_limit: response_limit.into(), retries: AtomicU64::new(0), traces, paths }
    }
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
    /// The time after which the caller no longer waits.
    pub deadline: Instant,
}

/// tonic's servers answer `CANCELLED` when `grpc-timeout` expires. That is truncated, to milliseconds from 100 ms on, and timed
/// by the server's clock, so that the answer can come this long before our deadline; it then counts as the deadline.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// Maximum time that a call goes on after its deadline, until the policy ends it.
const LINGER: Duration = Duration::from_secs(5);

impl Policy<Channel> {
    /// A client over a channel with its circuit breaker. Responses may have `response_limit` bytes.
    pub fn over(channel: Channel, response_limit: usize) -> Self {
        Self { channel: Some(channel.clone()), ..Self::new(channel, response_limit) }
    }
}

impl<T: Transport> Policy<T> {
    /// A client over any transport. Responses may have `response_limit` bytes.
    pub fn new(transport: T, response_limit: usize) -> Self {
        Self { transport, shared: Arc::new(Shared::new(response_limit, Traces::default())), channel: None }
    }

    /// Adds a span for each attempt. To be called before cloning: earlier clones keep their own limit and counter.
    pub fn traced(self, traces: Traces) -> Self {
        let response_limit = self.shared.response_limit.load(Relaxed);
        Self { shared: Arc::new(Shared::new(response_limit, traces)), ..self }
    }

    /// The exporter of its spans.
    pub(crate) fn traces(&self) -> &Traces {
        &self.shared.traces
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
        let permit = self.channel.as_ref().map(|channel| channel.breaker().acquire(call.callback)).transpose();
        let permit = permit.map_err(|open| Failure::new(Class::Unavailable, &open).unasked())?;
        let deadline = call.deadline;
        let (transport, shared) = (self.transport.clone(), self.shared.clone());
        let mut called = Box::pin(DEADLINE.scope(deadline, async move {
            let mut is_retry = false;
            loop {
                let result = attempt(transport.clone(), &shared, &call).await;
                let retries = !is_retry && result.as_ref().is_err_and(CallError::is_not_processed);
                if !retries || Instant::now() >= call.deadline {
                    return result;
                }
                shared.retries.fetch_add(1, Relaxed);
                is_retry = true;
            }
        }));
        let late = || (Some(Outcome::Unanswered), Err(Failure::because(Class::Deadline, "the budget is spent")));
        let called_in_time = timeout_at(deadline, &mut called).await;
        if let (Some(channel), Ok(ended)) = (&self.channel, &called_in_time) {
            channel.evidence().note(ended.as_ref().err());
        }
        let (outcome, result) = match called_in_time {
            Ok(Ok(response)) => (Some(Outcome::Answered), Ok(Answer::Response(response))),
            Ok(Err(error)) if error.is_cancelled() && Instant::now() + CLOCK_TOLERANCE >= deadline => late(),
            Ok(Err(error)) => (error.outcome(), error.into_result()),
            Err(_) => {
                // The policy knows the deadline and ends the call. If it were reset instead, a policy that has stalled would
                // see many resets at once, take that for an attack (CVE-2023-44487), and close the connection.
                let mut called = Box::pin(channel::overdue(called));
                // This poll marks its connection as unanswered, so that the next call may go elsewhere.
                if poll_fn(|cx| Poll::Ready(called.as_mut().poll(cx).is_pending())).await {
                    tokio::spawn(timeout(LINGER, called));
                }
                late()
            }
        };
        if let Some((permit, outcome)) = permit.zip(outcome) {
            permit.record(outcome);
        }
        result
    }
}

/// Makes one attempt at a call.
async fn attempt<T: Transport>(transport: T, shared: &Shared, call: &PolicyCall) -> Result<Bytes, CallError> {
    let (transport, tap) = tap(transport);
    let limit = shared.response_limit.load(Relaxed);
    let mut grpc = Grpc::new(transport).max_decoding_message_size(limit);
    let mut span = AttemptSpan::default();
    // As tonic's `unary`, but does not collect headers and trailers, which are not read.
    let answer = async {
        grpc.ready().await.map_err(Status::from_error)?;
        let request;
        (request, span) = request_of(shared, call);
        let path = shared.paths[call.callback.index].clone();
        let codec = BytesCodec::for_bytes(call.message.len());
        let mut response = grpc.streaming(request.map(once), path, codec).await?.into_inner();
        let message = response.message().await?;
        // To the end, as the status comes after all messages.
        let mut alone = true;
        while response.message().await?.is_some() {
            alone = false;
        }
        match message {
            Some(message) if alone => Ok(message),
            Some(_) => Err(Status::internal("more than one message")),
            None => Err(Status::internal("no message")),
        }
    };
    let answer = answer.await;
    span.end(answer.as_ref().map_or_else(|status| tap.failure().unwrap_or(status.code()), |_| Code::Ok));
    answer.map_err(|status| CallError { seen: tap, status })
}

/// Builds the request of an attempt, and begins its span.
fn request_of(shared: &Shared, call: &PolicyCall) -> (Request<Bytes>, AttemptSpan) {
    let mut request = Request::new(call.message.clone());
    *request.metadata_mut() = call.metadata.for_attempt(call.attempt);
    let headers = request.metadata_mut();
    let span = shared.traces.attempt(call.callback, &call.metadata, call.attempt, call.deadline, headers);
    let left = call.deadline.saturating_duration_since(Instant::now());
    set_grpc_timeout(request.metadata_mut().as_mut(), left, false);
    (request, span)
}
