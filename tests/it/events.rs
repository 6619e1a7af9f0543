//! After events between OpenIM and the policy: answered soon, delivered all the same, counted where they are not.

mod bounds;
mod pace;
mod replies;
mod retries;
mod storm;

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::After;
use hookgate::contract::Callback;
use hookgate::contract::{Metadata, metadata};
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Event, Events};
use hookgate::internals::policy::{Policy, Transport};
use http_body_util::{BodyExt, Full};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::support::{self, Answer, Call};

/// Two callbacks with rpcs of their own.
const REMOVE_BLACK: &str = "callbackAfterRemoveBlackCommand";
const REGISTER: &str = "callbackAfterUserRegisterCommand";

/// The largest response, in bytes.
const REPLY_LIMIT: usize = 1_000;

/// Time enough for anything that is to happen; only a test that fails waits for it.
const LONG: Duration = Duration::from_secs(60);

/// Room for everything, short pauses, and no reply before the policy has answered or failed.
fn settings() -> After {
    After {
        answer_within: LONG,
        attempts: 1_000,
        age: 10 * LONG,
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(20),
        events: 10_000,
        bytes: 1 << 30,
        concurrency: 16,
        // A lane's pause is bounded as an event's own is.
        pause_max: Duration::from_millis(20),
        ..After::default()
    }
}

/// The same, but no reply waits for the policy.
fn at_once() -> After {
    After { answer_within: Duration::ZERO, ..settings() }
}

/// Events in memory to a policy over this transport.
fn events_over(transport: impl Transport, settings: &After) -> Events {
    Events::in_memory(Policy::new(transport, REPLY_LIMIT), settings, Decisions::default())
}

/// Events to a real policy.
fn events(policy: &support::Policy, settings: &After) -> Events {
    let channel = Endpoint::from_shared(policy.url()).expect("a URL").connect_lazy();
    events_over(channel, settings)
}

/// An event with this ID.
fn event(command: &str, id: &str) -> Event {
    let callback = Callback::by_command(command).expect("a command of the table");
    let mut metadata = Metadata::new();
    metadata.insert(metadata::COMMAND, command);
    metadata.insert(metadata::OPERATION_ID, "op-1");
    metadata.insert(metadata::EVENT_ID, id);
    Event { callback, message: Bytes::from_static(b"\x0a\x01x"), metadata, budget: LONG }
}

fn id(call: &Call) -> String {
    call.metadata("hookgate-event-id").expect("every attempt has it").to_owned()
}

fn attempt(call: &Call) -> u32 {
    call.metadata("hookgate-attempt").and_then(|text| text.parse().ok()).expect("every attempt has it")
}

fn unavailable() -> Result<Vec<u8>, Status> {
    Err(Status::unavailable("down"))
}

/// Waits until nothing is kept.
async fn idle(events: &Events) {
    tokio::time::timeout(LONG, events.idle()).await.expect("the queue empties");
}

/// What a future gives without any waiting at all.
async fn at_first_poll<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn is_accepted(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Accepted)
}

/// A call that the test answers when it likes.
struct Pending {
    call: Call,
    answer: oneshot::Sender<Result<Vec<u8>, Status>>,
}

impl Pending {
    fn succeed(self) {
        self.answer.send(Ok(Vec::new())).expect("it is waited for");
    }

    fn fail(self) {
        self.answer.send(unavailable()).expect("it is waited for");
    }
}

/// Answers by hand, for a policy of either kind, and the calls as they come.
fn by_hand() -> (impl Fn(Call) -> Answer + Send + Sync + 'static, mpsc::UnboundedReceiver<Pending>) {
    let (arrived, calls) = mpsc::unbounded_channel();
    let answer = move |call: Call| -> Answer {
        let (answer, answered) = oneshot::channel();
        // A test that is over takes no more calls.
        let _ = arrived.send(Pending { call, answer });
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(Status::cancelled("not answered"))) })
    };
    (answer, calls)
}

/// A policy without a socket, for tests of time: where it alone decides, the clock can be the test's own.
#[derive(Clone)]
struct InMemory(Arc<dyn Fn(Call) -> Answer + Send + Sync>);

/// Events to a policy without a socket.
fn events_in_memory(answer: impl Fn(Call) -> Answer + Send + Sync + 'static, settings: &After) -> Events {
    events_over(InMemory(Arc::new(answer)), settings)
}

impl tower::Service<http::Request<tonic::body::Body>> for InMemory {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let (head, _) = request.into_parts();
        let metadata = tonic::metadata::MetadataMap::from_headers(head.headers);
        let answer = (self.0)(Call { rpc: head.uri.path().to_owned(), metadata, message: Bytes::new() });
        Box::pin(async move {
            Ok(match answer.await {
                Ok(message) => response(&message),
                Err(status) => status.into_http(),
            })
        })
    }
}

/// A gRPC response as it is on the wire.
fn response(message: &[u8]) -> http::Response<tonic::body::Body> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let frame = Bytes::from([&[0], &length[..], message].concat());
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", (Code::Ok as i32).into());
    let body = Full::new(frame).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    let response = http::Response::builder().header("content-type", "application/grpc");
    response.body(tonic::body::Body::new(body)).expect("a response")
}
