//! How a policy that fails is treated: not hammered, and not given up because of one event. The clock is the test's own.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::outbox::Delivery;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use super::{Pending, REMOVE_BLACK, at_once, by_hand, event, events_in_memory, id, idle, unavailable};

const SECOND: Duration = Duration::from_secs(1);

/// Pauses that can be told apart.
fn patient() -> After {
    After { retry_min: SECOND, retry_max: 60 * SECOND, pause_max: 60 * SECOND, age: 100_000 * SECOND, ..at_once() }
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_an_event_double_up_to_the_longest() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let events = events_in_memory(
        {
            let times = times.clone();
            move |_| {
                times.lock().unwrap().push(Instant::now());
                Box::pin(async { unavailable() })
            }
        },
        &After { attempts: 12, ..patient() },
    );
    events.deliver(event(REMOVE_BLACK, "e1")).await;
    events.idle().await;
    let times = times.lock().unwrap();
    let pauses: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(pauses.len(), 11);
    for (pause, longest) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]) {
        let longest = longest * SECOND;
        // A timer is up to a millisecond late.
        assert!(*pause >= longest / 2 && *pause <= longest + SECOND / 500, "{pause:?} of {longest:?}");
    }
    let last: Vec<_> = pauses[6..].to_vec();
    assert!(last.iter().any(|pause| *pause != last[0]), "they are not all the same: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_down_is_asked_once_a_pause_however_many_events_wait() {
    let calls = Arc::new(AtomicUsize::new(0));
    let events = events_in_memory(
        {
            let calls = calls.clone();
            move |_| {
                calls.fetch_add(1, Ordering::Relaxed);
                Box::pin(async { unavailable() })
            }
        },
        &patient(),
    );
    for number in 0..1_000 {
        events.deliver(event(REMOVE_BLACK, &number.to_string())).await;
        // They go on coming while it is down.
        tokio::time::sleep(SECOND / 10).await;
    }
    let before = calls.load(Ordering::Relaxed);
    // The first, the probe after it, and the pauses 1 2 4 8 16 32 in 63 s at most or half of that at least.
    assert!((8..=12).contains(&before), "{before}");
    assert_eq!(events.backlog().events, 1_000);
    assert!(events.backlog().rpcs[0].paused.is_some());
    timeout(600 * SECOND, events.idle()).await.unwrap_err();
    // A minute, or half of one, each.
    let since = calls.load(Ordering::Relaxed) - before;
    assert!((9..=21).contains(&since), "{since}");
}

/// Whether no call comes however long one waits.
async fn is_quiet(calls: &mut UnboundedReceiver<Pending>, time: Duration) -> bool {
    timeout(time, calls.recv()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_there_is_one_delivery_at_a_time_until_one_succeeds() {
    let (answer, mut calls) = by_hand();
    let events = events_in_memory(answer, &After { concurrency: 4, ..patient() });
    for number in 0..20 {
        let slow =
            hookgate::internals::outbox::Event { budget: 10_000 * SECOND, ..event(REMOVE_BLACK, &number.to_string()) };
        events.deliver(slow).await;
    }
    let mut pending = Vec::new();
    assert_eq!(calls.recv_many(&mut pending, 10).await, 4);
    for (number, pending) in pending.into_iter().enumerate() {
        assert_eq!(id(&pending.call), number.to_string());
        pending.fail();
    }
    // The next in line shows at once whether the policy fails, and nothing else does.
    let probe = timeout(SECOND / 100, calls.recv()).await.expect("no pause yet").unwrap();
    assert_eq!(id(&probe.call), "4");
    assert!(is_quiet(&mut calls, 100 * SECOND).await);
    probe.fail();
    assert_eq!(events.backlog().rpcs[0].in_flight, 1, "the failure is not noticed yet");
    assert!(is_quiet(&mut calls, SECOND / 2 - SECOND / 100).await, "it does: there is a pause");
    let probe = calls.recv().await.unwrap();
    assert_eq!(id(&probe.call), "5");
    assert!(is_quiet(&mut calls, 100 * SECOND).await);
    probe.succeed();
    // It has just come back: two at a time, then four, and what has not failed comes first; then what has waited longest.
    let mut tried = Vec::new();
    for at_a_time in [2, 4, 4] {
        let mut pending = Vec::new();
        while pending.len() < at_a_time {
            pending.push(calls.recv().await.unwrap());
        }
        assert!(is_quiet(&mut calls, 100 * SECOND).await);
        tried.extend(pending.iter().map(|pending| id(&pending.call)));
        pending.into_iter().for_each(Pending::succeed);
    }
    assert_eq!(tried[..2], ["6", "7"]);
    let failed = ["0", "1", "2", "3", "4"];
    assert!(failed.iter().all(|id| tried[2..].iter().any(|tried| tried == id)), "{tried:?}");
    for _ in 0..9 {
        calls.recv().await.unwrap().succeed();
    }
    idle(&events).await;
    assert_eq!((events.counts().delivered, events.counts().retried), (20, 5));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_tried_again_in_its_time_though_another_call_hangs() {
    let (answer, mut calls) = by_hand();
    let events = events_in_memory(answer, &patient());
    for id in ["fails", "hangs", "succeeds"] {
        events.deliver(event(REMOVE_BLACK, id)).await;
    }
    calls.recv().await.unwrap().fail();
    let _hangs = calls.recv().await.unwrap();
    calls.recv().await.unwrap().succeed();
    let again = timeout(2 * SECOND, calls.recv()).await.expect("within the budget of the one that hangs").unwrap();
    assert_eq!(id(&again.call), "fails");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_always_fails_holds_up_no_other() {
    let events = events_in_memory(
        |call| {
            let bad = id(&call) == "bad";
            Box::pin(async move { if bad { Err(tonic::Status::internal("this one")) } else { Ok(Vec::new()) } })
        },
        &patient(),
    );
    events.deliver(event(REMOVE_BLACK, "bad")).await;
    timeout(1_000 * SECOND, events.idle()).await.unwrap_err();
    assert!(events.counts().retried > 10);
    let start = Instant::now();
    for number in 0..100 {
        events.deliver(event(REMOVE_BLACK, &number.to_string())).await;
        // The bad one is tried again in between, again and again.
        timeout(SECOND, events.idle()).await.unwrap_err();
        assert_eq!(events.counts().delivered, number + 1, "after {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_fails_one_call_in_five_is_not_slowed_down() {
    let calls = AtomicU32::new(0);
    let events = events_in_memory(
        move |_| {
            let fails = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(5);
            Box::pin(async move {
                tokio::time::sleep(SECOND / 100).await;
                if fails { unavailable() } else { Ok(Vec::new()) }
            })
        },
        &patient(),
    );
    let start = Instant::now();
    for number in 0..10_000 {
        let delivery = events.deliver(event(REMOVE_BLACK, &number.to_string())).await;
        assert!(!matches!(delivery, Delivery::Dropped));
    }
    timeout(1_000 * SECOND, events.idle()).await.expect("all are delivered");
    // 12,500 calls of 11 ms, sixteen at a time, are 9 s; a pause for each failure would be more than a thousand.
    let took = start.elapsed();
    assert!(took < 60 * SECOND, "{took:?}");
    assert_eq!((events.counts().delivered, events.counts().retried > 2_000), (10_000, true));
}
