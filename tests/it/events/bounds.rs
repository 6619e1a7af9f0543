//! How much is kept, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::After;
use hookgate::internals::outbox::{Backlog, Delivery, Event, Reason};
use tokio::time::Instant;

use super::{
    LONG, REGISTER, REMOVE_BLACK, at_once, by_hand, event, events, events_in_memory, idle, is_accepted, unavailable,
};
use crate::support::Policy;

#[tokio::test]
async fn a_full_queue_drops_the_newest_and_counts_them() {
    let (answer, mut calls) = by_hand();
    let policy = Policy::start_async(answer).await;
    let events = events(&policy, &After { events: 10, concurrency: 1, ..at_once() });
    let mut dropped = 0;
    for number in 0..25 {
        // The bound is that of all rpcs together.
        let command = if number % 2 == 0 { REMOVE_BLACK } else { REGISTER };
        match events.deliver(event(command, &number.to_string())).await {
            Delivery::Accepted => assert!(number < 10),
            Delivery::Dropped => dropped += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((dropped, events.counts().undelivered(Reason::Full), events.backlog().events), (15, 15, 10));
    for _ in 0..10 {
        calls.recv().await.unwrap().succeed();
    }
    idle(&events).await;
    assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, "there is room again")).await));
    calls.recv().await.unwrap().succeed();
    idle(&events).await;
    assert_eq!((events.counts().delivered, events.counts().undelivered(Reason::Full)), (11, 15));
}

#[tokio::test]
async fn the_bound_on_bytes_is_about_what_events_really_take() {
    let large = |id: &str| Event { message: Bytes::from(vec![0; 10_000]), ..event(REMOVE_BLACK, id) };
    let policy = Policy::start_async(|_| Box::pin(std::future::pending())).await;
    let one = events(&policy, &at_once());
    one.deliver(large("00")).await;
    let size = one.backlog().bytes;
    assert!((10_000..11_000).contains(&size), "{size}");

    let (answer, mut calls) = by_hand();
    let policy = Policy::start_async(answer).await;
    let events = events(&policy, &After { bytes: 10 * size, ..at_once() });
    let mut dropped = 0;
    for number in 10..30 {
        dropped += usize::from(matches!(events.deliver(large(&number.to_string())).await, Delivery::Dropped));
    }
    assert_eq!((dropped, events.counts().undelivered(Reason::Full)), (10, 10));
    assert_eq!((events.backlog().events, events.backlog().bytes), (10, 10 * size));
    for _ in 0..10 {
        calls.recv().await.unwrap().succeed();
    }
    idle(&events).await;
    assert_eq!((events.backlog(), events.counts().delivered), (Backlog::default(), 10));
}

#[tokio::test(start_paused = true)]
async fn a_flush_delivers_what_is_left_without_waiting_for_its_time() {
    let up = Arc::new(AtomicBool::new(false));
    let events = events_in_memory(
        {
            let up = up.clone();
            move |_| {
                let up = up.load(Ordering::SeqCst);
                Box::pin(async move { if up { Ok(Vec::new()) } else { unavailable() } })
            }
        },
        &After { retry_min: 60 * LONG, retry_max: 60 * LONG, pause_max: 60 * LONG, age: 1_000 * LONG, ..at_once() },
    );
    for number in 0..200 {
        let command = if number % 2 == 0 { REMOVE_BLACK } else { REGISTER };
        assert!(is_accepted(&events.deliver(event(command, &number.to_string())).await));
    }
    tokio::time::sleep(LONG).await;
    let backlog = events.backlog();
    assert_eq!((backlog.events, backlog.rpcs.len()), (200, 2));
    assert!(backlog.rpcs.iter().all(|rpc| rpc.paused > Some(LONG)), "{backlog:?}");
    up.store(true, Ordering::SeqCst);
    let start = Instant::now();
    assert_eq!(events.flush(start + LONG).await, 0);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!((events.backlog(), events.counts().delivered), (Backlog::default(), 200));
}

#[tokio::test(start_paused = true)]
async fn a_flush_keeps_trying_until_its_time_and_then_gives_up() {
    let settings = After { attempts: 2, retry_min: Duration::from_millis(100), retry_max: LONG, ..at_once() };
    let (start, back) = (Instant::now(), Instant::now() + Duration::from_secs(200));
    let (answer, mut stuck) = by_hand();
    let events = events_in_memory(
        move |call| match (call.rpc.ends_with("/AfterRemoveBlack"), Instant::now() >= back) {
            (true, _) => answer(call),
            (false, true) => Box::pin(async { Ok(Vec::new()) }),
            (false, false) => Box::pin(async { unavailable() }),
        },
        &settings,
    );
    for number in 0..20 {
        events.deliver(event(REGISTER, &number.to_string())).await;
        events.deliver(Event { budget: 10 * LONG, ..event(REMOVE_BLACK, &number.to_string()) }).await;
    }
    assert_eq!(events.flush(start + Duration::from_secs(201)).await, 20);
    assert_eq!(start.elapsed().as_secs(), 201);
    let counts = events.counts();
    // Two hundred seconds are more than two attempts: stopping, only the time counts.
    assert_eq!((counts.delivered, counts.undelivered(Reason::Shutdown)), (20, 20));
    assert_eq!(counts.undelivered(Reason::Attempts), 0);
    assert_eq!(events.backlog(), Backlog::default());

    // What ends later has been counted, and what comes later is not kept.
    stuck.recv().await.unwrap().succeed();
    stuck.recv().await.unwrap().fail();
    assert!(matches!(events.deliver(event(REGISTER, "too late")).await, Delivery::Dropped));
    tokio::time::advance(LONG).await;
    assert_eq!((events.counts().delivered, events.counts().undelivered(Reason::Shutdown)), (20, 21));
    assert_eq!(events.flush(Instant::now() + LONG).await, 0);
}

#[tokio::test]
async fn a_hundred_thousand_events_wait_without_a_task_each() {
    let policy = Policy::start(|_| unavailable()).await;
    let events = events(
        &policy,
        &After { events: 100_000, retry_min: 10 * LONG, retry_max: 10 * LONG, age: 1_000 * LONG, ..at_once() },
    );
    let mut most = 0;
    for number in 0..100_000 {
        let command = if number % 2 == 0 { REMOVE_BLACK } else { REGISTER };
        assert!(is_accepted(&events.deliver(event(command, &number.to_string())).await));
        most = most.max(tokio::runtime::Handle::current().metrics().num_alive_tasks());
    }
    // Sixteen calls an rpc, one timer an rpc, and both ends of a connection.
    assert!(most < 150, "{most} tasks");
    let backlog = events.backlog();
    assert_eq!((backlog.events, backlog.rpcs.len()), (100_000, 2));
    assert!(backlog.bytes < 100_000 * 1_000, "{}", backlog.bytes);
    assert_eq!(events.flush(Instant::now()).await, 100_000);
    assert_eq!(events.counts().undelivered(Reason::Shutdown), 100_000);
}
