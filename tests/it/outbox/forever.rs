//! Events that fail for ever: how long others wait, in each store, and that those are among the dead with their cause.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookgate::config::After;
use hookgate::contract::Callback;
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Event, Events, Filter, Reason, State};
use tokio::time::{interval, timeout};
use tonic::Status;

use super::gate::{GROUP, LONG, directory};
use super::inside::{self, event, on_disk, settings, until};
use crate::jetstream::servers::Servers;
use crate::jetstream::store::copy;
use crate::support;

/// The time that failures of a key may hold up those behind them.
const HOLD: Duration = Duration::from_secs(3);

/// The store of the events.
#[derive(Clone, Copy)]
enum Store<'a> {
    Memory,
    Disk,
    Cluster(&'a Servers),
}

/// The partition of a group's events, of as many as the tests of the cluster have.
pub fn partition(group: &str) -> u32 {
    let callback = Callback::by_command(GROUP).unwrap();
    crc32fast::hash(format!("{}\0{group}", callback.order_domain).as_bytes()) % 4
}

async fn fail_for_ever(store: Store<'_>, name: &str, class: &str, bad: usize, others: usize, every: Duration) {
    let firsts: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let (book, hangs) = (firsts.clone(), class == "deadline");
    let policy = support::Policy::start_async(move |call| {
        let id = call.metadata("hookgate-event-id").unwrap_or_default().to_owned();
        let is_bad = id.starts_with("bad/");
        book.lock().unwrap().entry(id).or_insert_with(Instant::now);
        Box::pin(async move {
            match is_bad {
                true if hangs => std::future::pending().await,
                true => Err(Status::internal("this one")),
                false => Ok(Vec::new()),
            }
        })
    })
    .await;
    let [retry_min, retry_max] = [20, 500].map(Duration::from_millis);
    let settings = After { attempts: 8, hold: HOLD, retry_min, retry_max, ..settings() };
    let events = match store {
        Store::Memory => Events::in_memory(inside::policy(&policy.url()), &settings, Decisions::default()),
        Store::Disk => on_disk(&policy.url(), &settings, &directory(name)),
        Store::Cluster(servers) => copy(servers, &policy.url(), name, &settings).await,
    };
    // A key of which each event fails, and one in a hundred of the others.
    let mut arrivals: HashMap<String, Instant> = HashMap::new();
    let mut ticks = interval(every);
    let one_in_a_hundred = |number: usize| number <= others && number.is_multiple_of(101);
    let failing = (1..=others).filter(|number| one_in_a_hundred(*number)).count();
    let dead = bad + failing;
    // Others come until all of these have ended: the policy goes on answering.
    for number in 1.. {
        ticks.tick().await;
        if number > others && events.counts().undelivered(Reason::Attempts) as usize == dead {
            break;
        }
        let key = format!("g{}", number % 100);
        let id = if one_in_a_hundred(number) { format!("bad/of {key}") } else { format!("{key}/{number}") };
        let mut of = vec![(key, id)];
        if number <= bad {
            of.push(("bad".to_owned(), format!("bad/{number}")));
        }
        for (key, id) in of {
            arrivals.insert(id.clone(), Instant::now());
            let event = Event { budget: Duration::from_millis(200), ..event(&key, &id) };
            let delivery = events.deliver(event).await;
            assert!(matches!(delivery, Delivery::Accepted), "{delivery:?}");
        }
    }
    timeout(10 * LONG, events.idle()).await.expect("all have ended");
    if let Store::Disk = store {
        until("all of it is written", || events.backlog().disk.unwrap().dead == dead).await;
    }
    let of_cluster = matches!(store, Store::Cluster(_));
    // In memory there are no dead letters to look at.
    let kept = if let Store::Memory = store { 0 } else { dead };
    let (mut found, mut places) = (Vec::new(), Vec::new());
    while found.len() < kept {
        let after = places.last().copied();
        let filter = Filter { state: Some(State::Dead), limit: Some(1_000), after, ..Filter::default() };
        let items = events.list(filter).await.unwrap();
        places.extend(items.iter().map(|item| item.place));
        found.extend(items);
    }
    for item in &found {
        assert!(item.id.starts_with("bad/"), "{item:?}");
        // While a partition has nothing else, its time-outs may open the rpc's breaker.
        let is_class =
            item.class.as_deref() == Some(class) || (of_cluster && item.class.as_deref() == Some("unavailable"));
        assert!(item.reason.as_deref() == Some("attempts") && is_class, "{item:?}");
    }
    let firsts = firsts.lock().unwrap();
    let waits = |selects: &dyn Fn(&str) -> bool| {
        let selected = arrivals.iter().filter(|(id, _)| selects(id));
        let mut waits: Vec<_> = selected.map(|(id, at)| firsts[id].saturating_duration_since(*at)).collect();
        waits.sort();
        (waits[waits.len() / 2], waits[waits.len() * 99 / 100], waits[waits.len() - 1])
    };
    let group = |id: &str| id.split('/').next().unwrap_or_default().to_owned();
    let is_beside = |id: &str| of_cluster && partition(&group(id)) == partition("bad");
    let bad_keys: Vec<_> = (1..=others).filter(|number| one_in_a_hundred(*number)).map(|n| n % 100).collect();
    let shares = |id: &str| bad_keys.iter().any(|key| id.starts_with(&format!("g{key}/")));
    println!("{name}, {class}: {bad} events of a key and {failing} of {} others fail for ever", arrivals.len() - bad);
    if of_cluster {
        // A partition has an event of every key in hand after another: its other keys wait as those of a key do.
        for (which, beside) in [("partitions", false), ("keys of the key's partition", true)] {
            let (p50, p99, longest) = waits(&|id| !id.starts_with("bad/") && is_beside(id) == beside);
            println!("  the other {which} wait p50 {p50:.1?} p99 {p99:.1?} longest {longest:.1?}");
        }
        return;
    }
    let (p50, p99, longest) = waits(&|id| !id.starts_with("bad/") && !shares(id));
    println!("  the other keys wait p50 {p50:.1?} p99 {p99:.1?} longest {longest:.1?}");
    assert!(longest < HOLD, "{longest:?}: no other key waits for as long as the hold");
    let (p50, p99, longest) = waits(&|id| shares(id));
    println!("  those that share a key with one that fails: p50 {p50:.1?} p99 {p99:.1?} longest {longest:.1?}");
    assert!(longest < 2 * HOLD, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_fail_for_ever_end_among_the_dead_and_hold_up_nobody_for_long() {
    fail_for_ever(Store::Disk, "forever-status", "error", 50, 600, Duration::from_millis(5)).await;
    fail_for_ever(Store::Disk, "forever-time-out", "deadline", 50, 600, Duration::from_millis(5)).await;
    fail_for_ever(Store::Memory, "forever-memory", "error", 50, 600, Duration::from_millis(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run by: cargo test --release --test it full_disk_forever -- --ignored --nocapture"]
async fn full_disk_forever() {
    for (store, name) in [(Store::Disk, "disk"), (Store::Memory, "memory")] {
        for class in ["error", "deadline"] {
            fail_for_ever(store, &format!("forever-{name}"), class, 1_000, 10_000, Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and nats-server; run by: cargo test --release --test it long_cluster_forever -- --ignored --nocapture"]
async fn long_cluster_forever() {
    for class in ["error", "deadline"] {
        let servers = Servers::start("forever", 1, "").await;
        let store = Store::Cluster(&servers);
        fail_for_ever(store, "forever-cluster", class, 1_000, 10_000, Duration::from_millis(5)).await;
    }
}
