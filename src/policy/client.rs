//! The policy service as seen from here: a path and bytes in, an answer or a failure out.

use std::borrow::Cow;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::tokio_stream::once;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use super::channel::{self, Channel, Outcome};
use super::codec::BytesCodec;
use super::metadata::Metadata;
use super::observe::{NotGrpc, Observed, Seen};
use crate::callback::Callback;
use crate::error::{Class, Failure};
use crate::server::Transport;
use crate::traces::{AttemptSpan, Traces};
use crate::verdict::{Denial, Reply};

/// Asks the policy service. `T` carries the calls: a tonic channel, or whatever else is a
/// [`GrpcService`](tonic::client::GrpcService).
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
const A_LITTLE: Duration = Duration::from_millis(5);

/// Of this time and more the policy is told whole milliseconds, of which gRPC has eight digits: more than a day.
const ROUNDED: Duration = Duration::from_millis(100);

/// How long a call that is sent and late may go on, for nobody: until the policy sees the deadline too.
const LINGER: Duration = Duration::from_secs(5);

/// How many bytes of a status's message go to the log.
const LONGEST_MESSAGE: usize = 256;

/// What the policy said.
#[derive(Debug)]
pub enum Answer {
    /// `OK`, with the encoded response message.
    Response(Bytes),
    /// `PERMISSION_DENIED`, with the status message.
    PermissionDenied(String),
}

impl Answer {
    /// The reply to the webhook that was asked about, whose body is `body`.
    pub fn into_reply(self, callback: &Callback, body: &[u8]) -> Result<Reply, Failure> {
        match self {
            Self::Response(response) => Ok(callback.reply(&response, body)?),
            Self::PermissionDenied(message) => Ok(Reply::Deny(Denial::because(&message))),
        }
    }
}

/// A call without an answer.
struct Unanswered {
    seen: Seen,
    status: Status,
}

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
        let pass = match &self.channel {
            Some(channel) => {
                Some(channel.breaker().enter().map_err(|open| Failure::new(Class::Unavailable, &open).unasked())?)
            }
            None => None,
        };
        let deadline = question.deadline;
        let (transport, shared) = (self.transport.clone(), self.shared.clone());
        let mut called = Box::pin(async move {
            match call(transport.clone(), &shared, &question).await {
                Err(Unanswered { status, .. }) if not_taken(&status) && Instant::now() < question.deadline => {
                    shared.retries.fetch_add(1, Relaxed);
                    call(transport, &shared, &question).await
                }
                result => result,
            }
        });
        let late = || (Some(Outcome::Unanswered), Err(Failure::because(Class::Deadline, "the budget is spent")));
        let (outcome, result) = match timeout_at(deadline, &mut called).await {
            Ok(Ok(response)) => (Some(Outcome::Answered), Ok(Answer::Response(response))),
            Ok(Err(unanswered)) if unanswered.is_cancelled() && Instant::now() + A_LITTLE >= deadline => late(),
            Ok(Err(unanswered)) => (unanswered.outcome(), unanswered.into_answer()),
            Err(_) => {
                // The policy knows the deadline and ends the call. Were it reset instead, a policy that has stalled would
                // find many calls reset at once, take that for an attack, and cut off the calls that are not late.
                tokio::spawn(timeout(LINGER, called));
                late()
            }
        };
        if let Some((pass, outcome)) = pass.zip(outcome) {
            pass.settle(outcome);
        }
        result
    }
}

/// One call.
async fn call<T: Transport>(transport: T, shared: &Shared, question: &Question) -> Result<Bytes, Unanswered> {
    let (transport, seen) = Observed::new(transport);
    let mut grpc = Grpc::new(transport).max_decoding_message_size(shared.reply_limit.load(Relaxed));
    let mut span = AttemptSpan::default();
    // tonic's `unary`, without the headers and trailers that it gathers and nobody reads.
    let answer = async {
        grpc.ready().await.map_err(Status::from_error)?;
        let request;
        (request, span) = request_of(shared, question);
        let path = shared.paths[question.callback.place].clone();
        let codec = BytesCodec::for_bytes(question.message.len());
        let mut response = grpc.streaming(request.map(once), path, codec).await?.into_inner();
        let message = response.message().await?.ok_or_else(|| Status::internal("Missing response message."))?;
        response.trailers().await?;
        Ok(message)
    };
    let answer = answer.await;
    span.end(answer.as_ref().map_or_else(Status::code, |_| Code::Ok));
    answer.map_err(|status| Unanswered { seen, status })
}

/// What a question is to tonic, and the span of it.
fn request_of(shared: &Shared, question: &Question) -> (Request<Bytes>, AttemptSpan) {
    let mut request = Request::new(question.message.clone());
    *request.metadata_mut() = question.metadata.of_attempt(question.attempt);
    let span = shared.traces.attempt(question, request.metadata_mut());
    let left = question.deadline.saturating_duration_since(Instant::now());
    // Whole milliseconds are the same for most calls, and HTTP/2 has one byte for what it has sent before.
    match MetadataValue::try_from(format!("{}m", left.as_millis())) {
        Ok(millis) if left >= ROUNDED => drop(request.metadata_mut().insert("grpc-timeout", millis)),
        _ => request.set_timeout(left),
    }
    (request, span)
}

impl Unanswered {
    /// What it means to the breaker. A connection that dies takes all of its calls with it, and says nothing of the next
    /// one.
    fn outcome(&self) -> Option<Outcome> {
        match cause::<channel::Error>(&self.status) {
            _ if self.seen.response() || cause::<NotGrpc>(&self.status).is_some() => Some(Outcome::Answered),
            Some(channel::Error::NotConnected(_)) => Some(Outcome::Unreached),
            Some(channel::Error::Late) => Some(Outcome::Unanswered),
            Some(_) if cause::<h2::Error>(&self.status).is_none_or(|error| !error.is_reset()) => None,
            _ => Some(Outcome::Unanswered),
        }
    }

    /// Whether the policy itself has cancelled the call.
    fn is_cancelled(&self) -> bool {
        self.seen.status() == Some(Code::Cancelled)
    }

    /// Tells a status that the policy gave from one that tonic made of what happened here.
    fn into_answer(self) -> Result<Answer, Failure> {
        let Self { seen, status } = self;
        let class = match (seen.status(), status.code()) {
            (Some(Code::Ok), _) => Class::InvalidReply,
            (Some(_), Code::PermissionDenied) => return Ok(Answer::PermissionDenied(status.message().to_owned())),
            (Some(_), Code::Unavailable) => Class::Unavailable,
            (Some(_), Code::DeadlineExceeded) => Class::Deadline,
            (Some(_), Code::ResourceExhausted) => Class::Overloaded,
            (Some(_), Code::Unimplemented) => Class::Unimplemented,
            (Some(_), _) => Class::Error,
            (None, _) if cause::<tonic::TimeoutExpired>(&status).is_some() => Class::Deadline,
            (None, _) if matches!(cause(&status), Some(channel::Error::Late)) => Class::Deadline,
            (None, _) if cause::<NotGrpc>(&status).is_some() => Class::Error,
            // No source: tonic did not like the bytes, or their number.
            (None, _) if seen.response() && status.source().is_none() => Class::InvalidReply,
            (None, _) => Class::Unavailable,
        };
        let failure = match status.source() {
            Some(cause) => Failure::new(class, cause),
            None => Failure::because(class, format!("{:?}: {}", status.code(), cut(status.message()))),
        };
        Err(failure.with_status(seen.status()))
    }
}

/// The beginning of what a status says: it is as long as the policy likes, and may quote what it was asked.
fn cut(message: &str) -> Cow<'_, str> {
    if message.len() <= LONGEST_MESSAGE {
        return message.into();
    }
    let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &message[..end]).into()
}

/// Whether the policy cannot have seen the call.
fn not_taken(status: &Status) -> bool {
    matches!(cause(status), Some(channel::Error::NotTaken(_)))
}

/// What lies under a status.
fn cause<E: std::error::Error + 'static>(status: &Status) -> Option<&E> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn what_a_status_says_is_cut_between_letters() {
        let letters = "ä".repeat(128);
        assert_eq!(cut(&letters), letters);
        assert_eq!(cut(&format!("x{letters}")), format!("x{}…", "ä".repeat(127)));
    }
}
