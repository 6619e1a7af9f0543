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

use super::answer::{Answer, Unanswered};
use super::channel::{self, Channel, DEADLINE, Outcome, set_grpc_timeout};
use super::codec::BytesCodec;
use super::status_tap::tap;
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::failure::{Class, Failure};
use crate::observe::traces::{AttemptOf, AttemptSpan, Traces};
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
    reply_limit: AtomicUsize,
    retries: AtomicU64,
    traces: Traces,
    /// The paths of the rpcs, by the index of their callback.
    paths: Vec<PathAndQuery>,
}

impl Shared {
    fn new(reply_limit: usize, traces: Traces) -> Self {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        let paths = callbacks.map(|callback| PathAndQuery::from_static(callback.rpc)).collect();
        Self { reply_limit: reply_limit.into(), retries: AtomicU64::new(0), traces, paths }
    }
}

/// A call to the policy.
#[derive(Debug)]
pub struct Question {
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
    /// A client over a channel with its circuit breaker. Responses may have `reply_limit` bytes.
    pub fn over(channel: Channel, reply_limit: usize) -> Self {
        Self { channel: Some(channel.clone()), ..Self::new(channel, reply_limit) }
    }
}

impl<T: Transport> Policy<T> {
    /// A client over any transport. Responses may have `reply_limit` bytes.
    pub fn new(transport: T, reply_limit: usize) -> Self {
        Self { transport, shared: Arc::new(Shared::new(reply_limit, Traces::default())), channel: None }
    }

    /// Adds a span for each attempt. To be called before cloning: earlier clones keep their own limit and counter.
    pub fn traced(self, traces: Traces) -> Self {
        let reply_limit = self.shared.reply_limit.load(Relaxed);
        Self { shared: Arc::new(Shared::new(reply_limit, traces)), ..self }
    }

    /// The exporter of its spans.
    pub(crate) fn traces(&self) -> &Traces {
        &self.shared.traces
    }

    /// Changes the maximum size of a response, for clones too.
    pub fn set_reply_limit(&self, bytes: usize) {
        self.shared.reply_limit.store(bytes, Relaxed);
    }

    /// The number of calls that were made a second time, by all clones.
    pub fn retries(&self) -> u64 {
        self.shared.retries.load(Relaxed)
    }

    /// Makes a unary call, and makes it once more if the policy cannot have seen the first one. Ends at the deadline, which
    /// the policy gets as `grpc-timeout`.
    pub async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let permit = self.channel.as_ref().map(|channel| channel.breaker().acquire(question.callback)).transpose();
        let permit = permit.map_err(|open| Failure::new(Class::Unavailable, &open).unasked())?;
        let deadline = question.deadline;
        let (transport, shared) = (self.transport.clone(), self.shared.clone());
        let mut called = Box::pin(DEADLINE.scope(deadline, async move {
            match call(transport.clone(), &shared, &question).await {
                Err(unanswered) if unanswered.is_not_taken() && Instant::now() < question.deadline => {
                    shared.retries.fetch_add(1, Relaxed);
                    call(transport, &shared, &question).await
                }
                result => result,
            }
        }));
        let late = || (Some(Outcome::Unanswered), Err(Failure::because(Class::Deadline, "the budget is spent")));
        let called_in_time = timeout_at(deadline, &mut called).await;
        if let (Some(channel), Ok(ended)) = (&self.channel, &called_in_time) {
            channel.rpcs().note(ended.as_ref().err());
        }
        let (outcome, result) = match called_in_time {
            Ok(Ok(response)) => (Some(Outcome::Answered), Ok(Answer::Response(response))),
            Ok(Err(unanswered)) if unanswered.is_cancelled() && Instant::now() + CLOCK_TOLERANCE >= deadline => late(),
            Ok(Err(unanswered)) => (unanswered.outcome(), unanswered.into_answer()),
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

/// Makes one call.
async fn call<T: Transport>(transport: T, shared: &Shared, question: &Question) -> Result<Bytes, Unanswered> {
    let (transport, tap) = tap(transport);
    let limit = shared.reply_limit.load(Relaxed);
    let mut grpc = Grpc::new(transport).max_decoding_message_size(limit);
    let mut span = AttemptSpan::default();
    // As tonic's `unary`, but does not collect headers and trailers, which are not read.
    let answer = async {
        grpc.ready().await.map_err(Status::from_error)?;
        let request;
        (request, span) = request_of(shared, question);
        let path = shared.paths[question.callback.index].clone();
        let codec = BytesCodec::for_bytes(question.message.len());
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
    answer.map_err(|status| Unanswered { seen: tap, status })
}

/// Builds the request of an attempt, and begins its span.
fn request_of(shared: &Shared, question: &Question) -> (Request<Bytes>, AttemptSpan) {
    let mut request = Request::new(question.message.clone());
    *request.metadata_mut() = question.metadata.for_attempt(question.attempt);
    let span = {
        let Question { callback, metadata, attempt: number, deadline, .. } = question;
        let attempt = AttemptOf { callback, metadata, number: *number, deadline: *deadline };
        shared.traces.attempt(attempt, request.metadata_mut())
    };
    let left = question.deadline.saturating_duration_since(Instant::now());
    set_grpc_timeout(request.metadata_mut().as_mut(), left, false);
    (request, span)
}
