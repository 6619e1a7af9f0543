//! The policy service as seen from here: a path and bytes in, an answer or a failure out.

use std::future::{Future, poll_fn};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::tokio_stream::once;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use super::answer::{Answer, Unanswered};
use super::channel::{self, Channel, DEADLINE, Outcome};
use super::codec::BytesCodec;
use super::status_tap::TapTransport;
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::failure::{Class, Failure};
use crate::observe::traces::{AttemptOf, AttemptSpan, Traces};
use crate::policy::Transport;

/// Asks the policy service. `T` carries the calls: a tonic channel, or another
/// [`GrpcService`](tonic::client::GrpcService) whose futures are `Unpin`, as boxed ones are.
#[derive(Debug, Clone)]
pub struct Policy<T> {
    transport: T,
    shared: Arc<Shared>,
    /// Whose breaker is asked.
    channel: Option<Channel>,
}

/// What the clones of a policy have in common.
#[derive(Debug)]
struct Shared {
    /// In bytes.
    reply_limit: AtomicUsize,
    retries: AtomicU64,
    traces: Traces,
    /// The rpcs, by their callbacks' places.
    paths: Vec<PathAndQuery>,
}

impl Shared {
    fn new(reply_limit: usize, traces: Traces) -> Self {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        let paths = callbacks.map(|callback| PathAndQuery::from_static(callback.rpc)).collect();
        Self { reply_limit: reply_limit.into(), retries: AtomicU64::new(0), traces, paths }
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Question {
    /// The callback, whose rpc is called.
    pub callback: &'static Callback,
    /// The encoded request message.
    pub message: Bytes,
    /// What is not in the message.
    pub metadata: Metadata,
    /// How often the policy is asked, this time included: `hookgate-attempt`.
    pub attempt: u32,
    /// When the answer is too late.
    pub deadline: Instant,
}

/// So much before the deadline a policy's server may end a call for it, as tonic's does, which says `CANCELLED` then: it
/// was told whole milliseconds, and its clock is its own.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// Of such times the policy is told whole milliseconds. gRPC has eight digits, and shorter times deserve better.
const WHOLE_MILLISECONDS: RangeInclusive<u128> = 100..=99_999_999;

/// How long a call that is sent and late may go on, for nobody: until the policy sees the deadline too.
const LINGER: Duration = Duration::from_secs(5);

impl Policy<Channel> {
    /// Asks over a channel, as long as its breaker is closed. A response may have so many bytes.
    pub fn over(channel: Channel, reply_limit: usize) -> Self {
        Self { channel: Some(channel.clone()), ..Self::new(channel, reply_limit) }
    }
}

impl<T: Transport> Policy<T> {
    /// Asks through `transport`. A response may have so many bytes.
    pub fn new(transport: T, reply_limit: usize) -> Self {
        Self { transport, shared: Arc::new(Shared::new(reply_limit, Traces::default())), channel: None }
    }

    /// The same, with a span for each attempt.
    pub fn traced(self, traces: Traces) -> Self {
        let reply_limit = self.shared.reply_limit.load(Relaxed);
        Self { shared: Arc::new(Shared::new(reply_limit, traces)), ..self }
    }

    /// Where its spans go.
    pub(crate) fn traces(&self) -> &Traces {
        &self.shared.traces
    }

    /// From now on a response may have so many bytes, for clones too.
    pub fn set_reply_limit(&self, bytes: usize) {
        self.shared.reply_limit.store(bytes, Relaxed);
    }

    /// How many calls were made a second time, all clones together.
    pub fn retries(&self) -> u64 {
        self.shared.retries.load(Relaxed)
    }

    /// One unary call, which is made once more where the policy cannot have seen it. It ends at the question's deadline,
    /// which the policy is told as `grpc-timeout`.
    pub async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let permit = match &self.channel {
            Some(channel) => {
                let entered = channel.breaker().acquire(question.callback);
                Some(entered.map_err(|open| Failure::new(Class::Unavailable, &open).unasked())?)
            }
            None => None,
        };
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
                // The policy knows the deadline and ends the call. Were it reset instead, a policy that has stalled would
                // find many calls reset at once, take that for an attack, and cut off the calls that are not late.
                let mut called = Box::pin(channel::overdue(called));
                // Its connection knows at once: the next call may go elsewhere.
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

/// One call.
async fn call<T: Transport>(transport: T, shared: &Shared, question: &Question) -> Result<Bytes, Unanswered> {
    let (transport, seen) = TapTransport::new(transport);
    let limit = shared.reply_limit.load(Relaxed);
    let mut grpc = Grpc::new(transport).max_decoding_message_size(limit);
    let mut span = AttemptSpan::default();
    // tonic's `unary`, without the headers and trailers that it gathers and nobody reads.
    let answer = async {
        grpc.ready().await.map_err(Status::from_error)?;
        let request;
        (request, span) = request_of(shared, question);
        let path = shared.paths[question.callback.index].clone();
        let codec = BytesCodec::for_bytes(question.message.len());
        let mut response = grpc.streaming(request.map(once), path, codec).await?.into_inner();
        let message = response.message().await?;
        // To the end: the status decides, and it is behind all messages.
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
    span.end(answer.as_ref().map_or_else(|status| seen.failure().unwrap_or(status.code()), |_| Code::Ok));
    answer.map_err(|status| Unanswered { seen, status })
}

/// What a question is to tonic, and the span of it.
fn request_of(shared: &Shared, question: &Question) -> (Request<Bytes>, AttemptSpan) {
    let mut request = Request::new(question.message.clone());
    *request.metadata_mut() = question.metadata.for_attempt(question.attempt);
    let span = {
        let Question { callback, metadata, attempt: number, deadline, .. } = question;
        let attempt = AttemptOf { callback, metadata, number: *number, deadline: *deadline };
        shared.traces.attempt(attempt, request.metadata_mut())
    };
    let left = question.deadline.saturating_duration_since(Instant::now());
    // Whole milliseconds are the same for most calls, and HTTP/2 has one byte for what it has sent before.
    let millis = left.as_millis();
    match MetadataValue::try_from(format!("{millis}m")) {
        Ok(value) if WHOLE_MILLISECONDS.contains(&millis) => drop(request.metadata_mut().insert("grpc-timeout", value)),
        _ => request.set_timeout(left),
    }
    (request, span)
}
