//! Parked, due and waiting events over a stop and a kill: their order, their numbers, and what is seen of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::outbox::{Delivery, Events, Filter, Offline, State};
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::gate::{GROUP, LONG, Poster, body, directory, with_data};
use super::inside::{crashed, event, of, on_disk, patient, settings, until};
use super::moody::{Moody, id};
use crate::support::program::{Running, hookgate};
use crate::support::restartable::{Act, Policy, anywhere};
use crate::support::{self, Call};

fn sequence(call: &Call) -> u64 {
    call.metadata("hookgate-sequence").unwrap().parse().unwrap()
}

fn is_late(call: &Call) -> bool {
    call.metadata("hookgate-late") == Some("1")
}

async fn stop(events: Events) {
    assert_eq!(events.flush(Instant::now() + LONG).await, 0);
}

/// Waits until nothing is in flight.
async fn at_rest(events: &Events) {
    until("no attempt is in flight", || events.backlog().rpcs.iter().all(|rpc| rpc.in_flight == 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_parked_due_and_behind_survives_a_stop_and_a_kill() {
    for is_killed in [false, true] {
        let Moody { policy, takes, .. } = Moody::start().await;
        let data = directory("holds-survive");
        // Nothing is left of the hold: the first is parked at once, and what comes behind it passes.
        let events = on_disk(&policy.url(), &After { hold: Duration::ZERO, ..patient() }, &data);
        for id in ["parked", "ok"] {
            events.deliver(event("a", id)).await;
        }
        until("the second passes", || events.backlog().parked == 1 && events.backlog().events == 1).await;
        stop(events).await;
        let hold = After { hold: Duration::from_secs(3_600), ..patient() };
        let events = on_disk(&policy.url(), &hold, &data);
        for (key, id) in [("b", "due"), ("b", "behind"), ("b", "behind too"), ("c", "of its own")] {
            events.deliver(event(key, id)).await;
        }
        at_rest(&events).await;
        until("all of it is written", || events.backlog().disk.unwrap().unwritten_bytes == 0).await;
        let before = events.list(Filter::default()).await.unwrap();
        let data = if is_killed {
            crashed(&data, "holds-killed")
        } else {
            stop(events).await;
            data
        };

        let offline = Offline::open(&data).unwrap();
        let found = offline.list(&Filter::default()).unwrap();
        drop(offline);
        assert_eq!(found, before, "killed: {is_killed}");
        let states: Vec<_> =
            found.iter().map(|item| (&*item.id, item.parked, item.due.is_some(), item.attempts)).collect();
        assert_eq!(
            states,
            [
                ("parked", true, true, 1),
                ("due", false, true, 1),
                ("behind", false, false, 0),
                ("behind too", false, false, 0),
                ("of its own", false, true, 1),
            ]
        );
        let first = policy.take_calls();
        let events = on_disk(&policy.url(), &hold, &data);
        let backlog = events.backlog();
        assert_eq!((backlog.events, backlog.parked), (5, 1));
        takes.store(true, SeqCst);
        // A parked one has its own schedule whether the policy was away or not.
        events.resume();
        until("the others are delivered", || events.backlog().events == 1).await;
        assert_eq!(events.backlog().parked, 1);
        let parked = Filter { id: Some("parked".to_owned()), ..Filter::default() };
        assert_eq!(events.replay(parked).await.unwrap().events, 1);
        until("it is delivered", || events.backlog().events == 0).await;
        let calls = policy.take_calls();
        let of_key = |key: &[&str]| -> Vec<String> { calls.iter().map(id).filter(|id| key.contains(&&**id)).collect() };
        assert_eq!(of_key(&["due", "behind", "behind too"]), ["due", "behind", "behind too"]);
        for call in &calls {
            assert_eq!(is_late(call), id(call) == "parked", "{call:?}");
            let attempts = if id(call).starts_with("behind") { "1" } else { "2" };
            assert_eq!(call.metadata("hookgate-attempt"), Some(attempts), "{call:?}");
            if let Some(before) = first.iter().find(|before| id(before) == id(call)) {
                assert_eq!(sequence(before), sequence(call), "{call:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_keys_and_domains_survives_a_stop_and_a_kill() {
    const EVENTS: usize = 400;
    const KEYS: usize = 25;
    let commands = [
        GROUP,
        "callbackAfterJoinGroupCommand",
        "callbackAfterQuitGroupCommand",
        "callbackAfterKickGroupCommand",
        "callbackAfterUserOnlineCommand",
        "callbackAfterUserOfflineCommand",
    ];
    for is_killed in [false, true] {
        let is_back = Arc::new(AtomicBool::new(false));
        let back = is_back.clone();
        let policy = support::Policy::start(move |_| match back.load(SeqCst) {
            true if fastrand::u8(..5) == 0 => Err(Status::internal("not this time")),
            true => Ok(Vec::new()),
            false => Err(Status::unavailable("down")),
        })
        .await;
        let data = directory("holds-order");
        let events = on_disk(&policy.url(), &settings(), &data);
        let mut orders: BTreeMap<String, String> = BTreeMap::new();
        for number in 0..EVENTS {
            let (key, command) = (format!("k{}", number % KEYS), commands[fastrand::usize(..commands.len())]);
            let domain = match command {
                GROUP => "messages",
                command if command.contains("User") => "presence",
                _ => "membership",
            };
            let id = format!("{number}");
            orders.insert(id.clone(), format!("{domain} of {key}"));
            assert!(matches!(events.deliver(of(command, &key, &id)).await, Delivery::Accepted));
        }
        assert_eq!(events.backlog().parked, 0);
        let data = if is_killed {
            until("all of it is written", || events.backlog().disk.unwrap().unwritten_bytes == 0).await;
            crashed(&data, "holds-order-killed")
        } else {
            data
        };
        // The one that was killed delivers nothing more either.
        stop(events).await;
        policy.take_calls();
        is_back.store(true, SeqCst);
        let events = on_disk(&policy.url(), &settings(), &data);
        timeout(LONG, events.idle()).await.expect("all are delivered");
        assert_eq!(events.counts().delivered as usize, EVENTS);
        // An event's last attempt is the one that succeeded; nothing of its order comes in between.
        let calls = policy.take_calls();
        let mut current: BTreeMap<&str, (String, u64)> = BTreeMap::new();
        for call in calls.iter().filter(|call| is_back_call(call)) {
            let (id, sequence) = (id(call), sequence(call));
            let order = &*orders[&id];
            if let Some((before, last)) = current.get(order) {
                let is_next = if *before == id { sequence == *last } else { sequence > *last };
                assert!(is_next, "{order}: {id} after {before}");
            }
            assert!(!is_late(call), "{call:?}");
            current.insert(order, (id, sequence));
        }
    }
}

/// Returns true if a call is an attempt: the health checks have no event.
fn is_back_call(call: &Call) -> bool {
    call.metadata("hookgate-event-id").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_event_keeps_its_number_is_late_and_waits_for_none_of_its_key() {
    let Moody { policy, takes, .. } = Moody::start().await;
    let events = on_disk(&policy.url(), &patient(), &directory("holds-replay"));
    for id in ["dies", "waits", "behind"] {
        events.deliver(event("g", id)).await;
    }
    until("the first has ended", || events.backlog().disk.unwrap().dead == 1).await;
    at_rest(&events).await;
    let first = policy.take_calls();
    takes.store(true, SeqCst);
    let dead = Filter { all: true, state: Some(State::Dead), ..Filter::default() };
    assert_eq!(events.replay(dead).await.unwrap().events, 1);
    until("it is delivered", || events.counts().delivered >= 1).await;
    let again = policy.take_calls();
    let dies = |calls: &[Call]| calls.iter().find(|call| id(call) == "dies").cloned().expect("it was tried");
    assert_eq!(sequence(&dies(&again)), sequence(&dies(&first)));
    assert_eq!((is_late(&dies(&first)), is_late(&dies(&again))), (false, true));
    assert_eq!(dies(&again).metadata("hookgate-attempt"), Some("2"));
    events.resume();
    until("the others are delivered", || events.backlog().events == 0).await;
    let calls = policy.take_calls();
    let later: Vec<_> = again.iter().chain(&calls).filter(|call| id(call) != "dies").collect();
    assert_eq!(later.iter().map(|call| id(call)).collect::<Vec<_>>(), ["waits", "behind"]);
    assert!(later.iter().all(|call| !is_late(call) && sequence(call) > sequence(&dies(&first))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_blocked_and_events_that_are_parked_are_seen() {
    let policy = Policy::start(
        anywhere(),
        Arc::new(|headers| match headers["openim-operation-id"].as_bytes() {
            b"op-bad" => Act::Fail,
            _ => Act::Allow,
        }),
    )
    .await;
    let data = directory("holds-seen");
    let yaml = |hold: &str| {
        format!("log: error\nafter: {{answer_within: 0s, schedule: '20ms', hold: {hold}}}\ndrain: {{delay: 0s}}")
    };
    let gate = Running::of(with_data(&policy.url(), &data, &yaml("1h"))).await;
    let poster = Poster::new(gate.webhooks);
    for operation in ["op-bad", "op-next"] {
        let shot = poster.post(GROUP, operation, body("g1")).await;
        assert_eq!(shot.outcome.as_deref(), Some("accepted"));
    }
    let backlog = async |gate: &Running| gate.status().await["after_events"]["backlog"].clone();
    let seen = async |gate: &Running, expected: [u64; 3]| {
        let found = async {
            loop {
                let backlog = backlog(gate).await;
                if ["events", "parked", "blocked_keys"].map(|name| backlog[name].as_u64().unwrap()) == expected {
                    return;
                }
            }
        };
        timeout(LONG, found).await.unwrap_or_else(|_| panic!("{expected:?}"));
    };
    seen(&gate, [2, 0, 1]).await;
    gate.signal("-TERM").await;
    assert_eq!(gate.end().await.0, Some(0));

    // The hold of a hookgate begins with its own first attempt.
    let gate = Running::of(with_data(&policy.url(), &data, &yaml("100ms"))).await;
    seen(&gate, [1, 1, 0]).await;
    gate.signal("-TERM").await;
    assert_eq!(gate.end().await.0, Some(0));

    let at = ["--data", data.to_str().unwrap()];
    let output = hookgate(&[&["outbox", "list", "--json"], &at[..]].concat()).output().await.unwrap();
    let items: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let [item] = &items.as_array().unwrap()[..] else { panic!("{items}") };
    assert_eq!((&item["parked"], &item["state"]), (&true.into(), &"waiting".into()), "{item}");
    let output = hookgate(&[&["outbox", "list"], &at[..]].concat()).output().await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("parked"), "{table}");
}
