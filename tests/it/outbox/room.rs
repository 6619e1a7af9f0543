//! Room for what arrives: what ended undelivered makes some, where the operator says so, and pages that are free go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use hookgate::config::{After, WhenFull};
use hookgate::internals::outbox::Reason;
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
