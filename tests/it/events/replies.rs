//! What OpenIM is told, and how soon.

use std::time::Duration;

use hookgate::config::After;
use hookgate::contract::Reply;
use hookgate::contract::proto::{AfterRemoveBlackResponse, Denial};
use hookgate::contract::{Callback, Timing};
use hookgate::internals::outbox::{Delivery, Reason};
use prost::Message as _;
use tokio::time::timeout;
use tonic::Status;

use super::{
    REGISTER, REMOVE_BLACK, at_first_poll, at_once, by_hand, event, events, events_in_memory, idle, is_accepted,
    settings,
};
use crate::support::Policy;

#[tokio::test]
async fn a_verdict_in_time_is_the_reply() {
    let policy = Policy::start(|call| match call.metadata("hookgate-event-id") {
        Some("denied") => {
            let denial = Denial { code: 7001, message: "no".into(), detail: "not here".into() };
            Ok(AfterRemoveBlackResponse { denial: Some(denial) }.encode_to_vec())
        }
        Some("forbidden") => Err(Status::permission_denied("not allowed")),
        _ => Ok(Vec::new()),
    })
    .await;
    let events = events(&policy, &settings());
    for (id, body) in [
        ("allowed", r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#),
        ("denied", r#"{"actionCode":0,"errCode":7001,"errMsg":"no","errDlt":"not here","nextCode":1}"#),
        ("forbidden", r#"{"actionCode":0,"errCode":5000,"errMsg":"not allowed","errDlt":"not allowed","nextCode":1}"#),
    ] {
        let Delivery::Answered(reply) = events.deliver(event(REMOVE_BLACK, id)).await else {
            panic!("{id}: no verdict");
        };
        assert_eq!(reply.body(5000), body, "{id}");
        assert_eq!(matches!(reply, Reply::Allow { .. }), id == "allowed");
    }
    let counts = events.counts();
    assert_eq!((counts.delivered, counts.retried), (3, 0), "a denial is a verdict");
    assert_eq!(policy.take_calls().len(), 3);
}

#[tokio::test]
async fn a_slow_policy_is_not_waited_for_and_gets_the_event_all_the_same() {
    let (answer, mut calls) = by_hand();
    let policy = Policy::start_async(answer).await;
    let events = events(&policy, &at_once());
    assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, "e1")).await));
    let pending = calls.recv().await.unwrap();
    assert_eq!(pending.call.rpc, "/openim.policy.v1.RelationPolicyService/AfterRemoveBlack");
    assert_eq!((super::id(&pending.call), super::attempt(&pending.call)), ("e1".to_owned(), 1));
    assert_eq!(pending.call.metadata("openim-operation-id"), Some("op-1"));
    assert_eq!(&pending.call.message[..], b"\x0a\x01x");
    assert_eq!((events.backlog().events, events.counts().delivered), (1, 0));
    pending.succeed();
    idle(&events).await;
    assert_eq!((events.backlog().events, events.backlog().bytes), (0, 0));
    assert_eq!((events.counts().delivered, events.counts().retried), (1, 0));
}

#[tokio::test]
async fn a_delivery_goes_on_when_whoever_waits_for_it_has_gone() {
    let (answer, mut calls) = by_hand();
    let policy = Policy::start_async(answer).await;
    let events = events(&policy, &settings());
    let caller = tokio::spawn({
        let events = events.clone();
        async move { events.deliver(event(REMOVE_BLACK, "e1")).await }
    });
    let pending = calls.recv().await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    pending.succeed();
    idle(&events).await;
    assert_eq!(events.counts().delivered, 1);
}

#[tokio::test]
async fn a_failure_is_an_allow_at_once_and_the_event_stays() {
    let (answer, mut calls) = by_hand();
    let policy = Policy::start_async(answer).await;
    let events = events(&policy, &settings());
    let (delivery, ()) = tokio::join!(events.deliver(event(REMOVE_BLACK, "e1")), async {
        calls.recv().await.unwrap().fail();
    });
    // It would have waited for a minute.
    assert!(is_accepted(&delivery));
    calls.recv().await.unwrap().succeed();
    idle(&events).await;
    assert_eq!((events.counts().delivered, events.counts().retried), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn while_an_rpc_has_a_backlog_its_events_are_answered_at_once_and_join_it() {
    let (answer, mut calls) = by_hand();
    let events = events_in_memory(answer, &After { concurrency: 1, ..settings() });
    let first = tokio::spawn({
        let events = events.clone();
        async move { events.deliver(event(REMOVE_BLACK, "0")).await }
    });
    let mut pending = calls.recv().await.unwrap();
    for number in 1..=50 {
        let delivery = at_first_poll(events.deliver(event(REMOVE_BLACK, &number.to_string()))).await;
        assert!(is_accepted(&delivery.expect("no waiting")));
    }
    let backlog = events.backlog();
    assert_eq!((backlog.events, backlog.rpcs[0].waiting, backlog.rpcs[0].in_flight), (51, 50, 1));
    for number in 0..=50 {
        assert_eq!(super::id(&pending.call), number.to_string(), "in the order of arrival");
        pending.succeed();
        if number < 50 {
            pending = calls.recv().await.unwrap();
        } else {
            break;
        }
    }
    assert!(matches!(first.await.unwrap(), Delivery::Answered(_)));
    idle(&events).await;
    assert_eq!(events.counts().delivered, 51);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_for_its_next_attempt_holds_up_no_other() {
    let (answer, mut calls) = by_hand();
    let pause = Duration::from_secs(1);
    let events = events_in_memory(answer, &After { retry_min: pause, retry_max: pause, ..settings() });
    tokio::join!(events.deliver(event(REMOVE_BLACK, "e1")), async { calls.recv().await.unwrap().fail() });
    let delivery = at_first_poll(events.deliver(event(REMOVE_BLACK, "e2"))).await;
    assert!(delivery.is_none(), "its reply may be the verdict");
    let pending = timeout(pause / 10, calls.recv()).await.expect("no pause").unwrap();
    assert_eq!(super::id(&pending.call), "e2");
    assert!(at_first_poll(events.deliver(event(REGISTER, "another rpc's"))).await.is_none());
}

#[tokio::test]
async fn one_rpc_that_is_stuck_holds_up_no_other() {
    let (answer, mut calls) = by_hand();
    let policy = Policy::start_async(move |call| {
        if call.rpc.ends_with("/AfterRemoveBlack") { answer(call) } else { Box::pin(async { Ok(Vec::new()) }) }
    })
    .await;
    let events = events(&policy, &settings());
    let stuck: Vec<_> = (0..100)
        .map(|number| {
            let events = events.clone();
            tokio::spawn(async move { events.deliver(event(REMOVE_BLACK, &number.to_string())).await })
        })
        .collect();
    let mut on_their_way = Vec::new();
    calls.recv_many(&mut on_their_way, 1).await;
    for number in 0..100 {
        let delivery = events.deliver(event(REGISTER, &format!("other {number}"))).await;
        assert!(matches!(delivery, Delivery::Answered(_)), "{delivery:?}");
    }
    assert_eq!(events.counts().delivered, 100);
    let backlog = events.backlog();
    assert_eq!((backlog.events, backlog.rpcs.len()), (100, 1));
    assert_eq!((backlog.rpcs[0].in_flight, backlog.rpcs[0].waiting), (16, 84), "no more than the limit at a time");
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_answer_that_is_final_is_an_allow_and_the_end_of_the_event() {
    let policy = Policy::start(|call| match call.metadata("hookgate-event-id") {
        Some("unimplemented") => Err(Status::unimplemented("no such method")),
        _ => Ok(b"\xff\xff\xff".to_vec()),
    })
    .await;
    let events = events(&policy, &settings());
    // More of them than are delivered at a time.
    for _ in 0..50 {
        assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, "unimplemented")).await));
        assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, "garbled")).await));
        assert_eq!(events.backlog().events, 0);
    }
    let counts = events.counts();
    assert_eq!((counts.delivered, counts.retried), (0, 0));
    assert_eq!((counts.undelivered(Reason::Unimplemented), counts.undelivered(Reason::InvalidReply)), (50, 50));
    assert_eq!(policy.take_calls().len(), 100);
}

/// The events keep no webhook bodies because of this.
#[test]
fn no_response_to_an_after_callback_can_change_or_echo_anything() {
    let after = Callback::all().iter().filter(|callback| callback.timing == Timing::After);
    let mut rows = 0;
    for callback in after.chain([Callback::fallback()]) {
        assert_eq!(callback.changes().count(), 0, "{}", callback.rpc);
        assert!(!callback.echoes(), "{}", callback.rpc);
        rows += 1;
    }
    assert!(rows > 20);
}
