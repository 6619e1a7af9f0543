//! The numbers of events, which are their places in the order of arrival: none comes twice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::SystemTime;

use hookgate::internals::outbox::{Events, Filter, State};
use tokio::time::Instant;
use tonic::Status;

use super::gate::directory;
use super::inside::{event, on_disk, patient, until};
use crate::support;

/// The number of the event that has come last.
async fn newest(events: &Events, id: &str) -> i64 {
    let filter = Filter { id: Some(id.to_owned()), ..Filter::default() };
    events.list(filter).await.unwrap()[0].place
}

async fn close(events: Events) {
    assert_eq!(events.flush(Instant::now()).await, 0);
}

/// The directory as it is after a crash now.
fn crashed(data: &Path) -> std::path::PathBuf {
    let copy = directory("numbers-crashed");
    std::fs::create_dir_all(&copy).unwrap();
    for file in ["outbox.db", "outbox.db-wal"] {
        std::fs::copy(data.join(file), copy.join(file)).unwrap();
    }
    copy
}

/// Microseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_rise_over_stops_crashes_and_lost_files_and_a_replay_keeps_them() {
    let takes = Arc::new(AtomicBool::new(false));
    let answers = takes.clone();
    let policy = support::Policy::start(move |call| match call.metadata("hookgate-event-id").unwrap() {
        _ if answers.load(SeqCst) => Ok(Vec::new()),
        "dies" => Err(Status::unimplemented("no")),
        _ => Err(Status::internal("not now")),
    })
    .await;
    let data = directory("numbers");
    let start = || on_disk(&policy.url(), &patient(), &data);
    let made = now();
    let events = start();
    events.deliver(event("g", "one")).await;
    let first = newest(&events, "one").await;
    assert!((made..=now()).contains(&first), "{first} and {made}");
    events.deliver(event("g", "two")).await;
    assert_eq!(newest(&events, "two").await, first + 1);
    close(events).await;

    let events = start();
    events.deliver(event("h", "dies")).await;
    until("it dies", || events.backlog().disk.unwrap().dead == 1).await;
    let dead = newest(&events, "dies").await;
    assert!(dead > first + 1);
    policy.take_calls();
    takes.store(true, SeqCst);
    let all = Filter { all: true, state: Some(State::Dead), ..Filter::default() };
    assert_eq!(events.replay(all).await.unwrap().events, 1);
    events.resume();
    until("all of it is delivered", || events.backlog().events == 0).await;
    let sequence = |call: &support::Call| call.metadata("hookgate-sequence").unwrap().parse::<i64>().unwrap();
    let mut calls = policy.take_calls();
    calls.sort_by_key(sequence);
    assert_eq!(calls.iter().map(sequence).collect::<Vec<_>>(), [first, first + 1, dead]);
    assert_eq!(calls[2].metadata("hookgate-late"), Some("1"));
    assert_eq!(calls[0].metadata("hookgate-late"), None);
    close(events).await;

    takes.store(false, SeqCst);
    let events = start();
    events.deliver(event("g", "three")).await;
    let third = newest(&events, "three").await;
    assert!(third > dead, "a stop keeps what was given");
    let copy = crashed(&data);
    let again = on_disk(&policy.url(), &patient(), &copy);
    again.deliver(event("g", "four")).await;
    assert!(newest(&again, "four").await > third, "more may have been given than the disk has seen");
    std::fs::remove_dir_all(&copy).unwrap();
    let anew = on_disk(&policy.url(), &patient(), &directory("numbers-anew"));
    anew.deliver(event("g", "five")).await;
    assert!(newest(&anew, "five").await > third, "a lost file is no reason to begin again");
}
