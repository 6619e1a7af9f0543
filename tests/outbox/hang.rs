//! A disk that hangs: writes that neither end nor fail.

use hookgate::events::{Delivery, Reason};
use tonic::Status;

use super::gate::directory;
use super::inside::{hand_over, hold, on_disk, padded, patient, settings, until};
use super::support;

/// Of each event.
const SIZE: usize = 1 << 20;

/// More than is kept for a disk that does not take it.
const MANY: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hanging_disk_does_not_take_is_bounded() {
    let policy = support::Policy::start(|_| Err(Status::internal("no"))).await;
    let data = directory("hang");
    let events = on_disk(&policy.url(), &patient(), &data);
    let held = hold(&data);
    for number in 0..MANY {
        hand_over(&events, padded(&format!("g{number}"), &format!("e{number}"), SIZE)).await;
    }
    let refused = events.counts().undelivered(Reason::Disk);
    let backlog = events.backlog();
    assert_eq!(refused as usize + backlog.events, MANY);
    assert_eq!(backlog.events, 16, "16 MiB are kept");
    assert!(backlog.disk.unwrap().unwritten_bytes >= 16 * SIZE);
    held.execute_batch("rollback").unwrap();
    until("what was kept is written", || events.backlog().disk.unwrap().unwritten_bytes == 0).await;
    let delivery = events.deliver(padded("g", "later", SIZE)).await;
    assert!(matches!(delivery, Delivery::Accepted), "{delivery:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_while_the_disk_hangs_needs_no_room() {
    let policy = support::Policy::start(|_| Ok(Vec::new())).await;
    let data = directory("hang-delivered");
    let events = on_disk(&policy.url(), &settings(), &data);
    // The thread takes this one, and waits with it.
    let held = hold(&data);
    for number in 0..MANY {
        hand_over(&events, padded("g", &format!("e{number}"), SIZE)).await;
        until("it is delivered though the disk hangs", || events.backlog().events == 0).await;
    }
    assert_eq!(events.counts().delivered, MANY as u64);
    let unwritten = events.backlog().disk.unwrap().unwritten_bytes;
    assert!(unwritten <= 2 * SIZE, "{unwritten}");
    drop(held);
}
