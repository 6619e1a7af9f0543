//! The suite that every store of After events passes: memory, SQLite, JetStream.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Events, Filter, State};
use tokio::time::Instant;
use tonic::Status;

use super::gate::directory;
use super::inside::{event, policy, settings, until};
use crate::jetstream::servers::Servers;
use crate::support::{Call, Policy};

/// A store.
enum Store {
    Memory,
    Disk,
    Cluster(Servers),
}

impl Store {
    async fn cluster(name: &str) -> Self {
        Self::Cluster(Servers::start(&format!("conformance-{name}"), 1, "").await)
    }

    async fn events(&self, url: &str, name: &str, settings: &After) -> Events {
        match self {
            Self::Memory => Events::in_memory(policy(url), settings, Decisions::default()),
            Self::Disk => {
                let data = directory(&format!("conformance-{name}"));
                Events::on_disk(policy(url), settings, Decisions::default(), &data).unwrap()
            }
            Self::Cluster(servers) => {
                let mut settings = settings.clone();
                settings.store = servers.urls().split(',').map(|url| url.parse().unwrap()).collect();
                settings.nats.replicas = 1;
                settings.nats.partitions = 4;
                settings.bytes = 64 << 20;
                settings.dead_bytes = 64 << 20;
                let data = directory(&format!("conformance-cluster-{name}"));
                std::fs::create_dir_all(&data).unwrap();
                let events = Events::on_cluster(policy(url), &settings, Decisions::default(), Some(&data), 1 << 20);
                events.await.unwrap()
            }
        }
    }

    fn has_dead(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}

/// The calls that the policy got, and those that it fails.
#[derive(Clone, Default)]
struct Book {
    calls: Arc<Mutex<Vec<Call>>>,
    fails: Arc<Mutex<HashSet<String>>>,
    refuses: Arc<Mutex<HashSet<String>>>,
}

impl Book {
    async fn policy(&self) -> Policy {
        let book = self.clone();
        Policy::start(move |call| {
            if call.rpc.starts_with("/grpc.health.") {
                return Err(Status::unimplemented("no health"));
            }
            book.calls.lock().unwrap().push(call.clone());
            let id = call.metadata("hookgate-event-id").unwrap_or_default();
            if book.refuses.lock().unwrap().contains(id) {
                return Err(Status::unimplemented("not this one"));
            }
            if book.fails.lock().unwrap().contains(id) {
                return Err(Status::internal("on purpose"));
            }
            Ok(Vec::new())
        })
        .await
    }

    fn fail(&self, ids: &[&str]) {
        *self.fails.lock().unwrap() = ids.iter().map(ToString::to_string).collect();
    }

    fn refuse(&self, ids: &[&str]) {
        *self.refuses.lock().unwrap() = ids.iter().map(ToString::to_string).collect();
    }

    /// The calls of an event.
    fn of(&self, id: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.metadata("hookgate-event-id") == Some(id)).cloned().collect()
    }

    /// The events of a group in the order of their first calls.
    fn firsts(&self) -> Vec<String> {
        let (calls, mut seen) = (self.calls.lock().unwrap(), Vec::new());
        for call in calls.iter() {
            let id = call.metadata("hookgate-event-id").unwrap().to_owned();
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        seen
    }
}

fn is_kept(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Accepted | Delivery::Answered(_))
}

/// All of it, of one store.
async fn conforms(store: Store, name: &str) {
    let book = Book::default();
    let asked = book.policy().await;
    let settings = After { hold: Duration::from_millis(600), ..settings() };
    let events = store.events(&asked.url(), name, &settings).await;

    // Append, claim, ack: each is delivered once, in the order of its key, with a number that rises.
    let ids: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    for id in &ids {
        assert!(is_kept(&events.deliver(event("g1", id)).await));
    }
    events.idle().await;
    assert_eq!(book.firsts(), ids);
    let numbers: Vec<u64> =
        ids.iter().map(|id| book.of(id)[0].metadata("hookgate-sequence").unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.first() < numbers.last(), "{numbers:?}");
    assert!(ids.iter().all(|id| book.of(id).len() == 1), "each once");

    // Retry at: one that fails for a moment holds up its key, and no other; its attempts are counted.
    book.fail(&["b0"]);
    assert!(is_kept(&events.deliver(event("g2", "b0")).await));
    assert!(is_kept(&events.deliver(event("g2", "b1")).await));
    until("it is tried twice", || book.of("b0").len() > 1).await;
    assert!(book.of("b1").is_empty(), "it waits for the one before it");
    book.fail(&[]);
    events.idle().await;
    let attempts: Vec<u32> =
        book.of("b0").iter().map(|call| call.metadata("hookgate-attempt").unwrap().parse().unwrap()).collect();
    assert_eq!(attempts, (1..=u32::try_from(attempts.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(book.of("b1").len(), 1);

    // Park: one that fails for longer goes on by itself, and those behind it go on without it.
    book.fail(&["c0"]);
    let began = Instant::now();
    assert!(is_kept(&events.deliver(event("g3", "c0")).await));
    assert!(is_kept(&events.deliver(event("g3", "c1")).await));
    until("the other of its key goes on", || !book.of("c1").is_empty()).await;
    assert!(began.elapsed() >= settings.hold, "not before its hold is used up");
    until("it is tried late", || book.of("c0").iter().any(|call| call.metadata("hookgate-late") == Some("1"))).await;
    book.fail(&[]);
    events.idle().await;
    let sequences: HashSet<_> =
        book.of("c0").iter().map(|call| call.metadata("hookgate-sequence").unwrap().to_owned()).collect();
    assert_eq!(sequences.len(), 1, "its number stays");

    // Dead letter, list, count, get.
    book.refuse(&["d0", "d1", "d2"]);
    for id in ["d0", "d1", "d2"] {
        assert!(is_kept(&events.deliver(event("g4", id)).await));
    }
    events.idle().await;
    assert_eq!(events.counts().undelivered(hookgate::internals::outbox::Reason::Unimplemented), 3);
    let dead = Filter { state: Some(State::Dead), ..Filter::default() };
    if !store.has_dead() {
        assert!(events.list(dead).await.is_err());
        return;
    }
    let listed = events.list(dead.clone()).await.unwrap();
    assert_eq!(listed.iter().map(|item| &*item.id).collect::<Vec<_>>(), ["d0", "d1", "d2"]);
    assert!(listed.iter().all(|item| item.reason.as_deref() == Some("unimplemented") && item.attempts == 1));
    assert_eq!(listed[0].key.as_deref(), Some("g4"));
    assert_eq!(events.count(dead.clone()).await.unwrap(), 3);
    let page = events.list(Filter { after: Some(listed[0].place), limit: Some(1), ..dead.clone() }).await.unwrap();
    assert_eq!(page.iter().map(|item| &*item.id).collect::<Vec<_>>(), ["d1"]);
    let counted = events.counted().await.unwrap();
    assert_eq!(
        counted.iter().map(|count| (count.events, count.reason.as_deref())).collect::<Vec<_>>(),
        [(3, Some("unimplemented"))]
    );
    let shown = events.show("d1".to_owned(), true).await.unwrap();
    assert_eq!(shown.message.unwrap()["groupID"], "g4");
    assert!(events.show("never".to_owned(), false).await.is_err());

    // Drop.
    let one = |id: &str| Filter { id: Some(id.to_owned()), ..Filter::default() };
    assert_eq!(events.discard(one("d2")).await.unwrap().events, 1);
    assert!(events.discard(one("d2")).await.is_err(), "it is gone");
    assert!(events.discard(Filter::default()).await.is_err(), "nothing is selected");

    // Replay: one that is refused again is dead again, and one that is not is delivered, late, with its number.
    book.refuse(&["d1"]);
    let replayed = events.replay(Filter { all: true, ..Filter::default() }).await.unwrap();
    assert_eq!(replayed.events, 2);
    events.idle().await;
    let undelivered = events.undelivered(replayed.replay.unwrap()).await.unwrap();
    assert_eq!(undelivered.len(), 1);
    assert_eq!((undelivered[0].untried, undelivered[0].failed), (0, 0));
    assert_eq!(undelivered[0].dead.values().sum::<i64>(), 1);
    let calls = book.of("d0");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].metadata("hookgate-late"), Some("1"));
    assert_eq!(calls[1].metadata("hookgate-sequence"), calls[0].metadata("hookgate-sequence"));
    assert_eq!(events.count(dead).await.unwrap(), 1);
    assert_eq!(events.flush(Instant::now() + Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn memory_conforms() {
    conforms(Store::Memory, "memory").await;
}

#[tokio::test]
async fn sqlite_conforms() {
    conforms(Store::Disk, "sqlite").await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn jetstream_conforms() {
    let store = Store::cluster("cluster").await;
    conforms(store, "jetstream").await;
}
