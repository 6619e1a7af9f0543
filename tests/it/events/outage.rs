//! A policy that is away as a whole: nothing is parked, the order stays, and all of it goes on when the policy is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::outbox::{Events, Reason};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::watched::{BUDGET, Book, HOLD, Kind, LATENCY, MESSAGE, SECOND, Says, keyed, settings, watched};

/// How a policy fails every event, and whether one that fails so says that it is there.
fn outages() -> [Kind; 4] {
    [
        ("unavailable", || Says::No(Status::unavailable("down"))),
        ("internal", || Says::No(Status::internal("its database is down"))),
        ("overloaded", || Says::No(Status::resource_exhausted("slowly"))),
        ("nothing", || Says::Nothing),
    ]
}

/// The policy, and the switch by which it goes away.
fn mortal(settings: &After, fails: fn() -> Says) -> (Events, Book, Arc<AtomicBool>) {
    let is_away = Arc::new(AtomicBool::new(false));
    let away = is_away.clone();
    let (events, book) = watched(settings, move |_| if away.load(SeqCst) { fails() } else { Says::Yes });
    (events, book, is_away)
}

/// Hands events over for as long as this, and looks whether one is parked meanwhile.
async fn feed(events: &Events, next: &mut usize, keys: usize, time: Duration) {
    let began = tokio::time::Instant::now();
    while began.elapsed() < time {
        let key = format!("g{}", *next % keys);
        events.deliver(keyed(MESSAGE, &key, &format!("{key}/{next}"))).await;
        *next += 1;
        assert_eq!(events.backlog().parked, 0, "after {:?}", began.elapsed());
        sleep(SECOND / 2).await;
    }
}

/// All of these were delivered in order, and none was parked.
fn assert_order(book: &Book, events: &Events, number: usize) {
    assert_eq!(events.counts().delivered as usize, number);
    assert!(Reason::ALL.iter().all(|reason| events.counts().undelivered(*reason) == 0));
    assert!(!book.is_any_late());
    let by_key: BTreeMap<String, Vec<usize>> = book.by_key();
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), number, "none twice");
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_fails_every_event_parks_none_and_goes_on_in_order() {
    for (kind, fails) in outages() {
        for keys in [1, 2, 100] {
            if (kind, keys) == ("internal", 1) {
                // Of an only key nobody can say whether the policy or the key is at fault: a status is the key's.
                continue;
            }
            let (events, book, is_away) = mortal(&settings(), fails);
            let mut number = 0;
            feed(&events, &mut number, keys, 10 * SECOND).await;
            is_away.store(true, SeqCst);
            feed(&events, &mut number, keys, 20 * HOLD).await;
            let backlog = events.backlog();
            assert!(backlog.events > 1_000, "{kind} {keys}: {backlog:?}");
            is_away.store(false, SeqCst);
            let back = book.began.elapsed();
            // By itself it hears of it at the end of a pause.
            timeout(LONG_ENOUGH, events.idle()).await.unwrap_or_else(|_| panic!("{kind} {keys}"));
            let first = book.tries().into_iter().find(|tried| tried.succeeds && tried.at >= back).unwrap();
            let longest = settings().pause_max + BUDGET + SECOND;
            assert!(first.at - back <= longest, "{kind} {keys}: {:?}", first.at - back);
            assert_order(&book, &events, number);
        }
    }
}

/// More than a thousand events of one key take one after another.
const LONG_ENOUGH: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn what_waits_goes_on_at_once_when_the_policy_is_known_to_be_back() {
    for (kind, fails) in outages() {
        let settings = After { pause_max: 1_000 * HOLD, retry_max: 1_000 * HOLD, ..settings() };
        let (events, book, is_away) = mortal(&settings, fails);
        is_away.store(true, SeqCst);
        let mut number = 0;
        feed(&events, &mut number, 100, 20 * HOLD).await;
        is_away.store(false, SeqCst);
        let back = book.began.elapsed();
        assert!(events.resume(), "{kind}");
        timeout(LONG_ENOUGH, events.idle()).await.unwrap_or_else(|_| panic!("{kind}"));
        let took = book.began.elapsed() - back;
        // A call that hangs has to end first.
        let longest = 2 * SECOND + if kind == "nothing" { BUDGET } else { Duration::ZERO };
        assert!(took <= longest, "{kind}: {took:?}");
        assert_order(&book, &events, number);
    }
}

#[tokio::test(start_paused = true)]
async fn outages_that_come_again_and_again_add_up_to_no_hold() {
    let (events, book, is_away) = mortal(&settings(), || Says::No(Status::unavailable("down")));
    let mut number = 0;
    for _ in 0..30 {
        is_away.store(true, SeqCst);
        feed(&events, &mut number, 20, HOLD).await;
        is_away.store(false, SeqCst);
        feed(&events, &mut number, 20, HOLD).await;
    }
    timeout(LONG_ENOUGH, events.idle()).await.expect("all are delivered");
    assert_order(&book, &events, number);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_of_a_hold_before_an_outage_is_not_used_again_in_it() {
    let is_away = Arc::new(AtomicBool::new(false));
    let away = is_away.clone();
    let (events, book) = watched(&settings(), move |tried| match (away.load(SeqCst), &*tried.id) {
        (true, _) => Says::No(Status::unavailable("down")),
        (false, "bad/0") => Says::No(Status::internal("this one")),
        (false, _) => Says::Yes,
    });
    events.deliver(keyed(MESSAGE, "bad", "bad/0")).await;
    events.deliver(keyed(MESSAGE, "bad", "next")).await;
    let mut number = 1;
    feed(&events, &mut number, 20, HOLD / 2).await;
    is_away.store(true, SeqCst);
    feed(&events, &mut number, 20, 20 * HOLD).await;
    is_away.store(false, SeqCst);
    let back = book.began.elapsed();
    events.resume();
    // Half of it is left.
    feed(&events, &mut number, 20, HOLD / 3).await;
    sleep(HOLD / 2).await;
    let next = book.first("next") - back;
    assert!((HOLD / 3..HOLD).contains(&next), "{next:?}");
    assert_eq!(events.backlog().parked, 1);
}

#[tokio::test(start_paused = true)]
async fn an_rpc_that_is_away_parks_none_of_its_domain_and_holds_up_no_other_key() {
    let is_away = Arc::new(AtomicBool::new(true));
    let away = is_away.clone();
    let (events, book) = watched(&settings(), move |tried| {
        let fails = away.load(SeqCst) && tried.rpc == "AfterUserOffline";
        if fails { Says::No(Status::unavailable("down")) } else { Says::Yes }
    });
    for user in ["u", "v", "w"] {
        events.deliver(keyed("callbackAfterUserOfflineCommand", user, &format!("{user}/1"))).await;
        events.deliver(keyed("callbackAfterUserOnlineCommand", user, &format!("{user}/2"))).await;
    }
    events.deliver(keyed("callbackAfterUserOnlineCommand", "x", "x/1")).await;
    sleep(20 * HOLD).await;
    assert_eq!(book.delivered(), ["x/1"]);
    assert_eq!(events.backlog().parked, 0);
    is_away.store(false, SeqCst);
    events.resume();
    sleep(20 * LATENCY).await;
    assert_eq!(events.backlog().events, 0);
    assert!(["u", "v", "w"].iter().all(|user| book.by_key()[*user] == [1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_policy_away_for_a_while_with_a_thousand_events_of_a_hundred_keys() {
    let (events, book, is_away) = mortal(&settings(), || Says::No(Status::unavailable("down")));
    is_away.store(true, SeqCst);
    const EVENTS: usize = 1_000;
    for number in 0..EVENTS {
        let key = format!("g{}", number % 100);
        events.deliver(keyed(MESSAGE, &key, &format!("{key}/{number}"))).await;
        sleep(SECOND / 50).await;
    }
    let backlog = events.backlog();
    assert_eq!((backlog.events, backlog.parked), (EVENTS, 0));
    is_away.store(false, SeqCst);
    let back = book.began.elapsed();
    timeout(LONG_ENOUGH, events.idle()).await.expect("all are delivered");
    println!("20 s away, {EVENTS} events of 100 keys: delivered {:.1?} after it", book.began.elapsed() - back);
    assert_order(&book, &events, EVENTS);
}
