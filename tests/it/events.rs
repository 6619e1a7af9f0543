//! After events between OpenIM and the policy: answered soon, delivered all the same, counted where they are not.

mod bounds;
mod forever;
mod holds;
mod orders;
mod outage;
mod pace;
mod replies;
mod retries;
mod storm;
mod watched;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::{self, After, PolicyTls};
use hookgate::contract::Callback;
use hookgate::contract::{Metadata, metadata};
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Event, Events};
use hookgate::internals::policy::{CallError, Channel, Policy, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
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
    let url = policy.url().parse().expect("a URL");
    events_over(Channel::connect(url, &config::Channel::default(), &PolicyTls::default()), settings)
}

/// An event with this ID.
fn event(command: &str, id: &str) -> Event {
    let callback = Callback::by_command(command).expect("a command of the table");
    let mut metadata = Metadata::default();
    metadata.insert(metadata::COMMAND, command);
    metadata.insert(metadata::OPERATION_ID, "op-1");
    metadata.insert(metadata::EVENT_ID, id);
    Event { callback, message: Bytes::from_static(b"\x0a\x01x"), metadata, budget: LONG, ordered: true }
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

impl Transport for InMemory {
    async fn unary(&self, call: http::Request<Bytes>, deadline: Instant, _: usize) -> Result<Bytes, CallError> {
        let (head, message) = call.into_parts();
        let metadata = tonic::metadata::MetadataMap::from_headers(head.headers);
        let answer = (self.0)(Call { rpc: head.uri.path().to_owned(), metadata, message });
        match timeout_at(deadline, answer).await {
            Ok(Ok(message)) => Ok(message.into()),
            Ok(Err(status)) => Err(CallError::Status(status.code(), status.message().to_owned())),
            Err(_) => Err(CallError::Status(Code::DeadlineExceeded, String::new())),
        }
    }
}
