//! Events of one group come one after another, as they arrived, whatever is tried again; others do not wait for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate::config::After;
use hookgate::contract::Callback;
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Event, Events};
use prost::Message as _;
use tokio::time::timeout;
use tonic::Status;

use super::gate::{LONG, directory};
use super::inside;
use super::inside::{event, settings};
use crate::support;

async fn in_order(name: &str, on_disk: bool, events: usize, keys: usize) {
    let seen: Arc<Mutex<HashMap<String, Vec<usize>>>> = Arc::default();
    let book = seen.clone();
    let policy = support::Policy::start(move |call| {
        if fastrand::u8(..10) == 0 {
            return Err(Status::internal("not this time"));
        }
        let id = call.metadata("hookgate-event-id").unwrap();
        let (group, number) = id.split_once('/').unwrap();
        book.lock().unwrap().entry(group.to_owned()).or_default().push(number.parse().unwrap());
        Ok(Vec::new())
    })
    .await;
    let asked = inside::policy(&policy.url());
    let delivered = match on_disk {
        true => Events::on_disk(asked, &settings(), Decisions::default(), &directory(name)).unwrap(),
        false => Events::in_memory(asked, &settings(), Decisions::default()),
    };
    let began = Instant::now();
    let mut replies = tokio::task::JoinSet::new();
    for number in 0..events {
        let (delivered, event) =
            (delivered.clone(), event(&format!("g{}", number % keys), &format!("g{}/{number}", number % keys)));
        // Its place is that of its first poll, so this comes first.
        let mut reply = Box::pin(async move { delivered.deliver(event).await });
        if let std::task::Poll::Ready(reply) = futures_poll(&mut reply).await {
            assert!(matches!(reply, Delivery::Accepted), "{reply:?}");
            continue;
        }
        replies.spawn(reply);
        while replies.len() > 500 {
            assert!(matches!(replies.join_next().await.unwrap().unwrap(), Delivery::Accepted));
        }
    }
    for reply in replies.join_all().await {
        assert!(matches!(reply, Delivery::Accepted), "{reply:?}");
    }
    timeout(20 * LONG, delivered.idle()).await.expect("all are delivered");
    println!(
        "{events} events of {keys} groups, one call in ten fails, on disk {on_disk}: {:.1?}, retried {}",
        began.elapsed(),
        delivered.counts().retried
    );
    assert_eq!(delivered.counts().delivered, events as u64);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), events);
    for (group, numbers) in &*seen {
        assert!(numbers.is_sorted(), "{group}: {numbers:?}");
    }
}

async fn futures_poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> std::task::Poll<T> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn events_of_one_group_come_in_order_from_memory() {
    in_order("order-memory", false, 2_000, 40).await;
}

#[tokio::test]
async fn events_of_one_group_come_in_order_from_disk() {
    in_order("order-disk", true, 2_000, 40).await;
}

#[tokio::test]
#[ignore = "takes minutes; run by: cargo test --release --test it outbox:: -- --ignored --nocapture --test-threads 1"]
async fn full_order() {
    in_order("order-full-memory", false, 100_000, 1_000).await;
    in_order("order-full-disk", true, 100_000, 1_000).await;
}

#[tokio::test]
async fn an_event_that_is_tried_again_holds_up_its_own_group_alone() {
    for on_disk in [false, true] {
        let open = Arc::new(AtomicBool::new(false));
        let gate = open.clone();
        let policy = support::Policy::start(move |call| {
            let stuck = call.metadata("hookgate-event-id") == Some("stuck/1");
            if stuck && !gate.load(Ordering::SeqCst) { Err(Status::internal("not yet")) } else { Ok(Vec::new()) }
        })
        .await;
        let asked = inside::policy(&policy.url());
        let events = match on_disk {
            true => Events::on_disk(asked, &settings(), Decisions::default(), &directory("stuck")).unwrap(),
            false => Events::in_memory(asked, &settings(), Decisions::default()),
        };
        for id in ["stuck/1", "stuck/2", "stuck/3"] {
            events.deliver(event("stuck", id)).await;
        }
        for number in 0..300 {
            events.deliver(event(&format!("g{}", number % 7), &format!("free/{number}"))).await;
        }
        let others = async {
            while events.counts().delivered < 300 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, others).await.expect("the others do not wait");
        assert_eq!(events.backlog().events, 3, "on disk: {on_disk}");
        open.store(true, Ordering::SeqCst);
        timeout(LONG, events.idle()).await.expect("and in the end it goes on");
        let ids: Vec<String> =
            policy.take_calls().iter().map(|call| call.metadata("hookgate-event-id").unwrap().to_owned()).collect();
        let last: Vec<&str> = ids.iter().map(|id| &**id).filter(|id| id.starts_with("stuck")).rev().take(3).collect();
        assert_eq!(last, ["stuck/3", "stuck/2", "stuck/1"]);
    }
}

#[tokio::test]
async fn an_rpc_that_is_stuck_with_large_events_holds_up_no_other() {
    let policy = support::Policy::start(|call| {
        let stuck = call.metadata("hookgate-event-id").unwrap().starts_with("stuck");
        if stuck { Err(Status::internal("never")) } else { Ok(Vec::new()) }
    })
    .await;
    let hour = Duration::from_secs(3_600);
    let settings = After { retry_min: hour, retry_max: hour, pause_max: hour, ..settings() };
    let asked = inside::policy(&policy.url());
    let events = Events::on_disk(asked, &settings, Decisions::default(), &directory("large")).unwrap();
    // More than all of the memory that events on disk have.
    let callback = Callback::by_command("callbackAfterSendSingleMsgCommand").unwrap();
    for number in 0..80 {
        let request = hookgate::contract::proto::AfterSendSingleMsgRequest {
            recv_id: "x".repeat(128 << 10),
            ..Default::default()
        };
        let message = Bytes::from(request.encode_to_vec());
        events.deliver(Event { callback, message, ..event("", &format!("stuck/{number}")) }).await;
    }
    // Larger than what may be left of it.
    for number in 0..40 {
        let request = hookgate::contract::proto::AfterSendGroupMsgRequest {
            group_id: format!("g{}", number % 7),
            callback_command: "x".repeat(192 << 10),
            ..Default::default()
        };
        let message = Bytes::from(request.encode_to_vec());
        events.deliver(Event { message, ..event("", &format!("free/{number}")) }).await;
    }
    let others = async {
        while events.counts().delivered < 40 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, others).await.expect("the others do not wait");
    assert_eq!(events.backlog().events, 80);
}
