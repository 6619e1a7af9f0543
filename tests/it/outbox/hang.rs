//! A disk that is sick: writes that neither end nor fail, and reads that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use hookgate::config::After;
use hookgate::internals::outbox::{Delivery, Reason};
use rusqlite::Connection;
use tonic::Status;

use super::gate::{LONG, directory};
use super::inside::{event, hand_over, hold, on_disk, padded, patient, settings, until};
use crate::support;

/// The size of each event, in bytes.
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
    // What is in flight is attempted though there is no room for it.
    until("nothing is in flight", || events.backlog().rpcs.iter().all(|rpc| rpc.in_flight == 0)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_reply_waits_for_is_delivered_though_the_disk_hangs() {
    let policy = support::Policy::start(|_| Ok(Vec::new())).await;
    let data = directory("hang-zero");
    let events = on_disk(&policy.url(), &settings(), &data);
    let held = hold(&data);
    let telling = events.clone();
    let told = tokio::spawn(async move { telling.deliver(event("g", "e")).await });
    until("it is delivered before it is written", || events.counts().delivered == 1).await;
    drop(held);
    let told = told.await.unwrap();
    assert!(matches!(told, Delivery::Accepted), "{told:?}: it was tried after the disk had failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_that_comes_in_time_is_the_reply_and_waits_for_no_disk() {
    let policy = support::Policy::start(|_| Ok(Vec::new())).await;
    let data = directory("hang-quick");
    let events = on_disk(&policy.url(), &After { answer_within: LONG, ..settings() }, &data);
    let held = hold(&data);
    for id in ["one", "two"] {
        let delivery = events.deliver(event("g", id)).await;
        assert!(matches!(delivery, Delivery::Answered(_)), "{delivery:?}");
    }
    drop(held);
}

/// Stands in for a bad sector: there is one more event, and whoever reads its message gets an error.
const SICK: &str = "
    begin immediate;
    alter table events rename to whole;
    insert into whole select 0, 'sick', target, rpc, null, null, 0, 0, 0, 0, 0, 0, 0, null, 0, bytes, sum, metadata, message
        from whole limit 1;
    create view events as select id, event_id, target, rpc, domain, key, due, behind, parked, arrived, since, attempts, spared,
        replay, budget, bytes, sum, metadata, case when id = 0 then abs(-9223372036854775808) else message end as message from whole;
    create trigger arrives instead of insert on events begin
        insert or replace into whole values (new.id, new.event_id, new.target, new.rpc, new.domain, new.key, new.due,
            new.behind, new.parked, new.arrived, new.since, new.attempts, new.spared, new.replay, new.budget, new.bytes,
            new.sum, new.metadata, new.message);
    end;
    create trigger changes instead of update on events begin
        update whole set attempts = new.attempts, due = new.due, behind = new.behind, parked = new.parked
            where id = old.id;
    end;
    create trigger ends instead of delete on events begin
        delete from whole where id = old.id;
    end;
    commit;";

const WELL: &str =
    "begin immediate; drop view events; delete from whole where id = 0; alter table whole rename to events;
    commit;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_keeps_nothing_from_being_written() {
    let open = Arc::new(AtomicBool::new(false));
    let answers = open.clone();
    let policy = support::Policy::start(move |_| match answers.load(SeqCst) {
        true => Ok(Vec::new()),
        false => Err(Status::internal("no")),
    })
    .await;
    let data = directory("sick");
    let events = on_disk(&policy.url(), &settings(), &data);
    assert!(matches!(events.deliver(event("g", "first")).await, Delivery::Accepted));
    let other = Connection::open(data.join("outbox.db")).unwrap();
    other.busy_timeout(LONG).unwrap();
    other.execute_batch(SICK).unwrap();
    // More than memory has, so that some have to be read.
    const EVENTS: u64 = 400;
    for number in 1..EVENTS {
        let delivery = events.deliver(event(&format!("g{number}"), &format!("e{number}"))).await;
        assert!(matches!(delivery, Delivery::Accepted), "{number}: {delivery:?}");
    }
    let written: i64 = other.query_row("select count(*) from whole where id > 0", [], |row| row.get(0)).unwrap();
    assert_eq!(written, EVENTS as i64);
    other.execute_batch(WELL).unwrap();
    open.store(true, SeqCst);
    until("all of it is delivered once it can be read", || events.counts().delivered == EVENTS).await;
}
