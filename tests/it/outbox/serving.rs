//! Faults of the outbox, and changes of it, while hookgate serves.

use std::collections::HashSet;
use std::fs;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

use hookgate::internals::outbox::{Delivery, Filter, State};
use rusqlite::Connection;
use tokio::time::Instant;

use super::gate::directory;
use super::inside::{event, hold, on_disk, patient, until};
use super::moody::Moody;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_behind_another_goes_though_that_one_ends_meanwhile() {
    let moody = Moody::start().await;
    let data = directory("replay-behind");
    let events = on_disk(&moody.policy.url(), &patient(), &data);
    events.deliver(event("g", "dies")).await;
    until("it dies", || events.backlog().disk.unwrap().dead == 1).await;
    events.deliver(event("g", "waits")).await;
    until("its attempt has failed", || events.backlog().rpcs[0].in_flight == 0).await;

    // The thread is at the replay, and cannot go on, when the other one ends.
    let held = hold(&data);
    let mut replay = pin!(events.replay(Filter { all: true, ..Filter::default() }));
    let mut polls = 0;
    // First it looks for what is meant; then it has asked for the change.
    let asked = poll_fn(|cx| {
        assert!(replay.as_mut().poll(cx).is_pending());
        polls += 1;
        if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
    });
    asked.await;
    moody.takes.store(true, SeqCst);
    events.resume();
    until("the other one is delivered", || moody.taken() == ["waits"]).await;
    held.execute_batch("rollback").unwrap();
    assert_eq!(replay.await.unwrap().events, 1);
    until("it goes", || moody.taken() == ["waits", "dies"]).await;
    until("all has ended", || events.backlog().events == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_and_no_number_comes_again_when_the_file_is_damaged_while_it_serves() {
    const PAGE: usize = 4_096;
    const EVENTS: usize = 400;
    let moody = Moody::start().await;
    let data = directory("damaged-serving");
    let events = on_disk(&moody.policy.url(), &patient(), &data);
    for number in 0..EVENTS {
        let delivery = events.deliver(event(&format!("g{number}"), &format!("e{number}"))).await;
        assert!(matches!(delivery, Delivery::Accepted), "{delivery:?}");
    }
    let place = async |id: &str| {
        let found = events.list(Filter { id: Some(id.to_owned()), ..Filter::default() }).await.unwrap();
        found[0].place
    };
    let last = place(&format!("e{}", EVENTS - 1)).await;

    // The root of an index is gone, on the disk and for whoever looks next.
    let other = Connection::open(data.join("outbox.db")).unwrap();
    let root = "select rootpage from sqlite_schema where name = 'events_ready'";
    let root: u32 = other.query_row(root, [], |row| row.get(0)).unwrap();
    other.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    let file = data.join("outbox.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[(root as usize - 1) * PAGE..][..PAGE].fill(0);
    fs::write(&file, bytes).unwrap();
    other.execute("insert into marks values ('somebody else wrote', 1)", []).unwrap();
    drop(other);

    let delivery = events.deliver(event("g", "during")).await;
    assert!(matches!(delivery, Delivery::Accepted | Delivery::Unwritten), "{delivery:?}");
    until("it is written", || events.backlog().disk.unwrap().unwritten_bytes == 0).await;
    assert!(matches!(events.deliver(event("g", "after")).await, Delivery::Accepted));
    let aside = fs::read_dir(&data).unwrap().filter_map(Result::ok);
    assert!(aside.into_iter().any(|entry| entry.file_name().to_string_lossy().contains(".damaged-")));
    let during = place("during").await;
    assert!(during > last, "{during} and {last}");
    assert!(place("after").await > during);

    moody.takes.store(true, SeqCst);
    events.resume();
    until("all of it is delivered", || {
        let taken: HashSet<String> = moody.taken().into_iter().collect();
        taken.len() == EVENTS + 2
    })
    .await;
    until("nothing more is counted", || events.backlog().events == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_not_what_was_written_is_set_aside_and_holds_up_nothing() {
    let moody = Moody::start().await;
    let data = directory("set-aside");
    let events = on_disk(&moody.policy.url(), &patient(), &data);
    for id in ["one", "two", "three"] {
        events.deliver(event("g", id)).await;
    }
    assert_eq!(events.flush(Instant::now()).await, 0);
    drop(events);
    let file = Connection::open(data.join("outbox.db")).unwrap();
    file.execute("update events set message = x'00' where event_id = 'one'", []).unwrap();
    moody.takes.store(true, SeqCst);
    let events = on_disk(&moody.policy.url(), &patient(), &data);
    events.resume();
    until("the others go", || moody.taken() == ["two", "three"]).await;
    until("all has ended", || events.backlog().events == 0).await;
    let disk = events.backlog().disk.unwrap();
    assert_eq!((disk.unreadable, disk.dead), (1, 1));
    let dead = events.list(Filter { state: Some(State::Dead), ..Filter::default() }).await.unwrap();
    assert_eq!((&*dead[0].id, dead[0].reason.as_deref()), ("one", Some("unreadable")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_memory_is_tried_at_once_or_dropped_by_its_id() {
    let moody = Moody::start().await;
    let data = directory("waits-in-memory");
    let events = on_disk(&moody.policy.url(), &patient(), &data);
    let of = |id: &str| Filter { id: Some(id.to_owned()), ..Filter::default() };
    for id in ["g1", "g2", "g3", "g4"] {
        events.deliver(event("g", id)).await;
    }
    events.deliver(event("h", "h1")).await;
    until("it is tried no more", || events.backlog().rpcs[0].in_flight == 0).await;
    // The first has failed and waits for hours; the others are behind it.
    let other = Filter { reason: Some("age".to_owned()), ..of("g2") };
    assert!(events.discard(other).await.is_err(), "it waits, and so did not end for its age");
    let other = Filter { since: Some(i64::MAX), ..of("g2") };
    assert!(events.discard(other).await.is_err(), "it arrived before");
    assert_eq!(events.discard(of("g2")).await.unwrap().events, 1);
    assert_eq!(events.discard(of("g1")).await.unwrap().events, 1);
    assert_eq!(events.backlog().events, 3);
    assert!(events.discard(of("g1")).await.is_err(), "it is gone");
    let left: Vec<_> = events.list(Filter::default()).await.unwrap().into_iter().map(|item| item.id).collect();
    assert_eq!(left, ["g3", "g4", "h1"]);

    moody.takes.store(true, SeqCst);
    assert_eq!(events.replay(of("h1")).await.unwrap().events, 1);
    events.resume();
    until("what is left goes", || events.backlog().events == 0).await;
    let mut taken = moody.taken();
    taken.sort();
    assert_eq!(taken, ["g3", "g4", "h1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_waits_for_hours_is_tried_at_once_where_it_is_asked_for() {
    let moody = Moody::start().await;
    let events = on_disk(&moody.policy.url(), &patient(), &directory("hurried"));
    for id in ["one", "two"] {
        events.deliver(event("g", id)).await;
    }
    until("its attempt has failed", || events.backlog().rpcs[0].in_flight == 0).await;
    moody.takes.store(true, SeqCst);
    let one = Filter { id: Some("one".to_owned()), ..Filter::default() };
    assert_eq!(events.replay(one).await.unwrap().events, 1);
    until("it goes, and what is behind it", || moody.taken() == ["one", "two"]).await;
}
