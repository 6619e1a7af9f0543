//! The order of events: by key and over the rpcs of a domain, its numbers, and what has no order.

use std::collections::BTreeMap;

use hookgate::internals::outbox::Event;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::watched::{Book, HOLD, LATENCY, MESSAGE, SECOND, Says, keyed, settings, watched};
use super::{LONG, REGISTER, event};

const ONLINE: &str = "callbackAfterUserOnlineCommand";
const OFFLINE: &str = "callbackAfterUserOfflineCommand";

/// The callbacks of what becomes of a group and its members.
const MEMBERSHIP: [&str; 5] = [
    "callbackAfterCreateGroupCommand",
    "callbackAfterJoinGroupCommand",
    "callbackAfterQuitGroupCommand",
    "callbackAfterKickGroupCommand",
    "callbackAfterDisMissGroupCommand",
];

fn not_now() -> Says {
    Says::No(Status::internal("not now"))
}

/// The numbers of each key's events in the order in which they were delivered.
fn assert_sequences(book: &Book) {
    let mut of_event: BTreeMap<String, u64> = BTreeMap::new();
    let mut of_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for tried in book.tries() {
        let sequence = tried.sequence.unwrap_or_else(|| panic!("{tried:?} has a number"));
        let first = *of_event.entry(tried.id.clone()).or_insert(sequence);
        assert_eq!(first, sequence, "{tried:?}: the same at each attempt");
        if tried.succeeds {
            let key = tried.id.split('/').next().unwrap_or_default().to_owned();
            of_key.entry(key).or_default().push(sequence);
        }
    }
    for (key, numbers) in of_key {
        assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{key}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sequence_rises_by_key_and_is_the_same_at_each_attempt() {
    let (events, book) = watched(&settings(), |tried| if tried.attempt % 3 == 0 { Says::Yes } else { not_now() });
    const EVENTS: usize = 200;
    for number in 0..EVENTS {
        let key = format!("g{}", number % 7);
        events.deliver(keyed(MESSAGE, &key, &format!("{key}/{number}"))).await;
    }
    timeout(1_000 * HOLD, events.idle()).await.expect("all are delivered");
    assert_eq!(events.counts().delivered as usize, EVENTS);
    assert!(!book.is_any_late());
    assert_sequences(&book);
    for (key, numbers) in book.by_key() {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn presence_has_one_order_over_its_rpcs() {
    // Offline fails for a while.
    let (events, book) =
        watched(&settings(), |tried| if tried.id == "u/2" && tried.at < 10 * SECOND { not_now() } else { Says::Yes });
    for (command, id) in [(ONLINE, "u/1"), (OFFLINE, "u/2"), (ONLINE, "u/3"), (OFFLINE, "u/4")] {
        events.deliver(keyed(command, "u", id)).await;
    }
    for (command, id) in [(ONLINE, "v/1"), (OFFLINE, "v/2")] {
        events.deliver(keyed(command, "v", id)).await;
    }
    sleep(SECOND).await;
    let delivered = book.delivered();
    assert!(delivered.iter().any(|id| id == "v/2"), "another user does not wait: {delivered:?}");
    assert_eq!(book.by_key()["u"], [1], "{delivered:?}");
    assert_eq!(events.backlog().blocked_keys, 1);
    timeout(LONG, events.idle()).await.expect("all are delivered");
    assert_eq!(book.by_key()["u"], [1, 2, 3, 4]);
    assert_eq!(book.of("u/2").last().unwrap().rpc, "AfterUserOffline");
    assert!(book.first("u/3") >= 10 * SECOND);
    assert_sequences(&book);
}

#[tokio::test(start_paused = true)]
async fn an_rpc_that_fails_holds_up_the_others_of_its_domain_for_the_hold() {
    let (events, book) = watched(&settings(), |tried| if tried.id == "u/1" { not_now() } else { Says::Yes });
    events.deliver(keyed(OFFLINE, "u", "u/1")).await;
    events.deliver(keyed(ONLINE, "u", "u/2")).await;
    sleep(2 * HOLD).await;
    let next = book.first("u/2");
    assert!((HOLD..HOLD + SECOND / 10).contains(&next), "{next:?}");
    assert_eq!(events.backlog().parked, 1);
    // It has its order with what comes now.
    events.deliver(keyed(ONLINE, "u", "u/3")).await;
    sleep(2 * LATENCY).await;
    assert_eq!(book.by_key()["u"], [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn membership_has_one_order_over_its_rpcs_whichever_fails() {
    for failing in ["AfterCreateGroup", "AfterJoinGroup", "AfterQuitGroup", "AfterKickGroup", "AfterDisMissGroup", ""] {
        let (events, book) = watched(&settings(), move |tried| {
            // One rpc fails each event a few times; without one, each fails now and then.
            let fails = if failing.is_empty() { fastrand::u8(..3) == 0 } else { tried.rpc == failing };
            if fails && tried.attempt < 4 { not_now() } else { Says::Yes }
        });
        const EVENTS: usize = 300;
        for number in 0..EVENTS {
            let (key, command) = (format!("g{}", number % 9), MEMBERSHIP[fastrand::usize(..MEMBERSHIP.len())]);
            events.deliver(keyed(command, &key, &format!("{key}/{number}"))).await;
        }
        timeout(1_000 * HOLD, events.idle()).await.expect("all are delivered");
        assert_eq!(events.counts().delivered as usize, EVENTS, "{failing}");
        assert!(!book.is_any_late(), "{failing}");
        for (key, numbers) in book.by_key() {
            assert!(numbers.is_sorted(), "{failing} {key}: {numbers:?}");
        }
        assert_sequences(&book);
    }
}

#[tokio::test(start_paused = true)]
async fn rpcs_without_a_domain_do_not_wait_for_one_another() {
    let (events, book) = watched(&settings(), |tried| if tried.id == "g/1" { not_now() } else { Says::Yes });
    // A message in a group, and a new member of it.
    events.deliver(keyed(MESSAGE, "g", "g/1")).await;
    events.deliver(keyed(MEMBERSHIP[1], "g", "g/2")).await;
    events.deliver(keyed("callbackAfterSetGroupInfoCommand", "g", "g/3")).await;
    sleep(2 * LATENCY).await;
    assert_eq!(book.by_key()["g"], [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_order_waits_for_none_and_has_no_number() {
    let (events, book) = watched(&settings(), |tried| if tried.id == "bad" { not_now() } else { Says::Yes });
    let unordered = |id: &str| Event { ordered: false, ..keyed(MESSAGE, "g", id) };
    for id in ["bad", "next"] {
        events.deliver(unordered(id)).await;
    }
    // Neither do those wait that have an order.
    events.deliver(keyed(MESSAGE, "g", "ordered")).await;
    events.deliver(event(REGISTER, "no key")).await;
    sleep(2 * LATENCY).await;
    let mut delivered = book.delivered();
    delivered.sort();
    assert_eq!(delivered, ["next", "no key", "ordered"]);
    assert_eq!(events.backlog().blocked_keys, 0);
    sleep(10 * HOLD).await;
    for tried in book.tries() {
        assert_eq!(tried.sequence.is_some(), tried.id == "ordered", "{tried:?}");
        assert!(!tried.is_late, "{tried:?}");
    }
}
