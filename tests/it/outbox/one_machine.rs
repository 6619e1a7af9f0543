//! One list of checks that both stores of one machine pass, memory and disk, asked from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Backlog, Delivery, Event, Events, Filter, Reason, State};
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::gate::{LONG, directory};
use super::inside::{self, event, of, patient, settings, until};
use super::moody::{Moody, id};
use crate::support;

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Memory,
    Disk,
}

impl Store {
    const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// Events of this check in the store.
    async fn open(self, check: &str, policy: &support::Policy, settings: &After) -> Events {
        let asked = inside::policy(&policy.url());
        match self {
            Self::Memory => Events::in_memory(asked, settings, Decisions::default()),
            Self::Disk => {
                let data = directory(&format!("one-machine-{check}"));
                Events::on_disk(asked, settings, Decisions::default(), &data).expect("it opens")
            }
        }
    }

    /// Returns true if it keeps dead letters, and can be looked at.
    fn can_be_looked_at(self) -> bool {
        self != Self::Memory
    }
}

async fn idle(events: &Events) {
    timeout(LONG, events.idle()).await.expect("nothing is left");
}

fn by_id(id: &str) -> Filter {
    Filter { id: Some(id.to_owned()), ..Filter::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_delivered_and_then_gone() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let events = store.open("deliver", &moody.policy, &settings()).await;
        let mut sent = BTreeSet::new();
        for number in 0..200 {
            let id = format!("ok-{number}");
            let ordered = number % 2 == 0;
            let delivery = events.deliver(Event { ordered, ..event(&format!("g{}", number % 9), &id) }).await;
            assert!(matches!(delivery, Delivery::Accepted), "{store:?}: {delivery:?}");
            sent.insert(id);
        }
        idle(&events).await;
        let taken = moody.taken();
        assert_eq!(taken.len(), sent.len(), "{store:?}: each once");
        assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), sent, "{store:?}");
        assert_eq!(events.counts().delivered, 200, "{store:?}");
        let Backlog { events: number, bytes, parked, blocked_keys, rpcs, .. } = events.backlog();
        assert_eq!((number, bytes, parked, blocked_keys, rpcs.len()), (0, 0, 0, 0, 0), "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_that_comes_in_time_is_the_reply() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let settings = After { answer_within: LONG, ..settings() };
        let events = store.open("verdict", &moody.policy, &settings).await;
        let delivery = events.deliver(event("g", "ok")).await;
        assert!(matches!(delivery, Delivery::Answered(_)), "{store:?}: {delivery:?}");
        idle(&events).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_are_delivered_one_after_another_with_rising_numbers() {
    for store in Store::ALL {
        let in_hand: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let together = Arc::new(AtomicBool::new(false));
        let (hands, seen) = (in_hand.clone(), together.clone());
        let policy = support::Policy::start_async(move |call| {
            let (key, hands, seen) = (id(&call).split('/').next().unwrap().to_owned(), hands.clone(), seen.clone());
            let at_once = {
                let mut hands = hands.lock().unwrap();
                let of_key = hands.entry(key.clone()).or_default();
                *of_key += 1;
                *of_key
            };
            if at_once > 1 {
                seen.store(true, SeqCst);
            }
            let fails = fastrand::u8(..4) == 0;
            Box::pin(async move {
                tokio::task::yield_now().await;
                *hands.lock().unwrap().get_mut(&key).unwrap() -= 1;
                if fails { Err(Status::unavailable("not this time")) } else { Ok(Vec::new()) }
            })
        })
        .await;
        let events = store.open("order", &policy, &settings()).await;
        const EVENTS: usize = 300;
        // Two rpcs of one order.
        let commands = ["callbackAfterUserOnlineCommand", "callbackAfterUserOfflineCommand"];
        for number in 0..EVENTS {
            let key = format!("u{}", number % 11);
            events.deliver(of(commands[number / 11 % 2], &key, &format!("{key}/{number}"))).await;
        }
        idle(&events).await;
        assert!(!together.load(SeqCst), "{store:?}: two of a key at once");
        assert_eq!(events.counts().delivered as usize, EVENTS, "{store:?}");
        let mut last: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for call in policy.take_calls() {
            let (id, key) = (id(&call), id(&call).split('/').next().unwrap().to_owned());
            let sequence: u64 = call.metadata("hookgate-sequence").unwrap().parse().unwrap();
            if let Some((before, number)) = last.get(&key) {
                let is_next = if *before == id { sequence == *number } else { sequence > *number };
                assert!(is_next, "{store:?}: {id} after {before}");
            }
            last.insert(key, (id, sequence));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_tried_again_with_its_id_and_the_next_number_of_attempt() {
    for store in Store::ALL {
        let policy = support::Policy::start(|call| match call.metadata("hookgate-attempt") {
            Some("5") => Ok(Vec::new()),
            _ => Err(Status::internal("not now")),
        })
        .await;
        let events = store.open("retry", &policy, &settings()).await;
        events.deliver(event("g", "e")).await;
        idle(&events).await;
        let attempts: Vec<_> = policy
            .take_calls()
            .iter()
            .map(|call| (id(call), call.metadata("hookgate-attempt").unwrap().to_owned()))
            .collect();
        let expected: Vec<_> = (1..=5).map(|attempt| ("e".to_owned(), attempt.to_string())).collect();
        assert_eq!(attempts, expected, "{store:?}");
        assert_eq!((events.counts().delivered, events.counts().retried), (1, 4), "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_lets_others_pass_and_is_late() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let settings = After { hold: Duration::ZERO, ..settings() };
        let events = store.open("park", &moody.policy, &settings).await;
        for id in ["bad", "ok-1", "ok-2"] {
            events.deliver(event("g", id)).await;
        }
        until("the others pass", || moody.taken() == ["ok-1", "ok-2"]).await;
        until("it alone is left, parked", || events.backlog().parked == 1 && events.backlog().events == 1).await;
        moody.takes.store(true, SeqCst);
        idle(&events).await;
        let calls = moody.policy.take_calls();
        for call in &calls {
            let is_late = call.metadata("hookgate-late") == Some("1");
            let is_first = call.metadata("hookgate-attempt") == Some("1");
            assert_eq!(is_late, !is_first, "{store:?}: {call:?}");
        }
        assert_eq!(events.backlog().parked, 0, "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_hours_goes_on_when_the_policy_is_back() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let events = store.open("resume", &moody.policy, &patient()).await;
        for number in 0..300 {
            events.deliver(event(&format!("g{}", number % 30), &format!("e{number:03}"))).await;
        }
        assert_eq!(events.backlog().events, 300, "{store:?}");
        moody.takes.store(true, SeqCst);
        until("no attempt is in flight", || events.backlog().rpcs.iter().all(|rpc| rpc.in_flight == 0)).await;
        events.resume();
        idle(&events).await;
        for key in 0..30 {
            let taken = moody.taken();
            let of_key: Vec<_> = taken.iter().filter(|id| id[1..].parse::<usize>().unwrap() % 30 == key).collect();
            assert!(of_key.is_sorted() && of_key.len() == 10, "{store:?}: {of_key:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_undelivered_is_counted_and_lets_the_next_of_its_key_go() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let settings = After { attempts: 3, ..settings() };
        let events = store.open("dead", &moody.policy, &settings).await;
        for id in ["dies", "fails", "ok"] {
            events.deliver(event("g", id)).await;
        }
        idle(&events).await;
        assert_eq!(moody.taken(), ["ok"], "{store:?}");
        let counts = events.counts();
        let undelivered = [Reason::Unimplemented, Reason::Attempts].map(|reason| counts.undelivered(reason));
        assert_eq!((undelivered, counts.delivered), ([1, 1], 1), "{store:?}");
        if !store.can_be_looked_at() {
            continue;
        }
        until("both are kept", || events.backlog().disk.is_none_or(|disk| disk.dead == 2)).await;
        let dead = events.list(Filter { state: Some(State::Dead), ..Filter::default() }).await.unwrap();
        let dead: Vec<_> = dead.iter().map(|item| (&*item.id, item.reason.as_deref(), item.attempts)).collect();
        assert_eq!(dead, [("dies", Some("unimplemented"), 1), ("fails", Some("attempts"), 3)], "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_refuses_what_arrives_and_counts_it() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let events = store.open("full", &moody.policy, &After { events: 5, ..patient() }).await;
        for number in 0..8 {
            let delivery = events.deliver(event("g", &format!("e{number}"))).await;
            assert_eq!(matches!(delivery, Delivery::Dropped), number >= 5, "{store:?} {number}: {delivery:?}");
        }
        assert_eq!((events.backlog().events, events.counts().undelivered(Reason::Full)), (5, 3), "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_listed_shown_replayed_and_dropped() {
    for store in Store::ALL.into_iter().filter(|store| store.can_be_looked_at()) {
        let moody = Moody::start().await;
        let events = store.open("operate", &moody.policy, &patient()).await;
        for (key, id) in [("a", "dies-1"), ("b", "dies-2"), ("c", "waits-1"), ("c", "waits-2"), ("d", "waits-3")] {
            events.deliver(event(key, id)).await;
        }
        until("two have ended", || events.counts().undelivered(Reason::Unimplemented) == 2).await;
        until("no attempt is in flight", || events.backlog().rpcs.iter().all(|rpc| rpc.in_flight == 0)).await;
        let list = async |filter: Filter| -> Vec<String> {
            let items = events.list(filter).await.unwrap();
            items.into_iter().map(|item| item.id).collect()
        };
        assert_eq!(list(Filter::default()).await, ["waits-1", "waits-2", "waits-3", "dies-1", "dies-2"], "{store:?}");
        let dead = Filter { state: Some(State::Dead), ..Filter::default() };
        assert_eq!(list(dead.clone()).await, ["dies-1", "dies-2"], "{store:?}");
        assert_eq!(events.count(dead).await.unwrap(), 2, "{store:?}");
        let shown = events.show("waits-1".to_owned(), true).await.unwrap();
        assert_eq!((&*shown.id, shown.key.as_deref(), shown.attempts), ("waits-1", Some("c"), 1), "{store:?}");
        assert_eq!(shown.message.unwrap()["groupID"], "c", "{store:?}");
        assert!(events.show("nobody".to_owned(), true).await.is_err(), "{store:?}");
        assert!(events.discard(Filter::default()).await.is_err(), "{store:?}: nothing says which");

        assert_eq!(events.discard(by_id("dies-2")).await.unwrap().events, 1, "{store:?}");
        assert_eq!(events.discard(by_id("waits-1")).await.unwrap().events, 1, "{store:?}");
        moody.takes.store(true, SeqCst);
        assert_eq!(events.replay(by_id("dies-1")).await.unwrap().events, 1, "{store:?}");
        assert_eq!(events.replay(by_id("waits-3")).await.unwrap().events, 1, "{store:?}");
        // The one that stood behind another may have failed since that was dropped.
        events.resume();
        idle(&events).await;
        let mut taken = moody.taken();
        taken.sort();
        assert_eq!(taken, ["dies-1", "waits-2", "waits-3"], "{store:?}");
        assert_eq!(list(Filter::default()).await, [""; 0], "{store:?}");
        assert!(events.replay(by_id("dies-1")).await.is_err(), "{store:?}: it is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_up_or_keeps_what_is_left_and_takes_nothing_more() {
    for store in Store::ALL {
        let moody = Moody::start().await;
        let events = store.open("stop", &moody.policy, &patient()).await;
        for number in 0..10 {
            events.deliver(event(&format!("g{number}"), &format!("e{number}"))).await;
        }
        let lost = events.flush(Instant::now()).await;
        assert_eq!(lost, if store == Store::Memory { 10 } else { 0 }, "{store:?}");
        assert_eq!(events.counts().undelivered(Reason::Shutdown) as usize, lost, "{store:?}");
        assert!(matches!(events.deliver(event("g", "too late")).await, Delivery::Dropped), "{store:?}");
    }
}
