//! A policy in memory that keeps a book of what it is asked. The clock is the test's own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::config::After;
use hookgate::contract::{Callback, transcode};
use hookgate::internals::outbox::{Delivery, Event, Events};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::{at_once, attempt, event, events_in_memory, id};

pub const SECOND: Duration = Duration::from_secs(1);

/// The hold of these tests.
pub const HOLD: Duration = Duration::from_secs(30);

/// The time that each attempt is given, as OpenIM's own default timeout leaves it.
pub const BUDGET: Duration = Duration::from_secs(4);

/// The time that the policy takes for a call.
pub const LATENCY: Duration = Duration::from_millis(5);

/// An After callback whose events belong to a group, in an order of its own.
pub const MESSAGE: &str = "callbackAfterSendGroupMsgCommand";

/// Pauses from a tenth of a second to ten, and no end but a success.
pub fn settings() -> After {
    After {
        hold: HOLD,
        retry_min: SECOND / 10,
        retry_max: 10 * SECOND,
        pause_max: 10 * SECOND,
        attempts: u32::MAX,
        age: 1_000_000 * SECOND,
        events: 1_000_000,
        ..at_once()
    }
}

/// An event of this group and user.
pub fn keyed(command: &str, key: &str, id: &str) -> Event {
    let callback = Callback::by_command(command).expect("a command of the table");
    let body = serde_json::json!({"callbackCommand": command, "groupID": key, "userID": key}).to_string();
    let message = transcode(callback.request, command, body.as_bytes()).expect("a body").0;
    Event { callback, message, budget: BUDGET, ..event(command, id) }
}

/// A way to fail, and its name.
pub type Kind = (&'static str, fn() -> Says);

/// The answer of the policy.
pub enum Says {
    Yes,
    No(Status),
    /// An answer that is no reply.
    Nonsense,
    /// Nothing, however long one waits.
    Nothing,
}

/// An attempt, as the policy saw it.
#[derive(Debug, Clone)]
pub struct Try {
    /// The time since the book was begun.
    pub at: Duration,
    pub id: String,
    /// The rpc's name, as in `AfterUserOnline`.
    pub rpc: String,
    pub attempt: u32,
    pub sequence: Option<u64>,
    pub is_late: bool,
    pub succeeds: bool,
}

/// The book of a policy.
#[derive(Clone)]
pub struct Book {
    pub began: Instant,
    tries: Arc<Mutex<Vec<Try>>>,
}

/// Events before a policy in memory, and its book.
pub fn watched(settings: &After, says: impl Fn(&Try) -> Says + Send + Sync + 'static) -> (Events, Book) {
    let book = Book { began: Instant::now(), tries: Arc::default() };
    let of_policy = book.clone();
    let events = events_in_memory(
        move |call| {
            let mut tried = Try {
                at: of_policy.began.elapsed(),
                id: id(&call),
                rpc: call.rpc.rsplit('/').next().unwrap_or_default().to_owned(),
                attempt: attempt(&call),
                sequence: call.metadata("hookgate-sequence").map(|text| text.parse().expect("a number")),
                is_late: call.metadata("hookgate-late").is_some_and(|text| text == "1"),
                succeeds: false,
            };
            let says = says(&tried);
            tried.succeeds = matches!(says, Says::Yes);
            of_policy.tries.lock().unwrap().push(tried);
            Box::pin(async move {
                sleep(LATENCY).await;
                match says {
                    Says::Yes => Ok(Vec::new()),
                    Says::No(status) => Err(status),
                    Says::Nonsense => Ok(vec![0xff]),
                    Says::Nothing => std::future::pending().await,
                }
            })
        },
        settings,
    );
    (events, book)
}

impl Book {
    pub fn tries(&self) -> Vec<Try> {
        self.tries.lock().unwrap().clone()
    }

    /// The attempts of an event.
    pub fn of(&self, id: &str) -> Vec<Try> {
        self.tries().into_iter().filter(|tried| tried.id == id).collect()
    }

    /// The time of an event's first attempt.
    pub fn first(&self, id: &str) -> Duration {
        let tries = self.tries();
        let first = tries.iter().find(|tried| tried.id == id);
        first.unwrap_or_else(|| panic!("{id} has been tried")).at
    }

    /// The IDs of the events that were delivered, in order.
    pub fn delivered(&self) -> Vec<String> {
        self.tries().into_iter().filter(|tried| tried.succeeds).map(|tried| tried.id).collect()
    }

    /// The events of each key that were delivered, in order, where an ID is a key and a number, as in `g1/7`.
    pub fn by_key(&self) -> BTreeMap<String, Vec<usize>> {
        let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for id in self.delivered() {
            if let Some((key, number)) = id.split_once('/') {
                keys.entry(key.to_owned()).or_default().push(number.parse().expect("a number"));
            }
        }
        keys
    }

    pub fn is_any_late(&self) -> bool {
        self.tries().iter().any(|tried| tried.is_late)
    }
}

/// Hands events over until they are dropped: each of a key of its own, one every tenth of a second. Returns the longest
/// time that one waited for its first attempt.
pub struct Others {
    arrivals: Arc<Mutex<HashMap<String, Duration>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Others {
    pub fn start(events: &Events, book: &Book) -> Self {
        let arrivals: Arc<Mutex<HashMap<String, Duration>>> = Arc::default();
        let (events, began, arrived) = (events.clone(), book.began, arrivals.clone());
        let task = tokio::spawn(async move {
            for number in 0_u32.. {
                let id = format!("other-{number}");
                arrived.lock().unwrap().insert(id.clone(), began.elapsed());
                let delivery = events.deliver(keyed(MESSAGE, &id, &id)).await;
                assert!(matches!(delivery, Delivery::Accepted), "{delivery:?}");
                sleep(SECOND / 10).await;
            }
        });
        Self { arrivals, task }
    }

    /// Ends, and returns the number of events and the longest time that one waited for its first attempt.
    pub async fn end(self, book: &Book) -> (usize, Duration) {
        self.task.abort();
        // It may be in the middle of the last one.
        let ended = self.task.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "none was lost");
        sleep(SECOND).await;
        let arrivals = self.arrivals.lock().unwrap().clone();
        let mut firsts: HashMap<String, Duration> = HashMap::new();
        for tried in book.tries() {
            firsts.entry(tried.id).or_insert(tried.at);
        }
        let waited = |(id, at): (&String, &Duration)| firsts.get(id).map_or(Duration::MAX, |first| *first - *at);
        (arrivals.len(), arrivals.iter().map(waited).max().unwrap_or_default())
    }
}
