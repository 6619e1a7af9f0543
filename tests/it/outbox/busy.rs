//! One group with far more events than the policy takes one after another: what becomes of it, and of the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Event, Events};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::forever::partition;
use super::gate::{LONG, directory};
use super::inside::{self, event, settings};
use crate::jetstream::servers::Servers;
use crate::jetstream::store::copy;
use crate::support;

/// The events of the group a second.
const RATE: u32 = 1_000;

/// The time that the policy takes for a call.
const LATENCY: Duration = Duration::from_millis(5);

/// The store of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Memory,
    Disk,
    Cluster,
}

async fn busy(time: Duration, store: Store, ordered: bool) {
    let ended: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let book = ended.clone();
    let policy = support::Policy::start_async(move |call| {
        let (id, book) = (call.metadata("hookgate-event-id").unwrap_or_default().to_owned(), book.clone());
        Box::pin(async move {
            sleep(LATENCY).await;
            book.lock().unwrap().insert(id, Instant::now());
            Ok(Vec::new())
        })
    })
    .await;
    let asked = inside::policy(&policy.url());
    let mut servers = None;
    let events = match store {
        Store::Memory => Events::in_memory(asked, &settings(), Decisions::default()),
        Store::Disk => Events::on_disk(asked, &settings(), Decisions::default(), &directory("busy")).unwrap(),
        Store::Cluster => {
            let servers = servers.insert(Servers::start("busy", 1, "").await);
            copy(servers, &policy.url(), "busy", &settings()).await
        }
    };
    let (mut arrivals, mut replies): (HashMap<String, Instant>, _) = (HashMap::new(), JoinSet::new());
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let number_of_events = RATE * time.as_secs() as u32;
    for number in 0..number_of_events {
        ticks.tick().await;
        let mut of = vec![("busy".to_owned(), format!("busy/{number}"))];
        if number % 10 == 0 {
            of.push((format!("g{}", number / 10 % 50), format!("g/{number}")));
        }
        for (key, id) in of {
            arrivals.insert(id.clone(), Instant::now());
            let (events, event) = (events.clone(), Event { ordered, ..event(&key, &id) });
            replies.spawn(async move { events.deliver(event).await });
            while replies.try_join_next().is_some() {}
        }
    }
    let backlog = events.backlog().events;
    timeout(10 * LONG, events.idle()).await.expect("all are delivered");
    let ended = ended.lock().unwrap();
    // The events of a group are known by their numbers.
    let group = |id: &str| id.split('/').nth(1).and_then(|n| n.parse::<u32>().ok()).map_or(0, |n| n / 10 % 50);
    let is_beside = |id: &str| store == Store::Cluster && partition(&format!("g{}", group(id))) == partition("busy");
    let delays = |selects: &dyn Fn(&str) -> bool| {
        let of = arrivals.iter().filter(|(id, _)| selects(id));
        let mut delays: Vec<_> = of.map(|(id, at)| ended[id] - *at).collect();
        delays.sort();
        format!("p50 {:.1?} p99 {:.1?}", delays[delays.len() / 2], delays[delays.len() * 99 / 100])
    };
    println!(
        "a group at {RATE}/s for {time:?}, policy of {LATENCY:?}, {store:?}, ordered {ordered}: backlog {backlog}; the group \
         {}; the others {}",
        delays(&|id| id.starts_with("busy/")),
        delays(&|id| id.starts_with("g/") && !is_beside(id)),
    );
    if store == Store::Cluster {
        println!("  the others of its partition {}", delays(&|id| id.starts_with("g/") && is_beside(id)));
    }
    assert_eq!(ended.len(), arrivals.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run by: cargo test --release --test it full_busy -- --ignored --nocapture"]
async fn full_busy_group() {
    for store in [Store::Memory, Store::Disk] {
        for ordered in [true, false] {
            busy(Duration::from_secs(10), store, ordered).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and nats-server; run by: cargo test --release --test it long_cluster_busy -- --ignored --nocapture"]
async fn long_cluster_busy_group() {
    for ordered in [true, false] {
        busy(Duration::from_secs(10), Store::Cluster, ordered).await;
    }
}
