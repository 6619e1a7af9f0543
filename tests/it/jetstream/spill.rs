//! The spill: events while the servers take none.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use hookgate::config::After;
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Events, Filter, Offline, Reason, State};
use tokio::time::Instant;

use super::servers::Servers;
use super::store::{accepts, copy, data, ids, on, recording};
use crate::outbox::inside::{event, padded, policy, settings, until};

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn events_are_kept_while_the_servers_are_away_and_go_on_in_order() {
    let mut servers = Servers::start("away", 1, "").await;
    let (policy, calls) = recording(|_| false).await;
    let events = copy(&servers, &policy.url(), "away", &settings()).await;
    accepts(&events, event("g1", "e0")).await;
    until("it is delivered", || !ids(&calls).is_empty()).await;
    servers.kill(0);
    let mut sent = vec!["e0".to_owned()];
    for number in 1..300 {
        let began = Instant::now();
        let id = format!("e{number}");
        accepts(&events, event("g1", &id)).await;
        // The first waits for its PubAck in vain, the others no more.
        assert!(began.elapsed() < Duration::from_secs(2), "{id}: {:?}", began.elapsed());
        sent.push(id);
    }
    assert!(events.backlog().events >= 299);
    servers.start_again(0);
    until("all are delivered", || ids(&calls).len() >= 300).await;
    events.idle().await;
    assert_eq!(ids(&calls), sent);
    assert_eq!(events.flush(Instant::now() + Duration::from_secs(5)).await, 0);
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn what_is_in_the_spill_at_the_end_is_there_at_the_next_start() {
    let mut servers = Servers::start("later", 1, "").await;
    let (asked, calls) = recording(|_| false).await;
    let (data, settings) = (data("later"), on(&servers, settings()));
    let start = || Events::on_cluster(policy(&asked.url()), &settings, Decisions::default(), Some(&data), 1 << 20);
    let events = start().await.unwrap();
    servers.kill(0);
    for number in 0..20 {
        accepts(&events, event("g1", &format!("e{number}"))).await;
    }
    assert_eq!(events.flush(Instant::now() + Duration::from_millis(200)).await, 0, "nothing is lost");
    let error = events.list(Filter::default()).await.unwrap_err().to_string();
    assert!(error.contains("20 events wait for it in the spill of this copy"), "{error}");
    drop(events);
    {
        let mut offline = opened(&data).await;
        let waiting = Filter { state: Some(State::Waiting), ..Filter::default() };
        let items = offline.list(&Filter { limit: Some(8), ..waiting.clone() }).unwrap();
        assert_eq!(
            items.iter().map(|item| &*item.id).collect::<Vec<_>>(),
            (0..8).map(|n| format!("e{n}")).collect::<Vec<_>>()
        );
        let behind = offline.list(&Filter { after: Some(items[7].place), ..waiting.clone() }).unwrap();
        assert_eq!((behind.len(), &*behind[0].id), (12, "e8"));
        assert_eq!(offline.count(&waiting).unwrap(), 20);
        assert_eq!(offline.counted().unwrap().iter().map(|count| count.events).sum::<i64>(), 20);
        assert!(offline.show("e3", true).unwrap().message.is_some());
        let named = |id: &str| Filter { id: Some(id.to_owned()), ..Filter::default() };
        assert_eq!(offline.discard(&named("e19")).unwrap().events, 1);
        assert!(offline.discard(&named("e19")).is_err(), "it is gone");
        assert!(offline.replay(&named("e3")).unwrap_err().to_string().contains("on its way"));
    }
    servers.start_again(0);
    servers.ready().await;
    let events = loop {
        match start().await {
            Ok(events) => break events,
            // The one before has its directory for a moment.
            Err(error) => {
                assert!(error.to_string().contains("another hookgate"), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    until("all are delivered", || ids(&calls).len() >= 19).await;
    assert_eq!(ids(&calls), (0..19).map(|number| format!("e{number}")).collect::<Vec<_>>());
    assert_eq!(events.flush(Instant::now() + Duration::from_secs(5)).await, 0);
}

/// Opens a directory, once whoever had it has let go of it.
async fn opened(data: &Path) -> Offline {
    loop {
        match Offline::open(data) {
            Ok(offline) => return offline,
            Err(error) => assert!(error.to_string().contains("another hookgate"), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_full_stream_stops_nothing() {
    let servers = Servers::start("full", 1, "").await;
    let open = Arc::new(AtomicBool::new(false));
    let is_open = open.clone();
    let (policy_service, calls) = recording(move |_| !is_open.load(Relaxed)).await;
    let data = data("full");
    let settings = After { bytes: 1 << 20, ..on(&servers, settings()) };
    let url = policy_service.url();
    let events = Events::on_cluster(policy(&url), &settings, Decisions::default(), Some(&data), 1 << 20).await.unwrap();
    let (mut kept, mut dropped) = (0, 0);
    for number in 0..400 {
        match events.deliver(padded(&format!("g{number}"), &format!("e{number}"), 8_000)).await {
            Delivery::Accepted => kept += 1,
            Delivery::Dropped => dropped += 1,
            other => panic!("{other:?}"),
        }
    }
    // A mebibyte in the stream, and another one in the spill.
    assert!(kept > 150 && dropped > 50, "{kept} {dropped}");
    assert_eq!(events.counts().undelivered(Reason::Full), dropped);
    // What is in the spill is seen beside what is in the streams.
    assert!(events.backlog().cluster.is_some_and(|cluster| cluster.spill.events > 20));
    let waiting = Filter { state: Some(State::Waiting), ..Filter::default() };
    assert_eq!(usize::try_from(events.count(waiting.clone()).await.unwrap()).unwrap(), kept);
    let mut listed = HashSet::new();
    let mut after = None;
    loop {
        let page = events.list(Filter { after, limit: Some(50), ..waiting.clone() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.place);
        listed.extend(page.into_iter().map(|item| item.id));
    }
    assert_eq!(listed.len(), kept);
    let counted: i64 = events.counted().await.unwrap().iter().map(|count| count.events).sum();
    assert_eq!(usize::try_from(counted).unwrap(), kept);
    open.store(true, Relaxed);
    events.resume();
    events.idle().await;
    let mut all = ids(&calls);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), kept, "what was accepted is delivered");
    assert_eq!(events.flush(Instant::now() + Duration::from_secs(5)).await, 0);
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_list_without_a_limit_passes_over_no_place() {
    let servers = Servers::start("list", 1, "").await;
    let (policy_service, _) = recording(|_| true).await;
    let data = data("list");
    let settings = on(&servers, settings());
    let url = policy_service.url();
    let events = Events::on_cluster(policy(&url), &settings, Decisions::default(), Some(&data), 1 << 20).await.unwrap();
    // More than one page in the streams, and what they do not take on this machine.
    let (small, large) = (1_010, 2);
    join_all((0..small).map(|number| accepts(&events, event(&format!("g{number}"), &format!("small/{number}"))))).await;
    for number in 0..large {
        accepts(&events, padded(&format!("g{number}"), &format!("large/{number}"), 1 << 20)).await;
    }
    let (mut listed, mut after) = (HashSet::new(), None);
    loop {
        let filter = Filter { state: Some(State::Waiting), after, limit: Some(usize::MAX), ..Filter::default() };
        let page = events.list(filter).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.place);
        listed.extend(page.into_iter().map(|item| item.id));
    }
    assert_eq!(listed.len(), small + large);
    events.flush(Instant::now()).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_spill_whose_file_takes_no_change_is_published_once_and_whole() {
    let mut servers = Servers::start("stuck", 1, "").await;
    let (asked, calls) = recording(|_| false).await;
    let (data, settings) = (data("stuck"), on(&servers, settings()));
    let events = Events::on_cluster(policy(&asked.url()), &settings, Decisions::default(), Some(&data), 1 << 20).await;
    let events = events.unwrap();
    servers.kill(0);
    // More than is kept in memory beside the file, and more behind that than is read at once.
    let all = 1_100;
    for number in 0..all {
        let delivery = events.deliver(padded(&format!("g{number}"), &format!("e{number}"), 16_000)).await;
        assert!(matches!(delivery, Delivery::Accepted), "{number}: {delivery:?}");
    }
    // Others read it as before; no change of it is taken.
    let holder = rusqlite::Connection::open(data.join("spill.db")).unwrap();
    holder.execute_batch("begin immediate").unwrap();
    servers.start_again(0);
    until("all are delivered", || ids(&calls).len() >= all).await;
    holder.execute_batch("rollback").unwrap();
    events.idle().await;
    let mut delivered = ids(&calls);
    delivered.sort();
    delivered.dedup();
    assert_eq!((delivered.len(), ids(&calls).len()), (all, all));
    assert_eq!(events.flush(Instant::now() + Duration::from_secs(5)).await, 0);
}
