//! The numbers of events, which are their places in the order of arrival: none comes twice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use hookgate::internals::outbox::{Events, Filter, State};
use rusqlite::Connection;
use tokio::time::Instant;
use tonic::Status;

use super::gate::directory;
use super::inside::{event, hand_over, on_disk, patient, until};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_go_on_after_a_stop_jump_after_a_crash_and_never_come_again() {
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
    let events = start();
    events.deliver(event("g", "one")).await;
    let first = newest(&events, "one").await;
    close(events).await;

    let events = start();
    events.deliver(event("g", "two")).await;
    assert_eq!(newest(&events, "two").await, first + 1);
    events.deliver(event("h", "dies")).await;
    until("it dies", || events.backlog().disk.unwrap().dead == 1).await;
    // It goes again under another number, and is gone. The last one is gone before it is written.
    takes.store(true, SeqCst);
    let dead = Filter { all: true, state: Some(State::Dead), ..Filter::default() };
    assert_eq!(events.replay(dead).await.unwrap().events, 1);
    events.resume();
    until("all of it is delivered", || events.backlog().events == 0).await;
    hand_over(&events, event("i", "quick")).await;
    until("it is delivered", || events.backlog().events == 0).await;
    close(events).await;

    takes.store(false, SeqCst);
    let events = start();
    events.deliver(event("g", "three")).await;
    assert_eq!(newest(&events, "three").await, first + 5, "two, the one that died, that again, and the quick one");

    let copy = crashed(&data);
    let again = on_disk(&policy.url(), &patient(), &copy);
    again.deliver(event("g", "four")).await;
    assert!(newest(&again, "four").await > first + 6, "more may have been given than the disk has seen");
}

/// What is written down when only replayed events get numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_replayed_events_are_written_down() {
    let policy = support::Policy::start(|_| Err(Status::internal("not now"))).await;
    let data = directory("numbers-replayed");
    drop(hookgate::internals::outbox::Offline::open(&data).unwrap());
    const DEAD: i64 = 1_000;
    let file = Connection::open(data.join("outbox.db")).unwrap();
    let sum = crc32fast::hash(b"{}");
    let fill = format!(
        "insert into rpcs (name) values ('/openim.policy.v1.MessagePolicyService/AfterSendGroupMsg');
         insert into dead
         select value, 'e' || value, 1, null, value, 1, 1, 1, {sum}, value, 'age', null, '{{}}', x''
         from (with recursive n(value) as (select 1 union all select value + 1 from n where value < {DEAD}) select value from n);
         insert or replace into marks values ('number', {DEAD})"
    );
    file.execute_batch(&fill).unwrap();
    let events = on_disk(&policy.url(), &patient(), &data);
    let marked =
        || file.query_row("select value from marks where name = 'number'", [], |row| row.get::<_, i64>(0)).unwrap();
    // The mark is far ahead of what has been given, and goes on before it is reached.
    let mut given = DEAD;
    for _ in 0..120 {
        let all = Filter { all: true, ..Filter::default() };
        given += events.replay(all).await.unwrap().events as i64;
        assert!(marked() >= given, "{} is written down, {given} are given", marked());
        // As if they had ended, each again.
        file.execute("insert into dead select id, event_id, rpc, key, arrived, attempts, budget, bytes, sum, 0, 'age', null, metadata, message from events", []).unwrap();
        file.execute("delete from events", []).unwrap();
    }
    assert!(given > 100_000);
}
