//! Room for what arrives: what ended undelivered makes some, where the operator says so, and pages that are free go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use hookgate::config::{After, WhenFull};
use hookgate::internals::outbox::{Filter, Reason, State};
use tokio::time::Instant;
use tonic::Status;

use super::gate::{LONG, directory};
use super::inside::{event, hand_over, hold, on_disk, padded, patient, until};
use crate::support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_makes_room_than_has_to() {
    let policy = support::Policy::start(|call| {
        let dies = call.metadata("hookgate-event-id").unwrap().starts_with("dead");
        if dies { Err(Status::unimplemented("no")) } else { Err(Status::internal("not now")) }
    })
    .await;
    let data = directory("room");
    let bytes = 64 << 10;
    let settings = After { bytes, when_full: WhenFull::DropDead, ..patient() };
    let events = on_disk(&policy.url(), &settings, &data);
    let disk = || events.backlog().disk.unwrap();
    const DEAD: usize = 30;
    for number in 0..DEAD {
        events.deliver(padded("g", &format!("dead/{number:02}"), 1_000)).await;
        until("it ends", || disk().dead == number + 1).await;
    }
    let one = disk().dead_bytes / DEAD;
    assert!(disk().dead_bytes <= bytes);

    // All of these come before anything is written.
    let held = hold(&data);
    const LIVE: usize = 30;
    for number in 0..LIVE {
        hand_over(&events, padded("g", &format!("live/{number:02}"), 1_000)).await;
    }
    assert_eq!(events.counts().undelivered(Reason::Full), 0);
    held.execute_batch("rollback").unwrap();
    until("all of it is written", || disk().unwritten_bytes == 0).await;
    let taken = events.backlog().bytes + disk().dead_bytes;
    assert!(taken <= bytes, "{taken} of {bytes}");
    assert!(taken + one > bytes, "there was room for {} more of {one}", (bytes - taken) / one);
    assert!((1..DEAD).contains(&disk().dead), "{} are left", disk().dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_unimplemented_rpc_have_a_tenth_and_push_out_no_other() {
    const WORTHY: usize = 5;
    const UNIMPLEMENTED: usize = 60;
    let implemented = Arc::new(AtomicBool::new(false));
    let answers = implemented.clone();
    let policy = support::Policy::start(move |call| {
        let is_worthy = call.metadata("hookgate-event-id").unwrap().starts_with("worthy");
        match answers.load(SeqCst) {
            true => Ok(Vec::new()),
            false if is_worthy => Ok(vec![0xff]),
            false => Err(Status::unimplemented("no")),
        }
    })
    .await;
    let data = directory("unimplemented");
    let dead_bytes = 100 << 10;
    let settings = After { dead_bytes, ..patient() };
    let events = on_disk(&policy.url(), &settings, &data);
    let disk = || events.backlog().disk.unwrap();
    let ended = || events.counts().undelivered(Reason::Unimplemented) as usize;
    for number in 0..WORTHY {
        events.deliver(padded("g", &format!("worthy/{number}"), 1_000)).await;
    }
    until("they end", || disk().dead == WORTHY).await;
    let worthy_bytes = disk().dead_bytes;
    assert_eq!(disk().unimplemented_bytes, 0);
    for number in 0..UNIMPLEMENTED {
        events.deliver(padded("g", &format!("no/{number:02}"), 1_000)).await;
    }
    until("they end", || ended() == UNIMPLEMENTED && disk().unwritten_bytes == 0 && events.backlog().events == 0).await;
    let evicted = || disk().unimplemented_evicted as usize;
    until("all of it is counted", || disk().dead + evicted() == WORTHY + UNIMPLEMENTED).await;

    let (bytes, kept) = (disk().unimplemented_bytes, UNIMPLEMENTED - evicted());
    let one = worthy_bytes / WORTHY;
    assert!(bytes <= dead_bytes / 10 && bytes + 2 * one > dead_bytes / 10, "{bytes} of {}", dead_bytes / 10);
    assert_eq!(disk().dead_bytes, worthy_bytes + bytes);
    let dead = Filter { state: Some(State::Dead), ..Filter::default() };
    let ids: Vec<_> = events.list(dead.clone()).await.unwrap().into_iter().map(|item| item.id).collect();
    let worthy = (0..WORTHY).map(|number| format!("worthy/{number}"));
    let newest = (UNIMPLEMENTED - kept..UNIMPLEMENTED).map(|number| format!("no/{number:02}"));
    assert_eq!(ids, worthy.chain(newest).collect::<Vec<_>>());

    // What is counted there is there at the next start, and can be replayed.
    assert_eq!(events.flush(Instant::now()).await, 0);
    drop(events);
    let events = on_disk(&policy.url(), &settings, &data);
    assert_eq!(events.backlog().disk.unwrap().unimplemented_bytes, bytes);
    implemented.store(true, SeqCst);
    let unimplemented = Filter { reason: Some("unimplemented".to_owned()), ..Filter::default() };
    assert_eq!(events.replay(unimplemented).await.unwrap().events, kept);
    until("they are delivered", || events.counts().delivered as usize == kept).await;
    let dead = || {
        let disk = events.backlog().disk.unwrap();
        (disk.unimplemented_bytes, disk.dead, disk.dead_bytes)
    };
    until("they are counted", || dead() == (0, WORTHY, worthy_bytes)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_is_never_idle_gives_free_pages_back() {
    let takes = Arc::new(AtomicBool::new(false));
    let answers = takes.clone();
    let policy = support::Policy::start(move |_| match answers.load(SeqCst) {
        true => Ok(Vec::new()),
        false => Err(Status::internal("not now")),
    })
    .await;
    let data = directory("never-idle");
    let events = on_disk(&policy.url(), &patient(), &data);
    let size = || std::fs::metadata(data.join("outbox.db")).unwrap().len();
    for number in 0..200 {
        events.deliver(padded(&format!("g{number}"), &format!("large/{number}"), 100 << 10)).await;
    }
    let full = size();
    assert!(full > 12 << 20, "{full}");
    takes.store(true, SeqCst);
    events.resume();
    let smaller = async {
        for number in 0.. {
            // Far more often than the thread would call idle.
            events.deliver(event("g", &format!("live/{number}"))).await;
            if size() < full / 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, smaller).await.expect("the file becomes smaller");
}
