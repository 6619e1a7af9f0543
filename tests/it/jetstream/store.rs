//! The store of several copies: they share its events.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::config::After;
use hookgate::contract::Callback;
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Event, Events, Filter, State};
use tokio::time::Instant;
use tonic::Status;

use super::servers::Servers;
use crate::outbox::gate::{GROUP, directory};
use crate::outbox::inside::{event, padded, policy, settings, until};
use crate::support::{Call, Policy};

/// An After callback of another rpc, whose events belong to a user.
const OTHER: &str = "callbackAfterAddFriendCommand";

/// The settings of a copy on one server.
pub fn on(servers: &Servers, settings: After) -> After {
    let mut settings = settings;
    settings.store = servers.urls().split(',').map(|url| url.parse().unwrap()).collect();
    settings.nats.replicas = 1;
    settings.nats.partitions = 4;
    settings.bytes = 64 << 20;
    settings.dead_bytes = 64 << 20;
    settings
}

/// A copy, with a directory of its own.
pub async fn copy(servers: &Servers, url: &str, name: &str, settings: &After) -> Events {
    let data = data(name);
    let settings = on(servers, settings.clone());
    Events::on_cluster(policy(url), &settings, Decisions::default(), Some(&data), 1 << 20).await.unwrap()
}

/// An empty directory.
pub fn data(name: &str) -> PathBuf {
    let data = directory(&format!("jetstream-{name}"));
    std::fs::create_dir_all(&data).unwrap();
    data
}

/// A policy without health that fails as it is told, and what it was asked.
pub async fn recording(fails: impl Fn(&Call) -> bool + Send + Sync + 'static) -> (Policy, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::<Mutex<Vec<Call>>>::default();
    let book = calls.clone();
    let policy = Policy::start(move |call| {
        if call.rpc.starts_with("/grpc.health.") {
            return Err(Status::unimplemented("no health"));
        }
        let is_failed = fails(call);
        book.lock().unwrap().push(call.clone());
        if is_failed { Err(Status::unavailable("on purpose")) } else { Ok(Vec::new()) }
    })
    .await;
    (policy, calls)
}

/// The IDs of the calls, in their order.
pub fn ids(calls: &Mutex<Vec<Call>>) -> Vec<String> {
    calls.lock().unwrap().iter().map(|call| call.metadata("hookgate-event-id").unwrap().to_owned()).collect()
}

/// Hands over an event that is to be accepted.
pub async fn accepts(events: &Events, event: Event) {
    let delivery = events.deliver(event).await;
    assert!(matches!(delivery, Delivery::Accepted), "{delivery:?}");
}

/// Ends a copy in order.
async fn end(events: &Events) {
    assert_eq!(events.flush(Instant::now() + Duration::from_secs(5)).await, 0);
}

/// An event of another rpc.
fn other(id: &str) -> Event {
    let callback = Callback::by_command(OTHER).unwrap();
    let mut event = event("someone", id);
    event.callback = callback;
    event.ordered = false;
    event
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn what_one_copy_got_another_delivers_in_order() {
    let servers = Servers::start("shared", 1, "").await;
    let (policy, calls) = recording(|_| false).await;
    let one = copy(&servers, &policy.url(), "shared-one", &settings()).await;
    let two = copy(&servers, &policy.url(), "shared-two", &settings()).await;
    for number in 0..200 {
        let delivery = one.deliver(event(&format!("g{}", number % 5), &format!("e{number}"))).await;
        assert!(matches!(delivery, Delivery::Accepted));
    }
    one.idle().await;
    let mut last = HashMap::new();
    for call in calls.lock().unwrap().iter() {
        let request = call.request();
        let group = request.get_field_by_name("group_id").unwrap().as_str().unwrap().to_owned();
        let sequence: u64 = call.metadata("hookgate-sequence").unwrap().parse().unwrap();
        assert!(last.insert(group, sequence).is_none_or(|before| before < sequence));
    }
    assert_eq!(calls.lock().unwrap().len(), 200, "each once");
    let shares = [&one, &two].map(|events| events.counts().delivered);
    assert_eq!(shares.iter().sum::<u64>(), 200);
    assert!(shares.iter().all(|share| *share > 20), "both deliver: {shares:?}");
    end(&one).await;
    end(&two).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_copy_that_stops_gives_back_what_it_holds_and_parked_events_go_on_elsewhere() {
    let servers = Servers::start("handover", 1, "").await;
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let (policy, calls) =
        recording(move |call| failing.load(Relaxed) && call.metadata("hookgate-event-id") == Some("parked")).await;
    let settings = After { hold: Duration::from_millis(200), ..settings() };
    let one = copy(&servers, &policy.url(), "handover-one", &settings).await;
    // Others are answered, so that the key's hold runs.
    accepts(&one, event("g2", "before")).await;
    until("it is delivered", || ids(&calls).contains(&"before".to_owned())).await;
    accepts(&one, event("g1", "parked")).await;
    accepts(&one, event("g1", "behind")).await;
    for number in 0.. {
        if ids(&calls).contains(&"behind".to_owned()) {
            break;
        }
        accepts(&one, event("g2", &format!("more{number}"))).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waiting = one.list(Filter { state: Some(State::Waiting), ..Filter::default() }).await.unwrap();
    let parked = waiting.iter().find(|item| item.id == "parked").expect("it waits");
    assert!(parked.parked && parked.attempts > 0, "{parked:?}");
    end(&one).await;
    let attempts = calls.lock().unwrap().len();
    fails.store(false, Relaxed);
    let two = copy(&servers, &policy.url(), "handover-two", &settings).await;
    two.idle().await;
    {
        let calls = calls.lock().unwrap();
        let last = calls[attempts..].iter().rfind(|call| call.metadata("hookgate-event-id") == Some("parked")).unwrap();
        assert_eq!(last.metadata("hookgate-late"), Some("1"));
        let attempt: u32 = last.metadata("hookgate-attempt").unwrap().parse().unwrap();
        assert!(attempt > parked.attempts, "its attempts came with it");
    }
    end(&two).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn an_rpc_that_fails_for_everybody_does_not_stop_the_others() {
    let servers = Servers::start("alone", 1, "").await;
    let group = Callback::by_command(GROUP).unwrap().rpc;
    let (policy, calls) = recording(move |call| call.rpc == group).await;
    let mut settings = After { hold: Duration::from_millis(500), ..settings() };
    settings.nats.partitions = 1;
    let events = copy(&servers, &policy.url(), "alone", &settings).await;
    for number in 0..20 {
        assert!(matches!(
            events.deliver(event(&format!("g{number}"), &format!("bad{number}"))).await,
            Delivery::Accepted
        ));
    }
    let single = |number: usize| {
        let mut single = event("x", &format!("good{number}"));
        let device = hookgate::contract::proto::Device { user_id: format!("u{number}"), ..Default::default() };
        let request = hookgate::contract::proto::AfterUserOnlineRequest { device: Some(device), ..Default::default() };
        single.callback = Callback::by_command("callbackAfterUserOnlineCommand").unwrap();
        single.message = prost::Message::encode_to_vec(&request).into();
        single
    };
    // The policy answers another rpc, which has no order and is not behind the first.
    let began = Instant::now();
    for number in 0..10 {
        accepts(&events, single(number)).await;
    }
    let delivered = || ids(&calls).iter().filter(|id| id.starts_with("good")).count();
    let mut asked = 0;
    while delivered() < 10 {
        asked += 1;
        let _ = events.deliver(other(&format!("pulse{asked}"))).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{} of 10 are delivered", delivered());
    }
    end(&events).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn an_event_without_an_order_is_stored_only_if_it_is_late_or_fails() {
    let servers = Servers::start("unordered", 1, "").await;
    let (policy, calls) = recording(|call| {
        call.metadata("hookgate-attempt") == Some("1") && call.metadata("hookgate-event-id") == Some("fails")
    })
    .await;
    let settings = After { answer_within: Duration::from_secs(5), ..settings() };
    let events = copy(&servers, &policy.url(), "unordered", &settings).await;
    assert!(matches!(events.deliver(other("goes")).await, Delivery::Answered(_)));
    assert_eq!(servers.messages("hookgate-later").await, 0);
    accepts(&events, other("fails")).await;
    events.idle().await;
    assert_eq!(ids(&calls), ["goes", "fails", "fails"]);
    end(&events).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn an_event_over_max_payload_is_delivered_by_the_copy_that_got_it() {
    let servers = Servers::start("large", 1, "max_payload: 64KB").await;
    let (policy, calls) = recording(|_| false).await;
    let events = copy(&servers, &policy.url(), "large", &settings()).await;
    for (id, pad) in [("large", 200_000), ("near", 64_000), ("fits", 60_000)] {
        let delivery = events.deliver(padded("g1", id, pad)).await;
        assert!(matches!(delivery, Delivery::Accepted | Delivery::Answered(_)), "{id}: {delivery:?}");
    }
    events.idle().await;
    let mut all = ids(&calls);
    all.sort();
    assert_eq!(all, ["fits", "large", "near"]);
    end(&events).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_copy_that_cannot_reach_its_policy_leaves_the_events_to_the_others() {
    let servers = Servers::start("unreached", 1, "").await;
    let (policy, calls) = recording(|_| false).await;
    let nobody = format!("http://{}", crate::support::nobody().await);
    let lost = copy(&servers, &nobody, "unreached-lost", &settings()).await;
    // It has all partitions to itself, and answers OpenIM as ever.
    for number in 0..20 {
        let delivery = lost.deliver(event(&format!("g{}", number % 5), &format!("e{number}"))).await;
        assert!(matches!(delivery, Delivery::Accepted), "{delivery:?}");
    }
    let well = copy(&servers, &policy.url(), "unreached-well", &settings()).await;
    for number in 20..40 {
        accepts(&lost, event("g1", &format!("e{number}"))).await;
    }
    until("the other copy delivers all", || ids(&calls).len() >= 40).await;
    assert_eq!(lost.counts().delivered, 0);
    end(&well).await;
    end(&lost).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn nothing_is_parked_while_the_policy_answers_nothing() {
    let servers = Servers::start("outage", 1, "").await;
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let (policy, calls) = recording(move |_| failing.load(Relaxed)).await;
    for hold in [Duration::ZERO, Duration::from_secs(1)] {
        fails.store(false, Relaxed);
        let settings = After { hold, pause_max: Duration::from_millis(300), ..settings() };
        let events = copy(&servers, &policy.url(), "outage", &settings).await;
        // Both rpcs are answered a moment before.
        accepts(&events, event("g1", "before")).await;
        let _ = events.deliver(other("before-too")).await;
        events.idle().await;
        calls.lock().unwrap().clear();
        fails.store(true, Relaxed);
        for number in 0..100 {
            let delivery = events.deliver(event(&format!("g{}", number % 10), &format!("e{hold:?}{number}"))).await;
            assert!(matches!(delivery, Delivery::Accepted));
        }
        // Long enough for each of the holds, and for many attempts.
        let began = Instant::now();
        until("it is tried for a while", || began.elapsed() > Duration::from_secs(5)).await;
        assert!(calls.lock().unwrap().len() > 10);
        // Without any hold the first failure of what is in hand parks it, one of each partition: it might be its own.
        let first = if hold.is_zero() { 4 } else { 0 };
        let parked = servers.messages("hookgate-later").await;
        assert!(parked <= first as u64, "{parked} with {hold:?}");
        fails.store(false, Relaxed);
        events.resume();
        events.idle().await;
        let late: HashSet<_> = {
            let calls = calls.lock().unwrap();
            let late = calls.iter().filter(|call| call.metadata("hookgate-late").is_some());
            late.map(|call| call.metadata("hookgate-event-id").map(str::to_owned)).collect()
        };
        assert!(late.len() <= first, "{late:?}");
        end(&events).await;
    }
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn consumers_that_are_deleted_are_made_again() {
    let servers = Servers::start("deleted", 1, "").await;
    let (policy, calls) = recording(|_| false).await;
    let events = copy(&servers, &policy.url(), "deleted", &settings()).await;
    accepts(&events, event("g1", "before")).await;
    until("it is delivered", || !ids(&calls).is_empty()).await;
    let client = servers.client().await;
    for partition in 0..4 {
        let subject = format!("CONSUMER.DELETE.hookgate.partition-{partition}");
        assert!(super::servers::ask(&client, &subject).await.is_some_and(|answer| answer["success"] == true));
    }
    for number in 0..20 {
        assert!(matches!(
            events.deliver(event(&format!("g{number}"), &format!("e{number}"))).await,
            Delivery::Accepted
        ));
    }
    until("all are delivered", || ids(&calls).len() >= 21).await;
    end(&events).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_stop_waits_for_what_is_in_flight_behind_its_reply() {
    let servers = Servers::start("in-flight", 1, "").await;
    let (policy, mut asked, go_on) = Policy::that_waits().await;
    let settings = After { answer_within: Duration::from_millis(20), ..settings() };
    let events = copy(&servers, &policy.url(), "in-flight", &settings).await;
    accepts(&events, other("slow")).await;
    asked.recv().await.unwrap();
    assert_eq!(servers.messages("hookgate-later").await, 1, "it is stored meanwhile");
    let stopping = tokio::spawn({
        let events = events.clone();
        async move { events.flush(Instant::now() + Duration::from_secs(20)).await }
    });
    // It is stopping once it takes no more pulls; what was asked is answered then.
    tokio::task::yield_now().await;
    go_on.send_replace(true);
    assert_eq!(stopping.await.unwrap(), 0);
    assert_eq!(servers.messages("hookgate-later").await, 0, "it is delivered, and nobody delivers it again");
    assert_eq!(policy.take_calls().len(), 1);
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_stream_that_is_deleted_is_made_again() {
    let servers = Servers::start("gone", 1, "").await;
    let (policy, calls) = recording(|call| call.metadata("hookgate-event-id") == Some("bad")).await;
    let settings = After { attempts: 1, ..settings() };
    let events = copy(&servers, &policy.url(), "gone", &settings).await;
    let client = servers.client().await;
    assert!(
        super::servers::ask(&client, "STREAM.DELETE.hookgate-dead")
            .await
            .is_some_and(|answer| answer["success"] == true)
    );
    // Its dead letter has no place at first, and those behind it wait for that.
    for id in ["bad", "good"] {
        accepts(&events, event("g1", id)).await;
    }
    until("the next is delivered", || ids(&calls).contains(&"good".to_owned())).await;
    assert_eq!(servers.messages("hookgate-dead").await, 1);
    end(&events).await;
}
